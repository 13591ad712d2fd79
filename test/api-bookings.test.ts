import { openRoom, untilNewer } from '../src/api/waiting';
import { openNotices } from '../src/notices';
import { makeLogger } from '../src/telemetry';
import {
  booking,
  countRows,
  publish,
  settle,
  slot,
  startApi,
  writeAttempt,
  type ApiUnderTest,
  type Json,
} from './api-setup';

let api: ApiUnderTest;
let ada: string;
let bob: string;
let operator: string;
let doctor: string;
let mentor: string;
let offering: Json;

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  bob = await api.token('bob');
  operator = await api.token('olga', 'ops');
  doctor = await api.token('doctor', 'catalog');
  mentor = await api.token('mentor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot({ capacity: 5 }) })).body;
});
afterAll(() => api.stop());

const confirm = (id: string) => settle(api.db, id);

const read = (id: string, token: string, query = '') =>
  api.call('GET', `/v1/bookings/${id}${query}`, { token });

describe('a booking as people see it', () => {
  it('shows its owner how to pay, and nobody else', async () => {
    const id = await writeAttempt(api.db, offering);
    const own = await read(id, ada);
    expect(own.status).toBe(200);
    expect(own.body).toMatchObject({
      id,
      status: 'awaiting_payment',
      version: 1,
      items: [{ offeringId: offering.id, kind: 'slot', seats: 1, details: { allergy: 'nuts' } }],
      total: { amountMinor: 2500, currency: 'EUR' },
      payment: { method: 'stripe', try: 1, gatewayRef: `pi_${id}`, clientSecret: `${id}_secret` },
      retryable: false,
      links: { self: `/v1/bookings/${id}` },
    });
    expect(own.body.links.events).toContain(`/v1/bookings/${id}/events?ticket=`);
    expect((await read(id, bob)).status).toBe(404);
    expect((await read(id, doctor)).status).toBe(404);
    const ops = await read(id, operator);
    expect(ops.status).toBe(200);
    expect(JSON.stringify(ops.body)).not.toMatch(/secret|nuts/);
  });

  it('shows the provider the details of what was paid, and no secrets', async () => {
    const id = await writeAttempt(api.db, offering);
    await confirm(id);
    const theirs = await read(id, doctor);
    expect(theirs.body).toMatchObject({ status: 'confirmed', items: [{ details: { allergy: 'nuts' } }] });
    expect(JSON.stringify(theirs.body)).not.toContain('secret');
    expect((await read(id, mentor)).status).toBe(404);
    const own = await read(id, ada);
    expect(own.body.reference).toMatch(/^BK-/);
    expect(own.body.confirmedAt).toBeDefined();
    expect(own.body.payment.clientSecret).toBeUndefined();
  });

  it('is retryable only while something failed and time and tries are left', async () => {
    const failure = JSON.stringify({ type: 'payment-declined', code: 'insufficient_funds' });
    const declined = await writeAttempt(api.db, offering, { failure });
    const shown = await read(declined, ada);
    expect(shown.body).toMatchObject({
      retryable: true,
      failure: {
        type: 'payment-declined',
        detail: 'The payment was declined: insufficient funds.',
        code: 'insufficient_funds',
      },
    });
    const late = await writeAttempt(api.db, offering, { failure, expires_at: new Date(Date.now() - 1000) });
    expect((await read(late, ada)).body.retryable).toBe(false);
    const spent = await writeAttempt(api.db, offering, { failure, tries: 5 });
    expect((await read(spent, ada)).body.retryable).toBe(false);
  });

  it('shows the refund of a lost race, with other free slots', async () => {
    const one = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
    const winner = await writeAttempt(api.db, one);
    const loser = await writeAttempt(api.db, one);
    await confirm(winner);
    await confirm(loser);
    const lost = await read(loser, ada);
    expect(lost.body).toMatchObject({
      status: 'refunding',
      retryable: false,
      failure: { type: 'slot-unavailable' },
      refund: { status: 'pending', amountMinor: 2500, reason: 'slot-unavailable' },
    });
    const { alternatives } = lost.body.links;
    expect(alternatives).toContain('providerId=doctor');
    const others = await api.call('GET', alternatives);
    expect(others.status).toBe(200);
    expect(others.body.items.map((item: Json) => item.id)).not.toContain(one.id);
    expect((await api.call('GET', `/v1/offerings/${one.id}`)).body.seatsAvailable).toBe(0);
  });

  it('never shows the refund of a second payment on a confirmed booking', async () => {
    const id = await writeAttempt(api.db, offering);
    await confirm(id);
    await api.db.raw('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
      id,
      'stripe',
      `pi_second_${id}`,
      `ch_second_${id}`,
      2500,
      'EUR',
      `pay_second_${id}`,
      `ref_second_${id}`,
      ['BK-0000000000'],
    ]);
    expect(await api.db('refunds').where({ payment_id: `pay_second_${id}` })).toHaveLength(1);
    const shown = await read(id, ada);
    expect(shown.body.status).toBe('confirmed');
    expect(shown.body.refund).toBeUndefined();
  });
});

