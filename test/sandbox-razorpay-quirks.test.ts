/** What tells Razorpay from other gateways: late authorization, money that goes back by itself, two payments on one order. */
import { until } from './sandbox-receiver';
import { call, control, order, paid, receiver, useRazorpaySandbox } from './sandbox-razorpay-setup';

useRazorpaySandbox();

const payment = async (id: string) => (await call('GET', `/payments/${id}`)).body;
const refundsOf = async (id: string) => (await call('GET', `/payments/${id}/refunds`)).body.items;
const kept = async () => (await control.ledger()).totals['inr'];

describe('a payment that failed', () => {
  test('It can be authorized late, and is captured', async () => {
    const orderId = await order();
    const { id } = await control.pay(orderId, 'declined');
    expect(await payment(id)).not.toHaveProperty('late_authorized');
    expect(await control.authorizeLate(orderId)).toEqual({ id });
    expect(await payment(id)).toMatchObject({
      status: 'captured',
      captured: true,
      late_authorized: true,
      error_code: null,
    });
    expect((await call('GET', `/orders/${orderId}`)).body).toMatchObject({ status: 'paid', attempts: 1 });
    await until(() => receiver.heard.length === 4);
    expect(receiver.types()).toEqual([
      'payment.failed',
      'payment.authorized',
      'payment.captured',
      'order.paid',
    ]);
    expect(receiver.of('payment.captured')[0]?.body.payload.payment.entity.late_authorized).toBe(true);
    await expect(control.authorizeLate(orderId)).rejects.toThrow('no failed payment');
  });

  test('Authorized late it can also wait, or go back by itself', async () => {
    const { id } = await control.pay(await order(), 'declined');
    await control.authorizeLate(id, 'authorized');
    expect(await payment(id)).toMatchObject({ status: 'authorized', late_authorized: true });
    const other = await control.pay(await order(), 'declined');
    await control.authorizeLate(other.id, 'refunded');
    expect(await payment(other.id)).toMatchObject({ status: 'refunded', captured: false });
  });
});

describe('what is authorized and never captured', () => {
  test('It goes back by itself: refunded, never captured, told as a refund without notes', async () => {
    const orderId = await order();
    const { id } = await control.pay(orderId, 'processing');
    expect(await payment(id)).toMatchObject({ status: 'authorized' });
    await control.settleProcessing(orderId, 'failed');
    expect(await payment(id)).toMatchObject({
      status: 'refunded',
      captured: false,
      amount_refunded: 25_000,
      refund_status: 'full',
    });
    expect(await refundsOf(id)).toMatchObject([{ amount: 25_000, status: 'processed', notes: [] }]);
    expect((await call('GET', `/orders/${orderId}`)).body.status).toBe('attempted');
    await until(() => receiver.heard.length === 3);
    expect(receiver.types()).toEqual(['payment.authorized', 'refund.created', 'refund.processed']);
    expect(receiver.of('refund.created')[0]?.body).toMatchObject({
      contains: ['refund', 'payment'],
      payload: { payment: { entity: { id, captured: false } } },
    });
    const { refunds, totals } = await control.ledger();
    expect(refunds).toMatchObject([{ automatic: true, byHand: false }]);
    // It never was the merchant's money.
    expect(totals).toEqual({});
  });

  test('It can be captured after a while', async () => {
    const { id } = await control.pay(await order(), 'processing');
    await control.settleProcessing(id, 'succeeded');
    expect((await payment(id)).captured).toBe(true);
    await expect(control.settleProcessing(id, 'succeeded')).rejects.toThrow('no authorized payment');
  });
});

describe('two payments on one order', () => {
  test('Both can be captured', async () => {
    const { orderId, paymentId } = await paid();
    const second = await control.pay(orderId, 'ok', { again: 'captured' });
    const { items } = (await call('GET', `/orders/${orderId}/payments`)).body;
    expect(items.map((one: { id: string }) => one.id)).toEqual([second.id, paymentId]);
    expect(items.every((one: { captured: boolean }) => one.captured)).toBe(true);
    expect(await kept()).toMatchObject({ captured: 50_000, kept: 50_000 });
    await until(() => receiver.of('payment.captured').length === 2);
    expect(receiver.of('order.paid')).toHaveLength(1);
  });

  test('Or the second goes back by itself', async () => {
    const { orderId } = await paid();
    const second = await control.pay(orderId, 'ok', { again: 'auto-refunded' });
    expect(await payment(second.id)).toMatchObject({ status: 'refunded', captured: false });
    expect(await kept()).toMatchObject({ captured: 25_000, refunded: 0, kept: 25_000 });
  });
});

describe('disputes', () => {
  test.each([
    ['won', 0],
    ['lost', 20_000],
    ['closed', 0],
  ] as const)('A dispute that is %s deducts %i', async (outcome, deducted) => {
    const { orderId, paymentId } = await paid();
    const { id } = await control.dispute(orderId, { amount: 20_000 });
    expect((await call('GET', `/disputes/${id}`)).body).toMatchObject({
      entity: 'dispute',
      payment_id: paymentId,
      amount: 20_000,
      amount_deducted: 0,
      status: 'open',
      phase: 'chargeback',
    });
    await control.reviewDispute(id);
    await control.closeDispute(id, outcome);
    const { body } = await call('GET', '/disputes');
    expect(body).toMatchObject({
      entity: 'collection',
      count: 1,
      items: [{ status: outcome, amount_deducted: deducted }],
    });
    expect(await kept()).toMatchObject({ disputed: deducted, kept: 25_000 - deducted });
    await until(() => receiver.of(`payment.dispute.${outcome}`).length === 1);
    expect(receiver.types().slice(3)).toEqual([
      'payment.dispute.created',
      'payment.dispute.under_review',
      `payment.dispute.${outcome}`,
    ]);
    expect(receiver.of('payment.dispute.created')[0]?.body).toMatchObject({
      contains: ['dispute', 'payment'],
      payload: { payment: { entity: { order_id: orderId } } },
    });
    await expect(control.closeDispute(id, outcome)).rejects.toThrow('closed already');
  });

  test('More than was captured cannot be disputed, nor what was not', async () => {
    const { orderId } = await paid();
    await expect(control.dispute(orderId, { amount: 25_001 })).rejects.toThrow('captured 25000');
    await expect(control.dispute(await order())).rejects.toThrow('no captured payment');
  });
});

describe('planting', () => {
  test('What is planted, changed or forgotten tells nobody', async () => {
    const planted = await control.plantPayment({
      amount: 5000,
      created: 1000,
      metadata: { bookingId: 'b9' },
    });
    const bare = await control.plantPayment({ amount: 700, withoutOrder: true });
    expect(bare.order).toBeNull();
    expect(await payment(bare.payment)).toMatchObject({ order_id: null, captured: true });
    const { id } = await control.plantRefund(planted.order ?? '', { amount: 500, created: 1001 });
    expect((await call('GET', '/refunds?from=1001&to=1001')).body.items).toMatchObject([{ id }]);
    await control.recapture(planted.payment, { amount: 4000 });
    await control.backdate(planted.payment, 2000);
    expect(await payment(planted.payment)).toMatchObject({
      amount: 4000,
      created_at: 2000,
      amount_refunded: 500,
    });
    await control.forget(id);
    expect((await payment(planted.payment)).amount_refunded).toBe(0);
    await control.forget(planted.order ?? '');
    expect((await call('GET', `/payments/${planted.payment}`)).status).toBe(400);
    expect((await control.ledger()).events).toEqual([]);
    await expect(control.forget('order_nowhere')).rejects.toThrow('does not exist');
  });
});
