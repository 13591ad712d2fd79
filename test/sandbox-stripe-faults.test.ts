/** The Stripe sandbox's switches: faults, gates, deliveries and its ledger, seen by the official package. */
import Stripe from 'stripe';
import { startStripeSandbox } from '../sandbox/stripe/sandbox';
import {
  client,
  control,
  open,
  paid,
  pay,
  receiver,
  refusal,
  sandbox,
  statuses,
  stripe,
  useStripeSandbox,
} from './sandbox-stripe-setup';
import { until } from './sandbox-receiver';

useStripeSandbox();

describe('faults', () => {
  test('A lost answer is healed by the second try that the official package makes', async () => {
    await control.fault({ operation: 'payment_intents.create', kind: 'lost-done' });
    expect((await open()).lastResponse.headers['idempotent-replayed']).toBe('true');
    expect((await control.ledger()).intents).toHaveLength(1);
  });

  test('A lost answer leaves the deed done; a lost request leaves it undone', async () => {
    await control.fault({ operation: 'payment_intents.create', kind: 'lost-done', times: 2 });
    expect(await refusal(open('b1', 'k1'))).toBeInstanceOf(Stripe.errors.StripeConnectionError);
    expect((await control.ledger()).intents).toHaveLength(1);
    await control.fault({
      operation: 'payment_intents.create',
      kind: 'lost-undone',
      times: 2,
      match: { metadata: { bookingId: 'b2' } },
    });
    expect(await refusal(open('b2', 'k2'))).toBeInstanceOf(Stripe.errors.StripeConnectionError);
    expect((await control.ledger()).intents).toHaveLength(1);
    await open('b2', 'k2');
    expect((await control.ledger()).intents).toHaveLength(2);
    expect(await statuses('payment_intents.create')).toEqual([null, null, null, null, 200]);
  });

  test.each([
    ['hang-done', 1],
    ['hang-undone', 0],
  ] as const)('%s never answers and leaves %i intents', async (kind, intents) => {
    await control.fault({ operation: 'payment_intents.create', kind });
    const hasty = client({ timeout: 150 });
    const create = (): Promise<Stripe.Response<Stripe.PaymentIntent>> =>
      hasty.paymentIntents.create({ amount: 500, currency: 'usd' }, { idempotencyKey: 'k1' });
    expect(await refusal(create())).toBeInstanceOf(Stripe.errors.StripeConnectionError);
    expect((await control.ledger()).intents).toHaveLength(intents);
    await create();
    expect((await control.ledger()).intents).toHaveLength(1);
  });

  test('What hangs is closed when the faults are cleared', async () => {
    await control.fault({ operation: 'payment_intents.list', kind: 'hang-undone', times: null });
    const waiting = refusal(stripe.paymentIntents.list());
    await until(async () => (await statuses('payment_intents.list')).length === 1);
    await control.clearFaults();
    // The package tries once more after a closed connection, and that finds the fault gone.
    await expect(waiting).rejects.toThrow('the call was not refused');
  });

  test('A 429 is a rate limit error, does nothing and leaves the key free', async () => {
    await control.fault({ operation: 'payment_intents.create', kind: 'status-429' });
    const error = await refusal(open('b1', 'k1'));
    expect(error).toBeInstanceOf(Stripe.errors.StripeRateLimitError);
    expect(error.headers?.['retry-after']).toBe('1');
    expect((await control.ledger()).intents).toEqual([]);
    expect((await open('b1', 'k1')).lastResponse.headers['idempotent-replayed']).toBeUndefined();
  });

  test('An answer can be cut off, with the deed done', async () => {
    await control.fault({ operation: 'payment_intents.create', kind: 'malformed-done' });
    expect(await refusal(open('b1', 'k1'))).toBeInstanceOf(Stripe.errors.StripeAPIError);
    expect((await control.ledger()).intents).toHaveLength(1);
    expect((await open('b1', 'k1')).lastResponse.headers['idempotent-replayed']).toBe('true');
  });

  test('A delay only takes time', async () => {
    await control.fault({ operation: '*', kind: 'delay', ms: 120 });
    const start = Date.now();
    await open();
    expect(Date.now() - start).toBeGreaterThanOrEqual(115);
  });

  test('A fault strikes only what it matches', async () => {
    const { id } = await open('b1');
    const other = await open('b2');
    await control.fault({
      operation: 'payment_intents.retrieve',
      kind: 'status-500-undone',
      times: null,
      match: { metadata: { bookingId: 'b1' } },
    });
    expect(await stripe.paymentIntents.retrieve(other.id)).toMatchObject({ id: other.id });
    expect(await refusal(stripe.paymentIntents.retrieve(id))).toMatchObject({ statusCode: 500 });
    const { requests } = await control.ledger();
    expect(requests.at(-1)).toMatchObject({
      operation: 'payment_intents.retrieve',
      id,
      status: 500,
      fault: 'status-500-undone',
    });
  });

  test('A gateway that is down destroys every connection until it is up again, and counts them', async () => {
    const { id } = await open();
    await control.setKeepAliveDown(true);
    for (let turn = 0; turn < 2; turn++)
      expect(await refusal(stripe.paymentIntents.retrieve(id))).toBeInstanceOf(
        Stripe.errors.StripeConnectionError,
      );
    await control.setKeepAliveDown(false);
    expect(await stripe.paymentIntents.retrieve(id)).toMatchObject({ id });
    const { requests } = await control.ledger();
    expect(requests.slice(-3)).toMatchObject([
      { operation: 'payment_intents.retrieve', id, status: null, fault: 'down' },
      { operation: 'payment_intents.retrieve', id, status: null, fault: 'down' },
      { operation: 'payment_intents.retrieve', id, status: 200, fault: null },
    ]);
  });

  test('A fault of an unknown kind is refused by the switches', async () => {
    const answer = await fetch(`${sandbox.url}/_sandbox/faults`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"operation":"refunds.create","kind":"gremlin"}',
    });
    expect(answer.status).toBe(400);
  });
});

