/** What the stories ask for and no other test shows, told from end to end through HTTP; docs/requirements.md says which is which. */
import { SignJWT } from 'jose';
import {
  expectOneEnd,
  mailsArrive,
  outcomeOf,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  seatsFree,
  Shopper,
  tracesOf,
} from './book-setup';
import { eventually, startWorld, withoutTicket, type Answer, type Json, type World } from './world';

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

async function change(offeringId: string, to: Record<string, unknown>): Promise<Answer> {
  const token = await world.token('provider', 'catalog');
  return world.call('PATCH', `/v1/offerings/${offeringId}`, { token, body: to });
}

/** The attempts on a customer's dashboard, newest first. */
async function dashboard(shopper: Shopper, status: 'open' | 'confirmed' | 'all'): Promise<Json[]> {
  return (await shopper.call('GET', `/v1/bookings?status=${status}`)).body.items as Json[];
}

test('what is started, declined or called off writes nothing that counts', async () => {
  const slot = await publish(world);
  const shoppers = [ada, grace, new Shopper(world)];
  const [started, refused, canceled] = await Promise.all(shoppers.map((shopper) => shopper.start(slot)));
  const ids = [started, refused, canceled].map((booking) => String(booking.id));
  const none = { bookings: 0, booking_items: 0, seats: 0, payments: 0, messages: 0 };
  expect(await rowsThatCount(world, ids)).toEqual(none);
  await pay(world, refused, declined);
  await grace.until(refused.id, failed);
  await shoppers[2]?.cancel(canceled.id);
  expect(await rowsThatCount(world, ids)).toEqual(none);
  expect(await seatsFree(world, slot)).toBe(1);
  await pay(world, started);
  await ada.until(started.id, 'confirmed');
  const one = { bookings: 1, booking_items: 1, seats: 1, payments: 1, messages: 1 };
  expect(await rowsThatCount(world, ids)).toEqual(one);
});

test('a start says what is wrong with it, and starts nothing', async () => {
  const [closed, begun, full] = await Promise.all([publish(world), publish(world), publish(world)]);
  await change(closed, { status: 'closed' });
  await world
    .db('offerings')
    .where({ id: begun })
    .update({ starts_at: world.db.raw("now() - interval '1 second'") });
  const winner = await grace.start(full);
  await pay(world, winner);
  await grace.until(winner.id, 'confirmed');
  for (const [offeringId, status, type] of [
    ['off_zzzzzzzzzzzzzzzzzzzzzzzz', 404, 'not-found'],
    [closed, 409, 'offering-closed'],
    [begun, 409, 'offering-closed'],
    [full, 409, 'slot-unavailable'],
  ] as const) {
    const answer = await ada.book(offeringId, offeringId);
    expect([answer.status, answer.body.type]).toEqual([status, `/problems/${type}`]);
    expect(answer.body.detail).toEqual(expect.stringMatching(/\S/));
    const id = ada.bookingId(offeringId);
    expect(await outcomeOf(world, id)).toBe('failed');
    expect(await tracesOf(world, id)).toMatchObject({ bookings: 0, seats: 0, messages: [], intents: [] });
  }
  const stranger = await world.call('POST', '/v1/bookings', { body: ada.request(closed), key: 'a-key' });
  expect([stranger.status, stranger.body.type]).toEqual([401, '/problems/unauthenticated']);
});