describe('lists of bookings', () => {
  it('hold the caller’s own, newest first, in pages, without details', async () => {
    const ids: string[] = [];
    const now = Date.now();
    for (let n = 0; n < 5; n += 1) {
      const started_at = new Date(now - Math.floor(n / 2) * 1000);
      ids.push(await writeAttempt(api.db, offering, { customer_id: 'carl', started_at }));
    }
    const carl = await api.token('carl');
    const seen: Json[] = [];
    let cursor = '';
    do {
      const page = await api.call('GET', `/v1/bookings?limit=2${cursor}`, { token: carl });
      seen.push(...page.body.items);
      cursor = page.body.nextCursor === undefined ? '' : `&cursor=${page.body.nextCursor}`;
    } while (cursor !== '');
    expect(seen.map((one) => one.id)).toEqual(ids);
    expect(JSON.stringify(seen)).not.toContain('nuts');
  });

  it('are filtered by status and reference; operators see anyone’s', async () => {
    const id = await writeAttempt(api.db, offering, { customer_id: 'dora' });
    await writeAttempt(api.db, offering, { customer_id: 'dora' });
    await confirm(id);
    const dora = await api.token('dora');
    const list = async (token: string, query: string) =>
      (await api.call('GET', `/v1/bookings?${query}`, { token })).body.items.map((one: Json) => one.id);
    expect(await list(dora, 'status=confirmed')).toEqual([id]);
    expect(await list(dora, 'status=open')).toHaveLength(1);
    expect(await list(dora, 'status=all')).toHaveLength(2);
    const reference = (await read(id, dora)).body.reference as string;
    expect(await list(dora, `reference=${reference.toLowerCase()}`)).toEqual([id]);
    expect(await list(bob, `reference=${reference}`)).toEqual([]);
    expect(await list(operator, `reference=${reference}`)).toEqual([id]);
    expect(await list(operator, 'customerId=dora')).toHaveLength(2);
    const foreign = await api.call('GET', '/v1/bookings?customerId=dora', { token: bob });
    expect(foreign.status).toBe(403);
    const shown = await api.call('GET', '/v1/bookings?customerId=dora', { token: operator });
    expect(JSON.stringify(shown.body)).not.toContain('secret');
  });
});

describe('waiting', () => {
  it('answers as soon as the version rises, 304 after the wait, and at once when it is higher already', async () => {
    const id = await writeAttempt(api.db, offering);
    const began = Date.now();
    const waiting = read(id, ada, '?wait=10&after=1');
    const change = async () => {
      await api.db('attempts').where({ booking_id: id }).update({ tries: 2 });
      openNotices(api.db, makeLogger('test', 'silent')).tell({ bookingId: id });
    };
    setTimeout(() => void change(), 300);
    const changed = await waiting;
    expect([changed.status, changed.body.version]).toEqual([200, 2]);
    expect(Date.now() - began).toBeLessThan(3_000);
    expect((await read(id, ada, '?wait=10&after=1')).status).toBe(200);
    const none = await read(id, ada, '?wait=1&after=2');
    expect([none.status, none.body]).toEqual([304, '']);
  });

  it('asks PostgreSQL once for all who wait', async () => {
    const ids = await Promise.all(Array.from({ length: 3 }, () => writeAttempt(api.db, offering)));
    const asked = jest.fn();
    const room = openRoom<number>({
      read: (wanted) => {
        asked(wanted.length);
        return Promise.resolve(new Map());
      },
      log: makeLogger('test', 'silent'),
      slowMs: 200,
    });
    const wait = (id: string, ms: number, hungUp: AbortController) =>
      untilNewer(room, id, 1, { ms, hungUp: hungUp.signal, stopping: undefined });
    const waits = ids.map((id) => wait(id, 700, new AbortController()));
    const gone = new AbortController();
    const left = wait(ids[0] ?? '', 60_000, gone);
    expect(room.size).toBe(4);
    gone.abort();
    expect(await left).toBe(false);
    expect(await Promise.all(waits)).toEqual([false, false, false]);
    const { length } = asked.mock.calls;
    expect(length).toBeLessThanOrEqual(5);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(asked.mock.calls).toHaveLength(length);
  });

  it('refuses waits that have no end', async () => {
    const id = await writeAttempt(api.db, offering);
    for (const query of ['?wait=0&after=1', '?wait=61&after=1', '?wait=x&after=1', '?wait=1&after=-1']) {
      expect([query, (await read(id, ada, query)).status]).toEqual([query, 400]);
    }
  });
});

