/** Razorpay from end to end: what its orders do that Stripe's payment intents do not. */
import { atRazorpay, type AtRazorpay } from './at-razorpay';
import { gatewayOf, lookedBeside, outcomeOf, publish, seatsFree, Shopper } from './book-setup';
import { startWorld, eventually, type Json, type World } from './world';

const priceMinor = 50_000;
let razorpay: AtRazorpay;
let world: World;
beforeAll(async () => {
  razorpay = await atRazorpay();
  world = await startWorld({ gateways: [razorpay], standing: false });
});
afterAll(() => world.stop());

async function start(at = world): Promise<{ shopper: Shopper; booking: Json; offeringId: string }> {
  const offeringId = await publish(at, { price: { amountMinor: priceMinor, currency: 'INR' } });
  const shopper = new Shopper(at);
  return { shopper, offeringId, booking: await shopper.start(offeringId, undefined, 'razorpay') };
}

const refOf = (booking: Json) => String(booking.payment.gatewayRef);

test('a booking is paid on Razorpay’s page, and the attempt’s id stands on everything there', async () => {
  const { shopper, booking } = await start();
  expect(booking.payment).toMatchObject({
    method: 'razorpay',
    parameters: { keyId: 'rzp_test_tests_only', orderId: refOf(booking), currency: 'INR' },
  });
  await razorpay.pay(booking);
  await shopper.until(booking.id, 'confirmed');
  expect(await outcomeOf(world, booking.id)).toBe('confirmed');
  const { orders, payments } = await razorpay.sandbox.ledger();
  expect(orders.at(-1)).toMatchObject({ metadata: { bookingId: booking.id, try: '1' }, status: 'paid' });
  expect(payments.at(-1)).toMatchObject({ captured: true, metadata: { bookingId: booking.id } });
});

test('a decline leaves the same order payable; the retry opens no other', async () => {
  const { shopper, booking } = await start();
  await razorpay.pay(booking, 'declined');
  const declined = await shopper.until(booking.id, (now) => now.failure !== undefined);
  expect(declined).toMatchObject({ retryable: true, failure: { type: 'payment-declined' } });
  const { body } = await shopper.retry(booking.id);
  expect(body.payment).toMatchObject({ try: 2, gatewayRef: refOf(booking) });
  await razorpay.pay(booking);
  await shopper.until(booking.id, 'confirmed');
});

describe('what the browser brings back', () => {
  test('is a doorbell when Razorpay signed it, and 400 when not', async () => {
    const { shopper, booking } = await start();
    await razorpay.sandbox.webhookFault({
      kind: 'drop',
      event: '*',
      times: 3,
      match: { order: refOf(booking) },
    });
    const { handedBack } = await razorpay.sandbox.pay(refOf(booking), 'ok');
    const forged = await shopper.comeBack(booking.id, { ...handedBack, razorpay_payment_id: 'pay_another' });
    expect([forged.status, forged.body.type]).toEqual([400, '/problems/invalid-request']);
    expect((await shopper.read(booking.id)).body.status).toBe('awaiting_payment');
    expect((await shopper.comeBack(booking.id, handedBack)).status).toBe(202);
    await shopper.until(booking.id, 'confirmed');
  });

  test('proves no payment: signed before the money came it books nothing', async () => {
    const { shopper, booking } = await start();
    await razorpay.sandbox.webhookFault({
      kind: 'drop',
      event: '*',
      times: 3,
      match: { order: refOf(booking) },
    });
    const { handedBack } = await razorpay.sandbox.pay(refOf(booking), 'processing');
    expect((await shopper.comeBack(booking.id, handedBack)).status).toBe(202);
    await shopper.until(booking.id, 'processing');
    await razorpay.sandbox.settleProcessing(refOf(booking), 'succeeded');
    await shopper.comeBack(booking.id, handedBack);
    await shopper.until(booking.id, 'confirmed');
  });
});

describe('money that comes late', () => {
  test('captured after the window ended goes back in full, once', async () => {
    const short = await startShort();
    try {
      const { shopper, booking } = await start(short.world);
      await short.razorpay.pay(booking, 'declined');
      expect(await outcomeOf(short.world, booking.id)).toBe('expired');
      await short.razorpay.sandbox.authorizeLate(refOf(booking), 'captured');
      const after = await shopper.until(booking.id, (now) => now.refund?.status === 'succeeded');
      expect(after).toMatchObject({
        status: 'expired',
        refund: { reason: 'late-payment', amountMinor: priceMinor },
      });
      await lookedBeside(short.world, 'razorpay', refOf(booking));
      expect(await short.razorpay.ledgerOf(booking.id)).toMatchObject({
        charges: 1,
        refunds: 1,
        refundedMinor: priceMinor,
      });
    } finally {
      await short.world.stop();
    }
  });

  test('captured after the customer canceled goes back in full, once', async () => {
    const { shopper, booking, offeringId } = await start();
    expect((await shopper.cancel(booking.id)).body.status).toBe('canceled');
    await razorpay.pay(booking);
    await shopper.until(booking.id, (now) => now.refund?.status === 'succeeded');
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({
      charges: 1,
      refunds: 1,
      refundedMinor: priceMinor,
    });
    expect(await seatsFree(world, offeringId)).toBe(1);
  });

  test('that Razorpay gives back by itself was never ours: no payment, no refund of ours', async () => {
    const { shopper, booking } = await start();
    await shopper.cancel(booking.id);
    await razorpay.sandbox.pay(refOf(booking), 'processing');
    await razorpay.sandbox.settleProcessing(refOf(booking), 'failed');
    await eventually('the events', async () => {
      const { events } = await razorpay.sandbox.ledger();
      return events.filter((one) => one.order === refOf(booking)).every((one) => one.deliveries.length > 0);
    });
    await lookedBeside(world, 'razorpay', refOf(booking));
    expect(await world.db('payments').where({ booking_id: booking.id })).toEqual([]);
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({ charges: 0, refunds: 0 });
    expect(await world.db('cases').where({ booking_id: booking.id })).toEqual([]);
  });
});

