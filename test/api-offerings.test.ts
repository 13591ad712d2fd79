import { slot, startApi, type ApiUnderTest } from './api-setup';

let api: ApiUnderTest;
let doctor: string;

beforeAll(async () => {
  api = await startApi();
  doctor = await api.token('doctor', 'catalog');
});
afterAll(() => api.stop());

describe('offerings', () => {
  it('are published with defaults, and read by everybody', async () => {
    const made = await api.call('POST', '/v1/offerings', { token: doctor, body: slot() });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/v1/offerings/${made.body.id}`);
    expect(made.body).toMatchObject({
      kind: 'slot',
      providerId: 'doctor',
      capacity: 1,
      seatsAvailable: 1,
      timeZone: 'UTC',
      status: 'open',
      attributes: {},
      price: { amountMinor: 2500, currency: 'EUR' },
    });
    expect(Date.parse(made.body.endsAt) - Date.parse(made.body.startsAt)).toBe(3_600_000);
    const read = await api.call('GET', `/v1/offerings/${made.body.id}`);
    expect(read.body).toEqual(made.body);
  });

  it('are one under one key: 201, then 200, another body 422, another provider his own', async () => {
    const body = slot({ capacity: 3, title: 'Yoga', attributes: { room: '7' } });
    const all = await Promise.all(
      Array.from({ length: 10 }, () =>
        api.call('POST', '/v1/offerings', { token: doctor, body, key: 'k-1' }),
      ),
    );
    expect(all.map((one) => one.status).sort()).toEqual([...Array<number>(9).fill(200), 201]);
    expect(new Set(all.map((one) => one.body.id)).size).toBe(1);
    const other = await api.call('POST', '/v1/offerings', {
      token: doctor,
      body: { ...body, capacity: 4 },
      key: 'k-1',
    });
    expect([other.status, other.body.type]).toEqual([422, '/problems/idempotency-key-reused']);
    const mentor = await api.token('mentor', 'catalog');
    const his = await api.call('POST', '/v1/offerings', { token: mentor, body, key: 'k-1' });
    expect(his.status).toBe(201);
    expect(his.body.id).not.toBe(all[0]?.body.id);
  });

  it('are refused with a pointer to each fault', async () => {
    const wrong: [Record<string, unknown>, string][] = [
      [{ startsAt: '2020-01-01T00:00:00Z' }, '/startsAt'],
      [{ startsAt: '0000-01-01T00:00:00Z' }, '/startsAt'],
      [{ startsAt: 'tomorrow' }, '/startsAt'],
      [{ endsAt: new Date().toISOString() }, '/endsAt'],
      [{ timeZone: 'Mars/Olympus' }, '/timeZone'],
      [{ timeZone: '+02:00' }, '/timeZone'],
      [{ capacity: 0 }, '/capacity'],
      [{ capacity: 10_001 }, '/capacity'],
      [{ price: { amountMinor: -1, currency: 'EUR' } }, '/price/amountMinor'],
      [{ refundPercent: 101 }, '/refundPercent'],
      [{ refundPercent: 0.5 }, '/refundPercent'],
      [{ refundUntilSeconds: -1 }, '/refundUntilSeconds'],
      [{ price: { amountMinor: 1.5, currency: 'EUR' } }, '/price/amountMinor'],
      [{ price: { amountMinor: 100, currency: 'eur' } }, '/price/currency'],
      [{ title: 'a\r\nBcc: x@example.org' }, '/title'],
      [{ title: 'nul \0' }, '/title'],
      [{ holdSeconds: 4 }, '/holdSeconds'],
      [{ kind: 'consultation' }, '/startsAt'],
      [{ kind: 'workshop' }, '/kind'],
      [{ attributes: { a: 1 } }, '/attributes/a'],
    ];
    for (const [change, pointer] of wrong) {
      const answer = await api.call('POST', '/v1/offerings', { token: doctor, body: slot(change) });
      expect([change, answer.status, answer.body.type]).toEqual([change, 400, '/problems/invalid-request']);
      expect(answer.body.errors.map((fault: { pointer: string }) => fault.pointer)).toContain(pointer);
    }
  });

  it('are changed by their provider only', async () => {
    const { body: made } = await api.call('POST', '/v1/offerings', { token: doctor, body: slot() });
    const path = `/v1/offerings/${made.id}`;
    const change = { title: 'New', price: { amountMinor: 3000, currency: 'EUR' }, status: 'closed' };
    const changed = await api.call('PATCH', path, { token: doctor, body: change });
    expect([changed.status, changed.body]).toEqual([200, { ...made, ...change }]);
    const mentor = await api.token('mentor', 'catalog');
    expect((await api.call('PATCH', path, { token: mentor, body: change })).status).toBe(404);
    expect((await api.call('PATCH', path, { token: doctor, body: {} })).status).toBe(400);
    expect((await api.call('PATCH', path, { token: doctor, body: { capacity: 9 } })).status).toBe(400);
  });

  it('are listed in pages by start, filtered, and show full ones with 0', async () => {
    const owner = await api.token('lister', 'catalog');
    const starts = [5, 2, 2, 9, 3].map((days) => new Date(Date.now() + days * 86_400_000).toISOString());
    const made = [];
    for (const startsAt of starts) {
      made.push((await api.call('POST', '/v1/offerings', { token: owner, body: slot({ startsAt }) })).body);
    }
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = await api.call('GET', `/v1/offerings?providerId=lister&limit=2${cursor}`);
      expect(page.body.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.body.items.map((one: { id: string }) => one.id));
      cursor = page.body.nextCursor === undefined ? '' : `&cursor=${page.body.nextCursor}`;
    } while (cursor !== '');
    const sorted = [...made].sort((a, b) => a.startsAt.localeCompare(b.startsAt) || (a.id < b.id ? -1 : 1));
    expect(seen).toEqual(sorted.map((one) => one.id));

    await api.call('PATCH', `/v1/offerings/${made[0].id}`, { token: owner, body: { status: 'closed' } });
    const available = await api.call('GET', '/v1/offerings?providerId=lister&available=true');
    expect(available.body.items).toHaveLength(4);
    const from = encodeURIComponent(new Date(Date.now() + 4 * 86_400_000).toISOString());
    const later = await api.call(
      'GET',
      `/v1/offerings?providerId=lister&from=${from}&to=2199-01-01T00:00:00Z`,
    );
    expect(later.body.items.map((one: { id: string }) => one.id)).toEqual([made[0].id, made[3].id]);
    for (const query of [
      'limit=0',
      'limit=101',
      'cursor=x',
      'from=x',
      'available=yes',
      'kind=x',
      'colour=red',
    ]) {
      expect([query, (await api.call('GET', `/v1/offerings?${query}`)).status]).toEqual([query, 400]);
    }
  });
});
