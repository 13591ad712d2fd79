/** What costs nothing, from end to end through HTTP: booked with the start, and no gateway is asked. */
import {
  expectOneEnd,
  mailsArrive,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  seatsFree,
  Shopper,
} from './book-setup';
import { cartOf, publishAll, readCart } from './carts-setup';
import { startWorld, withoutTicket, type Answer, type Json, type World } from './world';

let world: World;
let ada: Shopper;
let grace: Shopper;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
  grace = new Shopper(world);
});

const nothing = { amountMinor: 0, currency: 'EUR' };

const summary = { subject: 'a question', files: ['röntgen.png'] };

/** A start that names no way to pay, or the one that is told. */
function ask(shopper: Shopper, wanted: Json, payment?: { method: string }, key = 'a-key'): Promise<Answer> {
  const { customer } = shopper.request([]);
  const what = Array.isArray(wanted) ? { items: wanted } : { cartId: String(wanted) };
  return shopper.call('POST', '/v1/bookings', { ...what, customer, ...(payment && { payment }) }, key);
}

const one = (offeringId: string, more: object = {}): Json => [{ offeringId, ...more }];

/** Everything the sandbox was asked, by anybody. */
async function asked(): Promise<number> {
  return (await world.sandbox.ledger()).requests.length;
}

/** What money would have left behind: no row of it may be there. */
async function expectNoMoney(...bookingIds: string[]): Promise<void> {
  for (const table of ['payments', 'payment_tries', 'wallet_entries'])
    expect([table, await world.db(table).whereIn('booking_id', bookingIds)]).toEqual([table, []]);
  const { intents } = await world.sandbox.ledger();
  expect(intents.filter(({ metadata }) => bookingIds.includes(metadata['bookingId'] ?? ''))).toEqual([]);
}

test('what is free is confirmed in the answer to its start, named a way to pay or not, and no gateway is asked', async () => {
  const slot = await publish(world, { price: nothing, capacity: 10 });
  for (const payment of [undefined, { method: 'stripe' }, { method: 'wallet' }]) {
    const shopper = new Shopper(world);
    const free = await seatsFree(world, slot);
    const before = await asked();
    const { status, body, headers } = await ask(shopper, one(slot, { seats: 2, details: summary }), payment);
    expect([payment, status]).toEqual([payment, 201]);
    expect(headers.get('location')).toBe(`/v1/bookings/${body.id}`);
    expect(body).toMatchObject({
      status: 'confirmed',
      reference: expect.stringMatching(/^BK-/),
      total: nothing,
      items: [{ offeringId: slot, seats: 2, details: summary }],
      retryable: false,
      confirmedAt: expect.any(String),
    });
    for (const field of ['expiresAt', 'failure', 'refund']) expect(body).not.toHaveProperty(field);
    if (payment === undefined) expect(body).not.toHaveProperty('payment');
    else expect(body.payment).toEqual({ ...payment, try: 1 });
    expect(withoutTicket((await shopper.read(body.id)).body)).toEqual(withoutTicket(body));
    expect(await seatsFree(world, slot)).toBe(free - 2);
    expect(await asked()).toBe(before);
    expect(await expectOneEnd(world, body.id)).toBe('confirmed');
    expect(await rowsThatCount(world, [body.id])).toEqual({
      bookings: 1,
      booking_items: 1,
      seats: 2,
      payments: 0,
      messages: 1,
    });
    await expectNoMoney(body.id);
  }
  expect(await world.db('wallets')).toEqual([]);
});

test('a way to pay that is not offered is refused although nothing is to pay', async () => {
  const slot = await publish(world, { price: nothing });
  const { status, body } = await ask(ada, one(slot), { method: 'barter' });
  expect([status, body.errors[0].pointer]).toEqual([400, '/payment/method']);
  expect(await seatsFree(world, slot)).toBe(1);
});

