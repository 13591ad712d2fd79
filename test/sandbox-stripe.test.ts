/** The Stripe sandbox on the wire: intents, refunds and idempotency keys, asked by the official package. */
import Stripe from 'stripe';
import {
  client,
  control,
  open,
  paid,
  pay,
  receiver,
  refusal,
  returnUrl,
  stripe,
  useStripeSandbox,
} from './sandbox-stripe-setup';
import { until } from './sandbox-receiver';

useStripeSandbox();

describe('payment intents', () => {
  test('A created intent waits for a payment method and carries its metadata', async () => {
    const intent = await open();
    expect(intent).toMatchObject({
      object: 'payment_intent',
      status: 'requires_payment_method',
      amount: 1500,
      currency: 'eur',
      metadata: { bookingId: 'b1', try: '1' },
      latest_charge: null,
    });
    expect(intent.client_secret).toMatch(new RegExp(`^${intent.id}_secret_`));
    expect(intent.lastResponse.requestId).toMatch(/^req_/);
    expect(await stripe.paymentIntents.retrieve(intent.id)).toMatchObject({ id: intent.id });
  });

  test('A confirmed intent is paid and names its charge', async () => {
    const intent = await paid();
    expect(intent).toMatchObject({ status: 'succeeded', amount_received: 1500 });
    const read = await stripe.paymentIntents.retrieve(intent.id, { expand: ['latest_charge'] });
    expect(read.latest_charge).toMatchObject({ object: 'charge', paid: true, amount: 1500, refunded: false });
  });

  test('An intent can be created and paid in one call', async () => {
    const intent = await stripe.paymentIntents.create({
      amount: 500,
      currency: 'usd',
      payment_method_types: ['card'],
      payment_method: 'pm_card_visa',
      confirm: true,
    });
    expect(intent.status).toBe('succeeded');
  });

  test.each([
    ['pm_card_chargeDeclined', 'generic_decline'],
    ['pm_card_visa_chargeDeclinedInsufficientFunds', 'insufficient_funds'],
  ])('%s is declined with %s and leaves the intent payable', async (card, declineCode) => {
    const { id } = await open();
    const first = await refusal(pay(id, card));
    expect(first).toBeInstanceOf(Stripe.errors.StripeCardError);
    expect(first).toMatchObject({ statusCode: 402, code: 'card_declined', decline_code: declineCode });
    const intent = await stripe.paymentIntents.retrieve(id);
    expect(intent.status).toBe('requires_payment_method');
    expect(intent.last_payment_error).toMatchObject({
      charge: first.charge,
      code: 'card_declined',
      decline_code: declineCode,
      payment_method: { object: 'payment_method', type: 'card' },
    });
    expect(first.payment_intent).toMatchObject({ id, status: 'requires_payment_method' });
    const second = await refusal(pay(id, card));
    expect(second.charge).not.toBe(first.charge);
    expect(await stripe.charges.retrieve(second.charge ?? '')).toMatchObject({
      status: 'failed',
      paid: false,
    });
    expect((await pay(id)).status).toBe('succeeded');
    expect((await stripe.charges.list({ payment_intent: id })).data.map((charge) => charge.status)).toEqual([
      'succeeded',
      'failed',
      'failed',
    ]);
  });

  test('An unknown payment method is refused and changes nothing', async () => {
    const { id } = await open();
    expect(await refusal(pay(id, 'pm_card_none'))).toMatchObject({
      statusCode: 400,
      code: 'resource_missing',
      param: 'payment_method',
    });
    expect(await stripe.paymentIntents.retrieve(id)).toMatchObject({ status: 'requires_payment_method' });
  });

  test('A confirmation that may redirect needs a return address', async () => {
    const { id } = await open();
    const error = await refusal(stripe.paymentIntents.confirm(id, { payment_method: 'pm_card_visa' }));
    expect(error).toMatchObject({ statusCode: 400, param: 'return_url' });
  });

  test('The bank can ask the payer, who passes or fails', async () => {
    const { id } = await open();
    expect(await pay(id, 'pm_card_authenticationRequired')).toMatchObject({
      status: 'requires_action',
      next_action: { type: 'redirect_to_url' },
    });
    await control.authenticate(id, 'failed');
    expect(await stripe.paymentIntents.retrieve(id)).toMatchObject({
      status: 'requires_payment_method',
      last_payment_error: { code: 'payment_intent_authentication_failure' },
    });
    await pay(id, 'pm_card_authenticationRequired');
    await control.authenticate(id, 'succeeded');
    expect(await stripe.paymentIntents.retrieve(id)).toMatchObject({ status: 'succeeded' });
  });

  test('A processing intent can be neither closed nor paid again until the bank decides', async () => {
    const { id } = await open();
    expect(await pay(id, 'pm_usBankAccount_processing')).toMatchObject({ status: 'processing' });
    expect(await refusal(stripe.paymentIntents.cancel(id))).toMatchObject({
      code: 'payment_intent_unexpected_state',
    });
    await control.settleProcessing(id, 'succeeded');
    expect(await stripe.paymentIntents.retrieve(id)).toMatchObject({ status: 'succeeded' });
    await until(() => receiver.of('payment_intent.processing').length === 1);
  });

  test('A closed intent cannot be confirmed', async () => {
    const { id } = await open();
    expect(await stripe.paymentIntents.cancel(id, { cancellation_reason: 'abandoned' })).toMatchObject({
      status: 'canceled',
      cancellation_reason: 'abandoned',
    });
    const error = await refusal(pay(id));
    expect(error).toBeInstanceOf(Stripe.errors.StripeInvalidRequestError);
    expect(error).toMatchObject({
      code: 'payment_intent_unexpected_state',
      payment_intent: { id, status: 'canceled' },
    });
  });

  test('A paid intent cannot be closed, and the refusal shows it as paid', async () => {
    const { id } = await paid();
    for (const call of [stripe.paymentIntents.cancel(id), pay(id)])
      expect(await refusal(call)).toMatchObject({
        statusCode: 400,
        code: 'payment_intent_unexpected_state',
        payment_intent: { id, status: 'succeeded' },
      });
  });

  test('Money can land on a closed intent', async () => {
    const { id } = await open();
    await stripe.paymentIntents.cancel(id);
    await control.payClosed(id);
    const intent = await stripe.paymentIntents.retrieve(id, { expand: ['latest_charge'] });
    expect(intent).toMatchObject({ status: 'succeeded', latest_charge: { status: 'succeeded' } });
    await until(() => receiver.of('payment_intent.succeeded').length === 1);
  });

  test.each([
    [{ amount: 49, currency: 'usd' }, 'amount_too_small'],
    [{ amount: 12.5, currency: 'usd' }, 'parameter_invalid_integer'],
    [{ amount: 100_000_000, currency: 'usd' }, 'amount_too_large'],
    [{ amount: 1000, currency: 'zzq' }, undefined],
  ])('The amount %j is refused', async (parameters, code) => {
    expect(await refusal(stripe.paymentIntents.create(parameters))).toMatchObject({ statusCode: 400, code });
    expect((await control.ledger()).intents).toEqual([]);
  });

  test('Unknown ids are 404, a wrong key is 401', async () => {
    for (const call of [
      stripe.paymentIntents.retrieve('pi_none'),
      stripe.refunds.retrieve('re_none'),
      stripe.charges.retrieve('ch_none'),
      stripe.paymentIntents.cancel('pi_none'),
      stripe.refunds.create({ payment_intent: 'pi_none' }),
    ])
      expect(await refusal(call)).toMatchObject({ statusCode: 404, code: 'resource_missing' });
    const stranger = await refusal(client({ key: 'sk_test_other' }).paymentIntents.retrieve('pi_none'));
    expect(stranger).toBeInstanceOf(Stripe.errors.StripeAuthenticationError);
  });

  test('A list is paged newest first and filtered by time', async () => {
    const made: string[] = [];
    for (let number = 0; number < 5; number++) made.unshift((await open(`b${number}`)).id);
    const seen: string[] = [];
    for await (const intent of stripe.paymentIntents.list({ limit: 2 })) seen.push(intent.id);
    expect(seen).toEqual(made);
    const now = Math.floor(Date.now() / 1000);
    expect(
      (await stripe.paymentIntents.list({ created: { gte: now - 60, lte: now + 1 } })).data,
    ).toHaveLength(5);
    expect((await stripe.paymentIntents.list({ created: { lt: now - 60 } })).data).toEqual([]);
  });
});

