import { countRows, pagesOf, publish, settle, slot, startApi, writeAttempt } from './api-setup';
import type { Answer, ApiUnderTest, Json } from './api-setup';

let api: ApiUnderTest;
let ada: string;
let bob: string;
let offering: Json;
let consultation: Json;

const unknownCart = 'crt_zzzzzzzzzzzzzzzzzzzzzzzz';
const unknownOffering = 'off_zzzzzzzzzzzzzzzzzzzzzzzz';
const euros = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  bob = await api.token('bob');
  offering = await publish(api, 'doctor', slot({ title: 'Check-up' }));
  consultation = await publish(api, 'mentor', { kind: 'consultation', title: 'Advice', price: euros(900) });
});
afterAll(() => api.stop());

const begin = (token = ada, key?: string) => api.call('POST', '/v1/carts', { token, key });
async function newCart(token = ada): Promise<string> {
  return (await begin(token)).body.id as string;
}
const itemPath = (cartId: string, offeringId: string) => `/v1/carts/${cartId}/items/${offeringId}`;
const put = (cartId: string, offeringId: string, body?: unknown, token = ada) =>
  api.call('PUT', itemPath(cartId, offeringId), { token, body });
const takeOut = (cartId: string, offeringId: string, token = ada) =>
  api.call('DELETE', itemPath(cartId, offeringId), { token });
const read = (cartId: string, token = ada) => api.call('GET', `/v1/carts/${cartId}`, { token });
const change = async (provider: string, offeringId: string, body: unknown) =>
  api.call('PATCH', `/v1/offerings/${offeringId}`, { token: await api.token(provider, 'catalog'), body });

/** A cart of ada's that a booking was made from. */
async function convertedCart(): Promise<{ cartId: string; bookingId: string }> {
  const cartId = await newCart();
  const one = await publish(api, 'doctor');
  await put(cartId, one.id);
  const bookingId = await writeAttempt(api.db, one, { cart_id: cartId });
  await settle(api.db, bookingId);
  return { cartId, bookingId };
}

function expectProblem(what: unknown, answer: Answer, status: number, type: string, pointer?: string): void {
  expect([what, answer.status, answer.body.type]).toEqual([what, status, `/problems/${type}`]);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  if (pointer === undefined) return;
  const pointers = answer.body.errors.map((fault: Json) => fault.pointer);
  expect([what, pointers]).toEqual([what, expect.arrayContaining([pointer])]);
}

