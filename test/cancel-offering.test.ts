/** An offering that its provider calls off: every booking given back in full, every open attempt ended, at a gentle pace. */
import { bookAndPay, callOff, expectMoneyToBalance, undone } from './cancel-setup';
import {
  mailsArrive,
  mailsTo,
  outcomeOf,
  pay,
  priceMinor,
  publish,
  seatsFree,
  Shopper,
  tracesOf,
} from './book-setup';
import { setTimeout as pause } from 'node:timers/promises';
import { cancelOfferingWorkflowId } from '../src/workflows/messages';
import { startWorld, type Json, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await world.call('PUT', '/v1/provider', {
    token: await world.token('provider', 'catalog'),
    body: { displayName: 'Dr. Grace', email: 'grace@example.org' },
  });
});
afterAll(() => world.stop());
afterEach(async () => {
  await world.sandbox.clearFaults();
  await expectMoneyToBalance(world);
});

/** Waits for the end of calling it off. */
async function calledOff(offeringId: string, ms = 60_000): Promise<void> {
  const handle = world.temporal.workflow.getHandle(cancelOfferingWorkflowId(offeringId));
  await Promise.race([
    handle.result(),
    new Promise((_, reject) =>
      setTimeout(() => reject(new Error(`${offeringId} is still being called off`)), ms).unref(),
    ),
  ]);
}

/** Shoppers who have booked, `n` at once at most. */
async function bookMany(slot: string, count: number, n = 10) {
  const booked: Awaited<ReturnType<typeof bookAndPay>>[] = [];
  while (booked.length < count) {
    const some = Array.from({ length: Math.min(n, count - booked.length) }, () => bookAndPay(world, slot));
    booked.push(...(await Promise.all(some)));
  }
  return booked;
}

test('is answered 202, then 200, and cannot be changed any more', async () => {
  const slot = await publish(world);
  expect(await callOff(world, slot, 'another')).toMatchObject({ status: 404 });
  expect((await world.call('GET', `/v1/offerings/${slot}`)).body.status).toBe('open');
  expect(await callOff(world, slot)).toMatchObject({ status: 202, body: { id: slot, status: 'canceled' } });
  expect(await callOff(world, slot)).toMatchObject({ status: 200, body: { id: slot, status: 'canceled' } });
  const token = await world.token('provider', 'catalog');
  for (const body of [{ status: 'open' }, { title: 'Another' }]) {
    const changed = await world.call('PATCH', `/v1/offerings/${slot}`, { token, body });
    expect(changed).toMatchObject({ status: 409, body: { type: expect.stringMatching('offering-closed') } });
  }
  expect((await world.call('GET', `/v1/offerings/${slot}`)).body).toMatchObject({
    status: 'canceled',
    title: 'A slot',
  });
  const { items } = (await world.call('GET', '/v1/offerings?available=true&providerId=provider')).body;
  expect(items.map((one: Json) => one.id)).not.toContain(slot);
  expect((await new Shopper(world).book(slot)).body.type).toMatch('offering-closed');
  const missing = await callOff(world, `off_${'0'.repeat(24)}`);
  expect(missing.status).toBe(404);
  await calledOff(slot);
});

test('gives every booking back in full, also where the customer would get nothing; each is told once', async () => {
  const [slot, other] = await Promise.all([
    publish(world, { capacity: 9, refundPercent: 0, refundUntilSeconds: 31_536_000 }),
    publish(world),
  ]);
  const alone = await bookMany(slot, 6);
  const both = await bookAndPay(world, [{ offeringId: slot, seats: 2 }, { offeringId: other }]);
  expect((await alone[0]?.shopper.cancel(alone[0].id))?.status).toBe(409);
  expect((await callOff(world, slot)).status).toBe(202);
  for (const { shopper, id } of [...alone, both]) {
    expect(await shopper.until(id, 'refunded')).toMatchObject({
      refund: { reason: 'canceled-by-provider', amountMinor: id === both.id ? 3 * priceMinor : priceMinor },
    });
    expect(await undone(world, id)).toMatchObject({
      seats: 0,
      refunds: 1,
      booking: 'canceled',
      messages: [
        'booking-canceled',
        'booking-confirmed',
        'payment-refunded',
        'provider-booked',
        'provider-canceled',
      ],
    });
  }
  await calledOff(slot);
  // Of the other slot the seat is free again, and that slot is as it was.
  expect([await seatsFree(world, slot), await seatsFree(world, other)]).toEqual([9, 1]);
  expect((await world.call('GET', `/v1/offerings/${other}`)).body.status).toBe('open');
  for (const { shopper } of [...alone, both]) {
    await mailsArrive(world, shopper.email, 3);
    expect(await mailsTo(world, shopper.email)).toHaveLength(3);
  }
  const again = alone[0];
  expect(await again?.shopper.cancel(again.id)).toMatchObject({ status: 200, body: { status: 'refunded' } });
});