test('what a browser claims about price, customer, provider or time is refused; the amount is the offering’s', async () => {
  const slot = await publish(world);
  const item = { offeringId: slot };
  const cheap = { amountMinor: 50, currency: 'EUR' };
  for (const claim of [
    { items: [{ ...item, price: cheap }] },
    { items: [{ ...item, amountMinor: 50 }] },
    { items: [{ ...item, startsAt: '2199-01-01T00:00:00Z', providerId: 'somebody' }] },
    { total: cheap },
    { payment: { method: 'stripe', amountMinor: 50 } },
    { customerId: grace.sub },
    { customer: { id: grace.sub, name: 'Ada Example', email: ada.email } },
  ]) {
    const { status, body } = await ada.call(
      'POST',
      '/v1/bookings',
      { ...ada.request(slot), ...claim },
      'key',
    );
    expect([claim, status, body.type]).toEqual([claim, 400, '/problems/invalid-request']);
  }
  const booking = await ada.start(slot);
  expect(booking.total).toEqual({ amountMinor: priceMinor, currency: 'EUR' });
  expect((await tracesOf(world, booking.id)).intents).toMatchObject([
    { amount: priceMinor, currency: 'eur' },
  ]);
  expect(await world.db('attempts').where({ booking_id: booking.id }).first()).toMatchObject({
    customer_id: ada.sub,
  });
});

test('who started pays the price that was shown, also by a retry that enters nothing again; who starts later pays the new one', async () => {
  const slot = await publish(world, { capacity: 2 });
  const booking = await ada.start([{ offeringId: slot, details: { complaint: 'left knee' } }]);
  await pay(world, booking, declined);
  await ada.until(booking.id, failed);
  const price = { amountMinor: 2 * priceMinor, currency: 'EUR' };
  expect((await change(slot, { price, title: 'Dearer now' })).status).toBe(200);
  const retried = await ada.retry(booking.id);
  expect(retried).toMatchObject({ status: 200, body: { total: booking.total, items: booking.items } });
  const later = await grace.start(slot);
  expect(later.total).toEqual(price);
  await Promise.all([pay(world, retried.body), pay(world, later)]);
  const [first, second] = await Promise.all([
    ada.until(booking.id, 'confirmed'),
    grace.until(later.id, 'confirmed'),
  ]);
  expect(first).toMatchObject({ total: booking.total, items: [{ details: { complaint: 'left knee' } }] });
  expect(second).toMatchObject({ total: price, items: [{ title: 'Dearer now' }] });
  expect((await tracesOf(world, booking.id)).capturedMinor).toBe(priceMinor);
  expect((await tracesOf(world, later.id)).capturedMinor).toBe(2 * priceMinor);
});

test('a time keeps its instant and the provider’s zone from the offer to the mail', async () => {
  const { status, body: offering } = await world.call('POST', '/v1/offerings', {
    token: await world.token('provider', 'catalog'),
    body: {
      kind: 'slot',
      title: 'Check-up',
      startsAt: '2031-05-01T01:30:00+05:30',
      timeZone: 'Asia/Kolkata',
      price: { amountMinor: priceMinor, currency: 'EUR' },
    },
  });
  expect(status).toBe(201);
  const time = {
    startsAt: '2031-04-30T20:00:00.000Z',
    endsAt: '2031-04-30T21:00:00.000Z',
    timeZone: 'Asia/Kolkata',
  };
  expect(offering).toMatchObject(time);
  const booking = await ada.start(offering.id);
  expect(booking.items).toMatchObject([time]);
  await pay(world, booking);
  const { reference, items } = await ada.until(booking.id, 'confirmed');
  expect(items).toMatchObject([time]);
  await mailsArrive(world, ada.email, 1);
  const mail = (await world.mail.messages()).find((one) => one.to.includes(ada.email));
  expect(mail?.text).toContain('1 May 2031 at 01:30 (Asia/Kolkata)');
  expect(mail?.text).toContain(reference);
});

