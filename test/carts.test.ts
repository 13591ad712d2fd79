/** A cart from end to end through HTTP: filled, paid as a whole, and booked once or not at all. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { bookingWorkflowId } from '../src/workflows/messages';
import {
  expectOneEnd,
  mailsArrive,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  seatsFree,
  Shopper,
  tracesOf,
  gatewayOf,
} from './book-setup';
import { cartOf, publishAll, put, readCart, takeOut, unknownCart } from './carts-setup';
import { playRounds } from './races-end-to-end-setup';
import { auditBooks } from './settling-setup';
import { eventually, startWorld, type Answer, type Json, type World } from './world';

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
afterEach(async () => {
  await world.sandbox.clearFaults();
  expect(await auditBooks(world.db)).toEqual([]);
});

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';
const none = { bookings: 0, booking_items: 0, seats: 0, payments: 0, messages: 0 };
const euros = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const failed = (now: Json): boolean => now.failure !== undefined;
const problemOf = ({ status, body }: Answer) => [status, body.type];

async function change(offeringId: string, to: Record<string, unknown>): Promise<void> {
  const token = await world.token('provider', 'catalog');
  const { status } = await world.call('PATCH', `/v1/offerings/${offeringId}`, { token, body: to });
  expect(status).toBe(200);
}

/** No row, no workflow, nothing at the gateway: the attempt that this key means was never started. */
async function expectNothingStarted(shopper: Shopper, key: string): Promise<void> {
  const id = shopper.bookingId(key);
  expect(await world.db('attempts').where({ booking_id: id })).toEqual([]);
  const handle = world.temporal.workflow.getHandle(bookingWorkflowId(id));
  await expect(handle.describe()).rejects.toBeInstanceOf(WorkflowNotFoundError);
  expect((await tracesOf(world, id)).intents).toEqual([]);
}

test('a cart is filled, changed and emptied, tells its total, and is its owner’s alone', async () => {
  const [slot = '', talk = ''] = await publishAll(
    world,
    { capacity: 3, title: 'Check-up' },
    { kind: 'consultation', title: 'Advice', price: euros(900) },
  );
  const begun = await ada.call('POST', '/v1/carts', {}, 'a cart');
  expect(problemOf(begun)).toEqual([201, undefined]);
  const cartId = String(begun.body.id);
  expect(begun.body).toEqual({ id: cartId, status: 'active', items: [], total: null });
  await put(ada, cartId, slot, { seats: 2 });
  const filled = await put(ada, cartId, talk, { details: 'private' });
  expect(filled.body).toEqual({
    id: cartId,
    status: 'active',
    items: [
      { offeringId: slot, seats: 2, title: 'Check-up', price: euros(priceMinor) },
      { offeringId: talk, seats: 1, title: 'Advice', price: euros(900) },
    ],
    total: euros(2 * priceMinor + 900),
  });
  // It reserves nothing.
  expect(await seatsFree(world, slot)).toBe(3);
  expect((await put(ada, cartId, slot, { seats: 3 })).body.total).toEqual(euros(3 * priceMinor + 900));
  // Who begins it again after a lost answer has the same one.
  const again = await ada.call('POST', '/v1/carts', {}, 'a cart');
  expect([again.status, again.body]).toEqual([200, await readCart(ada, cartId)]);
  for (const answer of [
    await grace.call('GET', `/v1/carts/${cartId}`),
    await put(grace, cartId, slot),
    await takeOut(grace, cartId, slot),
  ]) {
    expect(problemOf(answer)).toEqual([404, '/problems/not-found']);
  }
  expect((await takeOut(ada, cartId, slot)).body.total).toEqual(euros(900));
  await takeOut(ada, cartId, talk);
  expect(await readCart(ada, cartId)).toEqual({ id: cartId, status: 'active', items: [], total: null });
});

