/** The main flows of booking with a card, through HTTP from end to end. */
import { bookingWorkflowId, doorbellSignal } from '../src/workflows/messages';
import {
  atStripe,
  expectOneEnd,
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
import { eventually, startWorld, type Json, type World } from './world';

let world: World;
let ada: Shopper;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
});
afterEach(() => world.sandbox.clearFaults());

/** Waits until what the customer sees carries this failure. */
function failsWith(shopper: Shopper, id: string, type: string): Promise<Json> {
  return shopper.until(id, (now) => now.failure?.type === type);
}

describe('a payment that goes through', () => {
  test('is a booking with a reference, and one mail', async () => {
    const slot = await publish(world);
    const booking = await ada.start([
      { offeringId: slot, details: { birthday: '1815-12-10', note: 'ünïcode' } },
    ]);
    expect(booking).toMatchObject({
      status: 'awaiting_payment',
      retryable: false,
      total: { amountMinor: priceMinor, currency: 'EUR' },
      payment: { method: 'stripe', try: 1, clientSecret: expect.stringContaining('_secret_') },
      expiresAt: expect.any(String),
    });
    expect(booking.reference).toBeUndefined();
    expect(await pay(world, booking)).toBe(200);
    const confirmed = await ada.until(booking.id, 'confirmed');
    expect(confirmed).toMatchObject({
      reference: expect.stringMatching(/^BK-[0-9A-HJKMNP-TV-Z]{10}$/),
      items: [{ offeringId: slot, seats: 1, details: { birthday: '1815-12-10', note: 'ünïcode' } }],
      confirmedAt: expect.any(String),
      retryable: false,
    });
    expect(confirmed.payment.clientSecret).toBeUndefined();
    expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
    expect(await seatsFree(world, slot)).toBe(0);
    await mailsArrive(world, ada.email, 1);
    await ada.comeBack(booking.id);
    expect(await mailsTo(world, ada.email)).toHaveLength(1);
  });

  test('takes several seats of several slots, all at once', async () => {
    const [small, large] = await Promise.all([
      publish(world, { capacity: 2 }),
      publish(world, { capacity: 12 }),
    ]);
    const booking = await ada.start([
      { offeringId: large, seats: 5 },
      { offeringId: small, seats: 2 },
    ]);
    expect(booking.total.amountMinor).toBe(7 * priceMinor);
    await pay(world, booking);
    await ada.until(booking.id, 'confirmed');
    await expectOneEnd(world, booking.id);
    expect(await tracesOf(world, booking.id)).toMatchObject({ seats: 7, capturedMinor: 7 * priceMinor });
    expect(await Promise.all([seatsFree(world, small), seatsFree(world, large)])).toEqual([0, 7]);
  });

  test('takes none of several slots when one of them is gone, and all the money goes back', async () => {
    const [rare, common] = await Promise.all([publish(world), publish(world, { capacity: 9 })]);
    const grace = new Shopper(world);
    const both = await ada.start([{ offeringId: rare }, { offeringId: common, seats: 3 }]);
    const one = await grace.start(rare);
    await pay(world, one);
    await grace.until(one.id, 'confirmed');
    await pay(world, both);
    expect(await ada.until(both.id, 'refunded')).toMatchObject({
      failure: { type: 'slot-unavailable' },
      refund: { status: 'succeeded', amountMinor: 4 * priceMinor, reason: 'slot-unavailable' },
      links: { alternatives: expect.stringContaining('available=true') },
    });
    await expectOneEnd(world, both.id);
    expect(await seatsFree(world, common)).toBe(9);
    expect(await mailsArrive(world, ada.email, 1)).toHaveLength(1);
  });

  test('is for as many customers as a slot has seats', async () => {
    const slot = await publish(world, { capacity: 3 });
    const shoppers = Array.from({ length: 5 }, () => new Shopper(world));
    const started = await Promise.all(shoppers.map((shopper) => shopper.start(slot)));
    await Promise.all(started.map((booking) => pay(world, booking)));
    const outcomes = await Promise.all(started.map(({ id }) => expectOneEnd(world, String(id))));
    expect(outcomes.sort()).toEqual(['confirmed', 'confirmed', 'confirmed', 'refunded', 'refunded']);
  });

  test('makes two attempts of one customer under two keys two bookings', async () => {
    const slot = await publish(world, { capacity: 2 });
    const started = await Promise.all([ada.start(slot), ada.start(slot)]);
    await Promise.all(started.map((booking) => pay(world, booking)));
    const ends = await Promise.all(started.map(({ id }) => ada.until(id, 'confirmed')));
    expect(ends[0]?.reference).not.toBe(ends[1]?.reference);
    expect(await seatsFree(world, slot)).toBe(0);
  });
});