test('a claim is not money: a return that says so, or that names another’s payment, confirms nothing', async () => {
  const slot = await publish(world, { capacity: 2 });
  const [hers, his] = [await ada.start(slot), await grace.start(slot)];
  await pay(world, his);
  await grace.until(his.id, 'confirmed');
  for (const payment of [hers.payment, his.payment]) {
    const claim = {
      payment_intent: payment.gatewayRef,
      payment_intent_client_secret: payment.clientSecret,
      redirect_status: 'succeeded',
    };
    const answer = await ada.call('POST', `/v1/bookings/${hers.id}/return`, claim);
    expect([answer.status, answer.body.status]).toEqual([202, 'awaiting_payment']);
  }
  // Whoever asks for a retry has the gateway looked at first, so the rings before it have been dealt with.
  expect(await ada.retry(hers.id)).toMatchObject({ status: 200, body: { version: hers.version } });
  expect(await tracesOf(world, hers.id)).toMatchObject({ status: 'awaiting_payment', bookings: 0, seats: 0 });
  expect(await seatsFree(world, slot)).toBe(1);
  await pay(world, hers);
  await ada.until(hers.id, 'confirmed');
  for (const { id } of [hers, his]) {
    await expectOneEnd(world, String(id));
    expect(await tracesOf(world, id)).toMatchObject({ charges: 1, seats: 1 });
  }
});

test('the status before any news is honest, asks nobody and changes nothing; the browser’s return brings the booking', async () => {
  const booking = await ada.start(await publish(world));
  const match = { metadata: { bookingId: String(booking.id) } };
  await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null, match });
  await pay(world, booking);
  const asked = async (): Promise<number> => {
    const { requests } = await world.sandbox.ledger();
    return requests.filter(
      ({ id, operation }) => id === booking.payment.gatewayRef && /retrieve/.test(operation),
    ).length;
  };
  const row = () => world.db('attempts').where({ booking_id: booking.id }).first<Json>();
  const [askedBefore, rowBefore] = [await asked(), await row()];
  const answers = await Promise.all(Array.from({ length: 20 }, () => ada.read(booking.id)));
  for (const { status, body } of answers) {
    expect([status, withoutTicket(body)]).toEqual([200, withoutTicket(booking)]);
  }
  expect(await asked()).toBe(askedBefore);
  expect(await row()).toEqual(rowBefore);
  expect((await ada.comeBack(booking.id)).status).toBe(202);
  await ada.until(booking.id, 'confirmed');
  await expectOneEnd(world, booking.id);
});

test('attempts side by side stay apart, are listed while open, and are finished on another device', async () => {
  const slots = await Promise.all(Array.from({ length: 4 }, () => publish(world)));
  const started: Json[] = [];
  for (const slot of slots) started.push(await ada.start(slot));
  const [refused, canceled, paid, left] = started;
  // Nothing but the customer's name leads from one device to the other.
  const phone = new Shopper(world, ada.sub);
  const idsOf = (bookings: readonly Json[]): string[] => bookings.map(({ id }) => String(id));
  expect(idsOf(await dashboard(phone, 'open'))).toEqual(idsOf(started).reverse());
  await pay(world, refused, declined);
  await Promise.all([ada.until(refused.id, failed), ada.cancel(canceled.id), pay(world, paid)]);
  await ada.until(paid.id, 'confirmed');
  expect(await dashboard(phone, 'all')).toMatchObject([
    { id: left.id, status: 'awaiting_payment', retryable: false },
    { id: paid.id, status: 'confirmed', reference: expect.stringMatching(/^BK-/) },
    { id: canceled.id, status: 'canceled' },
    {
      id: refused.id,
      status: 'awaiting_payment',
      retryable: true,
      failure: { type: 'payment-declined', code: 'insufficient_funds' },
    },
  ]);
  expect(idsOf(await dashboard(phone, 'open'))).toEqual([left.id, refused.id]);
  await pay(world, (await phone.retry(refused.id)).body);
  await pay(world, (await phone.read(left.id)).body);
  await Promise.all([refused, left].map(({ id }) => phone.until(id, 'confirmed')));
  expect(await dashboard(phone, 'open')).toEqual([]);
  expect(idsOf(await dashboard(phone, 'confirmed'))).toEqual(idsOf([left, paid, refused]));
  expect(await dashboard(grace, 'all')).toEqual([]);
  for (const { id } of started) await expectOneEnd(world, String(id));
});

