/** Disputes and refunds by hand on the wire, with the official package. */
import Stripe from 'stripe';
import { control, paid, receiver, refusal, sandbox, stripe, useStripeSandbox } from './sandbox-stripe-setup';
import { until } from './sandbox-receiver';

useStripeSandbox();

/** The types of the events about disputes, in the order they came. */
const told = (): string[] => receiver.types().filter((type) => type.startsWith('charge.dispute.'));
const totals = async (): Promise<unknown> => (await control.ledger()).totals['eur'];

describe('a dispute', () => {
  test('withdraws the money, and says so', async () => {
    const intent = await paid();
    const { id } = await control.dispute(intent.id, { reason: 'product_not_received' });
    expect(await stripe.disputes.retrieve(id)).toMatchObject({
      object: 'dispute',
      amount: 1500,
      currency: 'eur',
      charge: intent.latest_charge,
      payment_intent: intent.id,
      reason: 'product_not_received',
      status: 'needs_response',
      is_charge_refundable: false,
      balance_transactions: [{ object: 'balance_transaction', amount: -1500, reporting_category: 'dispute' }],
      metadata: {},
    });
    expect(await stripe.charges.retrieve(String(intent.latest_charge))).toMatchObject({ disputed: true });
    await until(() => told().length === 2);
    expect(told()).toEqual(['charge.dispute.created', 'charge.dispute.funds_withdrawn']);
    expect(receiver.of('charge.dispute.created')[0]?.data.object).toMatchObject({
      id,
      payment_intent: intent.id,
    });
    expect(await totals()).toEqual({
      captured: 1500,
      refunded: 0,
      refundsPending: 0,
      disputed: 1500,
      kept: 0,
    });
  });

  test('that is won brings it back; the charge can be refunded again and stays disputed', async () => {
    const intent = await paid();
    const { id } = await control.dispute(intent.id);
    await control.updateDispute(id, 'under_review');
    await control.closeDispute(id, 'won');
    await until(() => told().length === 5);
    expect(told()).toEqual([
      'charge.dispute.created',
      'charge.dispute.funds_withdrawn',
      'charge.dispute.updated',
      'charge.dispute.funds_reinstated',
      'charge.dispute.closed',
    ]);
    const { status, balance_transactions: moves } = await stripe.disputes.retrieve(id);
    expect(status).toBe('won');
    expect(moves.map(({ amount }) => amount)).toEqual([-1500, 1500]);
    expect(await totals()).toMatchObject({ disputed: 0, kept: 1500 });
    const charge = await stripe.charges.retrieve(String(intent.latest_charge));
    expect(charge.disputed).toBe(true);
    expect(await stripe.refunds.create({ payment_intent: intent.id })).toMatchObject({ amount: 1500 });
  });

  test('that is lost keeps it, and is told as closed', async () => {
    const intent = await paid();
    const { id } = await control.dispute(intent.id, { amount: 600 });
    await control.closeDispute(id, 'lost');
    await until(() => told().length === 3);
    expect(told().at(-1)).toBe('charge.dispute.closed');
    expect(await totals()).toMatchObject({ disputed: 600, kept: 900 });
    await expect(control.closeDispute(id, 'won')).rejects.toThrow('closed already');
    expect((await control.ledger()).disputes).toMatchObject([
      { id, paymentIntent: intent.id, amount: 600, withdrawn: 600, status: 'lost', reason: 'fraudulent' },
    ]);
  });

  test('makes a refund impossible, and lets a pending one fail', async () => {
    const intent = await paid();
    await control.refundMode({ mode: 'pending' });
    const pending = await stripe.refunds.create({ payment_intent: intent.id, amount: 500 });
    const { id } = await control.dispute(intent.id);
    expect(await stripe.refunds.retrieve(pending.id)).toMatchObject({
      status: 'failed',
      failure_reason: 'charge_for_pending_refund_disputed',
    });
    expect(await stripe.disputes.retrieve(id)).toMatchObject({ amount: 1500 });
    expect(await refusal(stripe.refunds.create({ payment_intent: intent.id }))).toMatchObject({
      statusCode: 400,
      code: 'charge_disputed',
    });
    await expect(control.refundByHand(intent.id)).rejects.toThrow('charged back');
  });

  test('can come after a full refund: then the payer has the money twice', async () => {
    const intent = await paid();
    await stripe.refunds.create({ payment_intent: intent.id });
    await expect(control.dispute(intent.id)).rejects.toThrow('nothing left');
    await control.dispute(intent.id, { amount: 1500 });
    expect(await totals()).toMatchObject({ captured: 1500, refunded: 1500, disputed: 1500, kept: -1500 });
    await expect(control.dispute(intent.id, { amount: 1501 })).rejects.toThrow('captured only 1500');
  });

  test('needs a captured charge', async () => {
    const open = await stripe.paymentIntents.create({ amount: 500, currency: 'eur' });
    await expect(control.dispute(open.id)).rejects.toThrow('no captured charge');
    await expect(control.closeDispute('du_none', 'won')).rejects.toThrow('No such dispute');
    expect(await refusal(stripe.disputes.retrieve('du_none'))).toMatchObject({ code: 'resource_missing' });
  });
});