test('the same key again is the same free booking; another body under it is refused', async () => {
  const slot = await publish(world, { price: nothing, capacity: 5 });
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask(ada, one(slot))));
  expect(answers.map(({ status }) => status).toSorted()).toEqual([...Array<number>(9).fill(200), 201]);
  expect(new Set(answers.map(({ body }) => JSON.stringify(withoutTicket(body)))).size).toBe(1);
  const booking = answers[0]?.body;
  const again = await ask(ada, one(slot));
  expect([again.status, withoutTicket(again.body)]).toEqual([200, withoutTicket(booking)]);
  const other = await ask(ada, one(slot, { seats: 2 }));
  expect([other.status, other.body.type]).toEqual([422, '/problems/idempotency-key-reused']);
  expect(await seatsFree(world, slot)).toBe(4);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('a free booking is over: it cannot be retried or paid; canceled, it owes nobody anything', async () => {
  const slot = await publish(world, { price: nothing });
  const { body: booking } = await ask(ada, one(slot));
  const retried = await ada.retry(booking.id);
  expect([retried.status, retried.body.type]).toEqual([410, '/problems/attempt-over']);
  expect(await ada.comeBack(booking.id)).toMatchObject({ status: 202, body: { status: 'confirmed' } });
  expect(withoutTicket((await ada.read(booking.id)).body)).toEqual(withoutTicket(booking));
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  const canceled = await ada.cancel(booking.id);
  expect(canceled).toMatchObject({ status: 200, body: { status: 'refunded' } });
  expect(canceled.body.refund).toBeUndefined();
  expect(await seatsFree(world, slot)).toBe(1);
  await expectNoMoney(booking.id);
});

test('of many who want the last free seat at once one has it; the others are told, and nobody owes anything', async () => {
  const slot = await publish(world, { price: nothing });
  const shoppers = Array.from({ length: 12 }, () => new Shopper(world));
  const answers = await Promise.all(
    shoppers.map((shopper, n) => ask(shopper, one(slot), n % 2 === 0 ? undefined : { method: 'stripe' })),
  );
  expect(answers.map(({ status }) => status).toSorted()).toEqual([201, ...Array<number>(11).fill(409)]);
  for (const [n, { status, body }] of answers.entries()) {
    if (status === 409) expect(body).toMatchObject({ type: '/problems/slot-unavailable' });
    const id = shoppers[n]?.bookingId('a-key') ?? '';
    expect(await expectOneEnd(world, id)).toBe(status === 201 ? 'confirmed' : 'failed');
  }
  await expectNoMoney(...shoppers.map((shopper) => shopper.bookingId('a-key')));
  expect(await seatsFree(world, slot)).toBe(0);
});

test('what is free has the limits of everything else: its state, its time, its holds and the seats of one customer', async () => {
  const limited = await publish(world, { price: nothing, capacity: 5, seatsPerCustomer: 2, holdSeconds: 60 });
  const wishes = await Promise.all(
    Array.from({ length: 6 }, (_, n) => ask(ada, one(limited), undefined, `key-${n}`)),
  );
  expect(wishes.map(({ status }) => status).toSorted()).toEqual([201, 201, 409, 409, 409, 409]);
  for (const { status, body } of wishes)
    if (status === 409) expect(body.type).toBe('/problems/seats-per-customer');
  expect([await seatsFree(world, limited), await world.db('holds')]).toEqual([3, []]);

  const closed = await publish(world, { price: nothing });
  const token = await world.token('provider', 'catalog');
  await world.call('PATCH', `/v1/offerings/${closed}`, { token, body: { status: 'closed' } });
  const begun = await publish(world, { price: nothing });
  await world
    .db('offerings')
    .where({ id: begun })
    .update({ starts_at: world.db.raw("now() - interval '1 second'") });
  for (const id of [closed, begun]) {
    const { status, body } = await ask(grace, one(id), undefined, id);
    expect([status, body.type]).toEqual([409, '/problems/offering-closed']);
  }
});