test('a paid cart is one booking of its items; the cart is converted in the same moment and linked to it', async () => {
  const [one = '', two = '', talk = ''] = await publishAll(
    world,
    { capacity: 3 },
    {},
    { kind: 'consultation', price: euros(900) },
  );
  const [needs, complaint] = [{ wheelchair: true }, 'left knee'];
  const items = [
    { offeringId: two, seats: 1 },
    { offeringId: one, seats: 2, details: needs },
    { offeringId: talk, seats: 1, details: complaint },
  ];
  const cartId = await cartOf(ada, items);
  const started = await ada.start({ cartId });
  const id = String(started.id);
  expect(started).toMatchObject({ status: 'awaiting_payment', total: euros(3 * priceMinor + 900), items });
  expect((await tracesOf(world, id)).intents).toMatchObject([{ amount: 3 * priceMinor + 900 }]);
  expect(await rowsThatCount(world, [id])).toEqual(none);
  expect((await readCart(ada, cartId)).status).toBe('active');

  // The last thing that the settling writes fails: what was written before it must not stay. The sequence counts the goes,
  // for it takes no part in transactions.
  await world.db.raw(`
    CREATE SEQUENCE goes;
    CREATE FUNCTION fail_payment() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM nextval('goes'); RAISE EXCEPTION 'a fault for the test'; END $$;
    CREATE TRIGGER fail_payment BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION fail_payment()`);
  expect(await pay(world, started)).toBe(200);
  await eventually('two goes at settling', async () => {
    const { rows } = await world.db.raw<{ rows: { last_value: number }[] }>('SELECT last_value FROM goes');
    return Number(rows[0]?.last_value) >= 2;
  });
  expect(await rowsThatCount(world, [id])).toEqual(none);
  expect((await readCart(ada, cartId)).status).toBe('active');
  await world.db.raw('DROP TRIGGER fail_payment ON payments; DROP FUNCTION fail_payment; DROP SEQUENCE goes');

  const booking = await ada.until(id, 'confirmed', 40_000);
  expect(booking).toMatchObject({ reference: expect.stringMatching(/^BK-/), total: started.total, items });
  expect(await readCart(ada, cartId)).toMatchObject({ status: 'converted', bookingId: id });
  expect(await expectOneEnd(world, id)).toBe('confirmed');
  expect(await world.db('booking_items').where({ booking_id: id }).orderBy('offering_id')).toMatchObject(
    [...items]
      .sort((a, b) => (a.offeringId < b.offeringId ? -1 : 1))
      .map(({ offeringId, seats, details = null }) => ({ offering_id: offeringId, seats, details })),
  );
  expect([await seatsFree(world, one), await seatsFree(world, two)]).toEqual([1, 0]);
  // The way from the money to the cart and its customer.
  const linked = await world
    .db('payments as p')
    .join('attempts as a', 'a.booking_id', 'p.booking_id')
    .join('carts as c', 'c.id', 'a.cart_id')
    .where({ gateway_ref: started.payment.gatewayRef })
    .select('c.id as cart', 'c.booking_id as booking', 'c.customer_id as customer', 'amount_minor');
  expect(linked).toEqual([
    { cart: cartId, booking: id, customer: ada.sub, amount_minor: 3 * priceMinor + 900 },
  ]);
});

test('a cart that is empty, unknown or somebody else’s starts nothing', async () => {
  const slot = await publish(world);
  const empty = await cartOf(ada, []);
  const hers = await cartOf(grace, [slot]);
  for (const [cartId, problem] of [
    [empty, [400, '/problems/invalid-request']],
    [unknownCart, [404, '/problems/not-found']],
    [hers, [404, '/problems/not-found']],
    ['crt_nonsense', [400, '/problems/invalid-request']],
  ] as const) {
    expect([cartId, ...problemOf(await ada.book({ cartId }, cartId))]).toEqual([cartId, ...problem]);
    await expectNothingStarted(ada, cartId);
  }
  const both = { ...ada.request(slot), cartId: empty };
  expect(problemOf(await ada.call('POST', '/v1/bookings', both, 'both'))).toEqual([
    400,
    '/problems/invalid-request',
  ]);
  await expectNothingStarted(ada, 'both');
  expect((await readCart(grace, hers)).status).toBe('active');
  // Nothing was started, so the same request is good once there is something in the cart.
  await put(ada, empty, slot);
  expect((await ada.book({ cartId: empty }, empty)).status).toBe(201);
});

