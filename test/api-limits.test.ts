import { WorkflowUpdateRPCTimeoutOrCancelledError } from '@temporalio/client';
import {
  booking,
  describeAttempt,
  slot,
  startApi,
  writeAttempt,
  type ApiUnderTest,
  type Json,
} from './api-setup';

let api: ApiUnderTest;
let offering: Json;
let opened = 0;

beforeAll(async () => {
  api = await startApi({
    env: {
      RATE_STARTS_PER_MINUTE: '5',
      RATE_RETRIES_PER_MINUTE: '3',
      RATE_ANONYMOUS_PER_MINUTE: '10',
      TRUST_PROXY: '1',
    },
  });
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
  api.temporal.open = () => {
    opened += 1;
    return Promise.reject(new WorkflowUpdateRPCTimeoutOrCancelledError('late'));
  };
  api.temporal.update = () => Promise.resolve({ status: 'awaiting_payment', version: 1, startedBy: 'x' });
});
afterAll(() => api.stop());

function knownTo(customer: string) {
  api.temporal.describe = () => Promise.resolve(describeAttempt(api.config, customer));
}
async function start(customer: string, key: string) {
  knownTo(customer);
  return api.call('POST', '/v1/bookings', {
    token: await api.token(customer),
    key,
    body: booking(offering.id),
  });
}

describe('limits', () => {
  it('on starts count new keys only, also when fifty repeats come at once and nothing is recorded yet', async () => {
    const same = await Promise.all(Array.from({ length: 50 }, () => start('ada', 'same')));
    expect(new Set(same.map((one) => one.status))).toEqual(new Set([202]));
    const others = [];
    for (let n = 0; n < 6; n += 1) others.push((await start('ada', `key-${n}`)).status);
    expect(others).toEqual([202, 202, 202, 202, 429, 429]);
    const refused = await start('ada', 'key-4');
    expect(refused.body.type).toBe('/problems/rate-limited');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    const before = opened;
    expect((await start('ada', 'same')).status).toBe(202);
    expect(opened).toBe(before + 1);
    expect((await start('bob', 'same')).status).toBe(202);
  });

  it('on retries, returns and cancels count each on its own', async () => {
    const id = await writeAttempt(api.db, offering, { customer_id: 'carl' });
    const token = await api.token('carl');
    for (const what of ['retry', 'return', 'cancel']) {
      const statuses = [];
      for (let n = 0; n < 4; n += 1) {
        statuses.push((await api.call('POST', `/v1/bookings/${id}/${what}`, { token, body: {} })).status);
      }
      expect(statuses.slice(0, 3).every((status) => status < 300)).toBe(true);
      expect(statuses[3]).toBe(429);
    }
  });

  it('on requests without a valid token count by address, and spare probes and callers with a token', async () => {
    const from = (address: string, path: string, token?: string) =>
      api.call('GET', path, { token, headers: { 'x-forwarded-for': address } });
    const statuses = [];
    for (let n = 0; n < 12; n += 1) statuses.push((await from('192.0.2.1', '/v1/offerings')).status);
    expect(statuses).toEqual([...Array<number>(10).fill(200), 429, 429]);
    expect((await from('192.0.2.1', '/v1/cases', 'forged')).status).toBe(429);
    expect((await from('192.0.2.2', '/v1/offerings')).status).toBe(200);
    expect((await from('192.0.2.1', '/v1/offerings', await api.token('ada'))).status).toBe(200);
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      for (let n = 0; n < 12; n += 1) expect((await from('192.0.2.1', path)).status).toBe(200);
    }
  });
});
