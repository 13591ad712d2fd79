/** The Razorpay sandbox on the wire: refunds and their keys. */
import { until } from './sandbox-receiver';
import { call, control, order, paid, receiver, useRazorpaySandbox } from './sandbox-razorpay-setup';

useRazorpaySandbox();

const payment = async (id: string) => (await call('GET', `/payments/${id}`)).body;
const refundsOf = async (id: string) => (await call('GET', `/payments/${id}/refunds`)).body.items;
const kept = async () => (await control.ledger()).totals['inr'];

describe('refunds', () => {
  const refund = async (id: string, body: object, key?: string) =>
    call('POST', `/payments/${id}/refund`, body, key === undefined ? {} : { 'X-Refund-Idempotency': key });

  test('In part, then the rest: the payment counts them, and more is refused', async () => {
    const { paymentId: id } = await paid();
    const { status, body } = await refund(id, {
      amount: 10_000,
      speed: 'normal',
      notes: { refundId: 'ref_1' },
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      id: expect.stringMatching(/^rfnd_\w{14}$/),
      entity: 'refund',
      amount: 10_000,
      currency: 'INR',
      payment_id: id,
      notes: { refundId: 'ref_1' },
      receipt: null,
      acquirer_data: { arn: null },
      created_at: expect.any(Number),
      batch_id: null,
      status: 'processed',
      speed_processed: 'normal',
      speed_requested: 'normal',
    });
    expect(await payment(id)).toMatchObject({
      status: 'captured',
      amount_refunded: 10_000,
      refund_status: 'partial',
    });
    expect((await refund(id, { amount: 15_001 })).status).toBe(400);
    expect((await refund(id, { amount: 25_001 })).body.error.description).toContain(
      'greater than amount captured',
    );
    await refund(id, {});
    expect(await payment(id)).toMatchObject({ status: 'refunded', captured: true, refund_status: 'full' });
    expect((await refund(id, { amount: 100 })).body.error.description).toContain('fully refunded already');
    expect((await call('GET', `/refunds/${body.id}`)).body).toEqual(body);
    expect((await call('GET', '/refunds')).body.count).toBe(2);
    // The order stays paid.
    expect((await control.ledger()).orders[0]?.status).toBe('paid');
    await until(() => receiver.of('refund.processed').length === 2);
    expect(receiver.of('refund.created')[0]?.body.payload.refund.entity.notes).toEqual({ refundId: 'ref_1' });
  });

  test.each([
    ['below INR 1.00', { amount: 99 }],
    ['with a field that is none', { amount: 100, reason: 'x' }],
    ['at a speed that is none', { amount: 100, speed: 'instant' }],
  ])('%s: 400', async (_name, body) => {
    const { paymentId } = await paid();
    expect((await refund(paymentId, body)).status).toBe(400);
    expect(await refundsOf(paymentId)).toEqual([]);
  });

  test('What was not captured cannot be refunded', async () => {
    const { id } = await control.pay(await order(), 'processing');
    expect((await refund(id, { amount: 100 })).body.error.description).toContain('should be captured');
  });

  test('A key gives the same refund for the same body, and 409 for another', async () => {
    const { paymentId: id } = await paid();
    const first = await refund(id, { amount: 1000 }, 'refund-key-1');
    expect((await refund(id, { amount: 1000 }, 'refund-key-1')).body).toEqual(first.body);
    expect(await refund(id, { amount: 1001 }, 'refund-key-1')).toMatchObject({
      status: 409,
      body: { error: { description: expect.stringContaining('Different request') } },
    });
    expect(await refundsOf(id)).toHaveLength(1);
  });

  test('A key that is in use is 409, and a refused refund leaves it free', async () => {
    const { paymentId: id } = await paid();
    expect((await refund(id, { amount: 25_001 }, 'refund-key-1')).status).toBe(400);
    await control.gate({ name: 'slow', operation: 'refunds.create', when: 'before' });
    const first = refund(id, { amount: 1000 }, 'refund-key-1');
    await control.waitForGate('slow', 1);
    expect(await refund(id, { amount: 1000 }, 'refund-key-1')).toMatchObject({
      status: 409,
      body: { error: { description: expect.stringContaining('in progress') } },
    });
    await control.releaseGate('slow');
    expect((await first).status).toBe(200);
    expect(await refundsOf(id)).toHaveLength(1);
  });

  test('A key has 10 characters of a small set', async () => {
    const { paymentId: id } = await paid();
    expect((await refund(id, {}, 'nine-char')).status).toBe(400);
    expect((await refund(id, {}, 'ten.chars.')).status).toBe(400);
    expect((await refund(id, {}, 'ten-chars_')).status).toBe(200);
  });

  test('Where the account ignores keys, a repeat is a second refund', async () => {
    const { paymentId: id } = await paid();
    await control.setReadings({ refundKeys: 'ignored' });
    await refund(id, { amount: 1000 }, 'refund-key-1');
    await refund(id, { amount: 1000 }, 'refund-key-1');
    expect(await refundsOf(id)).toHaveLength(2);
  });

  test('A refund can wait, be processed, fail, or fail after it was processed', async () => {
    const { paymentId: id } = await paid();
    await control.refundMode({ mode: 'pending' });
    const waiting = (await refund(id, { amount: 1000 })).body;
    const doomed = (await refund(id, { amount: 2000 })).body;
    expect([waiting.status, doomed.status]).toEqual(['pending', 'pending']);
    expect(await kept()).toMatchObject({ refunded: 0, refundsPending: 3000, kept: 22_000 });
    await control.settleRefund(waiting.id, 'succeeded');
    await control.settleRefund(doomed.id, 'failed');
    expect(await kept()).toMatchObject({ refunded: 1000, refundsPending: 0, kept: 24_000 });
    await control.failRefund(waiting.id);
    expect(await payment(id)).toMatchObject({ status: 'captured', amount_refunded: 0, refund_status: null });
    await until(() => receiver.of('refund.failed').length === 2);
    expect(receiver.of('refund.processed')).toHaveLength(1);
  });

  test('A refund can be answered as failed, or fail a moment later; its key then gives the failure', async () => {
    const { paymentId: id } = await paid();
    await control.refundMode({ mode: 'failed', times: 1 });
    expect((await refund(id, {}, 'refund-key-1')).body.status).toBe('failed');
    await control.refundMode({ mode: 'failed', answer: 'pending', times: 1 });
    const later = (await refund(id, {}, 'refund-key-2')).body;
    expect(later.status).toBe('pending');
    await until(async () => (await call('GET', `/refunds/${later.id}`)).body.status === 'failed');
    expect((await refund(id, {}, 'refund-key-2')).body).toMatchObject({ id: later.id, status: 'failed' });
    await control.refundMode({ mode: 'fail-after-success', afterMs: 30 });
    const success = (await refund(id, {}, 'refund-key-3')).body;
    expect(success.status).toBe('processed');
    await until(async () => (await call('GET', `/refunds/${success.id}`)).body.status === 'failed');
  });

  test('Too little balance refuses a refund until there is more', async () => {
    const { paymentId: id } = await paid();
    await control.setBalance(1500);
    expect((await refund(id, { amount: 1000 })).status).toBe(200);
    expect((await refund(id, { amount: 1000 })).body.error.description).toContain('enough balance');
    await control.setBalance(null);
    expect((await refund(id, { amount: 1000 })).status).toBe(200);
  });

  test('A refund by hand bears no notes', async () => {
    const { orderId, paymentId } = await paid();
    const { id } = await control.refundByHand(orderId, { amount: 1000 });
    expect(await refundsOf(paymentId)).toMatchObject([{ id, amount: 1000, notes: [] }]);
    expect((await control.ledger()).refunds[0]).toMatchObject({ byHand: true, automatic: false });
    await until(() => receiver.of('refund.processed').length === 1);
  });
});