describe('gates', () => {
  test('A gate before a deed holds it; a gate after it holds only the answer', async () => {
    const { id } = await open();
    await control.gate({
      name: 'before',
      operation: 'payment_intents.confirm',
      when: 'before',
      match: { id },
    });
    await control.gate({ name: 'after', operation: 'payment_intents.confirm', when: 'after', match: { id } });
    const paying = pay(id);
    expect(await control.waitForGate('before', 1)).toEqual({
      name: 'before',
      waiting: 1,
      released: 0,
      open: false,
    });
    expect((await stripe.paymentIntents.retrieve(id)).status).toBe('requires_payment_method');
    await control.releaseGate('before');
    await control.waitForGate('after', 1);
    expect((await stripe.paymentIntents.retrieve(id)).status).toBe('succeeded');
    await control.releaseGate('after');
    expect((await paying).status).toBe('succeeded');
    expect(await control.gateState('after')).toMatchObject({ waiting: 0, released: 1, open: true });
  });

  test('A request whose client has left a gate is still carried out', async () => {
    const { id } = await open();
    await control.gate({ name: 'left', operation: 'payment_intents.cancel', when: 'before' });
    await refusal(client({ timeout: 100 }).paymentIntents.cancel(id));
    await control.releaseGate('left');
    await until(async () => (await stripe.paymentIntents.retrieve(id)).status === 'canceled');
  });

  test('A gate can hold a webhook while later ones pass', async () => {
    await control.gate({ name: 'hook', event: 'payment_intent.created' });
    await open();
    await control.waitForGate('hook', 1);
    expect(receiver.heard).toEqual([]);
    await paid();
    await until(() => receiver.of('payment_intent.succeeded').length === 1);
    await control.releaseGate('hook');
    await until(() => receiver.of('payment_intent.created').length === 2);
  });

  test('Waiting for a gate ends with an error when nobody comes', async () => {
    await sandbox.gate({ name: 'lonely', operation: 'refunds.create', when: 'before' });
    await expect(control.waitForGate('lonely', 1, 50)).rejects.toThrow('0 of 1');
    await expect(sandbox.waitForGate('lonely', 1, 50)).rejects.toThrow('0 of 1');
    await expect(control.gateState('nowhere')).rejects.toThrow('no gate');
  });
});

