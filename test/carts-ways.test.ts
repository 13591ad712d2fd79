/** Carts in the ways they can meet the rest: two providers, the wallet, late retries, honest repeats, and at their largest. */
import { bookingWorkflowId, searchAttributes } from '../src/workflows/messages';
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
} from './book-setup';
import { cartOf, publishAll, readCart } from './carts-setup';
import { auditBooks } from './settling-setup';
import { startWorld, withoutTicket, type Answer, type Json, type World } from './world';
import { balanceOf, credit, movementsOf } from './wallet-setup';

let world: World;
let ada: Shopper;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
});
afterEach(async () => {
  await world.sandbox.clearFaults();
  expect(await auditBooks(world.db)).toEqual([]);
});

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';
const failed = (now: Json): boolean => now.failure !== undefined;
const problemOf = ({ status, body }: Answer) => [status, body.type];

/** The offerings that Temporal names for an attempt. */
async function offeringsNamed(bookingId: string): Promise<string[] | undefined> {
  const handle = world.temporal.workflow.getHandle(bookingWorkflowId(bookingId));
  return (await handle.describe()).typedSearchAttributes.get(searchAttributes.offeringIds);
}

test('a cart with items of two providers is one payment and one booking, and each offering keeps its own seats', async () => {
  const [hers, his] = [await publish(world, {}, 'doctor'), await publish(world, { capacity: 2 }, 'mentor')];
  const cartId = await cartOf(ada, [hers, { offeringId: his, seats: 2 }]);
  const booking = await ada.start({ cartId });
  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect(await tracesOf(world, booking.id)).toMatchObject({ charges: 1, capturedMinor: 3 * priceMinor });
  expect([await seatsFree(world, hers), await seatsFree(world, his)]).toEqual([0, 0]);
});

test('a cart paid from the wallet is converted in the answer; paid again it is refused and takes nothing', async () => {
  const slots = await publishAll(world, { capacity: 9 }, { capacity: 9 });
  await credit(world, ada, 5 * priceMinor);
  const cartId = await cartOf(ada, slots);
  const paid = await ada.start({ cartId }, 'key', 'wallet');
  expect(paid).toMatchObject({ status: 'confirmed', total: { amountMinor: 2 * priceMinor } });
  expect(await readCart(ada, cartId)).toMatchObject({ status: 'converted', bookingId: paid.id });
  expect(await expectOneEnd(world, paid.id)).toBe('confirmed');
  expect(await balanceOf(ada)).toBe(3 * priceMinor);
  const again = await ada.book({ cartId }, 'another key', 'wallet');
  expect(problemOf(again)).toEqual([409, '/problems/cart-converted']);
  expect(await balanceOf(ada)).toBe(3 * priceMinor);
});

test('a cart paid ten times at once from the wallet is one booking and one debit', async () => {
  const slots = await publishAll(world, { capacity: 30 }, { capacity: 30 });
  await credit(world, ada, 100 * priceMinor);
  const cartId = await cartOf(ada, slots);
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) => ada.book({ cartId }, `key ${n}`, 'wallet')),
  );
  expect(answers.map(problemOf).sort()).toEqual([
    [201, undefined],
    ...Array.from({ length: 9 }, () => [409, '/problems/cart-converted']),
  ]);
  expect(await movementsOf(ada)).toEqual([`payment ${-2 * priceMinor}`, `credit ${100 * priceMinor}`]);
  expect(await Promise.all(slots.map((slot) => seatsFree(world, slot)))).toEqual([29, 29]);
});

test('a cart paid by card while it is paid from the wallet: one booking, and the other has all of it back', async () => {
  const slots = await publishAll(world, { capacity: 9 }, { capacity: 9 });
  await credit(world, ada, 5 * priceMinor);
  const cartId = await cartOf(ada, slots);
  const byCard = await ada.start({ cartId });
  const fromWallet = await ada.start({ cartId }, 'key', 'wallet');
  expect(fromWallet.status).toBe('confirmed');
  await pay(world, byCard);
  expect(await ada.until(byCard.id, 'refunded')).toMatchObject({
    failure: { type: 'cart-converted' },
    refund: { status: 'succeeded', amountMinor: 2 * priceMinor, reason: 'cart-converted' },
  });
  for (const [{ id }, outcome] of [
    [byCard, 'refunded'],
    [fromWallet, 'confirmed'],
  ] as const) {
    expect(await expectOneEnd(world, id)).toBe(outcome);
  }
  // What went back to the card did not go to the wallet as well.
  expect(await balanceOf(ada)).toBe(3 * priceMinor);
});