test('a free consultation is booked at once, as often as it is asked for', async () => {
  const id = await publish(world, { kind: 'consultation', price: nothing });
  for (const key of ['first', 'second']) {
    const { status, body } = await ask(ada, one(id, { details: summary }), undefined, key);
    expect(status).toBe(201);
    expect(body).toMatchObject({ status: 'confirmed', items: [{ kind: 'consultation', details: summary }] });
    expect(await expectOneEnd(world, body.id)).toBe('confirmed');
    expect(await world.db('booking_items').where({ booking_id: body.id })).toMatchObject([
      { details: summary },
    ]);
    await expectNoMoney(body.id);
  }
});

test('its mail tells of the booking, and says nothing of money', async () => {
  const slot = await publish(world, { price: nothing, title: 'Open day' });
  const { body: booking } = await ask(ada, one(slot));
  expect(await mailsArrive(world, ada.email, 1)).toEqual([`Your booking ${booking.reference} is confirmed`]);
  const mail = (await world.mail.messages()).find(({ to }) => to.includes(ada.email));
  expect(mail?.text).toContain('your booking stands');
  expect(mail?.text).toContain('- Open day');
  // The reference may spell any word.
  const words = mail?.text.replace(String(booking.reference), '');
  expect(words).not.toMatch(/pay|paid|money|price|€|EUR|0[.,]00/i);
});

test('items that are free and items that are not are paid together, and are booked together or not at all', async () => {
  const [free, priced, consultation] = await Promise.all([
    publish(world, { price: nothing }),
    publish(world),
    publish(world, { kind: 'consultation', price: nothing }),
  ]);
  const wanted = [free, priced, consultation].map((offeringId) => ({ offeringId }));
  const unnamed = await ask(ada, wanted, undefined, 'unnamed');
  expect([unnamed.status, unnamed.body.type]).toEqual([400, '/problems/invalid-request']);
  expect(unnamed.body.detail).toContain('payment method');
  const booking = await ada.start(wanted);
  expect(booking).toMatchObject({
    status: 'awaiting_payment',
    total: { amountMinor: priceMinor, currency: 'EUR' },
  });
  expect(await seatsFree(world, free)).toBe(1);
  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect([await seatsFree(world, free), await seatsFree(world, priced)]).toEqual([0, 0]);

  // The free seat is gone to somebody else: the money for the other goes back, and that one stays free.
  const [lastFree, other] = await Promise.all([publish(world, { price: nothing }), publish(world)]);
  const late = await ada.start([{ offeringId: lastFree }, { offeringId: other }]);
  expect((await ask(grace, one(lastFree))).status).toBe(201);
  await pay(world, late);
  expect(await ada.until(late.id, 'refunded')).toMatchObject({
    failure: { type: 'slot-unavailable' },
    refund: { amountMinor: priceMinor },
  });
  expect(await expectOneEnd(world, late.id)).toBe('refunded');
  expect(await seatsFree(world, other)).toBe(1);
});

test('a cart of free things is converted by its start; with one that is not it is paid', async () => {
  const slots = await publishAll(world, { price: nothing }, { price: nothing });
  const cartId = await cartOf(ada, slots);
  const { status, body } = await ask(ada, cartId);
  expect([status, body.status, body.items.length]).toEqual([201, 'confirmed', 2]);
  expect((await readCart(ada, cartId)).status).toBe('converted');
  expect(await world.db('carts').where({ id: cartId }).first()).toMatchObject({ booking_id: body.id });
  expect(await expectOneEnd(world, body.id)).toBe('confirmed');
  await expectNoMoney(body.id);
  const twice = await ask(ada, cartId, undefined, 'another-key');
  expect([twice.status, twice.body.type]).toEqual([409, '/problems/cart-converted']);

  const mixed = await cartOf(ada, await publishAll(world, { price: nothing }, {}));
  const started = await ask(ada, mixed, { method: 'stripe' }, 'mixed');
  expect(started).toMatchObject({ status: 201, body: { status: 'awaiting_payment' } });
  await pay(world, started.body);
  expect(await expectOneEnd(world, started.body.id)).toBe('confirmed');
  expect((await readCart(ada, mixed)).status).toBe('converted');
});