test('an attempt that has started changes nothing that another can see', async () => {
  const slot = await publish(world);
  const before = (await world.call('GET', `/v1/offerings/${slot}`)).body;
  const booking = await ada.start(slot);
  expect((await world.call('GET', `/v1/offerings/${slot}`)).body).toEqual(before);
  const grace = new Shopper(world);
  expect((await grace.read(booking.id)).status).toBe(404);
  expect((await grace.call('GET', '/v1/bookings')).body.items).toEqual([]);
  expect((await grace.cancel(booking.id)).status).toBe(404);
  const other = await grace.start(slot);
  expect(other.status).toBe('awaiting_payment');
  const provider = await world.token('provider', 'catalog');
  expect((await world.call('GET', `/v1/bookings/${booking.id}`, { token: provider })).status).toBe(404);
});

test('following the status answers when it changes, and 304 when it does not', async () => {
  const booking = await ada.start(await publish(world));
  const path = `/v1/bookings/${booking.id}?wait=1&after=${booking.version}`;
  expect((await ada.call('GET', path)).status).toBe(304);
  const waiting = ada.call('GET', path.replace('wait=1', 'wait=20'));
  await pay(world, booking);
  expect(await waiting).toMatchObject({ status: 200, body: { status: 'confirmed' } });
});

describe('a payment that is declined', () => {
  test('is told with the gateway’s code, leaves the slot free, and can be retried', async () => {
    const slot = await publish(world);
    const booking = await ada.start(slot);
    expect(await pay(world, booking, 'pm_card_visa_chargeDeclinedInsufficientFunds')).toBe(402);
    const declined = await failsWith(ada, booking.id, 'payment-declined');
    expect(declined).toMatchObject({
      status: 'awaiting_payment',
      retryable: true,
      failure: { code: 'insufficient_funds', detail: expect.stringContaining('declined') },
    });
    expect(await seatsFree(world, slot)).toBe(1);
    const retried = await ada.retry(booking.id);
    expect(retried).toMatchObject({ status: 200, body: { status: 'awaiting_payment', payment: { try: 2 } } });
    expect(retried.body.failure).toBeUndefined();
    expect(retried.body.payment.gatewayRef).toBe(booking.payment.gatewayRef);
    expect(Date.parse(retried.body.expiresAt)).toBeGreaterThan(Date.parse(booking.expiresAt));
    await pay(world, retried.body);
    const confirmed = await ada.until(booking.id, 'confirmed');
    expect(confirmed.failure).toBeUndefined();
    await expectOneEnd(world, booking.id);
    expect((await tracesOf(world, booking.id)).intents).toHaveLength(1);
  });

  test('and retried again and again comes to the limit, and can still be paid', async () => {
    const booking = await ada.start(await publish(world));
    for (let payment = 1; payment <= 5; payment++) {
      await pay(world, booking, 'pm_card_chargeDeclined');
      const declined = await failsWith(ada, booking.id, 'payment-declined');
      expect(declined).toMatchObject({ payment: { try: payment }, retryable: payment < 5 });
      const retried = await ada.retry(booking.id);
      if (payment < 5)
        expect(retried).toMatchObject({ status: 200, body: { payment: { try: payment + 1 } } });
      else
        expect(retried).toMatchObject({ status: 409, body: { type: expect.stringMatching('retry-limit') } });
    }
    await pay(world, booking);
    await ada.until(booking.id, 'confirmed');
    await expectOneEnd(world, booking.id);
  });

  test('is not told again after a retry, however often somebody looks at it', async () => {
    const booking = await ada.start(await publish(world));
    await pay(world, booking, 'pm_card_chargeDeclined');
    await failsWith(ada, booking.id, 'payment-declined');
    const retried = (await ada.retry(booking.id)).body;
    const { events } = await world.sandbox.ledger();
    const heard = events.find(
      (event) =>
        event.paymentIntent === booking.payment.gatewayRef && event.type === 'payment_intent.payment_failed',
    );
    await world.sandbox.resend(String(heard?.id), 3);
    await ada.comeBack(booking.id);
    // Whoever asks for a retry has the gateway looked at first, so the rings before it have been dealt with.
    const { body } = await ada.retry(booking.id);
    expect(body).toMatchObject({ payment: { try: 2 }, retryable: false });
    expect(body.failure).toBeUndefined();
    expect(body.version).toBe(retried.version);
  });

  test('can be paid on the pay page with another card, without a retry', async () => {
    const booking = await ada.start(await publish(world));
    await pay(world, booking, 'pm_card_chargeDeclined');
    await failsWith(ada, booking.id, 'payment-declined');
    await pay(world, booking);
    expect(await ada.until(booking.id, 'confirmed')).toMatchObject({ payment: { try: 1 } });
  });

  test('cannot be retried once the seats went to somebody else, who is told of alternatives', async () => {
    const slot = await publish(world);
    const booking = await ada.start(slot);
    await pay(world, booking, 'pm_card_chargeDeclined');
    await failsWith(ada, booking.id, 'payment-declined');
    const grace = new Shopper(world);
    const other = await grace.start(slot);
    await pay(world, other);
    await grace.until(other.id, 'confirmed');
    expect(await ada.retry(booking.id)).toMatchObject({
      status: 409,
      body: {
        type: expect.stringMatching('slot-unavailable'),
        links: { alternatives: expect.stringContaining('available=true') },
      },
    });
  });
});

