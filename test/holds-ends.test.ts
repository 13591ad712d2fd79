/** How holds end, and what else they meet: the end of an attempt, other offerings, carts, the wallet, a payment at the last moment. */
import type { Gateway } from '../src/gateways/gateway';
import {
  expectOneEnd,
  outcomeOf,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  seatsFree,
  Shopper,
  tracesOf,
} from './book-setup';
import { cartOf } from './carts-setup';
import { expectWindow, holdOf, letTimePass, remembered, settlingSeconds } from './holds-setup';
import { balanceOf, credit } from './wallet-setup';
import { eventually, startWorld, type Json, type World } from './world';

const holdSeconds = 600;

/** The shortest hold there is; the tests that wait for its end wait that long. */
const shortest = 5;

let world: World;
let ada: Shopper;
let grace: Shopper;
/** Attempts whose payment object the gateway refuses to make. */
const refusedAtGateway = new Set<string>();

beforeAll(async () => {
  const wrapGateway = (gateway: Gateway): Gateway => ({
    ...gateway,
    open: (wanted) =>
      refusedAtGateway.has(wanted.bookingId)
        ? Promise.resolve({ status: 'refused', replayed: false, reason: 'not today' })
        : gateway.open(wanted),
  });
  world = await startWorld({ wrapGateway });
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
  grace = new Shopper(world);
});
afterEach(() => world.sandbox.clearFaults());

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';

const taken = { status: 409, body: { type: '/problems/slot-unavailable' } };

/** The attempt has ended, and the transaction that ended it wrote its seats and its remembered hold as well. */
async function expectClearedAsItEnded(slot: string, bookingId: string, status: string): Promise<void> {
  const attempt = await world
    .db('attempts')
    .where({ booking_id: bookingId })
    .first<{ status: string; by: string }>('status', world.db.raw('xmin::text AS by'));
  const seats = await world
    .db('seats')
    .where({ offering_id: slot })
    .select<Json[]>('held_by', 'held_until', 'booking_id', world.db.raw('xmin::text AS by'));
  const hold = await world
    .db('holds')
    .where({ booking_id: bookingId })
    .first<Json>(world.db.raw('xmin::text AS by, held_until <= now() AS over'));
  expect(attempt.status).toBe(status);
  expect(seats).toEqual(
    seats.map(() => ({ held_by: null, held_until: null, booking_id: null, by: attempt.by })),
  );
  expect(hold).toEqual({ by: attempt.by, over: true });
  expect(await seatsFree(world, slot)).toBe(seats.length);
}

test('who cancels gives the hold back in the same transaction', async () => {
  const slot = await publish(world, { holdSeconds, capacity: 2 });
  const booking = await ada.start([{ offeringId: slot, seats: 2 }]);
  expect(await seatsFree(world, slot)).toBe(0);
  expect((await ada.cancel(booking.id)).body.status).toBe('canceled');
  await expectClearedAsItEnded(slot, booking.id, 'canceled');
  const hers = await grace.start([{ offeringId: slot, seats: 2 }]);
  expect(await holdOf(world, hers.id)).toMatchObject({ seats: { [slot]: 2 } });
});

test('the end of the window gives the hold back in the same transaction, whether a payment was declined or none was made', async () => {
  const [left, refused] = await Promise.all([
    publish(world, { holdSeconds: shortest }),
    // Time for two declines.
    publish(world, { holdSeconds: 4 * shortest }),
  ]);
  const [first, second] = await Promise.all([ada.start(left), grace.start(refused)]);
  await pay(world, second, declined);
  await grace.until(second.id, (now) => now.failure !== undefined);
  const before = await holdOf(world, second.id);
  // A retry half-way keeps the end of both.
  await grace.retry(second.id);
  await pay(world, second, declined);
  expect(await holdOf(world, second.id)).toEqual(before);
  for (const [slot, { id }, shopper] of [
    [left, first, ada],
    [refused, second, grace],
  ] as const) {
    await shopper.until(id, 'expired');
    expect(await outcomeOf(world, id)).toBe('expired');
    await expectClearedAsItEnded(slot, id, 'expired');
    const { rows } = await world.db.raw<{ rows: Json[] }>(
      'SELECT ended_at >= expires_at AND ended_at < hold_until AS between FROM attempts WHERE booking_id = ?',
      [id],
    );
    expect(rows).toEqual([{ between: true }]);
  }
});

