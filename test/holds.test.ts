/** Offerings that ask for a hold, from end to end through HTTP: seats kept for whoever is paying, until the clock says no. */
import {
  expectOneEnd,
  outcomeOf,
  pay,
  priceMinor,
  publish,
  seatsFree,
  Shopper,
  tracesOf,
} from './book-setup';
import { expectWindow, holdOf, letTimePass, remembered, settlingSeconds } from './holds-setup';
import { startWorld, type Answer, type Json, type World } from './world';

/** A hold that nobody outlives here. */
const holdSeconds = 600;

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
afterEach(() => world.sandbox.clearFaults());

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';

const failed = (now: Json): boolean => now.failure !== undefined;

function refusalOf({ status, body }: Answer): unknown {
  return [status, body.type];
}

const taken = [409, '/problems/slot-unavailable'];

/** Whether lists of what can be booked show it. */
async function isOffered(slot: string): Promise<boolean> {
  const { body } = await world.call('GET', '/v1/offerings?available=true&limit=100');
  return body.items.some((one: Json) => one.id === slot);
}

test('a held slot reads as taken while its customer pays, is refused to others, and is booked when paid', async () => {
  const slot = await publish(world, { holdSeconds });
  expect((await world.call('GET', `/v1/offerings/${slot}`)).body.holdSeconds).toBe(holdSeconds);
  const booking = await ada.start(slot);
  const held = await holdOf(world, booking.id);
  expectWindow(held, holdSeconds);
  expect(held).toMatchObject({ seats: { [slot]: 1 }, whole: true });
  expect([await seatsFree(world, slot), await isOffered(slot)]).toEqual([0, false]);
  const refused = await grace.book(slot, 'a-key');
  expect(refusalOf(refused)).toEqual(taken);
  expect(refused.body.links.alternatives).toEqual(expect.any(String));
  expect(await tracesOf(world, grace.bookingId('a-key'))).toMatchObject({ status: 'failed', intents: [] });

  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect(await holdOf(world, booking.id)).toMatchObject({ seats: {} });
  expect(await remembered(world, slot)).toEqual({ [ada.sub]: false });
  expect(await seatsFree(world, slot)).toBe(0);
});

test('a hold of several seats leaves the others to everyone', async () => {
  const slot = await publish(world, { holdSeconds, capacity: 5 });
  const booking = await ada.start([{ offeringId: slot, seats: 3 }]);
  expect(await holdOf(world, booking.id)).toMatchObject({ seats: { [slot]: 3 }, whole: true });
  expect([await seatsFree(world, slot), await isOffered(slot)]).toEqual([2, true]);
  expect(refusalOf(await grace.book([{ offeringId: slot, seats: 3 }]))).toEqual(taken);
  const hers = await grace.start([{ offeringId: slot, seats: 2 }]);
  expect(await seatsFree(world, slot)).toBe(0);
  await Promise.all([pay(world, booking), pay(world, hers)]);
  for (const { id } of [booking, hers]) expect(await expectOneEnd(world, id)).toBe('confirmed');
});

test('of many who start at once as many hold a seat as there are, and each of them is booked', async () => {
  const slot = await publish(world, { holdSeconds, capacity: 3 });
  const shoppers = Array.from({ length: 8 }, () => new Shopper(world));
  const answers = await Promise.all(shoppers.map((shopper) => shopper.book(slot)));
  const started = answers.filter(({ status }) => status === 201).map(({ body }) => body);
  expect(started).toHaveLength(3);
  for (const answer of answers) if (answer.status !== 201) expect(refusalOf(answer)).toEqual(taken);
  await Promise.all(started.map((booking) => pay(world, booking)));
  for (const { id } of started) expect(await expectOneEnd(world, id)).toBe('confirmed');
});