test('a retry while nothing has failed answers the current booking and opens nothing', async () => {
  const booking = await ada.start(await publish(world));
  expect(await ada.retry(booking.id)).toMatchObject({ status: 200, body: { payment: booking.payment } });
  expect((await tracesOf(world, booking.id)).intents).toHaveLength(1);
});

test('a card that asks its owner first is a booking once the owner agreed', async () => {
  const booking = await ada.start(await publish(world));
  expect(await pay(world, booking, 'pm_card_authenticationRequired')).toBe(200);
  await ada.comeBack(booking.id);
  expect((await ada.read(booking.id)).body).toMatchObject({ status: 'awaiting_payment', retryable: false });
  await world.sandbox.authenticate(booking.payment.gatewayRef, 'succeeded');
  await ada.until(booking.id, 'confirmed');
  await expectOneEnd(world, booking.id);
});

describe('canceling', () => {
  test('before payment ends the attempt and closes its payment; again it says the same', async () => {
    const slot = await publish(world);
    const booking = await ada.start(slot);
    expect(await ada.cancel(booking.id)).toMatchObject({ status: 200, body: { status: 'canceled' } });
    expect(await expectOneEnd(world, booking.id)).toBe('canceled');
    expect((await tracesOf(world, booking.id)).intents).toMatchObject([{ status: 'canceled' }]);
    expect(await ada.cancel(booking.id)).toMatchObject({ status: 200, body: { status: 'canceled' } });
    expect((await ada.retry(booking.id)).status).toBe(410);
    expect(await pay(world, booking)).toBe(400);
    expect(await seatsFree(world, slot)).toBe(1);
  });

  test('what is paid already answers what became of it; once more undoes the booking', async () => {
    await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null });
    const booking = await ada.start(await publish(world));
    await pay(world, booking);
    expect(await ada.cancel(booking.id)).toMatchObject({ status: 200, body: { status: 'confirmed' } });
    await expectOneEnd(world, booking.id);
    expect(await ada.cancel(booking.id)).toMatchObject({
      status: 200,
      body: { status: 'refunding', refund: { reason: 'canceled-by-customer' } },
    });
    expect((await ada.retry(booking.id)).status).toBe(410);
  });

  test('what is on its way back, or went back, is granted', async () => {
    const slot = await publish(world);
    const [grace, first, second] = [new Shopper(world), await ada.start(slot), await ada.start(slot)];
    await world.sandbox.refundMode({ mode: 'pending', match: { metadata: { bookingId: second.id } } });
    const third = await grace.start(slot);
    await pay(world, first);
    await ada.until(first.id, 'confirmed');
    await Promise.all([pay(world, second), pay(world, third)]);
    await ada.until(second.id, 'refunding');
    await grace.until(third.id, 'refunded');
    expect(await ada.cancel(second.id)).toMatchObject({ status: 200, body: { status: 'refunding' } });
    expect(await grace.cancel(third.id)).toMatchObject({ status: 200, body: { status: 'refunded' } });
    const refunds = await eventually('the refund at Stripe', async () => {
      const ledger = await world.sandbox.ledger();
      const found = ledger.refunds.filter((one) => one.paymentIntent === second.payment.gatewayRef);
      return found.length > 0 && found;
    });
    await world.sandbox.settleRefund(String(refunds[0]?.id), 'succeeded');
    await ada.until(second.id, 'refunded');
    await expectOneEnd(world, second.id);
  });
});