test('ends open attempts, and closes what they could have been paid by', async () => {
  const slot = await publish(world, { capacity: 20 });
  const shoppers = Array.from({ length: 7 }, () => new Shopper(world));
  const open = await Promise.all(shoppers.map((shopper) => shopper.start(slot)));
  await pay(world, open[0], 'pm_card_chargeDeclined');
  await callOff(world, slot);
  for (const [n, { id }] of open.entries()) {
    expect(await shoppers[n]?.until(id, 'canceled')).toMatchObject({ failure: { type: 'offering-closed' } });
    expect(await outcomeOf(world, id)).toBe('canceled');
    expect((await tracesOf(world, id)).intents).toMatchObject([{ status: 'canceled' }]);
    expect(await pay(world, open[n])).toBe(400);
  }
  await calledOff(slot);
});

test('while 20 customers pay: each ends refunded or canceled, and no booking is left on it', async () => {
  const slot = await publish(world, { capacity: 20 });
  const shoppers = Array.from({ length: 20 }, () => new Shopper(world));
  const open = await Promise.all(shoppers.map((shopper) => shopper.start(slot)));
  const paying = open.map((booking) => pay(world, booking));
  const answer = callOff(world, slot);
  await Promise.all(paying);
  expect((await answer).status).toBe(202);
  await calledOff(slot);
  const ends = await Promise.all(
    open.map(
      async ({ id }, n) =>
        (await shoppers[n]?.until(id, (now) => ['refunded', 'canceled'].includes(now.status))).status,
    ),
  );
  expect(ends).toHaveLength(20);
  const left = await world
    .db('booking_items')
    .join('bookings', 'bookings.id', 'booking_id')
    .where({ offering_id: slot, status: 'confirmed' });
  expect(left).toEqual([]);
  expect(await seatsFree(world, slot)).toBe(20);
  for (const { id } of open) {
    const { capturedMinor, refundedMinor, intents } = await tracesOf(world, String(id));
    expect(refundedMinor).toBe(capturedMinor);
    expect(intents.map((one) => one.status)).not.toContain('requires_payment_method');
  }
});

test('a disputed booking is undone when the dispute is won, and stays lost when it is lost', async () => {
  const slot = await publish(world, { capacity: 2 });
  const [won, lost] = await bookMany(slot, 2);
  if (won === undefined || lost === undefined) throw new Error('Bug: two were booked');
  const ids = await Promise.all([won, lost].map(({ ref }) => world.sandbox.dispute(ref)));
  for (const { shopper, id } of [won, lost]) await shopper.until(id, 'needs_attention');
  await callOff(world, slot);
  await calledOff(slot);
  await world.sandbox.closeDispute(String(ids[0]?.id), 'won');
  await world.sandbox.closeDispute(String(ids[1]?.id), 'lost');
  expect(await won.shopper.until(won.id, 'refunded')).toMatchObject({
    refund: { reason: 'canceled-by-provider', status: 'succeeded', amountMinor: priceMinor },
  });
  expect(await undone(world, won.id)).toMatchObject({ seats: 0, booking: 'canceled', refunds: 1 });
  expect(await lost.shopper.until(lost.id, 'refunded')).toMatchObject({ refund: { reason: 'external' } });
  expect(await undone(world, lost.id)).toMatchObject({ refunds: 0 });
});

/** By default as many as CI has patience for; the number can be raised by hand. */
const many = Number(process.env['CALLED_OFF_BOOKINGS'] ?? 60);

test(
  `at a pace that a gateway of 25 calls a second never refuses, for ${many} bookings`,
  async () => {
    const slot = await publish(world, { capacity: many });
    const booked = await bookMany(slot, many);
    // The booking itself was no gentle matter, and the limit counts the second before it, too.
    await pause(1_000);
    await world.sandbox.rateLimit(25);
    const began = Date.now();
    await callOff(world, slot);
    await calledOff(slot, 600_000);
    for (const { shopper, id } of booked) await shopper.until(id, 'refunded');
    const seconds = Math.round((Date.now() - began) / 1000);
    if (many > 60) process.stderr.write(`${many} bookings were given back in ${seconds} s\n`);
    const { refusedByRate, refunds } = await world.sandbox.ledger();
    expect(refusedByRate).toBe(0);
    const refs = new Set(booked.map(({ ref }) => ref));
    expect(refunds.filter((one) => refs.has(one.paymentIntent))).toHaveLength(many);
  },
  many > 60 ? 900_000 : 240_000,
);