test('a start that its gateway refuses gives the hold back in the same transaction', async () => {
  const slot = await publish(world, { holdSeconds });
  refusedAtGateway.add(ada.bookingId('a-key'));
  expect(await ada.book(slot, 'a-key')).toMatchObject({
    status: 503,
    body: { type: '/problems/gateway-unavailable' },
  });
  await expectClearedAsItEnded(slot, ada.bookingId('a-key'), 'failed');
});

test('a start refused for its seats holds nothing of anything', async () => {
  const [one, two] = await Promise.all([
    publish(world, { holdSeconds }),
    publish(world, { holdSeconds, capacity: 4 }),
  ]);
  await ada.start(one);
  const both = [{ offeringId: two, seats: 2 }, { offeringId: one }];
  expect(await grace.book(both)).toMatchObject(taken);
  expect([await seatsFree(world, two), await remembered(world, two)]).toEqual([4, {}]);
});

test('who paid in the last moment gets the held seat, which nobody else could have meanwhile', async () => {
  const slot = await publish(world, { holdSeconds: shortest });
  const booking = await ada.start(slot);
  const match = { id: String(booking.payment.gatewayRef) };
  await world.sandbox.webhookFault({
    kind: 'drop',
    event: '*',
    times: null,
    match: { paymentIntent: match.id },
  });
  await world.sandbox.gate({ name: 'closing', operation: 'payment_intents.cancel', when: 'before', match });
  await world.sandbox.waitForGate('closing', 1);
  // The window has ended, the hold has not: it waits for the gateway's word.
  const { rows } = await world.db.raw<{ rows: Json[] }>(
    'SELECT now() BETWEEN expires_at AND hold_until AS settling FROM attempts WHERE booking_id = ?',
    [booking.id],
  );
  expect(rows).toEqual([{ settling: true }]);
  expect(await seatsFree(world, slot)).toBe(0);
  expect(await grace.book(slot)).toMatchObject(taken);
  expect(await pay(world, booking)).toBe(200);
  await world.sandbox.releaseGate('closing');
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('the window of several offerings is the shortest of their holds, and each seat is held to its end', async () => {
  const [long, short, without, consultation] = await Promise.all([
    publish(world, { holdSeconds: 600, capacity: 3 }),
    publish(world, { holdSeconds: 300, capacity: 3 }),
    publish(world, { capacity: 3 }),
    publish(world, { kind: 'consultation' }),
  ]);
  const wanted = [
    { offeringId: long, seats: 2 },
    { offeringId: without },
    { offeringId: consultation },
    { offeringId: short },
  ];
  const booking = await ada.start(wanted);
  const held = await holdOf(world, booking.id);
  expectWindow(held, 300);
  expect(held).toMatchObject({ seats: { [long]: 2, [short]: 1 }, whole: true });
  const free = await Promise.all([long, short, without].map((id) => seatsFree(world, id)));
  expect(free).toEqual([1, 2, 3]);
  // A hold of hers on one of them sets the end for all of a later attempt.
  await letTimePass(world, booking.id, 100);
  const { until } = await holdOf(world, booking.id);
  const other = await publish(world, { holdSeconds: 900 });
  const second = await ada.start([{ offeringId: short }, { offeringId: other }]);
  expect(await holdOf(world, second.id)).toMatchObject({
    until,
    settlingSeconds,
    seats: { [short]: 1, [other]: 1 },
    whole: true,
  });
  expect(await holdOf(world, booking.id)).toMatchObject({ until, seats: { [long]: 2 } });
  // The first one ends with what is still its own; what moved on stays held.
  await ada.cancel(booking.id);
  expect(await remembered(world, long)).toEqual({ [ada.sub]: false });
  expect(await remembered(world, short)).toEqual({ [ada.sub]: true });
  expect(await Promise.all([long, short, other].map((id) => seatsFree(world, id)))).toEqual([3, 2, 0]);
  await pay(world, second);
  expect(await expectOneEnd(world, second.id)).toBe('confirmed');
  expect(await remembered(world, other)).toEqual({ [ada.sub]: false });
});

test('a cart holds all of its slots while it is paid', async () => {
  const slots = await Promise.all([publish(world, { holdSeconds: 400 }), publish(world, { holdSeconds })]);
  const cartId = await cartOf(ada, slots);
  expect(await Promise.all(slots.map((slot) => seatsFree(world, slot)))).toEqual([1, 1]);
  const booking = await ada.start({ cartId });
  const held = await holdOf(world, booking.id);
  expectWindow(held, 400);
  expect(held).toMatchObject({ seats: Object.fromEntries(slots.map((slot) => [slot, 1])), whole: true });
  expect(await Promise.all(slots.map((slot) => seatsFree(world, slot)))).toEqual([0, 0]);
  for (const slot of slots) expect(await grace.book(slot)).toMatchObject(taken);
  await pay(world, booking);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('the holder who pays from the wallet in another attempt gets the held seat; nobody else does', async () => {
  const slot = await publish(world, { holdSeconds });
  await Promise.all([ada, grace].map((shopper) => credit(world, shopper, priceMinor)));
  const booking = await ada.start(slot);
  expect(await grace.book(slot, 'wallet', 'wallet')).toMatchObject(taken);
  const answer = await ada.book(slot, 'wallet', 'wallet');
  expect(answer).toMatchObject({ status: 201, body: { status: 'confirmed' } });
  expect([await balanceOf(ada), await balanceOf(grace)]).toEqual([0, priceMinor]);
  expect(await rowsThatCount(world, [answer.body.id])).toMatchObject({ bookings: 1, seats: 1, payments: 1 });
  expect(await holdOf(world, booking.id)).toMatchObject({ seats: {} });
  expect(await remembered(world, slot)).toEqual({ [ada.sub]: false });
  // What she pays for the first attempt as well comes back.
  await pay(world, booking);
  expect(await ada.until(booking.id, 'refunded')).toMatchObject({ failure: { type: 'slot-unavailable' } });
  expect(await expectOneEnd(world, booking.id)).toBe('refunded');
});

test('a gateway that does not answer holds the seats no longer than the hold', async () => {
  const slot = await publish(world, { holdSeconds });
  const bookingId = ada.bookingId('a-key');
  const match = { metadata: { bookingId } };
  await world.sandbox.fault({ kind: 'lost-undone', operation: 'payment_intents.create', times: null, match });
  expect((await ada.book(slot, 'a-key')).status).toBe(202);
  expect(await grace.book(slot)).toMatchObject(taken);
  await letTimePass(world, bookingId, holdSeconds + settlingSeconds);
  expect(await seatsFree(world, slot)).toBe(1);
  const hers = await grace.start(slot);
  expect(await holdOf(world, hers.id)).toMatchObject({ seats: { [slot]: 1 } });
  await world.sandbox.clearFaults();
  // Her gateway is back when her time is over: nothing is left that could be paid.
  expect(await expectOneEnd(world, bookingId)).toBe('expired');
  expect(await holdOf(world, hers.id)).toMatchObject({ seats: { [slot]: 1 } });
  await eventually('the payment object closed', async () => {
    const { intents } = await tracesOf(world, bookingId);
    return intents.every((intent) => intent.status === 'canceled');
  });
});