describe('webhooks', () => {
  test('Signed events follow each other in the order they were made', async () => {
    const { id } = await paid();
    await stripe.refunds.create({ payment_intent: id });
    await until(() => receiver.heard.length === 5);
    expect(receiver.types()).toEqual([
      'payment_intent.created',
      'charge.succeeded',
      'payment_intent.succeeded',
      'refund.created',
      'charge.refunded',
    ]);
    const event = receiver.of('payment_intent.succeeded')[0];
    expect(event).toMatchObject({
      object: 'event',
      livemode: false,
      data: { object: { id, status: 'succeeded' } },
      request: { id: expect.stringMatching(/^req_/), idempotency_key: expect.any(String) },
    });
    expect(await stripe.events.retrieve(event?.id ?? '')).toMatchObject({ type: 'payment_intent.succeeded' });
  });

  test('A decline and a close are told', async () => {
    const { id } = await open();
    await refusal(pay(id, 'pm_card_chargeDeclined'));
    await stripe.paymentIntents.cancel(id);
    await until(() => receiver.heard.length === 4);
    expect(receiver.types()).toEqual([
      'payment_intent.created',
      'charge.failed',
      'payment_intent.payment_failed',
      'payment_intent.canceled',
    ]);
  });

  test('A delivery that is answered 503 is repeated, signed anew', async () => {
    receiver.answers = [503, 503];
    await open();
    await until(() => receiver.heard.length === 3);
    expect(new Set(receiver.heard.map((event) => event.id)).size).toBe(1);
    const deliveries = async (): Promise<(number | null)[]> =>
      (await control.ledger()).events[0]?.deliveries.map((delivery) => delivery.status) ?? [];
    await until(async () => !(await deliveries()).includes(null));
    expect(await deliveries()).toEqual([503, 503, 200]);
  });

  test('A dropped event never comes', async () => {
    await control.webhookFault({ event: 'payment_intent.succeeded', kind: 'drop' });
    const { id } = await paid();
    await stripe.refunds.create({ payment_intent: id });
    await until(() => receiver.of('charge.refunded').length === 1);
    expect(receiver.of('payment_intent.succeeded')).toEqual([]);
  });

  test('A doubled event comes twice, and the copy is marked in the ledger', async () => {
    await control.webhookFault({ event: 'payment_intent.created', kind: 'double' });
    await open();
    await until(() => receiver.heard.length === 2);
    const [event] = (await control.ledger()).events;
    expect(event?.deliveries.map((delivery) => delivery.duplicate).sort()).toEqual([false, true]);
  });

  test('A late event comes later', async () => {
    await control.webhookFault({ event: 'payment_intent.created', kind: 'late', ms: 150 });
    const start = Date.now();
    await open();
    await until(() => receiver.heard.length === 1);
    expect(Date.now() - start).toBeGreaterThanOrEqual(145);
  });

  test('A reordered event comes after the next one of its intent', async () => {
    await control.webhookFault({ event: 'charge.succeeded', kind: 'reorder' });
    await paid();
    await until(() => receiver.heard.length === 3);
    expect(receiver.types()).toEqual([
      'payment_intent.created',
      'payment_intent.succeeded',
      'charge.succeeded',
    ]);
  });

  test('A late answer to an older event, or a copy of its own, does not let a reordered one go', async () => {
    await control.gate({ name: 'created', event: 'payment_intent.created' });
    for (const event of ['charge.succeeded', 'payment_intent.succeeded'] as const)
      await control.webhookFault({ event, kind: 'reorder' });
    await paid();
    await control.waitForGate('created', 1);
    await control.releaseGate('created');
    await until(async () => (await control.ledger()).events[0]?.deliveries[0]?.status === 200);
    const sent = async () =>
      (await control.ledger()).events.map(({ type, deliveries }) => [type, deliveries.length]);
    expect(await sent()).toEqual([
      ['payment_intent.created', 1],
      ['charge.succeeded', 0],
      ['payment_intent.succeeded', 0],
    ]);
    const [, charged] = (await control.ledger()).events;
    expect(await control.resend(charged?.id ?? '', 1)).toEqual([200]);
    expect(await sent()).toEqual([
      ['payment_intent.created', 1],
      ['charge.succeeded', 1],
      ['payment_intent.succeeded', 0],
    ]);
    await control.clearFaults();
    await until(() => receiver.heard.length === 4);
  });

  test('An event can arrive before the answer to the call that caused it', async () => {
    const { id } = await open();
    await control.webhookFault({ event: 'payment_intent.succeeded', kind: 'before-answer' });
    await pay(id);
    expect(receiver.of('payment_intent.succeeded')).toHaveLength(1);
    const marked = (await control.ledger()).events.filter(({ deliveries }) =>
      deliveries.some(({ beforeAnswer }) => beforeAnswer === true),
    );
    expect(marked.map(({ type }) => type)).toEqual(['payment_intent.succeeded']);
  });

  test('Twenty copies can be sent at once', async () => {
    await open();
    await until(() => receiver.heard.length === 1);
    const answers = await control.resend(receiver.heard[0]?.id ?? '', 20);
    expect(answers).toEqual(Array.from({ length: 20 }, () => 200));
    expect(receiver.heard).toHaveLength(21);
  });
});

describe('the ledger', () => {
  test('Its sums are the money that moved, by currency', async () => {
    const first = await paid();
    await paid();
    await stripe.paymentIntents.create({
      amount: 700,
      currency: 'usd',
      payment_method_types: ['card'],
      payment_method: 'pm_card_visa',
      confirm: true,
    });
    await stripe.refunds.create({ payment_intent: first.id, amount: 500 });
    await control.refundMode({ mode: 'pending' });
    await stripe.refunds.create({ payment_intent: first.id, amount: 300 });
    const ledger = await control.ledger();
    expect(ledger.totals).toEqual({
      eur: { captured: 3000, refunded: 500, refundsPending: 300, disputed: 0, kept: 2200 },
      usd: { captured: 700, refunded: 0, refundsPending: 0, disputed: 0, kept: 700 },
    });
    expect(await sandbox.ledger()).toMatchObject({ totals: ledger.totals });
  });

  test('Its page shows what a caller sent only escaped', async () => {
    await open('<script>alert(1)</script>');
    const page = await (await fetch(`${sandbox.url}/_sandbox`)).text();
    expect(page).toContain('&#60;script&#62;');
    expect(page).not.toContain('<script>');
  });

  test('A sandbox that closes leaves nothing waiting', async () => {
    const brief = await startStripeSandbox({ webhookUrl: 'http://127.0.0.1:9/none' });
    await brief.gate({ name: 'shut', operation: '*', when: 'before' });
    const waiting = fetch(`${brief.url}/v1/payment_intents`, {
      headers: { Authorization: 'Bearer sk_test_any' },
    });
    const lost = expect(waiting).rejects.toThrow();
    await brief.waitForGate('shut', 1);
    await brief.close();
    await lost;
  });
});
