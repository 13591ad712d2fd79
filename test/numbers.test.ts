/** What happens is counted twice, by the processes' metrics and by analytics from the rows: both must tell what happened. */
import Stripe from 'stripe';
import { atStripe, pay, priceMinor, publish, Shopper } from './book-setup';
import { eventually, startWorld, type Json, type World } from './world';

let world: World;
let ada: Shopper;
let grace: Shopper;

beforeAll(async () => {
  world = await startWorld({
    // The first look comes soon, so that the test need not wait for the real schedule.
    wrapGateway: (gateway) => ({
      ...gateway,
      capabilities: { ...gateway.capabilities, lookSchedule: [1, 2, 4] },
    }),
  });
  ada = new Shopper(world);
  grace = new Shopper(world);
});
afterAll(() => world.stop());

/** Samples of a process by name and labels, as Prometheus would scrape them. */
function samplesOf(text: string): Map<string, number> {
  return new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}
const scrapeApi = async () => samplesOf(await (await fetch(`${world.api}/metrics`)).text());
const scrapeWorker = async () => samplesOf(await world.dependencies.metrics.registry.metrics());

/** What has the name, by its labels as Prometheus writes them. */
const named = (samples: Map<string, number>, name: string): Record<string, number> =>
  Object.fromEntries(
    [...samples]
      .filter(([sample]) => sample === name || sample.startsWith(`${name}{`))
      .map(([sample, value]) => [sample.slice(name.length), value]),
  );

async function hook(event: Json, secret: string): Promise<number> {
  const payload = JSON.stringify(event);
  const header = Stripe.webhooks.generateTestHeaderString({ payload, secret });
  const headers = { 'content-type': 'application/json', 'stripe-signature': header };
  return (await fetch(`${world.api}/webhooks/stripe`, { method: 'POST', headers, body: payload })).status;
}

/** Another shop's customer pays on the same account. */
async function payElsewhere(): Promise<void> {
  const form = { amount: '500', currency: 'eur', 'payment_method_types[]': 'card' };
  const { body } = await atStripe(world, 'payment_intents', form);
  await atStripe(world, `payment_intents/${body.id}/confirm`, { payment_method: 'pm_card_visa' });
}

/** A day in small: every way an attempt can go. */
async function live(): Promise<void> {
  const { payment } = world.dependencies;
  const slot = await publish(world);
  const [winner, loser, canceled] = [await ada.start(slot), await grace.start(slot), await ada.start(slot)];
  world.dependencies.payment = { ...payment, windowSeconds: 1 };
  const abandoned = await grace.start(slot);
  world.dependencies.payment = payment;
  await ada.cancel(canceled.id);
  // Twice the same card on the same page, then a retry: two failures, one retry, one booking.
  await pay(world, winner, 'pm_card_chargeDeclined');
  const declined = await ada.until(winner.id, (now) => now.failure !== undefined);
  await pay(world, winner, 'pm_card_chargeDeclined');
  await ada.until(winner.id, (now) => now.version > declined.version);
  await pay(world, (await ada.retry(winner.id)).body);
  await ada.until(winner.id, 'confirmed');
  await pay(world, loser);
  await grace.until(loser.id, 'refunded');
  await grace.until(abandoned.id, 'expired');
  expect((await ada.book(slot)).status).toBe(409);
  await payFromWallet();
  await payElsewhere();
  await payUnheard();
  const { webhookSecret = '' } = { webhookSecret: world.config.stripe?.webhookSecrets[0] };
  const event = {
    id: 'evt_other',
    object: 'event',
    type: 'customer.created',
    data: { object: { id: 'cus_1' } },
  };
  expect(await hook(event, webhookSecret)).toBe(200);
  expect(await hook(event, 'whsec_forged')).toBe(400);
}

async function payFromWallet(): Promise<void> {
  const token = await world.token('olga', 'ops');
  const body = { amountMinor: priceMinor, currency: 'EUR' };
  await world.call('POST', `/v1/wallets/${grace.sub}/credits`, { token, body, key: 'once' });
  const request = {
    ...grace.request(await publish(world, { kind: 'consultation' })),
    payment: { method: 'wallet' },
  };
  expect((await grace.call('POST', '/v1/bookings', request, 'wallet')).body.status).toBe('confirmed');
}

/** No webhook comes: the payment watch finds the money. */
async function payUnheard(): Promise<void> {
  const booking = await ada.start(await publish(world));
  await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null });
  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  await world.sandbox.clearFaults();
}