describe('the body of a start', () => {
  it('is refused with a pointer, and nothing is started', async () => {
    const wrong: [Record<string, unknown>, string][] = [
      [{ items: [] }, '/items'],
      [{ items: [{ offeringId: offering.id }, { offeringId: offering.id }] }, '/items'],
      [{ items: [{ offeringId: offering.id, seats: 9 }] }, '/items/0/seats'],
      [{ items: [{ offeringId: 'x' }] }, '/items/0/offeringId'],
      [{ items: [{ offeringId: offering.id, details: 'x'.repeat(8200) }] }, '/items/0/details'],
      [{ items: [{ offeringId: offering.id, details: { deep: ['\ud800'] } }] }, '/items/0/details/deep/0'],
      [{ items: Array.from({ length: 21 }, () => ({ offeringId: offering.id })) }, '/items'],
      [{ payment: { method: 'cowries' } }, '/payment/method'],
      [{ customer: { name: 'A\r\nBcc: x', email: 'a@example.org' } }, '/customer/name'],
      [{ customer: { name: 'A', email: 'a@example.org\r\nBcc: x@example.org' } }, '/customer/email'],
      [{ customer: { name: 'A', email: 'a@example.org', locale: 'not a tag' } }, '/customer/locale'],
      [{ returnUrl: 'https://evil.example/back' }, '/returnUrl'],
      [{ returnUrl: 'javascript:alert(1)' }, '/returnUrl'],
      [{ returnUrl: 'https://shop.example@evil.example/' }, '/returnUrl'],
      [{ cartId: 'crt_1' }, '/cartId'],
      [{ items: undefined }, '/items'],
      [{ cartId: 'crt_zzzzzzzzzzzzzzzzzzzzzzzz' }, '/items'],
    ];
    const before = await countRows(api.db);
    for (const [change, pointer] of wrong) {
      const answer = await api.call('POST', '/v1/bookings', {
        token: ada,
        key: 'wrong',
        body: booking(offering.id, change),
      });
      expect([change, answer.status]).toEqual([change, 400]);
      expect(answer.body.errors.map((fault: Json) => fault.pointer)).toContain(pointer);
    }
    expect(
      (await api.call('POST', '/v1/bookings', { token: ada, body: booking(offering.id) })).body.type,
    ).toBe('/problems/idempotency-key-missing');
    const long = await api.call('POST', '/v1/bookings', {
      token: ada,
      key: 'k'.repeat(256),
      body: booking(offering.id),
    });
    expect(long.body.type).toBe('/problems/invalid-request');
    const offered = await api.call('POST', '/v1/bookings', {
      token: ada,
      key: 'wrong',
      body: booking(offering.id, { payment: { method: 'razorpay' } }),
    });
    expect(offered.body.detail).toBe('Not offered here. Offered: stripe, wallet.');
    expect(await countRows(api.db)).toEqual(before);
  });
});

describe('a start from a cart', () => {
  const missing = 'crt_zzzzzzzzzzzzzzzzzzzzzzzz';
  const begin = async (token: string): Promise<string> =>
    (await api.call('POST', '/v1/carts', { token })).body.id;
  const put = (token: string, cartId: string, offeringId: string) =>
    api.call('PUT', `/v1/carts/${cartId}/items/${offeringId}`, { token, body: {} });
  const startFrom = (token: string, cartId: string, key: string) =>
    api.call('POST', '/v1/bookings', {
      token,
      key,
      body: booking('', { items: undefined, cartId }),
    });

  it('that is unknown, somebody else’s, empty or converted is refused before anything is started', async () => {
    const [foreign, empty, converted] = [await begin(bob), await begin(ada), await begin(ada)];
    await put(bob, foreign, offering.id);
    const id = await writeAttempt(api.db, offering, { cart_id: converted });
    await put(ada, converted, offering.id);
    await confirm(id);
    const before = await countRows(api.db);
    for (const [cartId, status, type] of [
      [missing, 404, 'not-found'],
      [foreign, 404, 'not-found'],
      [empty, 400, 'invalid-request'],
      [converted, 409, 'cart-converted'],
    ] as const) {
      // The fake Temporal would answer a start with 500.
      const answer = await startFrom(ada, cartId, `from-${cartId}`);
      expect([cartId, answer.status, answer.body.type]).toEqual([cartId, status, `/problems/${type}`]);
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
    }
    expect((await startFrom(ada, empty, 'empty')).body.errors).toEqual([
      { pointer: '/cartId', detail: 'The cart is empty.' },
    ]);
    expect(await countRows(api.db)).toEqual(before);
  });

  it('hands its id to the workflow, which reads the items when it opens', async () => {
    const cartId = await begin(ada);
    const { id } = await publish(api, 'doctor');
    await put(ada, cartId, id);
    let request: Json;
    api.temporal.open = (input) => {
      request = input.request;
      return Promise.reject(new Error('Far enough'));
    };
    expect((await startFrom(ada, cartId, 'a good cart')).status).toBe(500);
    expect(request).toMatchObject({ cartId, payment: { method: 'stripe' } });
    expect(request.items).toBeUndefined();
  });
});