describe('an inquiry', () => {
  test('moves nothing, leaves the charge refundable, and ends as closed', async () => {
    const intent = await paid();
    const { id } = await control.dispute(intent.id, { inquiry: true });
    expect(await stripe.disputes.retrieve(id)).toMatchObject({
      status: 'warning_needs_response',
      is_charge_refundable: true,
      balance_transactions: [],
    });
    expect(await stripe.refunds.create({ payment_intent: intent.id, amount: 100 })).toMatchObject({
      amount: 100,
    });
    await expect(control.closeDispute(id, 'lost')).rejects.toThrow('cannot end as lost');
    await control.closeDispute(id, 'warning_closed');
    await until(() => told().length === 2);
    expect(told()).toEqual(['charge.dispute.created', 'charge.dispute.closed']);
    expect(await totals()).toMatchObject({ disputed: 0, kept: 1400 });
  });

  test('that is escalated keeps its id and withdraws what is left of the charge', async () => {
    const intent = await paid();
    const { id } = await control.dispute(intent.id, { inquiry: true });
    await stripe.refunds.create({ payment_intent: intent.id, amount: 400 });
    await control.updateDispute(id, 'needs_response');
    await until(() => told().length === 3);
    expect(told()).toEqual([
      'charge.dispute.created',
      'charge.dispute.updated',
      'charge.dispute.funds_withdrawn',
    ]);
    expect(await stripe.disputes.retrieve(id)).toMatchObject({ status: 'needs_response' });
    expect(await totals()).toMatchObject({ refunded: 400, disputed: 1100, kept: 0 });
    await expect(control.updateDispute(id, 'warning_under_review')).rejects.toThrow('cannot become');
  });
});

describe('a refund by hand', () => {
  test('carries nothing of ours, is told, and is marked in the ledger', async () => {
    const intent = await paid();
    const { id } = await control.refundByHand(intent.id, { amount: 700 });
    expect(await stripe.refunds.retrieve(id)).toMatchObject({
      amount: 700,
      metadata: {},
      reason: 'requested_by_customer',
      status: 'succeeded',
    });
    const types = ['refund.created', 'charge.refunded', 'refund.updated', 'charge.refund.updated'];
    await until(() => receiver.of('charge.refund.updated').length === 1);
    expect(receiver.types().slice(-4)).toEqual(types);
    expect(receiver.of('refund.created')[0]).toMatchObject({ request: { id: null, idempotency_key: null } });
    await stripe.refunds.create({ payment_intent: intent.id, amount: 100 });
    expect((await control.ledger()).refunds).toMatchObject([{ id, byHand: true }, { byHand: false }]);
  });

  test('gives back what is left, and never more', async () => {
    const intent = await paid();
    await stripe.refunds.create({ payment_intent: intent.id, amount: 1000 });
    await expect(control.refundByHand(intent.id, { amount: 501 })).rejects.toThrow('greater than');
    const { id } = await control.refundByHand(intent.id);
    expect(await stripe.refunds.retrieve(id)).toMatchObject({ amount: 500 });
    await expect(control.refundByHand(intent.id)).rejects.toThrow('already been refunded');
  });

  test('may be pending too', async () => {
    const intent = await paid();
    await control.refundMode({ mode: 'pending', match: { paymentIntent: intent.id } });
    const { id } = await control.refundByHand(intent.id);
    expect(await stripe.refunds.retrieve(id)).toMatchObject({ status: 'pending' });
    await control.settleRefund(id, 'failed');
    expect(await totals()).toMatchObject({ refunded: 0, kept: 1500 });
  });
});

describe('the switches for faults', () => {
  test('strike the operations and the events of disputes', async () => {
    const intent = await paid();
    await control.webhookFault({ kind: 'drop', event: 'charge.dispute.created' });
    await control.webhookFault({ kind: 'double', event: 'charge.dispute.closed' });
    await control.webhookFault({ kind: 'reorder', event: 'charge.dispute.funds_withdrawn' });
    const { id } = await control.dispute(intent.id);
    await control.closeDispute(id, 'lost');
    await until(() => told().length === 3);
    expect(told().sort()).toEqual([
      'charge.dispute.closed',
      'charge.dispute.closed',
      'charge.dispute.funds_withdrawn',
    ]);
    const match = { paymentIntent: intent.id };
    await control.fault({ kind: 'status-500-undone', operation: 'disputes.list', match });
    await control.fault({ kind: 'status-429', operation: 'disputes.retrieve', match });
    expect(await refusal(stripe.disputes.list({ payment_intent: intent.id }))).toMatchObject({
      statusCode: 500,
    });
    expect(await refusal(stripe.disputes.retrieve(id))).toBeInstanceOf(Stripe.errors.StripeRateLimitError);
  });

  test('more requests than the limit are 429, and counted', async () => {
    const intent = await paid();
    await control.rateLimit(3);
    const answers = await Promise.allSettled(
      Array.from({ length: 8 }, () => stripe.paymentIntents.retrieve(intent.id)),
    );
    const refused = answers.filter((answer) => answer.status === 'rejected');
    expect(refused.length).toBeGreaterThanOrEqual(5);
    for (const { reason } of refused) {
      expect(reason).toBeInstanceOf(Stripe.errors.StripeRateLimitError);
      expect(reason).toMatchObject({ statusCode: 429, code: 'rate_limit' });
    }
    const ledger = await control.ledger();
    expect(ledger.refusedByRate).toBe(refused.length);
    expect(ledger.requests.filter((one) => one.fault === 'rate-limit')).toHaveLength(refused.length);
    await new Promise((resolve) => setTimeout(resolve, 1050));
    expect(await stripe.paymentIntents.retrieve(intent.id)).toMatchObject({ id: intent.id });
    await control.clearFaults();
    await Promise.all(Array.from({ length: 8 }, () => stripe.paymentIntents.retrieve(intent.id)));
  });

  test('the page shows disputes', async () => {
    const intent = await paid();
    const { id } = await sandbox.dispute(intent.id);
    expect(await (await fetch(`${sandbox.url}/_sandbox`)).text()).toContain(id);
  });
});