test('a payment closed in Stripe’s dashboard can be retried with a new one, and late money on the first goes back', async () => {
  const booking = await ada.start(await publish(world));
  const { gatewayRef: first } = booking.payment;
  await atStripe(world, `payment_intents/${first}/cancel`);
  expect(await failsWith(ada, booking.id, 'payment-canceled')).toMatchObject({
    status: 'awaiting_payment',
    retryable: true,
  });
  const { status, body: retried } = await ada.retry(booking.id);
  expect({ status, try: retried.payment.try }).toEqual({ status: 200, try: 2 });
  expect(retried.payment.gatewayRef).not.toBe(first);
  await pay(world, retried);
  await ada.until(booking.id, 'confirmed');
  await expectOneEnd(world, booking.id);
  await world.sandbox.payClosed(first);
  await eventually(
    'the second payment given back',
    async () => (await tracesOf(world, booking.id)).refunds === 1,
  );
  expect(await tracesOf(world, booking.id)).toMatchObject({
    status: 'confirmed',
    bookings: 1,
    capturedMinor: 2 * priceMinor,
    refundedMinor: priceMinor,
  });
  const refunds = await eventually('the refund in our rows', async () => {
    const rows = await world
      .db('refunds as r')
      .join('payments as p', 'p.id', 'r.payment_id')
      .where({ 'p.booking_id': booking.id, 'r.status': 'succeeded' })
      .select<Json[]>('r.reason');
    return rows.length > 0 && rows;
  });
  expect(refunds).toEqual([{ reason: 'second-payment' }]);
  expect((await ada.read(booking.id)).body.refund).toBeUndefined();
});

test('a start that is refused is an attempt that failed, and its workflow ends', async () => {
  const slot = await publish(world);
  const booking = await ada.start(slot);
  await pay(world, booking);
  await ada.until(booking.id, 'confirmed');
  const refused = await new Shopper(world).book(slot);
  expect(refused).toMatchObject({
    status: 409,
    body: { type: expect.stringMatching('slot-unavailable'), links: { self: expect.any(String) } },
  });
  expect(await outcomeOf(world, String(refused.body.links.self).split('/').at(-1) ?? '')).toBe('failed');
});

test('a ring while nothing was paid changes nothing', async () => {
  const booking = await ada.start(await publish(world));
  const handle = world.temporal.workflow.getHandle(bookingWorkflowId(booking.id));
  await handle.signal(doorbellSignal, { by: 'operator', at: new Date().toISOString() });
  await ada.retry(booking.id);
  expect((await ada.read(booking.id)).body).toMatchObject({
    status: 'awaiting_payment',
    version: booking.version,
  });
});
