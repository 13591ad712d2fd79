/** Starts that the workflow itself refuses, for only the quote knows: each is told by name, is kept, and opens nothing. */
import { publish, Shopper, tracesOf } from './book-setup';
import { startWorld, type Json, type World } from './world';

let world: World;
let ada: Shopper;
beforeAll(async () => {
  world = await startWorld({ standing: false });
  ada = new Shopper(world);
});
afterAll(() => world.stop());

/** Sends a start twice under one key; the answer, after both were found to be the same. */
async function refusedStart(key: string, body: Json): Promise<Json> {
  const first = await ada.call('POST', '/v1/bookings', body, key);
  const again = await ada.call('POST', '/v1/bookings', body, key);
  expect({ ...again.body, requestId: '' }).toEqual({ ...first.body, requestId: '' });
  expect(first.headers.get('content-type')).toContain('application/problem+json');
  expect(await tracesOf(world, ada.bookingId(key))).toMatchObject({ bookings: 0, seats: 0, intents: [] });
  return { status: first.status, type: first.body.type, detail: first.body.detail };
}

test('what costs something needs a payment method; what is free needs none', async () => {
  const slot = await publish(world);
  expect(await refusedStart('unpaid', { ...ada.request(slot), payment: undefined })).toEqual({
    status: 400,
    type: '/problems/invalid-request',
    detail: 'Name a payment method: the total is 2500 EUR (smallest unit).',
  });
  const gift = await publish(world, { price: { amountMinor: 0, currency: 'EUR' } });
  const free = { ...ada.request(gift), payment: undefined };
  const booked = await ada.call('POST', '/v1/bookings', free, 'free');
  expect([booked.status, booked.body.status]).toEqual([201, 'confirmed']);
});

test('two currencies, or a consultation twice, are no booking', async () => {
  const [euros, dollars] = await Promise.all([
    publish(world),
    publish(world, { price: { amountMinor: 100, currency: 'USD' } }),
  ]);
  const both = ada.request([{ offeringId: euros }, { offeringId: dollars }]);
  expect(await refusedStart('currencies', both)).toMatchObject({
    status: 400,
    detail: 'All items of one booking must have the same currency.',
  });
  const advice = await publish(world, { kind: 'consultation' });
  const twice = ada.request([{ offeringId: advice, seats: 2 }]);
  expect(await refusedStart('twice', twice)).toMatchObject({
    status: 400,
    detail: '“A consultation” has no seats: ask for it once.',
  });
});

test('a cart that a provider has split into two currencies is no booking, and stays active', async () => {
  const [one, two] = await Promise.all([publish(world), publish(world)]);
  const { body: cart } = await ada.call('POST', '/v1/carts');
  for (const id of [one, two]) await ada.call('PUT', `/v1/carts/${cart.id}/items/${id}`, {});
  await world.call('PATCH', `/v1/offerings/${two}`, {
    token: await world.token('provider', 'catalog'),
    body: { price: { amountMinor: 100, currency: 'USD' } },
  });
  const request = { ...ada.request(one), items: undefined, cartId: cart.id };
  expect(await refusedStart('split', request)).toMatchObject({ status: 400 });
  expect((await ada.call('GET', `/v1/carts/${cart.id}`)).body).toMatchObject({
    status: 'active',
    total: null,
  });
  await ada.call('DELETE', `/v1/carts/${cart.id}/items/${two}`);
  const started = await ada.call('POST', '/v1/bookings', request, 'mended');
  expect([started.status, started.body.total]).toEqual([201, { amountMinor: 2500, currency: 'EUR' }]);
});
