import { ServiceError, WorkflowNotFoundError } from '@temporalio/client';
import Stripe from 'stripe';
import { countRows, emptyTemporal, startApi, webhookSecret, type ApiUnderTest, type Json } from './api-setup';

let api: ApiUnderTest;
beforeAll(async () => {
  api = await startApi({ env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' } });
});
afterAll(() => api.stop());
beforeEach(() => Object.assign(api.temporal, emptyTemporal()));

const ours = 'bkg_222222222222222222222222';

function event(type: string, object: Json): string {
  return JSON.stringify({ id: 'evt_1', object: 'event', type, data: { object } });
}
function intent(bookingId?: string): Json {
  return { id: 'pi_1', object: 'payment_intent', metadata: bookingId === undefined ? {} : { bookingId } };
}
function signed(payload: string, options: { secret?: string; age?: number } = {}): Record<string, string> {
  const timestamp = Math.floor(Date.now() / 1000) - (options.age ?? 0);
  const secret = options.secret ?? webhookSecret;
  return {
    'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }),
  };
}
const hook = (raw: string, headers: Record<string, string>) =>
  api.call('POST', '/webhooks/stripe', { raw, headers });
const verdicts = async () => {
  const metric = await api.metrics.webhooks.get();
  return Object.fromEntries(metric.values.map(({ labels, value }) => [labels['verdict'], value]));
};

describe('webhooks', () => {
  it('ring the open attempt', async () => {
    const rung: Json[] = [];
    api.temporal.signal = (workflowId, name, args) => {
      rung.push([workflowId, name, args[0]]);
      return Promise.resolve();
    };
    const raw = event('payment_intent.succeeded', intent(ours));
    const answer = await hook(raw, signed(raw));
    expect([answer.status, answer.body]).toEqual([200, { verdict: 'rung' }]);
    expect(rung).toEqual([
      [
        `booking/${ours}`,
        'doorbell',
        {
          by: 'webhook',
          gateway: 'stripe',
          eventId: 'evt_1',
          type: 'payment_intent.succeeded',
          ref: 'pi_1',
          at: expect.any(String) as string,
        },
      ],
    ]);
  });

  it('ring reconcile when the attempt is over, unknown, or somebody else’s', async () => {
    const started: string[] = [];
    api.temporal.signalWithStart = (options) => {
      started.push(options.workflowId, options.args[0].bookingId);
      return Promise.resolve();
    };
    for (const bookingId of [ours, undefined, 'another shop’s id']) {
      const raw = event('payment_intent.succeeded', intent(bookingId));
      expect((await hook(raw, signed(raw))).body).toEqual({ verdict: 'rung' });
    }
    expect(started).toEqual([
      'reconcile/stripe/pi_1',
      ours,
      ...Array(2).fill(['reconcile/stripe/pi_1', null]).flat(),
    ]);
  });

  it('that are of no interest are 200 and ring nobody', async () => {
    api.temporal.signal = () => Promise.reject(new Error('nobody rings'));
    for (const raw of [
      event('customer.created', { id: 'cus_1' }),
      event('charge.dispute.created', { id: 'dp_1' }),
    ]) {
      const answer = await hook(raw, signed(raw));
      expect([answer.status, answer.body]).toEqual([200, { verdict: 'unheard' }]);
    }
  });

  it('that are not authentic are 400, counted, and write nothing', async () => {
    const before = await countRows(api.db);
    const refusedBefore = (await verdicts())['refused'] ?? 0;
    const raw = event('payment_intent.succeeded', intent(ours));
    const forged: [string, Record<string, string>][] = [
      [raw, {}],
      [raw, signed(raw, { secret: 'whsec_other' })],
      [raw, signed(raw, { age: 301 })],
      [`${raw} `, signed(raw)],
      ['', signed('')],
      ['not json', signed('not json')],
    ];
    for (const [body, headers] of forged) {
      const answer = await hook(body, headers);
      expect([answer.status, answer.body.type]).toEqual([400, '/problems/invalid-request']);
    }
    expect((await verdicts())['refused']).toBe(refusedBefore + forged.length);
    expect(await countRows(api.db)).toEqual(before);
    expect((await hook('x'.repeat(300_000), {})).status).toBe(413);
  });

  it('are 503 while Temporal is away, so that the gateway comes again', async () => {
    const raw = event('payment_intent.succeeded', intent(ours));
    api.temporal.signal = () => Promise.reject(new ServiceError('away'));
    expect((await hook(raw, signed(raw))).status).toBe(503);
    api.temporal.signal = (id) => Promise.reject(new WorkflowNotFoundError('closed', id, undefined));
    api.temporal.signalWithStart = () => Promise.reject(new ServiceError('away'));
    expect((await hook(raw, signed(raw))).status).toBe(503);
  });

  it('forged by the hundred are 429, while authentic ones pass', async () => {
    const raw = event('payment_intent.succeeded', intent(ours));
    const besieged = await startApi();
    const send = (headers: Record<string, string>) =>
      besieged.call('POST', '/webhooks/stripe', { raw, headers });
    try {
      const statuses: number[] = [];
      for (let n = 0; n < 70; n += 1) statuses.push((await send({})).status);
      expect(statuses).toEqual([...Array<number>(60).fill(400), ...Array<number>(10).fill(429)]);
      expect((await send(signed(raw))).status).toBe(200);
    } finally {
      await besieged.stop();
    }
  });

  it('are known for gateways on offer only', async () => {
    expect((await api.call('POST', '/webhooks/razorpay', { raw: '{}' })).status).toBe(404);
  });
});
