/** The API's side of outgoing webhooks: registering, reading, rotating, deleting, listing deliveries and repeating them. */
import { secretSeal } from '../src/webhook-secrets';
import { countRows, slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';

let api: ApiUnderTest;
let olga: string;
let offering: Json;
/** What DNS says, by host; anything else has a public address. */
const dns: Record<string, string[]> = {
  'inside.example': ['10.1.2.3'],
  'metadata.example': ['169.254.169.254'],
  'mapped.example': ['::ffff:127.0.0.1'],
  'half.example': ['8.8.8.8', '192.168.0.1'],
  'nowhere.example': [],
};

beforeAll(async () => {
  api = await startApi({
    lookUp: (host) => {
      if (host === 'away.example')
        return Promise.reject(Object.assign(new Error('dns'), { code: 'EAI_AGAIN' }));
      const found = dns[host] ?? ['8.8.8.8'];
      return Promise.resolve(found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
    },
  });
  olga = await api.token('olga', 'ops');
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
});
beforeEach(() => api.db('webhook_endpoints').del());
afterAll(() => api.stop());

const url = 'https://shop.example/hooks';
const all = ['booking.confirmed', 'booking.refunded', 'booking.expired', 'booking.canceled', 'case.opened'];
const path = '/v1/webhook-endpoints';
const register = (body: unknown = { url }, key?: string, token = olga) =>
  api.call('POST', path, { token, body, key });
const get = (rest = '') => api.call('GET', `${path}${rest}`, { token: olga });
const post = (rest: string) => api.call('POST', `${path}${rest}`, { token: olga });

/** An attempt that expires: one event for everybody who listens. */
async function expire(): Promise<string> {
  const id = await writeAttempt(api.db, offering);
  await api.db('attempts').where({ booking_id: id }).update({ status: 'expired' });
  return id;
}

describe('an endpoint', () => {
  it('is registered for all events unless some are named, and its secret is shown once', async () => {
    const answer = await register({ url, description: 'The shop' });
    expect([answer.status, answer.body]).toEqual([
      201,
      {
        id: expect.stringMatching(/^whe_[0-9a-z]{24}$/),
        url,
        events: all,
        description: 'The shop',
        secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
        status: 'enabled',
        createdAt: expect.any(String),
      },
    ]);
    const { id, secret, ...rest } = answer.body;
    expect(answer.headers.get('location')).toBe(`${path}/${id}`);
    expect((await get(`/${id}`)).body).toEqual({ id, ...rest });
    expect((await get()).body).toEqual({ items: [{ id, ...rest }] });
    const other = await register({ url, events: ['case.opened', 'booking.expired', 'case.opened'] });
    expect(other.body.events).toEqual(['booking.expired', 'case.opened']);
    expect(other.body.secret).not.toBe(secret);
    expect(api.logged.join('')).not.toMatch(/whsec_|shop\.example/);
  });

  it('has its secret sealed at rest, under this installation’s key and for itself only', async () => {
    const { id, secret } = (await register()).body;
    const row = await api.db('webhook_endpoints').where({ id }).first<{ secret: string }>();
    expect(JSON.stringify(row)).not.toContain(secret.slice(6));
    const seal = secretSeal(api.config.appSecret);
    expect(await seal.open(id, row.secret)).toBe(secret);
    await expect(seal.open('whe_another', row.secret)).rejects.toThrow();
    await expect(secretSeal('another application secret').open(id, row.secret)).rejects.toThrow();
  });

  it('is one under one key, however often and however fast it is asked for', async () => {
    const body = { url, events: ['case.opened'] };
    const answers = await Promise.all([1, 2, 3, 4].map(() => register(body, 'a key')));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201]);
    expect(new Set(answers.map(({ body: { id } }) => id)).size).toBe(1);
    const repeats = answers.filter(({ status }) => status === 200);
    for (const { body: shown } of repeats) expect(shown.secret).toBeUndefined();
    const changed = await register({ url }, 'a key');
    expect([changed.status, changed.body.type]).toEqual([422, '/problems/idempotency-key-reused']);
    const peter = await api.token('peter', 'ops');
    expect((await register(body, 'a key', peter)).status).toBe(201);
    expect((await get()).body.items).toHaveLength(2);
  });

  it('lies outside, is https, and is refused before anything is written', async () => {
    const before = await countRows(api.db);
    for (const [body, pointer] of [
      [{}, '/url'],
      [{ url: 'http://shop.example/hooks' }, '/url'],
      [{ url: 'https://olga:word@shop.example/' }, '/url'],
      [{ url: 'https://127.0.0.1/' }, '/url'],
      [{ url: 'https://2130706433/' }, '/url'],
      [{ url: 'https://[::1]:8443/' }, '/url'],
      [{ url: 'https://inside.example/' }, '/url'],
      [{ url: 'https://metadata.example/latest/meta-data' }, '/url'],
      [{ url: 'https://mapped.example/' }, '/url'],
      [{ url: 'https://half.example/' }, '/url'],
      [{ url: 'https://nowhere.example/' }, '/url'],
      [{ url: 'shop.example' }, '/url'],
      [{ url: `https://shop.example/${'x'.repeat(2_000)}` }, '/url'],
      [{ url, events: [] }, '/events'],
      [{ url, events: ['booking.sold'] }, '/events/0'],
      [{ url, events: 'case.opened' }, '/events'],
      [{ url, description: 'a\nb' }, '/description'],
      [{ url, secret: 'whsec_mine' }, '/secret'],
    ] as const) {
      const answer = await register(body);
      expect([body, answer.status, answer.body.errors?.[0]?.pointer]).toEqual([body, 400, pointer]);
    }
    expect((await register({ url: 'https://away.example/' })).status).toBe(503);
    expect(await countRows(api.db)).toEqual(before);
  });

  it('may lie inside, and be plain http, where the setting says so', async () => {
    const open = await startApi({ env: { WEBHOOKS_ALLOW_PRIVATE: 'true' } });
    try {
      const token = await open.token('olga', 'ops');
      for (const inside of ['http://127.0.0.1:9/hooks', 'http://[::1]:9/', 'http://localhost:9/']) {
        const answer = await open.call('POST', path, { token, body: { url: inside } });
        expect([inside, answer.status]).toEqual([inside, 201]);
      }
      const withWord = await open.call('POST', path, { token, body: { url: 'http://a:b@127.0.0.1/' } });
      expect(withWord.status).toBe(400);
    } finally {
      await open.stop();
    }
  });

  it('is one of twenty at most', async () => {
    for (let n = 0; n < 20; n += 1) expect((await register()).status).toBe(201);
    const answer = await register();
    expect([answer.status, answer.body.detail]).toEqual([400, expect.stringContaining('20')]);
    const first = await get('?limit=15');
    const rest = await get(`?limit=15&cursor=${first.body.nextCursor}`);
    const ids = [...first.body.items, ...rest.body.items].map((one: Json) => one.id);
    expect(new Set(ids).size).toBe(20);
    expect(rest.body.nextCursor).toBeUndefined();
  });

  it('gets a new secret, and keeps the one before for a day', async () => {
    const { id, secret } = (await register()).body;
    const rotated = await post(`/${id}/rotate-secret`);
    expect([rotated.status, rotated.body.id]).toEqual([200, id]);
    expect(rotated.body.secret).not.toBe(secret);
    const until = Date.parse(rotated.body.previousSecretUntil) - Date.now();
    expect(until).toBeGreaterThan(23.9 * 3_600_000);
    expect(until).toBeLessThan(24.1 * 3_600_000);
    const row = await api.db('webhook_endpoints').where({ id }).first<Record<string, string>>();
    const seal = secretSeal(api.config.appSecret);
    expect(await seal.open(id, row['secret'] ?? '')).toBe(rotated.body.secret);
    expect(await seal.open(id, row['old_secret'] ?? '')).toBe(secret);
    expect((await get(`/${id}`)).body.secret).toBeUndefined();
  });

  it('that is deleted is gone with its deliveries, and events happen all the same', async () => {
    const { id } = (await register()).body;
    await expire();
    const gone = await api.call('DELETE', `${path}/${id}`, { token: olga });
    expect([gone.status, gone.body]).toEqual([204, '']);
    for (const rest of [`/${id}`, `/${id}/deliveries`]) expect((await get(rest)).status).toBe(404);
    expect((await api.call('DELETE', `${path}/${id}`, { token: olga })).status).toBe(404);
    await expire();
    expect(await api.db('webhook_deliveries')).toEqual([]);
  });

  it('is for operators only', async () => {
    const { id } = (await register()).body;
    await expire();
    const [delivery] = (await get(`/${id}/deliveries`)).body.items;
    const before = await api.db('webhook_endpoints').where({ id }).first<Json>();
    for (const scope of ['bookings', 'catalog', 'bookings catalog', '']) {
      const token = await api.token('ada', scope);
      for (const [method, rest] of [
        ['POST', ''],
        ['GET', ''],
        ['GET', `/${id}`],
        ['DELETE', `/${id}`],
        ['POST', `/${id}/enable`],
        ['POST', `/${id}/rotate-secret`],
        ['GET', `/${id}/deliveries`],
        ['POST', `/${id}/deliveries/${delivery.id}/repeat`],
      ] as const) {
        const body = method === 'POST' && rest === '' ? { url } : undefined;
        const answer = await api.call(method, `${path}${rest}`, { token, body });
        expect([scope, method, rest, answer.status]).toEqual([scope, method, rest, 403]);
      }
    }
    expect(await api.db('webhook_endpoints')).toEqual([before]);
  });
});