test('a sign-in that runs out while paying costs nothing: the next one finds the booking', async () => {
  const token = await new SignJWT({ scope: 'bookings' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(ada.sub)
    .setExpirationTime('3s')
    .sign(new TextEncoder().encode(world.config.auth.secret));
  const body = ada.request(await publish(world));
  const { body: booking } = await world.call('POST', '/v1/bookings', { token, body, key: 'a-key' });
  const path = `/v1/bookings/${String(booking.id)}`;
  await eventually(
    'the end of the sign-in',
    async () => (await world.call('GET', path, { token })).status === 401,
  );
  expect(await pay(world, booking)).toBe(200);
  expect((await world.call('POST', `${path}/return`, { token, body: {} })).status).toBe(401);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect((await ada.read(booking.id)).body.status).toBe('confirmed');
});

test('who calls off starts again at once under a new key, and the place was never missing', async () => {
  const slot = await publish(world);
  let booking = await ada.start(slot);
  for (let again = 0; again < 3; again += 1) {
    expect(await seatsFree(world, slot)).toBe(1);
    expect((await ada.cancel(booking.id)).body.status).toBe('canceled');
    const next = await ada.start(slot);
    expect(next.id).not.toBe(booking.id);
    booking = next;
  }
  // Who merely leaves the window open starts again as well.
  const last = await ada.start(slot);
  await pay(world, last);
  await ada.until(last.id, 'confirmed');
  expect(await seatsFree(world, slot)).toBe(0);
  expect(await world.db('bookings').where({ customer_id: ada.sub })).toHaveLength(1);
  await ada.cancel(booking.id);
  await expectOneEnd(world, booking.id);
});

test('money on the payment that was called off goes back although the customer has booked again', async () => {
  const slot = await publish(world, { capacity: 2 });
  const first = await ada.start(slot);
  await ada.cancel(first.id);
  const second = await ada.start(slot);
  await pay(world, second);
  await ada.until(second.id, 'confirmed');
  await world.sandbox.payClosed(first.payment.gatewayRef);
  expect(await ada.until(first.id, (now) => now.refund?.status === 'succeeded')).toMatchObject({
    status: 'canceled',
    refund: { amountMinor: priceMinor, reason: 'late-payment' },
  });
  expect(await expectOneEnd(world, first.id)).toBe('canceled');
  expect(await expectOneEnd(world, second.id)).toBe('confirmed');
  expect((await ada.read(second.id)).body.refund).toBeUndefined();
  expect(await seatsFree(world, slot)).toBe(1);
  expect((await mailsArrive(world, ada.email, 2)).sort()).toEqual([
    expect.stringMatching(/^Your booking BK-\w+ is confirmed$/),
    expect.stringMatching(/^Your payment of €25.00 has been given back$/),
  ]);
});

test('a booking is one place less and one line on the dashboard', async () => {
  const slot = await publish(world, { capacity: 2 });
  const isOffered = async (): Promise<boolean> => {
    const { body } = await world.call('GET', '/v1/offerings?available=true&limit=100');
    return body.items.some((one: Json) => one.id === slot);
  };
  for (const [left, shopper] of [
    [1, ada],
    [0, grace],
  ] as const) {
    const booking = await shopper.start(slot);
    expect([await seatsFree(world, slot), await dashboard(shopper, 'confirmed')]).toEqual([left + 1, []]);
    await pay(world, booking);
    const { reference } = await shopper.until(booking.id, 'confirmed');
    expect([await seatsFree(world, slot), await isOffered()]).toEqual([left, left > 0]);
    expect(await dashboard(shopper, 'confirmed')).toMatchObject([
      { id: booking.id, reference, items: [{ offeringId: slot, seats: 1 }], confirmedAt: expect.any(String) },
    ]);
  }
  expect((await new Shopper(world).book(slot)).status).toBe(409);
});
