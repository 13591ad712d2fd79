/** A refund that the gateway does not finish in 30 days. The days are a second here; nothing else of the story differs. */
import { bundledWorkflows, withWorker } from './crashes-setup';
import {
  expectBooksToBalance,
  ledgerFor,
  messagesOf,
  openCaseOf,
  outcomeOf,
  payable,
  pay,
  closeOffering,
  priceMinor,
  reaches,
  refundsOf,
  resolve,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { eventually, startWorld, type World } from './world';

const patience = "const overdueAfter = '30 days';";

let world: World;
beforeAll(async () => {
  world = await startWorld({ worker: false, standing: false });
});
afterAll(async () => {
  await world.stop();
});

/** Runs `work` while the workflows lose patience after a second. */
async function impatiently(work: () => Promise<void>): Promise<void> {
  const code = bundledWorkflows();
  expect(code.split(patience)).toHaveLength(2);
  await withWorker(world, world.taskQueue, work, code.replace(patience, "const overdueAfter = '1 second';"));
  await expectBooksToBalance(world);
}

async function overdueRefund(): Promise<Attempt & { gatewayRefundId: string }> {
  const attempt = await startAttempt(world);
  const ref = await payable(world, attempt.bookingId);
  await closeOffering(world, attempt.offeringId);
  await world.sandbox.refundMode({ mode: 'pending', match: { paymentIntent: ref } });
  await pay(world, ref);
  await reaches(world, attempt.bookingId, 'needs_attention');
  const [refund] = await refundsOf(world, attempt.bookingId);
  return { ...attempt, gatewayRefundId: refund?.gateway_refund_id ?? '' };
}

test('a person is asked, and the books count the money once', () =>
  impatiently(async () => {
    const attempt = await overdueRefund();
    expect(await openCaseOf(world, attempt.bookingId)).toMatchObject({
      kind: 'refund-overdue',
      workflow_id: `booking/${attempt.bookingId}`,
      amount_minor: priceMinor,
    });
    expect(await refundsOf(world, attempt.bookingId)).toMatchObject([{ status: 'pending' }]);
    await expectBooksToBalance(world);
    await resolve(world, await openCaseOf(world, attempt.bookingId), 'mark-settled');
    expect(await outcomeOf(attempt)).toBe('refunded');
  }));

test('the gateway may finish it after all: the case closes by itself', () =>
  impatiently(async () => {
    const attempt = await overdueRefund();
    const found = await openCaseOf(world, attempt.bookingId);
    await world.sandbox.settleRefund(attempt.gatewayRefundId, 'succeeded');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await world.db('cases').where({ id: found.id }).first()).toMatchObject({
      resolution: 'mark-settled',
      resolved_by: 'payfirst',
    });
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded']);
    await expectBooksToBalance(world);
    // And it may take its word back: nobody settled that by hand, so a person must hear of it.
    await world.sandbox.failRefund(attempt.gatewayRefundId);
    const second = await openCaseOf(world, attempt.bookingId);
    expect(second).toMatchObject({ kind: 'refund-failed', workflow_id: `case/${second.id}` });
    await resolve(world, second, 'mark-settled');
    await reaches(world, attempt.bookingId, 'refunded');
  }));

test('the gateway may refuse it after all: the open case becomes one of a failed refund', () =>
  impatiently(async () => {
    const attempt = await overdueRefund();
    await world.sandbox.settleRefund(attempt.gatewayRefundId, 'failed');
    await eventually(
      'the failure',
      async () => (await refundsOf(world, attempt.bookingId))[0]?.status === 'failed',
    );
    await resolve(world, await openCaseOf(world, attempt.bookingId), 'retry-refund');
    await eventually('a second refund', async () => {
      const { refunds } = await ledgerFor(world, attempt.bookingId);
      return refunds.length === 2;
    });
    const second = (await ledgerFor(world, attempt.bookingId)).refunds[1];
    await world.sandbox.settleRefund(second?.id ?? '', 'succeeded');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect((await ledgerFor(world, attempt.bookingId)).returnedMinor).toBe(priceMinor);
  }));

test('a retry looks again and sends nothing: the gateway still works on the first one', () =>
  impatiently(async () => {
    const attempt = await overdueRefund();
    const first = await openCaseOf(world, attempt.bookingId);
    await resolve(world, first, 'retry-refund');
    const second = await eventually('another case', async () => {
      const found = await openCaseOf(world, attempt.bookingId);
      return found.id !== first.id && found;
    });
    expect(second).toMatchObject({ kind: 'refund-overdue' });
    expect((await ledgerFor(world, attempt.bookingId)).refunds).toHaveLength(1);
    await world.sandbox.settleRefund(attempt.gatewayRefundId, 'succeeded');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect((await ledgerFor(world, attempt.bookingId)).returnedMinor).toBe(priceMinor);
  }));
