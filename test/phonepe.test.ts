/** PhonePe from end to end: its own page, orders that fail for good and expire by themselves, and money that comes all the same. */
import { atPhonepe, type AtPhonepe } from './at-phonepe';
import { lookedBeside, outcomeOf, priceMinor, publish, seatsFree, Shopper } from './book-setup';
import { oneRound } from './till-gateways';
import { eventually, startWorld, type Json, type World } from './world';

/** Where the shop's own page stands. */
const shop = 'https://shop.example.test/after';

let phonepe: AtPhonepe;
let world: World;
/** A world whose windows last as long as they must at least; orders live far longer. */
let short: World;
let phonepeOfShort: AtPhonepe;
beforeAll(async () => {
  [phonepe, phonepeOfShort] = await Promise.all([atPhonepe(), atPhonepe()]);
  world = await startWorld({ gateways: [phonepe], standing: false, env: { RETURN_URL: shop } });
  short = await startWorld({ gateways: [phonepeOfShort], standing: false, windowSeconds: 5 });
});
afterAll(() => Promise.all([world.stop(), short.stop()]));

const refOf = (booking: Json) => String(booking.payment.gatewayRef);

async function start(at = world): Promise<{ shopper: Shopper; booking: Json; offeringId: string }> {
  const offeringId = await publish(at, { price: { amountMinor: priceMinor, currency: 'INR' } });
  const shopper = new Shopper(at);
  return { shopper, offeringId, booking: await shopper.start(offeringId, undefined, 'phonepe') };
}

/** All of the one charge has gone back, once, and nobody has to decide anything. */
async function expectBackOnce(place: World, at: AtPhonepe, booking: Json): Promise<void> {
  await lookedBeside(place, 'phonepe', refOf(booking));
  expect(await at.ledgerOf(booking.id)).toMatchObject({
    charges: 1,
    capturedMinor: priceMinor,
    refunds: 1,
    refundedMinor: priceMinor,
    refundRefs: [expect.any(String)],
  });
  expect(await place.db('cases').where({ booking_id: booking.id })).toEqual([]);
}

const refunded = (now: Json): boolean => now.refund?.status === 'succeeded';

test('a booking is paid on PhonePe’s page, which sends the browser back to ours', async () => {
  const { shopper, booking } = await start();
  expect(booking.payment).toMatchObject({ method: 'phonepe', gatewayRef: `${String(booking.id)}_1` });
  const page = await fetch(String(booking.payment.checkoutUrl), {
    method: 'POST',
    body: new URLSearchParams({ how: 'ok' }),
    redirect: 'manual',
  });
  expect([page.status, page.headers.get('location')]).toEqual([
    303,
    `${shop}?bookingId=${String(booking.id)}`,
  ]);
  await shopper.until(booking.id, 'confirmed');
  expect(await outcomeOf(world, booking.id)).toBe('confirmed');
  expect(await phonepe.ledgerOf(booking.id)).toMatchObject({ charges: 1, refundRefs: [], payable: [] });
});

test('a decline on the page is no failure while the customer stays there', async () => {
  const { shopper, booking } = await start();
  await phonepe.sandbox.pay(refOf(booking), 'attempt-failed');
  await eventually('the webhook', async () => phonepe.toldOf(refOf(booking)));
  await phonepe.sandbox.pay(refOf(booking), 'ok');
  const now = await shopper.until(booking.id, 'confirmed');
  expect(now.failure).toBeUndefined();
});

test('an order that failed is over; the retry opens another, and money on the first goes back', async () => {
  const { shopper, booking } = await start();
  await phonepe.pay(booking, 'declined');
  await shopper.until(booking.id, (now) => now.failure?.type === 'payment-declined');
  const { body: again } = await shopper.retry(booking.id);
  expect(again.payment).toMatchObject({ try: 2, gatewayRef: `${String(booking.id)}_2` });
  await phonepe.pay(again);
  await shopper.until(booking.id, 'confirmed');
  await outcomeOf(world, booking.id);
  await phonepe.sandbox.payClosed(refOf(booking));
  await eventually('the refund', async () => (await phonepe.ledgerOf(booking.id)).refunds === 1);
  await lookedBeside(world, 'phonepe', refOf(booking));
  expect(await phonepe.ledgerOf(booking.id)).toMatchObject({
    charges: 2,
    capturedMinor: 2 * priceMinor,
    refunds: 1,
    refundedMinor: priceMinor,
  });
  const { refunds } = await phonepe.sandbox.ledger();
  expect(refunds.at(-1)).toMatchObject({ order: refOf(booking) });
  expect((await shopper.read(booking.id)).body.status).toBe('confirmed');
});