test('a second currency is refused when it is put in', async () => {
  const [slot = '', abroad = ''] = await publishAll(
    world,
    {},
    { price: { amountMinor: 100, currency: 'USD' } },
  );
  const cartId = await cartOf(ada, [slot]);
  const before = await readCart(ada, cartId);
  const refused = await put(ada, cartId, abroad);
  expect(problemOf(refused)).toEqual([400, '/problems/invalid-request']);
  expect(refused.body.errors).toMatchObject([{ detail: expect.stringMatching(/USD.*EUR/) }]);
  expect(await readCart(ada, cartId)).toEqual(before);

  // A provider may change a currency behind the cart's back: then it has no total, and cannot be started.
  const [other = ''] = await publishAll(world, {});
  await put(ada, cartId, other);
  await change(other, { price: { amountMinor: 100, currency: 'USD' } });
  expect((await readCart(ada, cartId)).total).toBeNull();
  expect(problemOf(await ada.book({ cartId }, 'mixed'))).toEqual([400, '/problems/invalid-request']);
  expect(await tracesOf(world, ada.bookingId('mixed'))).toMatchObject({ bookings: 0, intents: [] });
  await takeOut(ada, cartId, other);
  expect((await ada.start({ cartId })).total).toEqual(euros(priceMinor));
});

test('a payment that is declined, called off or left leaves the cart active, and it can be paid again', async () => {
  const slot = await publish(world);
  const cartId = await cartOf(ada, [slot]);
  const ids: string[] = [];
  const begin = async (): Promise<Json> => {
    expect(await readCart(ada, cartId)).toMatchObject({ status: 'active', items: [{ offeringId: slot }] });
    const booking = await ada.start({ cartId });
    ids.push(String(booking.id));
    return booking;
  };
  const first = await begin();
  await pay(world, first, declined);
  expect(await ada.until(first.id, failed)).toMatchObject({ retryable: true });
  const second = await begin();
  expect((await ada.cancel(second.id)).body.status).toBe('canceled');
  const { payment } = world.dependencies;
  world.dependencies.payment = { ...payment, windowSeconds: 1 };
  const third = await begin();
  world.dependencies.payment = payment;
  await ada.until(third.id, 'expired');
  expect(await rowsThatCount(world, ids)).toEqual(none);
  // Paid again by another attempt, or by a retry of the first: both are ways on, and the cart is booked by one of them.
  const fourth = await begin();
  await ada.cancel(fourth.id);
  const retried = await ada.retry(first.id);
  expect(retried).toMatchObject({ status: 200, body: { total: euros(priceMinor) } });
  await pay(world, retried.body);
  await ada.until(first.id, 'confirmed');
  expect(await readCart(ada, cartId)).toMatchObject({ status: 'converted', bookingId: first.id });
  const ends = await Promise.all(ids.map((id) => expectOneEnd(world, id)));
  expect(ends).toEqual(['confirmed', 'canceled', 'expired', 'canceled']);
});

