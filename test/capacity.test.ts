/** Slots for several, from end to end through HTTP: how many seats there are, and how many of them one customer may have. */
import {
  expectOneEnd,
  mailsArrive,
  mailsTo,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  seatsFree,
  Shopper,
  tracesOf,
  type Wanted,
} from './book-setup';
import { startWorld, type Answer, type Json, type World } from './world';

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

const seatsOf = (offeringId: string, seats: number): Wanted => [{ offeringId, seats }];

async function buy(shopper: Shopper, wanted: Wanted): Promise<Json> {
  const booking = await shopper.start(wanted);
  await pay(world, booking);
  return shopper.until(booking.id, 'confirmed');
}

/** Seats that a customer's bookings have in a slot. */
async function had(shopper: Shopper, offeringId: string): Promise<number> {
  const rows = await world
    .db('seats')
    .join('bookings', 'bookings.id', 'seats.booking_id')
    .where({ offering_id: offeringId, customer_id: shopper.sub });
  return rows.length;
}

/** A start that was refused by name, with a sentence, and without anything that could be paid. */
async function expectRefused(answer: Answer, type: string, id: string): Promise<void> {
  expect([answer.status, answer.body.type]).toEqual([409, `/problems/${type}`]);
  expect(answer.body.detail).toEqual(expect.stringMatching(/\S/));
  expect(await tracesOf(world, id)).toMatchObject({ status: 'failed', bookings: 0, seats: 0, intents: [] });
}

/** Pays for attempts so that all of them are settled at the same moment. */
async function payAtOnce(started: readonly Json[]): Promise<void> {
  await world.sandbox.gate({ name: 'paid', operation: 'payment_intents.retrieve', when: 'after' });
  await Promise.all(started.map((booking) => pay(world, booking)));
  await world.sandbox.waitForGate('paid', started.length);
  await world.sandbox.releaseGate('paid');
}

