/** A worker that dies while a wallet pays or is paid back, and PostgreSQL away: the money moves once, or not at all. */
import { ring } from '../src/doorbell';
import { bookingWorkflowId, reconcileWorkflowId } from '../src/workflows/messages';
import { walletPoints } from './crash-points';
import type { CrashPoint } from './crash-worker';
import { buildCrashWorker, startDyingWorker, withWorker, type DyingWorker } from './crashes-setup';
import { expectOneEnd, priceMinor, publish, seatsFree, Shopper } from './book-setup';
import { withoutDatabase } from './database-away';
import { expectBooksToBalance } from './refunds-setup';
import { credit, movementsOf } from './wallet-setup';
import { eventually, startWorld, withoutTicket, type Json, type World } from './world';

let world: World;
let ada: Shopper;
const dying = new Set<DyingWorker>();

beforeAll(async () => {
  buildCrashWorker();
  world = await startWorld({ worker: false, standing: false });
});
afterAll(async () => {
  for (const worker of dying) worker.stop();
  await world.stop();
});
beforeEach(async () => {
  ada = new Shopper(world);
  await credit(world, ada, 10_000);
});
afterEach(() => expectBooksToBalance(world));

/** A death is noticed after a workflow task's 10 s, or a regular activity's 30 s; then an ordinary worker goes on. */
const patience = 120_000;

const paidOnce = [`payment ${-priceMinor}`, 'credit 10000'];

/** Lets something happen to a worker that dies at the point. */
async function dieAt(
  point: CrashPoint,
  happens: () => Promise<unknown>,
  taskQueue = world.taskQueue,
): Promise<void> {
  const worker = startDyingWorker(world, taskQueue, point);
  dying.add(worker);
  await happens();
  expect(await worker.death).toEqual({ signal: 'SIGKILL', said: 'dying\n' });
}

test.each(walletPoints.filter(([, stage]) => stage === 'open'))(
  'a worker killed in a wallet booking, %s: one debit and one booking',
  async (_, __, point) => {
    const slot = await publish(world);
    const start = () => ada.book(slot, 'key', 'wallet');
    const id = ada.bookingId('key');
    let answered: ReturnType<typeof start> | undefined;
    await world.db.transaction(async (trx) => {
      // The statement waits for the wallet at the server until whoever sent it has died.
      if (point.when === 'during') await trx('wallets').where({ customer_id: ada.sub }).forUpdate();
      await dieAt(point, async () => {
        answered = start();
      });
    });
    // Dead after the commit, it is all done already, though nobody was told; before it, nothing is there.
    if (point.when === 'after') {
      expect(await movementsOf(ada)).toEqual(paidOnce);
    } else {
      await eventually('the end of the dead one’s transaction', async () => {
        const { rows } = await world.db.raw<{ rows: unknown[] }>(
          `SELECT FROM pg_stat_activity WHERE application_name = 'test-dying' AND datname = current_database()`,
        );
        return rows.length === 0;
      });
      expect(await movementsOf(ada)).toEqual(['credit 10000']);
      expect(await seatsFree(world, slot)).toBe(1);
    }
    const worker = await world.startWorker();
    try {
      const booking = await ada.until(id, 'confirmed', 60_000);
      expect([200, 201, 202]).toContain((await answered)?.status);
      const again = await start();
      expect([again.status, withoutTicket(again.body)]).toEqual([200, withoutTicket(booking)]);
      expect(await expectOneEnd(world, id)).toBe('confirmed');
    } finally {
      await worker.stop();
    }
    expect(await movementsOf(ada)).toEqual(paidOnce);
    expect(await seatsFree(world, slot)).toBe(0);
  },
  patience,
);

/** Owes all of a booking that a customer has just paid from the wallet; the payment's reference. */
async function oweAll(shopper: Shopper): Promise<string> {
  const worker = await world.startWorker();
  const booking = await shopper.start(await publish(world), 'key', 'wallet');
  await expectOneEnd(world, booking.id);
  await worker.stop();
  const payment = await world.db('payments').where({ booking_id: booking.id }).first<Json>();
  await world.db('refunds').insert({
    id: `ref_${String(payment.id)}`,
    payment_id: payment.id,
    amount_minor: priceMinor,
    status: 'unsent',
    reason: 'late-payment',
  });
  return String(payment.gateway_ref);
}

test(
  'a worker killed while a wallet is paid back, before or after the commit: one credit',
  async () => {
    const stories: { shopper: Shopper; point: CrashPoint; ref: string }[] = [];
    for (const [, stage, point] of walletPoints) {
      if (stage !== 'give back') continue;
      const shopper = new Shopper(world);
      await credit(world, shopper, 10_000);
      stories.push({ shopper, point, ref: await oweAll(shopper) });
    }
    // At once, each on a queue of its own, for both wait half a minute.
    const play = async ({ shopper, point, ref }: (typeof stories)[number]): Promise<void> => {
      const taskQueue = `paid-back-${shopper.sub}`;
      const rung = { by: 'watch', at: new Date().toISOString() } as const;
      await dieAt(
        point,
        () => ring(world.temporal, taskQueue, { bookingId: null, gateway: 'wallet', ref }, rung),
        taskQueue,
      );
      const handle = world.temporal.workflow.getHandle(reconcileWorkflowId('wallet', ref));
      expect(await withWorker(world, taskQueue, () => handle.result())).toBe('given back');
      expect(await movementsOf(shopper)).toEqual([`refund ${priceMinor}`, ...paidOnce]);
    };
    await Promise.all(stories.map(play));
  },
  patience,
);

test(
  'PostgreSQL away while a wallet booking starts: it is accepted, and debits once when PostgreSQL is back',
  async () => {
    const worker = await world.startWorker();
    try {
      const slot = await publish(world, { capacity: 5 });
      const start = () => ada.book(slot, 'key', 'wallet');
      const id = ada.bookingId('key');
      await withoutDatabase(world, async () => {
        const answers = await Promise.all([start(), start(), start()]);
        for (const answer of answers) {
          expect(answer).toMatchObject({ status: 202, body: { id, status: 'awaiting_payment' } });
        }
        const { status } = await world.temporal.workflow.getHandle(bookingWorkflowId(id)).describe();
        expect(status.name).toBe('RUNNING');
      });
      const booking = await ada.until(id, 'confirmed', 60_000);
      const again = await start();
      expect([again.status, withoutTicket(again.body)]).toEqual([200, withoutTicket(booking)]);
      expect(await expectOneEnd(world, id)).toBe('confirmed');
      expect(await movementsOf(ada)).toEqual(paidOnce);
      expect(await seatsFree(world, slot)).toBe(4);
    } finally {
      await worker.stop();
    }
  },
  patience,
);