describe('a second payment on one order', () => {
  test('that was captured goes back, once, and the booking stands', async () => {
    const { shopper, booking } = await start();
    await razorpay.pay(booking);
    await shopper.until(booking.id, 'confirmed');
    await outcomeOf(world, booking.id);
    await razorpay.sandbox.pay(refOf(booking), 'ok', { again: 'captured' });
    await eventually('the refund', async () => (await razorpay.ledgerOf(booking.id)).refunds === 1);
    await lookedBeside(world, 'razorpay', refOf(booking));
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({
      charges: 2,
      capturedMinor: 2 * priceMinor,
      refundedMinor: priceMinor,
    });
    expect((await shopper.read(booking.id)).body.status).toBe('confirmed');
  });

  test('that Razorpay gave back by itself is not given back again', async () => {
    const { shopper, booking } = await start();
    await razorpay.pay(booking);
    await shopper.until(booking.id, 'confirmed');
    await outcomeOf(world, booking.id);
    await razorpay.sandbox.pay(refOf(booking), 'ok', { again: 'auto-refunded' });
    await lookedBeside(world, 'razorpay', refOf(booking));
    expect(await world.db('payments').where({ booking_id: booking.id })).toHaveLength(1);
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({ charges: 1, refunds: 0 });
    expect((await shopper.read(booking.id)).body.status).toBe('confirmed');
  });
});

describe('another way to pay, where the order cannot be closed', () => {
  async function byStripeNow(): Promise<{ shopper: Shopper; order: Json; intent: Json }> {
    const { shopper, booking } = await start();
    await shopper.cancel(booking.id);
    const offeringId = await publish(world, { price: { amountMinor: priceMinor, currency: 'INR' } });
    const order = await shopper.start(offeringId, undefined, 'razorpay');
    const { status, body: intent } = await shopper.retry(order.id, 'stripe');
    expect([status, intent.payment]).toMatchObject([200, { method: 'stripe', try: 2 }]);
    return { shopper, order, intent };
  }
  const stripe = () => gatewayOf(world, 'stripe');

  test('who pays by both gets the order’s money back', async () => {
    const { shopper, order, intent } = await byStripeNow();
    await stripe().pay(intent);
    await shopper.until(order.id, 'confirmed');
    await razorpay.pay(order);
    await eventually('the refund', async () => {
      const { refundedMinor } = await razorpay.ledgerOf(order.id);
      return refundedMinor === priceMinor;
    });
    expect(await stripe().ledgerOf(order.id)).toMatchObject({ charges: 1, refunds: 0 });
    expect((await shopper.read(order.id)).body).toMatchObject({ status: 'confirmed' });
  });

  test('who pays the order after all is booked by it, and cannot pay by the other', async () => {
    const { shopper, order, intent } = await byStripeNow();
    await razorpay.pay(order);
    await shopper.until(order.id, 'confirmed');
    await outcomeOf(world, order.id);
    expect(await stripe().pay(intent)).toBe(false);
    expect(await stripe().ledgerOf(order.id)).toMatchObject({ charges: 0, payable: [] });
    expect(await razorpay.ledgerOf(order.id)).toMatchObject({ charges: 1, refunds: 0 });
  });
});

test('what it does not take is refused before anything starts', async () => {
  const inEuros = await publish(world);
  const shopper = new Shopper(world);
  const { status, body } = await shopper.book(inEuros, undefined, 'razorpay');
  expect([status, body.detail]).toEqual([400, 'razorpay does not take EUR here.']);
  const attempt = await shopper.start(inEuros);
  const retried = await shopper.retry(attempt.id, 'razorpay');
  expect([retried.status, retried.body.errors]).toEqual([
    400,
    [{ pointer: '/payment/method', detail: 'razorpay does not take EUR here.' }],
  ]);
});

/** A world whose windows last as long as they must at least. */
async function startShort(): Promise<{ world: World; razorpay: AtRazorpay }> {
  const at = await atRazorpay();
  return { razorpay: at, world: await startWorld({ gateways: [at], standing: false, windowSeconds: 5 }) };
}
