import { countRows, pagesOf, publish, slot, startApi, writeAttempt } from './api-setup';
import type { ApiUnderTest, Json } from './api-setup';

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
      [{ price: { amountMinor: 100_000_000, currency: 'EUR' } }, '/price/amountMinor'],
      [{ refundPercent: 101 }, '/refundPercent'],
      [{ refundPercent: 0.5 }, '/refundPercent'],
      [{ refundUntilSeconds: -1 }, '/refundUntilSeconds'],
      [{ price: { amountMinor: 1.5, currency: 'EUR' } }, '/price/amountMinor'],
      [{ price: { amountMinor: 100, currency: 'eur' } }, '/price/currency'],
      [{ title: 'a\r\nBcc: x@example.org' }, '/title'],
      [{ title: 'nul \0' }, '/title'],
      [{ holdSeconds: 4 }, '/holdSeconds'],
      [{ holdSeconds: 86_401 }, '/holdSeconds'],
      [{ holdSeconds: 60.5 }, '/holdSeconds'],
      [{ holdSeconds: '60' }, '/holdSeconds'],
      [{ seatsPerCustomer: 0 }, '/seatsPerCustomer'],
      [{ seatsPerCustomer: 10_001 }, '/seatsPerCustomer'],
      [{ seatsPerCustomer: null }, '/seatsPerCustomer'],
      [{ startsAt: undefined }, '/startsAt'],
      [{ kind: 'lesson' }, '/kind'],
      [{ kind: undefined }, '/kind'],
      [{ kind: 'consultation' }, '/startsAt'],
      [{ attributes: { a: 1 } }, '/attributes/a'],
    ];
    const before = await countRows(api.db);
    for (const [change, pointer] of wrong) {
      const answer = await api.call('POST', '/v1/offerings', { token: doctor, body: slot(change) });
      expect([change, answer.status, answer.body.type]).toEqual([change, 400, '/problems/invalid-request']);
      expect(answer.body.errors.map((fault: { pointer: string }) => fault.pointer)).toContain(pointer);
    }
    expect(await countRows(api.db)).toEqual(before);
  });

  it('may hold seats while somebody pays, limit seats per customer, and cost nothing', async () => {
    for (const more of [
      { holdSeconds: 5, seatsPerCustomer: 1, price: { amountMinor: 0, currency: 'EUR' } },
      { holdSeconds: 86_400, seatsPerCustomer: 10_000, price: { amountMinor: 99_999_999, currency: 'JPY' } },
    ]) {
      const made = await publish(api, 'doctor', slot(more));
      expect(made).toMatchObject(more);
      expect((await api.call('GET', `/v1/offerings/${made.id}`)).body).toEqual(made);
    }
    const plain = await publish(api, 'doctor');
    expect(Object.keys(plain)).not.toEqual(expect.arrayContaining(['holdSeconds']));
    expect(Object.keys(plain)).not.toEqual(expect.arrayContaining(['seatsPerCustomer']));
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

describe('consultations', () => {
  const price = { amountMinor: 900, currency: 'EUR' };
  const advice = { kind: 'consultation', title: 'Advice', price };
  const idsOf = (items: Json[]): string[] => items.map(({ id }) => String(id));

  it('are published with neither time nor capacity, and are one under one key', async () => {
    const made = await api.call('POST', '/v1/offerings', { token: doctor, body: advice, key: 'advice' });
    expect([made.status, made.body]).toEqual([
      201,
      {
        id: expect.stringMatching(/^off_/),
        ...advice,
        providerId: 'doctor',
        seatsAvailable: null,
        attributes: {},
        status: 'open',
        createdAt: expect.any(String),
      },
    ]);
    expect((await api.call('GET', `/v1/offerings/${made.body.id}`)).body).toEqual(made.body);
    expect(await api.db('seats').where({ offering_id: made.body.id })).toEqual([]);
    const again = await api.call('POST', '/v1/offerings', { token: doctor, body: advice, key: 'advice' });
    expect([again.status, again.body]).toEqual([200, made.body]);
    const other = await api.call('POST', '/v1/offerings', { token: doctor, body: slot(), key: 'advice' });
    expect(other.status).toBe(422);
  });

  it('are refused what only a slot can have, each with its pointer', async () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    const before = await countRows(api.db);
    for (const [field, value] of Object.entries({
      startsAt: tomorrow,
      endsAt: tomorrow,
      timeZone: 'UTC',
      capacity: 1,
      holdSeconds: 60,
      seatsPerCustomer: 1,
    })) {
      const body = { ...advice, [field]: value };
      const answer = await api.call('POST', '/v1/offerings', { token: doctor, body });
      expect([field, answer.status, answer.body.type, answer.body.errors]).toEqual([
        field,
        400,
        '/problems/invalid-request',
        [{ pointer: `/${field}`, detail: 'Unknown field.' }],
      ]);
    }
    for (const [body, pointer] of [
      [{ ...advice, price: undefined }, '/price'],
      [{ ...advice, title: '' }, '/title'],
    ] as [Json, string][]) {
      const answer = await api.call('POST', '/v1/offerings', { token: doctor, body });
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, pointer]);
    }
    expect(await countRows(api.db)).toEqual(before);
  });

  it('stand last in lists, are found by their kind, and are available while they are open', async () => {
    const slots: Json[] = [];
    for (const days of [3, 1, 2]) {
      const startsAt = new Date(Date.now() + days * 86_400_000).toISOString();
      slots.push(await publish(api, 'mixed', slot({ startsAt })));
    }
    // The latest start that can be published still comes before what has none.
    slots.push(await publish(api, 'mixed', slot({ startsAt: '2199-12-31T23:59:59.999Z' })));
    const talks: Json[] = [];
    for (let n = 0; n < 3; n += 1) talks.push(await publish(api, 'mixed', advice));
    const expected = [
      ...slots.sort((a, b) => String(a.startsAt).localeCompare(String(b.startsAt))),
      ...talks.sort((a, b) => (a.id < b.id ? -1 : 1)),
    ];
    for (const limit of [1, 2, 3, 4, 5, 6, 7]) {
      const pages = await pagesOf(api, `/v1/offerings?providerId=mixed&limit=${limit}`);
      expect([limit, idsOf(pages.flat())]).toEqual([limit, idsOf(expected)]);
      expect(pages).toHaveLength(Math.ceil(7 / limit));
    }
    const list = async (query: string): Promise<string[]> =>
      idsOf((await api.call('GET', `/v1/offerings?providerId=mixed&${query}`)).body.items);
    expect(await list('kind=consultation')).toEqual(idsOf(talks));
    expect(await list('kind=slot')).toEqual(idsOf(slots));
    expect(await list('available=true')).toEqual(idsOf(expected));
    // What has no time is at no time.
    expect(await list('from=2000-01-01T00:00:00Z')).toEqual(idsOf(slots));
    await api.call('PATCH', `/v1/offerings/${talks[0].id}`, {
      token: await api.token('mixed', 'catalog'),
      body: { status: 'closed' },
    });
    expect(await list('available=true&kind=consultation')).toEqual(idsOf(talks.slice(1)));
    expect(await list('kind=consultation')).toHaveLength(3);
  });

  it('change their price, title and status, and nothing that is not theirs', async () => {
    const { id } = await publish(api, 'doctor', advice);
    const change = (body: Json) => api.call('PATCH', `/v1/offerings/${id}`, { token: doctor, body });
    const free = { amountMinor: 0, currency: 'EUR' };
    expect((await change({ price: free })).body).toMatchObject({ price: free, seatsAvailable: null });
    for (const body of [
      { capacity: 1 },
      { holdSeconds: 60 },
      { startsAt: '2099-01-01T00:00:00Z' },
      { kind: 'slot' },
    ]) {
      expect([body, (await change(body)).status]).toEqual([body, 400]);
    }
  });
});

describe('a slot under a hold', () => {
  it('shows what is held as taken until the hold is over, and is then available again', async () => {
    const made = await publish(api, 'holder', slot({ capacity: 2, holdSeconds: 60 }));
    const available = async (): Promise<unknown[]> => {
      const one = await api.call('GET', `/v1/offerings/${made.id}`);
      const listed = await api.call('GET', '/v1/offerings?providerId=holder&available=true');
      return [one.body.seatsAvailable, listed.body.items.length];
    };
    const id = await writeAttempt(api.db, made);
    const hold = (seats: number[], until: string) =>
      api
        .db('seats')
        .where({ offering_id: made.id })
        .whereIn('seat_no', seats)
        .update({ held_by: id, held_until: api.db.raw(`now() + interval '${until}'`) });
    expect(await available()).toEqual([2, 1]);
    await hold([1], '1 hour');
    expect(await available()).toEqual([1, 1]);
    await hold([1, 2], '1 hour');
    expect(await available()).toEqual([0, 0]);
    await hold([1, 2], '-1 second');
    expect(await available()).toEqual([2, 1]);
  });
});