describe('deliveries', () => {
  it('are listed newest first, in pages, by status, with ids and states only', async () => {
    const { id } = (await register()).body;
    const bookings = [await expire(), await expire(), await expire()].reverse();
    const first = await get(`/${id}/deliveries?limit=2`);
    expect(first.body.items[0]).toEqual({
      id: expect.stringMatching(/^whd_[0-9a-z]{24}$/),
      type: 'booking.expired',
      data: { bookingId: bookings[0], status: 'expired', version: 2 },
      status: 'queued',
      tries: 0,
      nextTryAt: expect.any(String),
      occurredAt: expect.any(String),
    });
    const rest = await get(`/${id}/deliveries?limit=2&cursor=${first.body.nextCursor}`);
    const listed = [...first.body.items, ...rest.body.items];
    expect(listed.map((one: Json) => one.data.bookingId)).toEqual(bookings);
    expect((await get(`/${id}/deliveries?status=failed`)).body).toEqual({ items: [] });
    expect((await get(`/${id}/deliveries?status=queued`)).body.items).toHaveLength(3);
    for (const query of ['limit=0', 'status=lost', 'cursor=x', 'unknown=1']) {
      expect([query, (await get(`/${id}/deliveries?${query}`)).status]).toEqual([query, 400]);
      if (query !== 'status=lost') expect((await get(`?${query}`)).status).toBe(400);
    }
  });

  it('are repeated whatever became of them, under the same id', async () => {
    const { id } = (await register()).body;
    await expire();
    const [delivery] = (await get(`/${id}/deliveries`)).body.items;
    for (const [status, more] of [
      ['delivered', { delivered_at: new Date(), last_status_code: 204 }],
      ['failed', { last_error: 'ECONNREFUSED' }],
    ] as const) {
      const row = api.db('webhook_deliveries').where({ id: delivery.id });
      await row.update({ status, next_try_at: null, tries: 3, step: 3, ...more });
      const answer = await post(`/${id}/deliveries/${delivery.id}/repeat`);
      expect([answer.status, answer.body]).toMatchObject([
        202,
        { id: delivery.id, status: 'queued', tries: 3 },
      ]);
      expect(answer.body.deliveredAt).toBeUndefined();
      expect(await api.db('webhook_deliveries')).toMatchObject([{ step: 0, status: 'queued' }]);
    }
    for (const unknown of [
      `/${id}/deliveries/whd_${'0'.repeat(24)}`,
      `/whe_${'0'.repeat(24)}/deliveries/${delivery.id}`,
      `/${id}/deliveries/x`,
    ]) {
      expect([unknown, (await post(`${unknown}/repeat`)).status]).toEqual([unknown, 404]);
    }
    const other = (await register()).body.id;
    expect((await post(`/${other}/deliveries/${delivery.id}/repeat`)).status).toBe(404);
  });

  it('of a disabled endpoint stop, and are repeated once it is enabled', async () => {
    const { id } = (await register()).body;
    await expire();
    const [delivery] = (await get(`/${id}/deliveries`)).body.items;
    await api.db('webhook_endpoints').where({ id }).update({ status: 'disabled', disabled_because: 'gone' });
    await expire();
    const { items } = (await get(`/${id}/deliveries`)).body;
    expect(items).toMatchObject([{ id: delivery.id, status: 'failed', lastError: 'endpoint-disabled' }]);
    expect((await get(`/${id}`)).body).toMatchObject({ status: 'disabled', disabledBecause: 'gone' });
    expect((await api.call('GET', '/metrics')).body).toMatch(/payfirst_webhook_endpoints_disabled 1\n/);
    const refused = await post(`/${id}/deliveries/${delivery.id}/repeat`);
    expect([refused.status, refused.body.type]).toEqual([409, '/problems/endpoint-disabled']);
    expect((await post(`/${id}/enable`)).body).toEqual({ ...(await get(`/${id}`)).body, status: 'enabled' });
    expect((await post(`/${id}/deliveries/${delivery.id}/repeat`)).status).toBe(202);
    expect((await api.call('GET', '/metrics')).body).toMatch(/payfirst_webhook_deliveries_queued 1\n/);
    expect((await post(`/whe_${'0'.repeat(24)}/enable`)).status).toBe(404);
  });
});