describe('money that comes late goes back in full, once:', () => {
  test('completed after the window ended', async () => {
    const { shopper, booking } = await start(short);
    expect(await outcomeOf(short, booking.id)).toBe('expired');
    await phonepeOfShort.pay(booking);
    expect(await shopper.until(booking.id, refunded)).toMatchObject({
      status: 'expired',
      refund: { reason: 'late-payment', amountMinor: priceMinor },
    });
    await expectBackOnce(short, phonepeOfShort, booking);
  });

  test('completed although the order had expired as well', async () => {
    const { shopper, booking } = await start(short);
    await phonepeOfShort.sandbox.expireOrder(refOf(booking));
    expect(await outcomeOf(short, booking.id)).toBe('expired');
    await phonepeOfShort.sandbox.payClosed(refOf(booking));
    await shopper.until(booking.id, refunded);
    await expectBackOnce(short, phonepeOfShort, booking);
  });

  test('completed after the customer canceled', async () => {
    const { shopper, booking, offeringId } = await start();
    expect((await shopper.cancel(booking.id)).body.status).toBe('canceled');
    await phonepe.pay(booking);
    expect(await shopper.until(booking.id, refunded)).toMatchObject({ status: 'canceled' });
    await expectBackOnce(world, phonepe, booking);
    expect(await seatsFree(world, offeringId)).toBe(1);
  });

  test('told of by nobody, and found by the payment watch', async () => {
    const { shopper, booking } = await start();
    await phonepe.silence(booking.id);
    await shopper.cancel(booking.id);
    await phonepe.pay(booking);
    await world
      .db('payment_tries')
      .where({ booking_id: booking.id })
      .update({ next_look_at: world.db.fn.now() });
    await oneRound(world.dependencies);
    await eventually('the refund under way', async () => (await phonepe.ledgerOf(booking.id)).refunds === 1);
    // Nobody tells of its end, either.
    await world.db('refunds').update({ next_look_at: world.db.fn.now() });
    await oneRound(world.dependencies);
    await shopper.until(booking.id, refunded);
    await expectBackOnce(world, phonepe, booking);
  });
});

test('a refund that fails after it was completed is a person’s to decide, and sent again it arrives once', async () => {
  const { shopper, booking } = await start();
  await shopper.cancel(booking.id);
  await phonepe.pay(booking);
  await shopper.until(booking.id, refunded);
  await expectBackOnce(world, phonepe, booking);
  const [first = ''] = (await phonepe.ledgerOf(booking.id)).refundRefs;
  await phonepe.sandbox.failRefund(first);
  const found = await eventually('a case', async () =>
    world.db('cases').where({ booking_id: booking.id }).first<Json>(),
  );
  expect(found).toMatchObject({ kind: 'refund-failed', amount_minor: priceMinor, resolved_at: null });
  expect(await phonepe.ledgerOf(booking.id)).toMatchObject({ refunds: 0, refundedMinor: 0 });
  const token = await world.token('olga', 'ops');
  const body = { action: 'retry-refund' };
  const answer = await eventually('the keeper of the case', async () => {
    const resolved = await world.call('POST', `/v1/cases/${String(found.id)}/resolve`, { token, body });
    return resolved.status === 200 && resolved;
  });
  expect(answer.status).toBe(200);
  await eventually('the second refund', async () => (await phonepe.ledgerOf(booking.id)).refunds === 1);
  const { refundRefs, refundedMinor } = await phonepe.ledgerOf(booking.id);
  expect([refundRefs.length, refundedMinor]).toEqual([2, priceMinor]);
});