describe('refunds', () => {
  test('A refund gives the money back once', async () => {
    const { id } = await paid();
    const part = await stripe.refunds.create({
      payment_intent: id,
      amount: 400,
      metadata: { refundId: 'r1' },
    });
    expect(part).toMatchObject({ status: 'succeeded', amount: 400, metadata: { refundId: 'r1' } });
    expect(await refusal(stripe.refunds.create({ payment_intent: id, amount: 1200 }))).toMatchObject({
      statusCode: 400,
      param: 'amount',
      message: expect.stringContaining('greater than unrefunded amount on charge'),
    });
    expect(await stripe.refunds.create({ charge: String(part.charge) })).toMatchObject({ amount: 1100 });
    expect(await refusal(stripe.refunds.create({ payment_intent: id }))).toMatchObject({
      code: 'charge_already_refunded',
    });
    expect(await stripe.charges.retrieve(String(part.charge))).toMatchObject({
      amount_refunded: 1500,
      refunded: true,
    });
    const listed = await stripe.refunds.list({ payment_intent: id });
    expect(listed.data.map((refund) => refund.amount)).toEqual([1100, 400]);
    expect(await stripe.refunds.retrieve(part.id)).toMatchObject({ id: part.id });
  });

  test('An unpaid intent has nothing to refund', async () => {
    const { id } = await open();
    expect(await refusal(stripe.refunds.create({ payment_intent: id }))).toMatchObject({ statusCode: 400 });
  });

  test('A pending refund stays pending until it is settled', async () => {
    const { id } = await paid();
    await control.refundMode({ mode: 'pending', match: { metadata: { bookingId: 'b1' } } });
    const refund = await stripe.refunds.create({ payment_intent: id });
    expect(refund).toMatchObject({ status: 'pending', pending_reason: 'processing' });
    expect((await control.ledger()).totals['eur']).toMatchObject({
      refundsPending: 1500,
      refunded: 0,
      kept: 0,
    });
    await control.settleRefund(refund.id, 'succeeded');
    expect(await stripe.refunds.retrieve(refund.id)).toMatchObject({ status: 'succeeded' });
    await until(() => receiver.of('refund.updated').length === 1);
  });

  test.each(['failed', 'pending'] as const)(
    'A failed refund (answered %s) leaves its money for another',
    async (answer) => {
      const { id } = await paid();
      await control.refundMode({ mode: 'failed', answer, times: 1 });
      const refund = await stripe.refunds.create({ payment_intent: id });
      expect(refund.status).toBe(answer);
      await until(() => receiver.of('refund.failed').length === 1);
      expect(await stripe.refunds.retrieve(refund.id)).toMatchObject({
        status: 'failed',
        failure_reason: 'expired_or_canceled_card',
      });
      expect(await stripe.refunds.create({ payment_intent: id })).toMatchObject({ amount: 1500 });
    },
  );

  test('A refund can fail after it succeeded, by itself or by command', async () => {
    const { id } = await paid();
    await control.refundMode({ mode: 'fail-after-success', afterMs: 30, times: 1 });
    const first = await stripe.refunds.create({ payment_intent: id });
    expect(first.status).toBe('succeeded');
    await until(() => receiver.of('refund.failed').length === 1);
    const charge = await stripe.charges.retrieve(String(first.charge));
    expect(charge).toMatchObject({ amount_refunded: 0, refunded: false });
    const second = await stripe.refunds.create({ payment_intent: id });
    await control.failRefund(second.id, 'lost_or_stolen_card');
    expect(await stripe.refunds.retrieve(second.id)).toMatchObject({ failure_reason: 'lost_or_stolen_card' });
    expect((await control.ledger()).totals['eur']).toEqual({
      captured: 1500,
      refunded: 0,
      refundsPending: 0,
      disputed: 0,
      kept: 1500,
    });
  });
});

