/**
 * The worker's process is killed before and after each outside effect of opening, settling, giving back and ending; an
 * ordinary worker then takes over. By the sandbox's own ledger: one payable object at most, one charge, one booking or one
 * full refund, one message, and the workflow ends by itself.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { CrashPoint } from './crash-worker';
import { buildCrashWorker, startDyingWorker, withWorker, type DyingWorker } from './crashes-setup';
import {
  closeOffering,
  expectBooksToBalance,
  ledgerFor,
  messagesOf,
  outcomeOf,
  pay,
  payable,
  priceMinor,
  refundsOf,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { startWorld, type World } from './world';

type Stage = 'open' | 'settle' | 'give back' | 'end';

/** Every point, by what the process was doing. Those that cost a regular activity's time-out stand first: they wait longest. */
const points: [name: string, stage: Stage, point: CrashPoint][] = [
  ['before the refund is looked for', 'give back', { call: 'readRefund', when: 'before' }],
  ['before the refund is sent', 'give back', { call: 'refund', when: 'before' }],
  ['after the refund was made', 'give back', { call: 'refund', when: 'after' }],
  ['before its success is written', 'give back', { commitOf: '"settled_at"', when: 'before' }],
  ['after its success was written', 'give back', { commitOf: '"settled_at"', when: 'after' }],
  ['before the payment is closed', 'end', { call: 'close', when: 'before' }],
  ['after the payment was closed', 'end', { call: 'close', when: 'after' }],
  ['before the outcome is written', 'end', { commitOf: 'update "attempts".*"ended_at"', when: 'before' }],
  ['after the outcome was written', 'end', { commitOf: 'update "attempts".*"ended_at"', when: 'after' }],
  ['before the attempt is written', 'open', { commitOf: 'insert into "attempts"', when: 'before' }],
  ['after the attempt was written', 'open', { commitOf: 'insert into "attempts"', when: 'after' }],
  ['before the payment object is made', 'open', { call: 'open', when: 'before' }],
  ['after the payment object was made', 'open', { call: 'open', when: 'after' }],
  ['before how to pay is written', 'open', { commitOf: '"how_to_pay"', when: 'before' }],
  ['after how to pay was written', 'open', { commitOf: '"how_to_pay"', when: 'after' }],
  ['before the payment is read', 'settle', { call: 'read', when: 'before' }],
  ['after the payment was read', 'settle', { call: 'read', when: 'after' }],
  ['before the settlement is sent', 'settle', { statement: 'settle_payment', when: 'before' }],
  ['while the settlement is under way', 'settle', { statement: 'settle_payment', when: 'during' }],
  ['after the settlement was committed', 'settle', { statement: 'settle_payment', when: 'after' }],
];

/** Whichever test comes first waits for most of them, in ms. */
const patience = 200_000;

/** How many stories run at once: each mostly waits for Temporal to notice a death. */
const atOnce = 10;

interface Story {
  attempt: Attempt;
  death: Awaited<DyingWorker['death']>;
  outcome: string;
}

let world: World;
const dying = new Set<DyingWorker>();
const stories = new Map<string, Promise<Story>>();

/** Plays one attempt up to the death at the point, and lets an ordinary worker end it. */
async function play(stage: Stage, point: CrashPoint): Promise<Story> {
  const taskQueue = `crash-${randomBytes(6).toString('hex')}`;
  const worker = startDyingWorker(world, taskQueue, point);
  dying.add(worker);
  const attempt = await startAttempt(world, { taskQueue });
  const holds = 'statement' in point && point.when === 'during';
  if (stage !== 'open') {
    const ref = await payable(world, attempt.bookingId, 60_000);
    if (stage === 'give back') await closeOffering(world, attempt.offeringId);
    if (stage === 'end') await attempt.handle.cancel();
    // The settlement's statement waits for this lock at the server, beyond the death of who sent it.
    else if (holds) await whileLocked(attempt.bookingId, () => pay(world, ref).then(() => worker.death));
    else await pay(world, ref);
  }
  const death = await worker.death;
  const outcome = await withWorker(world, taskQueue, async () => {
    if (stage === 'open') await pay(world, await payable(world, attempt.bookingId, 60_000));
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
  world = await startWorld({ worker: false, standing: false });
  const waiting = [...points];
  const starts = new Map<string, () => void>();
  for (const [name, stage, point] of points) {
    const story = new Promise<void>((resolve) => starts.set(name, resolve)).then(() => play(stage, point));
    // Whoever tests it hears of a failure; until then it is not unhandled.
    story.catch(() => undefined);
    stories.set(name, story);
  }
  const run = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      starts.get(next[0])?.();
      await stories.get(next[0])?.catch(() => undefined);
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

describe.each(['open', 'settle', 'give back', 'end'] as const)('killed in %s', (stage) => {
  test.each(points.filter(([, at]) => at === stage).map(([name]) => name))(
    '%s: one charge at most, and what it bought or all of it back',
    async (name) => {
      const story = await stories.get(name);
      if (story === undefined) throw new Error('Bug: no such story');
      const { attempt, death, outcome } = story;
      const { bookingId } = attempt;
      expect(death).toEqual({ signal: 'SIGKILL', said: 'dying\n' });

      const ledger = await ledgerFor(world, bookingId);
      expect(ledger.intents).toHaveLength(1);
      expect(ledger.payable).toEqual([]);
      const bookings = await world.db('bookings').where({ id: bookingId });
      const seats = await world.db('seats').where({ booking_id: bookingId });
      const refunds = await refundsOf(world, bookingId);
      if (stage === 'open' || stage === 'settle') {
        expect(outcome).toBe('confirmed');
        expect(ledger.paid).toHaveLength(1);
        expect([bookings.length, seats.length, refunds.length, ledger.refunds.length]).toEqual([1, 1, 0, 0]);
        expect(await messagesOf(world, bookingId)).toEqual(['booking-confirmed']);
      } else if (stage === 'give back') {
        expect(outcome).toBe('refunded');
        expect(ledger.paid).toHaveLength(1);
        expect(ledger.refunds).toMatchObject([{ amount: priceMinor, status: 'succeeded' }]);
        expect(refunds).toMatchObject([{ status: 'succeeded', amount_minor: priceMinor }]);
        expect([bookings.length, seats.length]).toEqual([0, 0]);
        expect(await messagesOf(world, bookingId)).toEqual(['payment-refunded']);
      } else {
        expect(outcome).toBe('canceled');
        expect(ledger.intents).toMatchObject([{ status: 'canceled' }]);
        expect(ledger.paid).toEqual([]);
        expect([bookings.length, seats.length, refunds.length]).toEqual([0, 0, 0]);
        expect(await messagesOf(world, bookingId)).toEqual([]);
      }
    },
    patience,
  );
});

test(
  'after all of it the books balance',
  async () => {
    await Promise.allSettled(stories.values());
    await expectBooksToBalance(world);
  },
  patience,
);
