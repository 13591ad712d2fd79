/** Opening that never gets an answer, and a second payment object whose making gets none, at every gateway. */
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { gatewayOf } from './book-setup';
import { bundledWorkflows, withWorker } from './crashes-setup';
import {
  attemptRow,
  expectBooksToBalance,
  newBookingId,
  outcomeOf,
  payable,
  payAt,
  priceMinor,
  reaches,
  refundsOf,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { gatewayNames, isInFull } from './tiers';
import { retryPaymentSignal } from '../src/workflows/messages';
import { eventually, startWorld, type World } from './world';

const patience = "scheduleToCloseTimeout: '10 minutes'";

let world: World;
beforeAll(async () => {
  world = await startWorld({
    worker: false,
    standing: false,
    gateways: [await atRazorpay(), await atPhonepe()],
  });
});
afterEach(async () => {
  for (const at of world.gateways.values()) await at.clearFaults();
  await expectBooksToBalance(world);
});
afterAll(async () => {
  await world.stop();
});

/** Runs `work` while the workflows give up opening after two seconds instead of ten minutes. */
async function impatiently(work: () => Promise<void>): Promise<void> {
  const code = bundledWorkflows();
  expect(code.split(patience)).toHaveLength(2);
  await withWorker(
    world,
    world.taskQueue,
    work,
    code.replace(patience, "scheduleToCloseTimeout: '2 seconds'"),
  );
}

const kinds = ['lost-done', 'lost-undone', 'status-500-undone', 'status-429'] as const;

/** Every kind where all is played; else one that leaves an object behind and one that does not. */
const cases = gatewayNames.flatMap((method) =>
  kinds
    .filter((kind) => isInFull(method) || kind === 'lost-done' || kind === 'status-429')
    .map((kind) => ({ method, kind })),
);

test.each(cases)(
  '$method, $kind without end: the start fails for want of a gateway, and nothing that anybody can pay is left behind',
  ({ method, kind }) =>
    impatiently(async () => {
      const at = gatewayOf(world, method);
      const bookingId = newBookingId();
      await at.fault(kind, 'open', bookingId, null);
      const attempt = await startAttempt(world, { bookingId, method });
      await reaches(world, bookingId, 'failed', 90_000);
      await at.clearFaults();
      expect(await outcomeOf(attempt)).toBe('failed');
      expect(await attemptRow(world, bookingId)).toMatchObject({ failure: { type: 'gateway-unavailable' } });
      const ledger = await at.ledgerOf(bookingId);
      // What cannot be closed stands, and nobody was ever told how to pay it.
      expect(ledger.payable).toHaveLength(kind === 'lost-done' && !at.closes ? 1 : 0);
      expect(ledger.charges).toBe(0);
      // A call that was under way when the faults ended may have made it after all; then it is closed again.
      const tries = await world.db('payment_tries').where({ booking_id: bookingId });
      expect(tries).toMatchObject([{ status: 'closed' }]);
    }),
);

/**
 * Gateways where a retry can open a second object, and how many are lost when its making gets no answer. Not Razorpay: an
 * order never ends, so a retry keeps it, and who pays it twice is in `razorpay.test.ts`.
 */
const withSecondObject = [
  { method: 'stripe', lost: 0 },
  // The page of an order that got no answer is nobody's, so another order takes its place.
  { method: 'phonepe', lost: 1 },
] as const;

describe.each(withSecondObject)('$method, a second payment object', ({ method, lost }) => {
  /** An attempt whose first payment object ended at the gateway, with a second one made through a lost answer. */
  async function onSecondObject(): Promise<Attempt & { first: string; second: string }> {
    const at = gatewayOf(world, method);
    const attempt = await startAttempt(world, { method });
    const { bookingId } = attempt;
    const first = await payable(world, bookingId);
    await at.endsObjects?.end(first);
    await eventually('the closed payment told', async () => {
      const row = await attemptRow(world, bookingId);
      return ['payment-canceled', 'payment-declined'].includes(row?.failure?.type ?? '');
    });
    await at.fault('lost-done', 'open', bookingId);
    await attempt.handle.signal(retryPaymentSignal);
    return { ...attempt, first, second: await payable(world, bookingId) };
  }

  /** What has gone back, once it has. */
  const refundOf = (bookingId: string) =>
    eventually('the refund', async () => {
      const [found] = await refundsOf(world, bookingId);
      return found?.status === 'succeeded' && found;
    });

  /** The payment object whose money a refund gave back. */
  const refOfRefund = async (paymentId: string): Promise<string> =>
    (await world.db('payments').where({ id: paymentId }).first<{ gateway_ref: string }>()).gateway_ref;

  test('whose making got no answer is found, or takes the place of one that nobody can pay', () =>
    withWorker(world, world.taskQueue, async () => {
      const at = gatewayOf(world, method);
      const attempt = await onSecondObject();
      await payAt(at, world, attempt.bookingId);
      expect(await outcomeOf(attempt)).toBe('confirmed');
      const ledger = await at.ledgerOf(attempt.bookingId);
      expect(ledger.objects).toHaveLength(2 + lost);
      expect(ledger.payable).toHaveLength(lost);
      expect([attempt.first, attempt.second]).not.toContain(ledger.payable[0]);
      expect(ledger.charges).toBe(1);
    }));

  test('and money on both: one booking, and the second payment goes back in full', () =>
    withWorker(world, world.taskQueue, async () => {
      const at = gatewayOf(world, method);
      const attempt = await onSecondObject();
      await payAt(at, world, attempt.bookingId);
      expect(await outcomeOf(attempt)).toBe('confirmed');
      await at.endsObjects?.payEnded(attempt.first);
      const refund = await refundOf(attempt.bookingId);
      expect(refund).toMatchObject({ reason: 'second-payment', amount_minor: priceMinor });
      expect(await refOfRefund(refund.payment_id)).toBe(attempt.first);
      expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: 'confirmed' });
      const ledger = await at.ledgerOf(attempt.bookingId);
      expect(ledger).toMatchObject({ charges: 2, refunds: 1, refundedMinor: priceMinor });
    }));

  test('and money on the first object while the second is open: that books, and the second is closed, or what comes by it goes back', () =>
    withWorker(world, world.taskQueue, async () => {
      const at = gatewayOf(world, method);
      const attempt = await onSecondObject();
      const { bookingId, second } = attempt;
      const row = await world
        .db('payment_tries')
        .where({ booking_id: bookingId, gateway_ref: second })
        .first();
      await at.endsObjects?.payEnded(attempt.first);
      expect(await outcomeOf(attempt)).toBe('confirmed');
      const taken = await at.pay({ id: bookingId, payment: { gatewayRef: second, ...row.how_to_pay } });
      expect(taken).toBe(!at.closes);
      expect(await world.db('seats').where({ booking_id: bookingId })).toHaveLength(1);
      if (!taken) return expect(await at.ledgerOf(bookingId)).toMatchObject({ charges: 1, refunds: 0 });
      const refund = await refundOf(bookingId);
      expect(await refOfRefund(refund.payment_id)).toBe(second);
      expect(await at.ledgerOf(bookingId)).toMatchObject({
        charges: 2,
        refunds: 1,
        refundedMinor: priceMinor,
      });
    }));
});
