/** An attempt has one outcome, and is counted once, whatever becomes of its money afterwards. */
import { bookSlot } from './cancel-setup';
import { openCaseOf, outcomeOf, payForNothing, reaches, refundsOf, resolve } from './refunds-setup';
import { startWorld, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  world.dependencies.metrics.attempts.reset();
  world.dependencies.metrics.cancellations.reset();
});

async function counted(): Promise<unknown> {
  const { attempts, cancellations } = world.dependencies.metrics;
  const values = [...(await attempts.get()).values, ...(await cancellations.get()).values];
  return values.map(({ labels, value }) => [...Object.values(labels), value]);
}

test('a booking that its customer cancels was confirmed, and is a cancellation', async () => {
  const { id, shopper } = await bookSlot(world);
  await shopper.cancel(id);
  await shopper.until(id, 'refunded');
  expect(await counted()).toEqual([
    ['confirmed', 1],
    ['customer', 1],
  ]);
});

test('an attempt whose refund fails after it had succeeded, and is sent again, was refunded once', async () => {
  await world.sandbox.refundMode({ mode: 'fail-after-success', times: 1 });
  const attempt = await payForNothing(world);
  expect(await outcomeOf(attempt)).toBe('refunded');
  const [refund] = await refundsOf(world, attempt.bookingId);
  await world.sandbox.failRefund(refund?.gateway_refund_id ?? '');
  await reaches(world, attempt.bookingId, 'needs_attention');
  await resolve(world, await openCaseOf(world, attempt.bookingId), 'retry-refund');
  await reaches(world, attempt.bookingId, 'refunded');
  expect(await counted()).toEqual([['refunded', 1]]);
});

test('an attempt whose money an operator gave back by other means was refunded', async () => {
  await world.sandbox.refundMode({ mode: 'failed', times: 1 });
  const attempt = await payForNothing(world);
  await resolve(world, await openCaseOf(world, attempt.bookingId), 'mark-settled');
  expect(await outcomeOf(attempt)).toBe('refunded');
  expect(await counted()).toEqual([['refunded', 1]]);
});
