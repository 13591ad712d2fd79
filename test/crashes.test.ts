/**
 * The worker's process is killed before and after each outside effect of opening, settling, giving back and ending; an
 * ordinary worker then takes over. By each gateway's own ledger: one payable object at most, one charge, one booking or one
 * full refund, one message, and the workflow ends by itself. For wallets: `wallet-outages.test.ts`.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { gatewayOf } from './book-setup';
import { points, type Stage } from './crash-points';
import type { CrashPoint } from './crash-worker';
import { buildCrashWorker, startDyingWorker, withWorker, type DyingWorker } from './crashes-setup';
import {
  closeOffering,
  expectBooksToBalance,
  messagesOf,
  outcomeOf,
  payable,
  payAt,
  priceMinor,
  refundsOf,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { gatewayNames, isInFull, type GatewayName } from './tiers';
import { startWorld, type World } from './world';

/** Whichever test comes first waits for most of them, in ms. */
const patience = 200_000;

/** How many stories run at once: each mostly waits for Temporal to notice a death. */
const atOnce = 10;

/** Cases of the table: every point at every gateway. Where not all are played, those after a call, which left its effect there. */
const cases = gatewayNames.flatMap((method) =>
  points
    .filter(([, , point]) => isInFull(method) || ('call' in point && point.when === 'after'))
    .map(([name, stage, point]) => ({ method, name, stage, point })),
);
type Case = (typeof cases)[number];

interface Story {
  attempt: Attempt;
  death: Awaited<DyingWorker['death']>;
  outcome: string;
}

let world: World;
const dying = new Set<DyingWorker>();
const stories = new Map<Case, Promise<Story>>();

/** Plays one attempt up to the death at the point, and lets an ordinary worker end it. */
async function play(method: GatewayName, stage: Stage, point: CrashPoint): Promise<Story> {
  const at = gatewayOf(world, method);
  const taskQueue = `crash-${randomBytes(6).toString('hex')}`;
  const worker = startDyingWorker(world, taskQueue, point);
  dying.add(worker);
  const attempt = await startAttempt(world, { taskQueue, method });
  const { bookingId } = attempt;
  const holds = 'statement' in point && point.when === 'during';
  const payIt = () => payAt(at, world, bookingId, 60_000);
  if (stage !== 'open') {
    await payable(world, bookingId, 60_000);
    if (stage === 'give back') await closeOffering(world, attempt.offeringId);
    if (stage === 'end') await attempt.handle.cancel();
    // The settlement's statement waits for this lock at the server, beyond the death of who sent it.
    else if (holds) await whileLocked(bookingId, () => payIt().then(() => worker.death));
    else await payIt();
  }
  const death = await worker.death;
  const outcome = await withWorker(world, taskQueue, async () => {
    if (stage === 'open') await payIt();
    // A regular activity's death is noticed after its 30 s.
    return outcomeOf(attempt, 100_000);
  });
  return { attempt, death, outcome };
}

async function whileLocked(bookingId: string, work: () => Promise<unknown>): Promise<void> {
  await world.db.transaction(async (trx) => {
    await trx('attempts').where({ booking_id: bookingId }).forUpdate().first<unknown>();
    await work();
  });
}

beforeAll(async () => {
  buildCrashWorker();
  world = await startWorld({
    worker: false,
    standing: false,
    gateways: [await atRazorpay(), await atPhonepe()],
  });
  const waiting = [...cases];
  const starts = new Map<Case, () => void>();
  for (const one of cases) {
    const story = new Promise<void>((resolve) => starts.set(one, resolve)).then(() =>
      play(one.method, one.stage, one.point),
    );
    // Whoever tests it hears of a failure; until then it is not unhandled.
    story.catch(() => undefined);
    stories.set(one, story);
  }
  const run = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      starts.get(next)?.();
      await stories.get(next)?.catch(() => undefined);
    }
  };
  for (let n = 0; n < atOnce; n++) {
    void run();
    // Processes that start at the same moment only slow each other down.
    await pause(200);
  }
});

afterAll(async () => {
  for (const worker of dying) worker.stop();
  await Promise.allSettled(stories.values());
  await world.stop();
});

/**
 * An order of PhonePe's whose page nobody was told of before the death cannot be asked for it again: it stands until it
 * expires, nobody can pay it, and another takes its place.
 */
const losesOrder = ({ method, name }: Case): boolean =>
  method === 'phonepe' &&
  ['after the payment object was made', 'before how to pay is written'].includes(name);

test.each(cases)(
  '$method, killed in $stage, $name: one charge at most, and what it bought or all of it back',
  async (one) => {
    const { method, stage } = one;
    const story = await stories.get(one);
    if (story === undefined) throw new Error('Bug: no such story');
    const { attempt, death, outcome } = story;
    const { bookingId } = attempt;
    expect(death).toEqual({ signal: 'SIGKILL', said: 'dying\n' });

    const at = gatewayOf(world, method);
    const ledger = await at.ledgerOf(bookingId);
    const lost = losesOrder(one) ? 1 : 0;
    expect(ledger.objects).toHaveLength(1 + lost);
    const rows = async (table: string, column: string) =>
      (await world.db(table).where({ [column]: bookingId })).length;
    const found = {
      bookings: await rows('bookings', 'id'),
      seats: await rows('seats', 'booking_id'),
      refunds: (await refundsOf(world, bookingId)).map(({ status, amount_minor }) => [status, amount_minor]),
      messages: await messagesOf(world, bookingId),
    };
    if (stage === 'open' || stage === 'settle') {
      expect(outcome).toBe('confirmed');
      expect(ledger).toMatchObject({ charges: 1, refundRefs: [] });
      expect(ledger.payable).toHaveLength(lost);
      expect(found).toEqual({ bookings: 1, seats: 1, refunds: [], messages: ['booking-confirmed'] });
    } else if (stage === 'give back') {
      expect(outcome).toBe('refunded');
      expect(ledger).toMatchObject({ charges: 1, refunds: 1, refundedMinor: priceMinor, payable: [] });
      expect(ledger.refundRefs).toHaveLength(1);
      expect(found).toEqual({
        bookings: 0,
        seats: 0,
        refunds: [['succeeded', priceMinor]],
        messages: ['payment-refunded'],
      });
    } else {
      expect(outcome).toBe('canceled');
      // What cannot be closed is left to the payment watch.
      expect(ledger).toMatchObject({ charges: 0, payable: at.closes ? [] : ledger.objects });
      const tries = await world.db('payment_tries').where({ booking_id: bookingId });
      expect(tries).toMatchObject([{ status: at.closes ? 'closed' : 'open' }]);
      expect(tries.map((row) => row.next_look_at !== null)).toEqual([!at.closes]);
      expect(found).toEqual({ bookings: 0, seats: 0, refunds: [], messages: [] });
    }
  },
  patience,
);

test(
  'after all of it the books balance',
  async () => {
    await Promise.allSettled(stories.values());
    await expectBooksToBalance(world);
  },
  patience,
);