describe('a cart', () => {
  it('begins empty, with or without a body, and is its owner’s alone', async () => {
    const made = await begin();
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/v1/carts/${made.body.id}`);
    expect(made.body).toEqual({ id: made.body.id, status: 'active', items: [], total: null });
    expect((await api.call('POST', '/v1/carts', { token: ada, body: {} })).status).toBe(201);
    expect((await read(made.body.id)).body).toEqual(made.body);
    expectProblem('foreign', await read(made.body.id, bob), 404, 'not-found');
    expectProblem('unknown', await read(unknownCart), 404, 'not-found');
  });

  it('is one under one key: 201, then 200; without a key, and of another customer, another', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => begin(ada, 'k-1')));
    expect(all.map(({ status }) => status).sort()).toEqual([...Array<number>(19).fill(200), 201]);
    expect(new Set(all.map(({ body }) => body.id)).size).toBe(1);
    const [cartId] = all.map(({ body }) => String(body.id));
    expect(await api.db('carts').where({ id: cartId })).toHaveLength(1);
    const filled = await put(cartId ?? '', offering.id);
    const again = await begin(ada, 'k-1');
    expect([again.status, again.body]).toEqual([200, filled.body]);
    const others = [await begin(bob, 'k-1'), await begin(ada, 'k-2'), await begin(ada), await begin(ada)];
    expect(others.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
    expect(new Set([cartId, ...others.map(({ body }) => String(body.id))]).size).toBe(5);
  });

  it('is filled, changed and emptied, and tells its total at the prices of now', async () => {
    const cartId = await newCart();
    const first = { offeringId: offering.id, seats: 1, title: 'Check-up', price: euros(2500) };
    const second = { offeringId: consultation.id, seats: 1, title: 'Advice', price: euros(900) };
    const one = await put(cartId, offering.id);
    const cart = { id: cartId, status: 'active' };
    expect([one.status, one.body]).toEqual([200, { ...cart, items: [first], total: euros(2500) }]);
    const two = await put(cartId, consultation.id, { details: { complaint: 'knee' } });
    expect(two.body).toEqual({ ...cart, items: [first, second], total: euros(3400) });
    // Nobody has four seats there; that is asked when the cart is booked.
    const more = await put(cartId, offering.id, { seats: 4 });
    expect(more.body).toEqual({ ...cart, items: [{ ...first, seats: 4 }, second], total: euros(10_900) });
    await change('mentor', consultation.id, { price: euros(1000), title: 'Good advice' });
    const dearer = { ...second, title: 'Good advice', price: euros(1000) };
    expect((await read(cartId)).body).toEqual({
      ...cart,
      items: [{ ...first, seats: 4 }, dearer],
      total: euros(11_000),
    });
    const less = await takeOut(cartId, offering.id);
    expect([less.status, less.body]).toEqual([200, { ...cart, items: [dearer], total: euros(1000) }]);
    expect((await takeOut(cartId, offering.id)).body).toEqual(less.body);
    expect((await takeOut(cartId, unknownOffering)).body).toEqual(less.body);
    expect((await takeOut(cartId, consultation.id)).body).toEqual({ ...cart, items: [], total: null });
    await change('mentor', consultation.id, { price: euros(900), title: 'Advice' });
  });

  it('adds up sums that no single price reaches', async () => {
    const cartId = await newCart();
    for (let n = 0; n < 3; n += 1) {
      const { id } = await publish(api, 'doctor', slot({ price: euros(99_999_999) }));
      await put(cartId, id, { seats: 8 });
    }
    expect((await read(cartId)).body.total).toEqual(euros(2_399_999_976));
  });

  it('of what is free has a total of 0', async () => {
    const cartId = await newCart();
    const { id } = await publish(api, 'doctor', slot({ price: euros(0) }));
    expect((await put(cartId, id)).body.total).toEqual(euros(0));
  });

  it('reserves nothing: a slot that is full goes in, and its seats stay who paid for them', async () => {
    const cartId = await newCart();
    const full = await publish(api, 'doctor');
    await settle(api.db, await writeAttempt(api.db, full));
    const { status, body } = await put(cartId, full.id, { seats: 3 });
    expect([status, body.items[0].seats]).toEqual([200, 3]);
    const other = await publish(api, 'doctor');
    await put(cartId, other.id);
    expect((await api.call('GET', `/v1/offerings/${other.id}`)).body.seatsAvailable).toBe(1);
  });

  it('keeps details for the provider, unchanged, and shows and logs none of them', async () => {
    const cartId = await newCart();
    const secret = { summary: 'hush-hush', deep: [null, { __proto__: 1 }, 1e308, '🙂'] };
    const kept = async (): Promise<Json> => {
      const sql = 'SELECT details, details IS NULL AS absent FROM cart_items WHERE cart_id = ?';
      return (await api.db.raw<{ rows: Json[] }>(sql, [cartId])).rows[0];
    };
    const answer = await put(cartId, offering.id, { details: secret });
    expect(JSON.stringify(answer.body) + api.logged.join('')).not.toMatch(/hush|details/);
    expect((await kept()).details).toEqual(JSON.parse(JSON.stringify(secret)));
    // What JSON calls null was said; what is missing was not, and whatever was there is gone.
    await put(cartId, offering.id, { details: null });
    expect(await kept()).toEqual({ details: null, absent: false });
    await put(cartId, offering.id, {});
    expect(await kept()).toEqual({ details: null, absent: true });
  });
});

describe('what is put into a cart', () => {
  it('is refused with its problem, and nothing is written', async () => {
    const cartId = await newCart();
    await put(cartId, offering.id);
    const dollars = await publish(api, 'doctor', slot({ price: { amountMinor: 100, currency: 'USD' } }));
    const [closed, begun] = [await publish(api, 'doctor'), await publish(api, 'doctor')];
    await change('doctor', closed.id, { status: 'closed' });
    const started_at = api.db.raw(`now() - interval '1 second'`);
    await api.db('offerings').where({ id: begun.id }).update({ starts_at: started_at });
    const before = await countRows(api.db);
    const rows = await api.db('cart_items').where({ cart_id: cartId });
    for (const [offeringId, body, status, type, pointer] of [
      [offering.id, { seats: 0 }, 400, 'invalid-request', '/seats'],
      [offering.id, { seats: 9 }, 400, 'invalid-request', '/seats'],
      [offering.id, { seats: 1.5 }, 400, 'invalid-request', '/seats'],
      [offering.id, { seats: '2' }, 400, 'invalid-request', '/seats'],
      [offering.id, { seats: null }, 400, 'invalid-request', '/seats'],
      [offering.id, { price: euros(1) }, 400, 'invalid-request', '/price'],
      [offering.id, { details: 'x'.repeat(8 * 1024) }, 400, 'invalid-request', '/details'],
      [offering.id, { details: { deep: ['a\0b'] } }, 400, 'invalid-request', '/details/deep/0'],
      [offering.id, { details: { '\ud800': 1 } }, 400, 'invalid-request', '/details'],
      [offering.id, { details: 'x'.repeat(70_000) }, 413, 'payload-too-large'],
      [offering.id, [], 400, 'invalid-request'],
      [consultation.id, { seats: 2 }, 400, 'invalid-request', '/seats'],
      [dollars.id, {}, 400, 'invalid-request'],
      [closed.id, {}, 409, 'offering-closed'],
      [begun.id, {}, 409, 'offering-closed'],
      [unknownOffering, {}, 404, 'not-found'],
      ['nonsense', {}, 404, 'not-found'],
      ['%00', {}, 404, 'not-found'],
    ] as [string, unknown, number, string, string?][]) {
      const what = [offeringId, JSON.stringify(body).slice(0, 60)];
      expectProblem(what, await put(cartId, offeringId, body), status, type, pointer);
    }
    expect(await countRows(api.db)).toEqual(before);
    expect(await api.db('cart_items').where({ cart_id: cartId })).toEqual(rows);
    // The largest that is taken: its JSON has two quotation marks.
    expect((await put(cartId, offering.id, { details: 'x'.repeat(8 * 1024 - 2) })).status).toBe(200);
  });

  it('is refused to strangers and unknown carts alike, and nothing is written', async () => {
    const cartId = await newCart();
    await put(cartId, offering.id, { seats: 2 });
    const before = await countRows(api.db);
    const own = await read(cartId);
    for (const [what, answer] of [
      ['put', await put(cartId, consultation.id, {}, bob)],
      ['put again', await put(cartId, offering.id, { seats: 1 }, bob)],
      ['take out', await takeOut(cartId, offering.id, bob)],
      ['put into none', await put(unknownCart, offering.id)],
      ['take out of none', await takeOut(unknownCart, offering.id)],
      ['put into nonsense', await put('crt_x', offering.id)],
      ['take nonsense out', await takeOut(cartId, 'off_x')],
    ] as [string, Answer][]) {
      expectProblem(what, answer, 404, 'not-found');
    }
    expect((await begin(ada, 'k'.repeat(256))).status).toBe(400);
    expect((await api.call('POST', '/v1/carts', { token: ada, body: { items: [] } })).status).toBe(400);
    expect(await countRows(api.db)).toEqual(before);
    expect((await read(cartId)).body).toEqual(own.body);
  });

  it('is at most 20 offerings; one of them may still be changed, and one taken out makes room', async () => {
    const cartId = await newCart();
    const ids: string[] = [];
    for (let n = 0; n < 21; n += 1) ids.push((await publish(api, 'doctor', slot({ capacity: 2 }))).id);
    const [first = '', ...rest] = ids;
    const last = rest.pop() ?? '';
    for (const id of [first, ...rest]) expect((await put(cartId, id)).status).toBe(200);
    expectProblem('the 21st', await put(cartId, last), 400, 'invalid-request');
    expect((await put(cartId, first, { seats: 2 })).body.items).toHaveLength(20);
    await takeOut(cartId, first);
    const shown = (await put(cartId, last)).body.items.map((item: Json) => item.offeringId);
    expect(shown).toEqual([...rest, last]);
  });

  it('keeps one currency, also when a provider changes it: no total until the odd one is out', async () => {
    const cartId = await newCart();
    const [one, two] = [await publish(api, 'doctor'), await publish(api, 'doctor')];
    await put(cartId, one.id);
    await put(cartId, two.id);
    await change('doctor', two.id, { price: { amountMinor: 100, currency: 'USD' } });
    const mixed = await read(cartId);
    expect(mixed.body.total).toBeNull();
    expect(mixed.body.items.map((item: Json) => item.price.currency)).toEqual(['EUR', 'USD']);
    for (const { id } of [one, two]) {
      expectProblem('mixed', await put(cartId, id, { seats: 2 }), 400, 'invalid-request');
    }
    expect((await takeOut(cartId, one.id)).body.total).toEqual({ amountMinor: 100, currency: 'USD' });
    // An item alone may be put in anew, whatever its currency has become.
    await change('doctor', two.id, { price: euros(100) });
    expect((await put(cartId, two.id)).body.total).toEqual(euros(100));
  });
});

describe('a converted cart', () => {
  it('names its booking, can be read, and takes no change', async () => {
    const { cartId, bookingId } = await convertedCart();
    const { body } = await read(cartId);
    expect(body).toMatchObject({ status: 'converted', bookingId, total: euros(2500) });
    const before = await countRows(api.db);
    expectProblem('put', await put(cartId, offering.id), 409, 'cart-converted');
    expectProblem('put unknown', await put(cartId, unknownOffering), 409, 'cart-converted');
    expectProblem('put again', await put(cartId, body.items[0].offeringId), 409, 'cart-converted');
    expectProblem('take out', await takeOut(cartId, body.items[0].offeringId), 409, 'cart-converted');
    expectProblem('foreign', await put(cartId, offering.id, {}, bob), 404, 'not-found');
    expect(await countRows(api.db)).toEqual(before);
    expect((await read(cartId)).body).toEqual(body);
  });
});

describe('at the same moment', () => {
  it('two currencies: exactly one of them goes in', async () => {
    const dollars = await publish(api, 'doctor', slot({ price: { amountMinor: 100, currency: 'USD' } }));
    for (let round = 0; round < 20; round += 1) {
      const cartId = await newCart();
      const both = await Promise.all([put(cartId, offering.id), put(cartId, dollars.id)]);
      expect(both.map(({ status }) => status).sort()).toEqual([200, 400]);
      expect((await read(cartId)).body.items).toHaveLength(1);
    }
  });

  it('25 offerings: 20 go in, the others are refused', async () => {
    const offerings = await Promise.all(Array.from({ length: 25 }, () => publish(api, 'crowd')));
    const cartId = await newCart();
    const all = await Promise.all(offerings.map(({ id }) => put(cartId, id)));
    const count = (status: number) => all.filter((one) => one.status === status).length;
    expect([count(200), count(400)]).toEqual([20, 5]);
    const full = (await read(cartId)).body.items.map((item: Json) => String(item.offeringId));
    expect(full).toHaveLength(20);
    // And again where it matters most: one place is left, and five want it.
    for (let round = 0; round < 10; round += 1) {
      const last = offerings.filter(({ id }) => !full.includes(id));
      await takeOut(cartId, full.shift() ?? '');
      const five = await Promise.all(last.map(({ id }) => put(cartId, id)));
      expect(five.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400, 400]);
      full.push(String(last[five.findIndex(({ status }) => status === 200)]?.id));
    }
  });

  it('the same offering 20 times, and out: one row or none', async () => {
    const cartId = await newCart();
    const all = await Promise.all([
      ...Array.from({ length: 20 }, (_, n) => put(cartId, offering.id, { seats: (n % 8) + 1 })),
      ...Array.from({ length: 5 }, () => takeOut(cartId, offering.id)),
    ]);
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect((await api.db('cart_items').where({ cart_id: cartId })).length).toBeLessThanOrEqual(1);
  });

  it('a change waits for the settlement that converts the cart, and then comes too late', async () => {
    const cartId = await newCart();
    await put(cartId, offering.id);
    const one = await publish(api, 'doctor');
    const bookingId = await writeAttempt(api.db, one, { cart_id: cartId });
    let answered = 0;
    let changes: Promise<Answer>[] = [];
    await api.db.transaction(async (trx) => {
      await settle(trx, bookingId);
      changes = [put(cartId, consultation.id), takeOut(cartId, offering.id)];
      for (const one of changes) void one.finally(() => (answered += 1));
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(answered).toBe(0);
    });
    for (const answer of await Promise.all(changes)) expectProblem('late', answer, 409, 'cart-converted');
    expect(await api.db('cart_items').where({ cart_id: cartId }).pluck('offering_id')).toEqual([offering.id]);
    // What is shown is what was booked.
    expect((await read(cartId)).body.items.map((item: Json) => item.offeringId)).toEqual([one.id]);
  });
});

it('the crowd’s offerings are there (control: they were all bookable)', async () => {
  const pages = await pagesOf(api, '/v1/offerings?providerId=crowd&available=true&limit=10');
  expect(pages.map((page) => page.length)).toEqual([10, 10, 5]);
});