test('a hold that nobody paid ends by the clock, and the slot is free for everyone without any job', async () => {
  const slot = await publish(world, { holdSeconds });
  const booking = await ada.start(slot);
  await letTimePass(world, booking.id, holdSeconds + settlingSeconds - 30);
  expect([await seatsFree(world, slot), refusalOf(await grace.book(slot))]).toEqual([0, taken]);
  await letTimePass(world, booking.id, 30);
  // The hold still stands in its rows: nothing but the clock has ended it, and its workflow knows nothing of that.
  expect(await holdOf(world, booking.id)).toMatchObject({ seats: { [slot]: 1 } });
  expect([await seatsFree(world, slot), await isOffered(slot)]).toEqual([1, true]);
  const hers = await grace.start(slot);
  expect(await holdOf(world, hers.id)).toMatchObject({ settlingSeconds, seats: { [slot]: 1 } });
  expect(await holdOf(world, booking.id)).toMatchObject({ seats: {} });
  await pay(world, hers);
  expect(await outcomeOf(world, hers.id)).toBe('confirmed');
  await pay(world, booking);
  expect(await ada.until(booking.id, 'refunded')).toMatchObject({
    failure: { type: 'slot-unavailable' },
    refund: { status: 'succeeded', amountMinor: priceMinor },
  });
  for (const { id } of [booking, hers]) await expectOneEnd(world, id);
});

test('money that comes after the hold ended still books what is free', async () => {
  const slot = await publish(world, { holdSeconds });
  const booking = await ada.start(slot);
  await letTimePass(world, booking.id, holdSeconds + settlingSeconds);
  await pay(world, booking);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect(await holdOf(world, booking.id)).toMatchObject({ seats: {} });
});