test('two students of a slot for two are booked, the count falls by one each, and the third hears at the start that it is full', async () => {
  const slot = await publish(world, { capacity: 2 });
  const started = [await ada.start(slot), await grace.start(slot)];
  expect(await seatsFree(world, slot)).toBe(2);
  for (const [index, shopper] of [ada, grace].entries()) {
    await pay(world, started[index]);
    await shopper.until(started[index].id, 'confirmed');
    expect(await seatsFree(world, slot)).toBe(1 - index);
  }
  const third = new Shopper(world);
  const answer = await third.book(slot, 'a-key');
  await expectRefused(answer, 'slot-unavailable', third.bookingId('a-key'));
  expect(answer.body.detail).toContain('no seats left');
  const alternatives = await world.call('GET', answer.body.links.alternatives);
  expect(alternatives.status).toBe(200);
  expect(alternatives.body.items.map((one: Json) => one.id)).not.toContain(slot);
  expect(await mailsTo(world, third.email)).toEqual([]);
  for (const booking of started) expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('one item may be several seats: all of them are booked, and paid by the seat', async () => {
  const slot = await publish(world, { capacity: 10 });
  for (const seats of [0, 9, 1.5, -1, '2'])
    expect((await ada.book([{ offeringId: slot, seats: seats as number }])).status).toBe(400);
  const eight = await ada.start(seatsOf(slot, 8));
  expect(eight).toMatchObject({
    total: { amountMinor: 8 * priceMinor, currency: 'EUR' },
    items: [{ seats: 8 }],
  });
  expect(await seatsFree(world, slot)).toBe(10);
  await pay(world, eight);
  await ada.until(eight.id, 'confirmed');
  expect(await seatsFree(world, slot)).toBe(2);
  const tooMany = await grace.book(seatsOf(slot, 3), 'three');
  await expectRefused(tooMany, 'slot-unavailable', grace.bookingId('three'));
  expect(tooMany.body.detail).toContain('only 2 of 3 seats left');
  const two = await buy(grace, seatsOf(slot, 2));
  expect(await seatsFree(world, slot)).toBe(0);
  expect([await had(ada, slot), await had(grace, slot)]).toEqual([8, 2]);
  for (const { id } of [eight, two]) expect(await expectOneEnd(world, id)).toBe('confirmed');
  expect((await tracesOf(world, eight.id)).capturedMinor).toBe(8 * priceMinor);
});

test('who pays for more seats than are left gets none of them, all of the money back, and a mail', async () => {
  const slot = await publish(world, { capacity: 8, title: 'A seminar' });
  const shoppers = [ada, grace, new Shopper(world)];
  const wanted = [5, 4, 6];
  const started = await Promise.all(shoppers.map((one, n) => one.start(seatsOf(slot, wanted[n] ?? 0))));
  await payAtOnce(started);
  const outcomes = await Promise.all(started.map(({ id }) => expectOneEnd(world, id)));
  expect(outcomes.toSorted()).toEqual(['confirmed', 'refunded', 'refunded']);
  expect(await seatsFree(world, slot)).toBe(8 - (wanted[outcomes.indexOf('confirmed')] ?? 0));
  for (const [n, shopper] of shoppers.entries()) {
    if (outcomes[n] === 'confirmed') continue;
    const amountMinor = (wanted[n] ?? 0) * priceMinor;
    expect((await shopper.read(started[n].id)).body).toMatchObject({
      failure: { type: 'slot-unavailable' },
      refund: { status: 'succeeded', amountMinor, reason: 'slot-unavailable' },
    });
    expect(await mailsArrive(world, shopper.email, 1)).toEqual([
      `Your payment of €${(amountMinor / 100).toFixed(2)} has been given back`,
    ]);
    const mail = (await world.mail.messages()).find(({ to }) => to.includes(shopper.email));
    expect(mail?.text).toContain(`- A seminar`);
    expect(mail?.text).toContain(`, ${wanted[n]} seats\n`);
  }
});

test('a student who has the seats a customer may have is refused before any payment', async () => {
  const slot = await publish(world, { capacity: 9, seatsPerCustomer: 2 });
  expect((await world.call('GET', `/v1/offerings/${slot}`)).body.seatsPerCustomer).toBe(2);
  await expectRefused(
    await ada.book(seatsOf(slot, 3), 'three'),
    'seats-per-customer',
    ada.bookingId('three'),
  );
  await buy(ada, slot);
  await expectRefused(await ada.book(seatsOf(slot, 2), 'two'), 'seats-per-customer', ada.bookingId('two'));
  const waiting = await ada.start(slot);
  await pay(world, waiting, declined);
  await ada.until(waiting.id, (now) => now.failure !== undefined);
  await buy(ada, slot);
  const full = await ada.book(slot, 'one');
  await expectRefused(full, 'seats-per-customer', ada.bookingId('one'));
  expect(full.body.detail).toMatch(/at most 2 seats\. You have 2\.$/);
  // The same key is told the same, and a retry of what had started before is told in time, too.
  expect((await ada.book(slot, 'one')).body.type).toBe('/problems/seats-per-customer');
  const retried = await ada.retry(waiting.id);
  expect([retried.status, retried.body.type]).toEqual([409, '/problems/seats-per-customer']);
  expect(await tracesOf(world, waiting.id)).toMatchObject({ charges: 0 });
  // What one has is nobody else's limit.
  await buy(grace, seatsOf(slot, 2));
  expect([await had(ada, slot), await had(grace, slot), await seatsFree(world, slot)]).toEqual([2, 2, 5]);
});

test('two attempts of one student, both paid, beyond what a customer may have: one booking, the other goes back by name', async () => {
  const slot = await publish(world, { capacity: 4, seatsPerCustomer: 1 });
  const [first, second] = [await ada.start(slot), await ada.start(slot)];
  await pay(world, second);
  await ada.until(second.id, 'confirmed');
  await pay(world, first);
  expect(await ada.until(first.id, 'refunded')).toMatchObject({
    failure: { type: 'seats-per-customer', detail: expect.stringMatching(/\S/) },
    refund: { status: 'succeeded', amountMinor: priceMinor, reason: 'seats-per-customer' },
    retryable: false,
  });
  expect(await expectOneEnd(world, first.id)).toBe('refunded');
  expect(await expectOneEnd(world, second.id)).toBe('confirmed');
  expect([await had(ada, slot), await seatsFree(world, slot)]).toEqual([1, 3]);
  expect((await mailsArrive(world, ada.email, 2)).toSorted()).toEqual([
    expect.stringMatching(/^Your booking BK-\w+ is confirmed$/),
    'Your payment of €25.00 has been given back',
  ]);
  const [mail] = (await world.mail.messages()).filter(
    ({ to, subject }) => to.includes(ada.email) && subject.includes('given back'),
  );
  expect(mail?.text).toContain('you have as many seats there as one customer may have');
});

test('payments of one student at the same moment never pass what a customer may have', async () => {
  const limit = 4;
  const slot = await publish(world, { capacity: 20, seatsPerCustomer: limit });
  const wanted = [1, 2, 1, 3, 2, 1];
  const started = await Promise.all(wanted.map((seats) => ada.start(seatsOf(slot, seats))));
  const hers = await grace.start(seatsOf(slot, limit));
  await payAtOnce([...started, hers]);
  const outcomes = await Promise.all(started.map(({ id }) => expectOneEnd(world, id)));
  expect(await expectOneEnd(world, hers.id)).toBe('confirmed');
  const booked = wanted.filter((_, n) => outcomes[n] === 'confirmed').reduce((sum, seats) => sum + seats, 0);
  expect(await had(ada, slot)).toBe(booked);
  expect(booked).toBeLessThanOrEqual(limit);
  for (const [n, seats] of wanted.entries()) {
    if (outcomes[n] === 'confirmed') continue;
    // Nobody is refused what would still have fitted.
    expect(booked + seats).toBeGreaterThan(limit);
    expect((await ada.read(started[n].id)).body).toMatchObject({
      status: 'refunded',
      failure: { type: 'seats-per-customer' },
      refund: { status: 'succeeded', amountMinor: seats * priceMinor, reason: 'seats-per-customer' },
    });
  }
  expect(await seatsFree(world, slot)).toBe(20 - booked - limit);
});

test('what a student called off, or lost, does not count against what a customer may have', async () => {
  const slot = await publish(world, { capacity: 3, seatsPerCustomer: 2 });
  const [calledOff, refused, lost] = await Promise.all([
    ada.start(seatsOf(slot, 2)),
    ada.start(seatsOf(slot, 2)),
    ada.start(seatsOf(slot, 2)),
  ]);
  await ada.cancel(calledOff.id);
  await pay(world, refused, declined);
  await ada.until(refused.id, (now) => now.failure !== undefined);
  await buy(grace, seatsOf(slot, 2));
  await pay(world, lost);
  expect(await ada.until(lost.id, 'refunded')).toMatchObject({ failure: { type: 'slot-unavailable' } });
  // Money that comes for what was called off counts as little.
  await world.sandbox.payClosed(calledOff.payment.gatewayRef);
  await ada.until(calledOff.id, (now) => now.refund?.status === 'succeeded');
  await buy(ada, slot);
  expect([await had(ada, slot), await seatsFree(world, slot)]).toEqual([1, 0]);
  expect(await rowsThatCount(world, [calledOff.id, refused.id, lost.id])).toMatchObject({
    bookings: 0,
    booking_items: 0,
    seats: 0,
  });
});

test('who closes the pay window can book the same slot at once under a new key', async () => {
  const slot = await publish(world, { seatsPerCustomer: 1 });
  const closed = await ada.start(slot);
  expect((await ada.cancel(closed.id)).body.status).toBe('canceled');
  expect(await seatsFree(world, slot)).toBe(1);
  const again = await ada.start(slot);
  expect(again.id).not.toBe(closed.id);
  await pay(world, again);
  await ada.until(again.id, 'confirmed');
  expect(await expectOneEnd(world, closed.id)).toBe('canceled');
  expect(await expectOneEnd(world, again.id)).toBe('confirmed');
  expect(await seatsFree(world, slot)).toBe(0);
});
