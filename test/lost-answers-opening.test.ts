/** Opening that never gets an answer, and a second payment object whose making gets none. */
import { bundledWorkflows, withWorker } from './crashes-setup';
import {
  attemptRow,
  expectBooksToBalance,
  ledgerFor,
  newBookingId,
  outcomeOf,
  pay,
  payable,
  priceMinor,
  reaches,
  refundsOf,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { retryPaymentSignal } from '../src/workflows/messages';
import { eventually, startWorld, type World } from './world';

const patience = "scheduleToCloseTimeout: '10 minutes'";

let world: World;
beforeAll(async () => {
  world = await startWorld({ worker: false, standing: false });
});
afterEach(async () => {
  await world.sandbox.clearFaults();
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

test.each(['lost-done', 'lost-undone', 'status-500-undone', 'status-429'] as const)(
  '%s without end: the start fails for want of a gateway, and nothing payable is left behind',
  (kind) =>
    impatiently(async () => {
      const bookingId = newBookingId();
      const match = { metadata: { bookingId } };
      await world.sandbox.fault({ kind, operation: 'payment_intents.create', times: null, match });
      const attempt = await startAttempt(world, { bookingId });
      await reaches(world, bookingId, 'failed', 30_000);
      await world.sandbox.clearFaults();
      expect(await outcomeOf(attempt)).toBe('failed');
      expect(await attemptRow(world, bookingId)).toMatchObject({ failure: { type: 'gateway-unavailable' } });
      const ledger = await ledgerFor(world, bookingId);
      expect(ledger.payable).toEqual([]);
      expect(ledger.paid).toEqual([]);
    }),
);

/** An attempt whose first payment object was canceled at Stripe's side, with a second one made through a lost answer. */
async function onSecondObject(): Promise<Attempt & { first: string; second: string }> {
  const attempt = await startAttempt(world);
  const { bookingId } = attempt;
  const first = await payable(world, bookingId);
  await fetch(`${world.sandbox.url}/v1/payment_intents/${first}/cancel`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk_test_tests_only' },
  });
  await eventually('the closed payment told', async () => {
    const row = await attemptRow(world, bookingId);
    return row?.failure?.type === 'payment-canceled';
  });
  await world.sandbox.fault({
    kind: 'lost-done',
    operation: 'payment_intents.create',
    times: 2,
    match: { metadata: { bookingId } },
  });
  await attempt.handle.signal(retryPaymentSignal);
  return { ...attempt, first, second: await payable(world, bookingId) };
}

test('a second payment object whose making got no answer is found, not made twice', () =>
  withWorker(world, world.taskQueue, async () => {
    const attempt = await onSecondObject();
    await pay(world, attempt.second);
    expect(await outcomeOf(attempt)).toBe('confirmed');
    const ledger = await ledgerFor(world, attempt.bookingId);
    expect(ledger.intents.map((intent) => [intent.id, intent.status])).toEqual([
      [attempt.first, 'canceled'],
      [attempt.second, 'succeeded'],
    ]);
    expect(ledger.paid).toHaveLength(1);
  }));

test('money on both objects of an attempt buys one booking; the second payment goes back in full', () =>
  withWorker(world, world.taskQueue, async () => {
    const attempt = await onSecondObject();
    await pay(world, attempt.second);
    expect(await outcomeOf(attempt)).toBe('confirmed');
    await world.sandbox.payClosed(attempt.first);
    const refund = await eventually('the refund', async () => {
      const [found] = await refundsOf(world, attempt.bookingId);
      return found?.status === 'succeeded' && found;
    });
    expect(refund).toMatchObject({ reason: 'second-payment', amount_minor: priceMinor });
    expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: 'confirmed' });
    const ledger = await ledgerFor(world, attempt.bookingId);
    expect(ledger.refunds).toMatchObject([{ paymentIntent: attempt.first, status: 'succeeded' }]);
  }));

test('money on the first object while the second is open books it; the second, paid too, goes back', () =>
  withWorker(world, world.taskQueue, async () => {
    const attempt = await onSecondObject();
    await world.sandbox.payClosed(attempt.first);
    expect(await outcomeOf(attempt)).toBe('confirmed');
    await pay(world, attempt.second);
    await eventually('the refund', async () => {
      const [found] = await refundsOf(world, attempt.bookingId);
      return found?.status === 'succeeded';
    });
    const ledger = await ledgerFor(world, attempt.bookingId);
    expect(ledger.refunds).toMatchObject([{ paymentIntent: attempt.second, amount: priceMinor }]);
    expect(await world.db('seats').where({ booking_id: attempt.bookingId })).toHaveLength(1);
  }));
