/** What the fuzz found, each as a plain case. */
import Stripe from 'stripe';
import { publish, startApi, webhookSecret, type ApiUnderTest, type Json } from './api-setup';

let api: ApiUnderTest;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

test('a path that cannot be read is 400, and the document of every such route says so', async () => {
  const { paths } = (await api.call('GET', '/openapi.json')).body;
  const token = await api.token('ada', 'bookings catalog ops');
  let asked = 0;
  for (const [path, operations] of Object.entries<Json>(paths)) {
    if (!path.includes('{')) continue;
    for (const [method, { responses }] of Object.entries<Json>(operations)) {
      const answer = await api.call(method.toUpperCase(), path.replace(/\{\w+\}/g, '%ff'), { token });
      expect([method, path, answer.status, answer.body.type]).toEqual([
        method,
        path,
        400,
        '/problems/invalid-request',
      ]);
      expect([method, path, Object.keys(responses)]).toEqual([method, path, expect.arrayContaining(['400'])]);
      asked += 1;
    }
  }
  expect(asked).toBeGreaterThan(20);
});

test('If-None-Match does not make an answer look like a wait that ended in vain', async () => {
  const { id } = await publish(api, 'doctor');
  // Of its own accord fetch would ask for what is fresh, and then Express answers in full.
  const headers = { 'if-none-match': '*', 'cache-control': 'max-age=0' };
  for (const path of ['/v1/offerings', `/v1/offerings/${id}`, '/openapi.json', '/healthz']) {
    const { status, body } = await api.call('GET', path, { headers });
    expect([path, status, typeof body]).toEqual([path, 200, 'object']);
  }
});

const intent = { id: 'pi_1', object: 'payment_intent' };
const stripeObjects: [what: string, object: Json, verdict: string][] = [
  ['an attempt that is no text', { ...intent, metadata: { bookingId: {} } }, 'rung'],
  ['metadata that is a number', { ...intent, metadata: 7 }, 'rung'],
  ['an intent that is a list', { ...intent, id: ['pi_1'] }, 'unheard'],
  ['an intent that is a number', { ...intent, id: 7 }, 'unheard'],
  ['an intent without a text for its id', { object: 'charge', payment_intent: { id: {} } }, 'unheard'],
];

test.each(stripeObjects)(
  'a Stripe event that names %s is read as far as it goes',
  async (_what, object, verdict) => {
    const type = 'payment_intent.succeeded';
    const payload = JSON.stringify({ id: 'evt_1', object: 'event', type, data: { object } });
    const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret: webhookSecret });
    const started: Json[] = [];
    api.temporal.signalWithStart = async ({ args }) => void started.push(args[0]);
    const headers = { 'stripe-signature': signature };
    const answer = await api.call('POST', '/webhooks/stripe', { raw: payload, headers });
    expect([answer.status, answer.body]).toEqual([200, { verdict }]);
    const beside = { gateway: 'stripe', ref: 'pi_1', bookingId: null };
    expect(started).toEqual(verdict === 'rung' ? [beside] : []);
  },
);