test('a declined attempt is not retried once another attempt booked the cart; it can be called off', async () => {
  const slot = await publish(world, { capacity: 9 });
  const cartId = await cartOf(ada, [slot]);
  const first = await ada.start({ cartId });
  await pay(world, first, declined);
  await ada.until(first.id, failed);
  const second = await ada.start({ cartId });
  await pay(world, second);
  await ada.until(second.id, 'confirmed');
  expect(problemOf(await ada.retry(first.id))).toEqual([409, '/problems/cart-converted']);
  expect((await ada.read(first.id)).body).toMatchObject({ status: 'awaiting_payment', payment: { try: 1 } });
  expect((await ada.cancel(first.id)).body.status).toBe('canceled');
  expect(await expectOneEnd(world, first.id)).toBe('canceled');
  expect(await expectOneEnd(world, second.id)).toBe('confirmed');
  expect(await seatsFree(world, slot)).toBe(8);
});

test('the same request answers the same attempt, also after it has converted the cart; another body does not', async () => {
  const [slot = '', free = ''] = await publishAll(
    world,
    { capacity: 9 },
    { price: { amountMinor: 0, currency: 'EUR' } },
  );
  await credit(world, ada, priceMinor);
  for (const [items, method] of [
    [[slot], 'stripe'],
    [[slot], 'wallet'],
    [[free], 'wallet'],
  ] as const) {
    const cartId = await cartOf(ada, items);
    const started = await ada.start({ cartId }, cartId, method);
    if (method === 'stripe') {
      const repeat = await ada.book({ cartId }, cartId);
      expect([repeat.status, withoutTicket(repeat.body)]).toEqual([200, withoutTicket(started)]);
      await pay(world, started);
    }
    const booking = await ada.until(started.id, 'confirmed');
    const again = await Promise.all(Array.from({ length: 5 }, () => ada.book({ cartId }, cartId, method)));
    for (const { status, body } of again)
      expect([status, withoutTicket(body)]).toEqual([200, withoutTicket(booking)]);
    const other = await ada.book({ cartId: await cartOf(ada, [slot]) }, cartId, method);
    expect(problemOf(other)).toEqual([422, '/problems/idempotency-key-reused']);
    expect(await expectOneEnd(world, started.id)).toBe('confirmed');
  }
  expect(await movementsOf(ada)).toEqual([`payment ${-priceMinor}`, `credit ${priceMinor}`]);
});

test('the workflow of a cart names its offerings to operators, also where the start was refused', async () => {
  const [one = '', two = ''] = await publishAll(world, {}, { kind: 'consultation' });
  const cartId = await cartOf(ada, [two, one]);
  const booking = await ada.start({ cartId });
  expect([...((await offeringsNamed(booking.id)) ?? [])].sort()).toEqual([one, two].sort());
  await ada.cancel(booking.id);
  await expectOneEnd(world, booking.id);
  expect([...((await offeringsNamed(booking.id)) ?? [])].sort()).toEqual([one, two].sort());
  const poor = ada.bookingId('poor');
  expect((await ada.book({ cartId }, 'poor', 'wallet')).status).toBe(402);
  expect([...((await offeringsNamed(poor)) ?? [])].sort()).toEqual([one, two].sort());
});

test('a cart of 20 items with 8 seats each is one payment, one booking of 160 seats and one mail', async () => {
  const slots = await publishAll(
    world,
    ...Array.from({ length: 20 }, (_, n) => ({ capacity: 8, title: `Talk ${n}` })),
  );
  const cartId = await cartOf(
    ada,
    slots.map((offeringId, n) => ({ offeringId, seats: 8, details: { n, text: 'x'.repeat(8000) } })),
  );
  const booking = await ada.start({ cartId });
  expect(booking.total.amountMinor).toBe(160 * priceMinor);
  await pay(world, booking);
  const { items } = await ada.until(booking.id, 'confirmed');
  expect(items).toMatchObject(slots.map((offeringId, n) => ({ offeringId, seats: 8, details: { n } })));
  expect(await rowsThatCount(world, [String(booking.id)])).toEqual({
    bookings: 1,
    booking_items: 20,
    seats: 160,
    payments: 1,
    messages: 1,
  });
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  await mailsArrive(world, ada.email, 1);
  const mail = (await world.mail.messages()).find((one) => one.to.includes(ada.email));
  for (const n of slots.keys()) expect(mail?.text).toContain(`- Talk ${n},`);
});