test('a retry lengthens neither the hold nor the window', async () => {
  const slot = await publish(world, { holdSeconds });
  const booking = await ada.start(slot);
  // A retry that counted anew would now be seen by a hundred seconds.
  await letTimePass(world, booking.id, 100);
  const before = await holdOf(world, booking.id);
  for (const again of [2, 3]) {
    await pay(world, booking, declined);
    await ada.until(booking.id, failed);
    expect(await ada.retry(booking.id)).toMatchObject({ status: 200, body: { payment: { try: again } } });
    expect(await holdOf(world, booking.id)).toEqual(before);
  }
  expectWindow(before, holdSeconds);
  expect(refusalOf(await grace.book(slot))).toEqual(taken);
  await pay(world, booking);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('a second attempt of the same customer takes the hold over with its old end', async () => {
  const slot = await publish(world, { holdSeconds, capacity: 3 });
  const first = await ada.start(slot);
  await letTimePass(world, first.id, 100);
  const { until, expiresAt } = await holdOf(world, first.id);
  const second = await ada.start([{ offeringId: slot, seats: 3 }]);
  expect(await holdOf(world, second.id)).toMatchObject({
    until,
    expiresAt,
    seats: { [slot]: 3 },
    whole: true,
  });
  expect(await holdOf(world, first.id)).toMatchObject({ until, expiresAt, seats: {} });
  // With fewer seats the rest goes back to everyone.
  const third = await ada.start([{ offeringId: slot, seats: 2 }]);
  expect(await holdOf(world, third.id)).toMatchObject({
    until,
    expiresAt,
    seats: { [slot]: 2 },
    whole: true,
  });
  expect(await holdOf(world, second.id)).toMatchObject({ seats: {} });
  expect(await seatsFree(world, slot)).toBe(1);

  // The end of an attempt whose hold went on ends nobody's hold.
  await ada.cancel(second.id);
  expect(await outcomeOf(world, second.id)).toBe('canceled');
  expect(await holdOf(world, third.id)).toMatchObject({ until, seats: { [slot]: 2 } });
  expect(await seatsFree(world, slot)).toBe(1);
  // Whichever of them is paid gets the seats; the hold has served.
  const hers = await grace.start(slot);
  expect(await seatsFree(world, slot)).toBe(0);
  await pay(world, first);
  expect(await expectOneEnd(world, first.id)).toBe('confirmed');
  expect(await holdOf(world, third.id)).toMatchObject({ seats: {} });
  expect(await remembered(world, slot)).toEqual({ [ada.sub]: false, [grace.sub]: true });
  expect(await seatsFree(world, slot)).toBe(1);
  await pay(world, third);
  expect(await ada.until(third.id, 'refunded')).toMatchObject({ failure: { type: 'slot-unavailable' } });
  await pay(world, hers);
  expect(await expectOneEnd(world, hers.id)).toBe('confirmed');
});

test('starting again and again never holds a seat longer than once', async () => {
  const slot = await publish(world, { holdSeconds });
  const first = await ada.start(slot);
  await letTimePass(world, first.id, 300);
  const { until } = await holdOf(world, first.id);
  const attempts = await Promise.all(Array.from({ length: 5 }, () => ada.start(slot)));
  const holds = await Promise.all(attempts.map(({ id }) => holdOf(world, id)));
  expect(holds.map((hold) => hold.until)).toEqual(attempts.map(() => until));
  const held = await world.db('seats').where({ offering_id: slot }).first<{ held_by: string }>();
  expect(attempts.map(({ id }) => String(id))).toContain(held.held_by);
  await letTimePass(world, held.held_by, holdSeconds + settlingSeconds - 300);
  expect(await seatsFree(world, slot)).toBe(1);
  expect(await holdOf(world, (await ada.start(slot)).id)).toMatchObject({ until: null, seats: {} });
  await grace.start(slot);
  expect(await seatsFree(world, slot)).toBe(0);
});

test('after a hold the same customer gets no new one for that long, but may book without', async () => {
  const slot = await publish(world, { holdSeconds });
  const first = await ada.start(slot);
  await ada.cancel(first.id);
  expect([await remembered(world, slot), await seatsFree(world, slot)]).toEqual([{ [ada.sub]: false }, 1]);
  const second = await ada.start(slot);
  expect(await holdOf(world, second.id)).toMatchObject({
    until: null,
    seats: {},
  });
  expect(await seatsFree(world, slot)).toBe(1);
  // Without a hold the window is the usual one.
  const window = Date.parse(second.expiresAt) - Date.parse(second.createdAt);
  expect(window).toBeGreaterThanOrEqual(world.config.payment.windowSeconds * 1000);
  // Somebody else's hold is not hers, and comes before her money.
  const hers = await grace.start(slot);
  expect(await holdOf(world, hers.id)).toMatchObject({ seats: { [slot]: 1 } });
  await pay(world, second);
  expect(await ada.until(second.id, 'refunded')).toMatchObject({ failure: { type: 'slot-unavailable' } });
  await grace.cancel(hers.id);

  // To the second: the pause is as long as the hold, and counts from its end.
  const rest = (seconds: number) =>
    world
      .db('holds')
      .where({ offering_id: slot, customer_id: ada.sub })
      .update({ held_until: world.db.raw('now() - make_interval(secs => ?)', [seconds]) });
  await rest(holdSeconds - 20);
  const third = await ada.start(slot);
  expect(await holdOf(world, third.id)).toMatchObject({ until: null, seats: {} });
  await rest(holdSeconds);
  const fourth = await ada.start(slot);
  expect(await holdOf(world, fourth.id)).toMatchObject({ seats: { [slot]: 1 }, settlingSeconds });
  expect(await seatsFree(world, slot)).toBe(0);
  // Of two attempts of hers the one without a hold may use it as well.
  await pay(world, third);
  expect(await expectOneEnd(world, third.id)).toBe('confirmed');
  await pay(world, fourth);
  expect(await expectOneEnd(world, fourth.id)).toBe('refunded');
});

test('an offering without a hold is held by nobody', async () => {
  const slot = await publish(world);
  expect((await world.call('GET', `/v1/offerings/${slot}`)).body).not.toHaveProperty('holdSeconds');
  const [first, again, hers] = [await ada.start(slot), await ada.start(slot), await grace.start(slot)];
  for (const { id } of [first, again, hers])
    expect(await holdOf(world, id)).toMatchObject({ until: null, seats: {} });
  expect([await remembered(world, slot), await seatsFree(world, slot)]).toEqual([{}, 1]);
  await pay(world, hers);
  expect(await expectOneEnd(world, hers.id)).toBe('confirmed');
  expect(refusalOf(await ada.book(slot))).toEqual(taken);
});