test('what is put in, taken out or repriced while somebody pays is not booked: the quote is', async () => {
  const [kept = '', out = '', late = ''] = await publishAll(world, { capacity: 3 }, {}, {});
  const cartId = await cartOf(ada, [{ offeringId: kept, details: 'as first told' }, out]);
  const booking = await ada.start({ cartId });
  await put(ada, cartId, late);
  await takeOut(ada, cartId, out);
  await put(ada, cartId, kept, { seats: 3, details: 'changed' });
  await change(kept, { price: euros(2 * priceMinor), title: 'Dearer now' });
  expect((await readCart(ada, cartId)).total).toEqual(euros(7 * priceMinor));
  await pay(world, booking);
  const confirmed = await ada.until(booking.id, 'confirmed');
  expect(confirmed).toMatchObject({ total: euros(2 * priceMinor), items: booking.items });
  expect(booking.items).toMatchObject([
    { offeringId: kept, seats: 1, title: 'A slot', details: 'as first told' },
    { offeringId: out, seats: 1 },
  ]);
  expect((await tracesOf(world, booking.id)).capturedMinor).toBe(2 * priceMinor);
  expect(await Promise.all([kept, out, late].map((id) => seatsFree(world, id)))).toEqual([2, 0, 1]);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('two attempts paid for one cart: one booking, the other goes back as cart-converted', async () => {
  await playRounds(
    2,
    async () => {
      const shopper = new Shopper(world);
      const slots = await publishAll(world, { capacity: 4 }, { capacity: 4 });
      const cartId = await cartOf(shopper, slots);
      const started = [await shopper.start({ cartId }), await shopper.start({ cartId })];
      const ids = started.map(({ id }) => String(id));
      const gates = await Promise.all(ids.map((id) => gatewayOf(world, 'stripe').gate('read', id)));
      await Promise.all(started.map((booking) => pay(world, booking)));
      await Promise.all(gates.map((gate) => gate.hold()));
      await Promise.all(gates.map((gate) => gate.release()));
      const ends = await Promise.all(ids.map((id) => expectOneEnd(world, id)));
      expect([...ends].sort()).toEqual(['confirmed', 'refunded']);
      const [won = '', lost = ''] = ends[0] === 'confirmed' ? ids : [...ids].reverse();
      expect(await readCart(shopper, cartId)).toMatchObject({ status: 'converted', bookingId: won });
      expect((await shopper.read(lost)).body).toMatchObject({
        failure: { type: 'cart-converted' },
        refund: { status: 'succeeded', amountMinor: 2 * priceMinor, reason: 'cart-converted' },
      });
      expect(await Promise.all(slots.map((slot) => seatsFree(world, slot)))).toEqual([3, 3]);
      expect((await mailsArrive(world, shopper.email, 2)).sort()).toEqual([
        expect.stringMatching(/^Your booking BK-\w+ is confirmed$/),
        'Your payment of €50.00 has been given back',
      ]);
    },
    6,
  );
});

test('one item gone: nothing of the cart is booked, and the whole sum goes back', async () => {
  const [gone = '', free = '', talk = ''] = await publishAll(
    world,
    {},
    { capacity: 2 },
    { kind: 'consultation' },
  );
  const cartId = await cartOf(ada, [free, gone, talk]);
  const booking = await ada.start({ cartId });
  const faster = await grace.start(gone);
  await pay(world, faster);
  await grace.until(faster.id, 'confirmed');
  await pay(world, booking);
  expect(await ada.until(booking.id, 'refunded')).toMatchObject({
    failure: { type: 'slot-unavailable' },
    refund: { status: 'succeeded', amountMinor: 3 * priceMinor, reason: 'slot-unavailable' },
    links: { alternatives: expect.stringContaining('/v1/offerings?') },
  });
  expect(await expectOneEnd(world, booking.id)).toBe('refunded');
  expect(await rowsThatCount(world, [String(booking.id)])).toEqual({ ...none, payments: 1, messages: 1 });
  expect(await seatsFree(world, free)).toBe(2);

  // Known at the start, it is said before anybody pays; without it the rest of the cart is booked.
  expect(await readCart(ada, cartId)).toMatchObject({ status: 'active', items: [{}, {}, {}] });
  expect(problemOf(await ada.book({ cartId }, 'known'))).toEqual([409, '/problems/slot-unavailable']);
  expect((await tracesOf(world, ada.bookingId('known'))).intents).toEqual([]);
  await takeOut(ada, cartId, gone);
  const rest = await ada.start({ cartId });
  await pay(world, rest);
  expect(await ada.until(rest.id, 'confirmed')).toMatchObject({ total: euros(2 * priceMinor) });
});

test('a converted cart takes no changes and starts nothing, and cannot be deleted', async () => {
  const [slot = '', other = ''] = await publishAll(world, { capacity: 9 }, { capacity: 9 });
  const cartId = await cartOf(ada, [slot]);
  const booking = await ada.start({ cartId });
  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  const before = await readCart(ada, cartId);
  for (const answer of [
    await put(ada, cartId, other),
    await put(ada, cartId, slot, { seats: 2 }),
    await takeOut(ada, cartId, slot),
    await ada.book({ cartId }, 'again'),
    await ada.book({ cartId }, 'from the wallet', 'wallet'),
  ]) {
    expect(problemOf(answer)).toEqual([409, '/problems/cart-converted']);
  }
  await expectNothingStarted(ada, 'again');
  await expectNothingStarted(ada, 'from the wallet');
  expect(problemOf(await put(grace, cartId, other))).toEqual([404, '/problems/not-found']);
  expect((await ada.call('DELETE', `/v1/carts/${cartId}`)).status).toBe(404);
  expect(await readCart(ada, cartId)).toEqual(before);

  // Nor by hand: neither the cart, nor what it is linked to, nor the link.
  const { db } = world;
  for (const [table, where] of [
    ['carts', { id: cartId }],
    ['attempts', { cart_id: cartId }],
    ['bookings', { id: booking.id }],
  ] as const) {
    const deleted = db.transaction(async (trx) => {
      await trx('cart_items').where({ cart_id: cartId }).del();
      await trx(table).where(where).del();
    });
    await expect(deleted).rejects.toMatchObject({ code: '23503' });
  }
  await expect(db('carts').where({ id: cartId }).update({ booking_id: null })).rejects.toThrow(
    'a cart has room for one booking',
  );
});