test('what happens is told alike by metrics and analytics', async () => {
  await live();
  await eventually('the other shop’s payment', async () => {
    const counted = named(await scrapeWorker(), 'payfirst_payments_not_ours_total');
    return counted['{gateway="stripe"}'] === 1;
  });
  const worker = await scrapeWorker();
  const api = await scrapeApi();
  expect(named(worker, 'payfirst_attempts_total')).toEqual({
    '{outcome="confirmed"}': 3,
    '{outcome="refunded"}': 1,
    '{outcome="canceled"}': 1,
    '{outcome="expired"}': 1,
    '{outcome="failed"}': 1,
  });
  expect(named(worker, 'payfirst_tries_total')).toEqual({
    '{gateway="stripe",result="opened"}': 5,
    '{gateway="stripe",result="declined"}': 2,
    '{gateway="stripe",result="paid"}': 3,
    '{gateway="wallet",result="paid"}': 1,
  });
  expect(named(worker, 'payfirst_failures_total')).toEqual({
    '{type="payment-declined"}': 2,
    '{type="slot-unavailable"}': 2,
  });
  expect(named(worker, 'payfirst_retries_total')).toEqual({ '': 1 });
  expect(named(worker, 'payfirst_refunds_total')).toEqual({
    '{reason="slot-unavailable",status="succeeded"}': 1,
  });
  expect(
    named(worker, 'payfirst_payments_found_by_watch_total')['{gateway="stripe"}'],
  ).toBeGreaterThanOrEqual(1);
  expect(named(worker, 'payfirst_webhook_to_confirmed_seconds_count')).toEqual({ '': 2 });
  const webhooks = named(api, 'payfirst_webhooks_total');
  expect(Object.keys(webhooks).sort()).toEqual(
    ['refused', 'rung', 'unheard'].map((verdict) => `{gateway="stripe",verdict="${verdict}"}`),
  );
  expect(webhooks['{gateway="stripe",verdict="refused"}']).toBe(1);

  const token = await world.token('olga', 'ops');
  const analytics = await world.call('GET', '/v1/analytics/payments', { token });
  expect(analytics.body).toMatchObject({
    ...{ attempts: 7, confirmed: 3, successRate: 3 / 7, abandoned: 1, retries: 1 },
    failures: [
      { type: 'payment-declined', count: 2 },
      { type: 'slot-unavailable', count: 2 },
    ],
    refunds: [{ reason: 'slot-unavailable', count: 1, amountMinor: priceMinor, currency: 'EUR' }],
  });
  const { p50, p95 } = analytics.body.secondsToConfirm;
  expect(p50).toBeGreaterThan(0);
  expect(p95).toBeGreaterThanOrEqual(p50);
  const money = await world.call('GET', '/v1/analytics/money', { token });
  expect(money.body.items).toEqual([
    {
      ...{
        currency: 'EUR',
        capturedMinor: 4 * priceMinor,
        keptMinor: 3 * priceMinor,
        returnedMinor: priceMinor,
      },
      ...{ onItsWayMinor: 0, openCasesMinor: 0, imbalanceMinor: 0 },
    },
  ]);
});

test('a payment is found by support as soon as it is captured, with what was heard of it', async () => {
  const token = await world.token('olga', 'ops');
  const find = async (ref: string) =>
    (await world.call('GET', `/v1/payments?gatewayRef=${ref}`, { token })).body.items;
  const booking = await ada.start(await publish(world));
  const ref = String(booking.payment.gatewayRef);
  expect(await find(ref)).toEqual([]);
  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  const heard = {
    type: 'payment_intent.succeeded',
    eventId: expect.stringMatching(/^evt_/),
    at: expect.any(String),
  };
  const found = await eventually('the event', async () => {
    const items = await find(ref);
    return items[0].heard.length > 0 && items;
  });
  expect(found).toMatchObject([
    { gatewayRef: ref, disposition: 'booked', bookingId: booking.id, refunds: [], heard: [heard] },
  ]);
  expect(await find(found[0].gatewayPaymentId)).toEqual(found);
});

test('the gauges move with the tables', async () => {
  const gauges = [
    'payfirst_cases_open',
    'payfirst_refunds_under_way',
    'payfirst_refund_oldest_seconds',
    'payfirst_messages_queued',
    'money_imbalance_minor',
  ];
  const read = async () => {
    const samples = await scrapeApi();
    return Object.fromEntries(gauges.map((name) => [name, Object.values(named(samples, name))[0]]));
  };
  await eventually('every mail sent', async () => (await read())['payfirst_messages_queued'] === 0);
  expect(await read()).toEqual(Object.fromEntries(gauges.map((name) => [name, 0])));
  const kept = await world.db('payments').where({ disposition: 'booked' }).first<Json>('*');
  await world
    .db('cases')
    .insert({ id: 'cas_1', workflow_id: 'case/cas_1', kind: 'message-failed', detail: 'Look.' });
  await world.db('messages').update({ next_send_at: new Date(Date.now() + 86_400_000), sent_at: null });
  // A booked payment's refund that fails without a case: planted, no code does it.
  const refund = { payment_id: kept.id, amount_minor: 100, created_at: new Date(Date.now() - 60_000) };
  await world.db('refunds').insert([
    { ...refund, id: 'ref_1', status: 'pending', reason: 'canceled-by-customer' },
    { ...refund, id: 'ref_2', status: 'failed', reason: 'late-payment' },
  ]);
  const now = await read();
  expect(now).toMatchObject({
    payfirst_cases_open: 1,
    payfirst_refunds_under_way: 1,
    money_imbalance_minor: 100,
  });
  expect(now['payfirst_messages_queued']).toBeGreaterThan(3);
  expect(now['payfirst_refund_oldest_seconds']).toBeGreaterThan(59);
});