describe('idempotency', () => {
  test('The same key gives the same intent, marked as replayed', async () => {
    const first = await open('b1', 'k1');
    const second = await open('b1', 'k1');
    expect(second.id).toBe(first.id);
    expect(second.lastResponse.headers['idempotent-replayed']).toBe('true');
    expect((await control.ledger()).intents).toHaveLength(1);
  });

  test('The same key with another body or path is an error', async () => {
    const { id } = await open('b1', 'k1');
    const bodies = await refusal(open('b2', 'k1'));
    expect(bodies).toBeInstanceOf(Stripe.errors.StripeIdempotencyError);
    const paths = await refusal(stripe.paymentIntents.cancel(id, {}, { idempotencyKey: 'k1' }));
    expect(paths).toBeInstanceOf(Stripe.errors.StripeIdempotencyError);
  });

  test('The same key is refused with 409 while the first request runs', async () => {
    await control.gate({ name: 'slow', operation: 'payment_intents.create', when: 'before' });
    const first = open('b1', 'k1');
    await control.waitForGate('slow', 1);
    expect(await refusal(open('b1', 'k1'))).toMatchObject({
      statusCode: 409,
      code: 'idempotency_key_in_use',
    });
    await control.releaseGate('slow');
    expect((await open('b1', 'k1')).id).toBe((await first).id);
  });

  test('A decline is replayed for its key', async () => {
    const { id } = await open();
    const confirm = (): Promise<unknown> =>
      stripe.paymentIntents.confirm(
        id,
        { payment_method: 'pm_card_chargeDeclined', return_url: returnUrl },
        { idempotencyKey: 'k1' },
      );
    const first = await refusal(confirm());
    expect(await refusal(confirm())).toMatchObject({ statusCode: 402, charge: first.charge });
  });

  test('A 500 is stored for its key, done or not', async () => {
    await control.fault({ operation: 'payment_intents.create', kind: 'status-500-undone' });
    expect(await refusal(open('b1', 'k1'))).toMatchObject({ statusCode: 500 });
    expect(await refusal(open('b1', 'k1'))).toMatchObject({ statusCode: 500 });
    expect((await control.ledger()).intents).toEqual([]);
    await control.fault({ operation: 'payment_intents.create', kind: 'status-500-done' });
    expect(await refusal(open('b1', 'k2'))).toMatchObject({ statusCode: 500 });
    expect(await refusal(open('b1', 'k2'))).toMatchObject({ statusCode: 500 });
    expect((await control.ledger()).intents).toHaveLength(1);
    expect(await open('b1', 'k3')).toMatchObject({ status: 'requires_payment_method' });
  });

  test('A request that failed validation leaves its key free', async () => {
    const create = (amount: number): Promise<Stripe.PaymentIntent> =>
      stripe.paymentIntents.create({ amount, currency: 'usd' }, { idempotencyKey: 'k1' });
    await refusal(create(1));
    expect(await create(100)).toMatchObject({ amount: 100 });
  });
});
