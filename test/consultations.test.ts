/** Consultations, from end to end through HTTP: a request to a doctor exists only once it is paid, and is never sold out. */
import {
  expectOneEnd,
  mailsArrive,
  mailsTo,
  outcomeOf,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  Shopper,
  tracesOf,
} from './book-setup';
import { startWorld, type Answer, type Json, type World } from './world';

let world: World;
let ada: Shopper;
let doctor: string;

beforeAll(async () => {
  world = await startWorld();
  doctor = await world.token('provider', 'catalog');
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
});
afterEach(() => world.sandbox.clearFaults());

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';

const fee = { amountMinor: priceMinor, currency: 'EUR' };

/** What a patient writes. */
const summary = {
  subject: 'Kopfschmerzen – سردرد 🤕',
  message: 'since Tuesday',
  files: [{ name: 'Röntgen №1.png' }],
};

const none = { bookings: 0, booking_items: 0, seats: 0, payments: 0, messages: 0 };

const failed = (now: Json): boolean => now.failure !== undefined;

/** A doctor offers consultations. */
const offer = (title = 'Dr. Quick answers'): Promise<string> =>
  publish(world, { kind: 'consultation', title });

const ask = (offeringId: string, details: unknown = summary) => [{ offeringId, details }];

const offering = async (id: string): Promise<Json> => (await world.call('GET', `/v1/offerings/${id}`)).body;

const change = (id: string, to: Record<string, unknown>): Promise<Answer> =>
  world.call('PATCH', `/v1/offerings/${id}`, { token: doctor, body: to });

/** Ids of everything a list shows, page by page. */
async function listed(query: string): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor = ''; ;) {
    const { status, body } = await world.call('GET', `/v1/offerings?${query}&limit=2${cursor}`);
    expect(status).toBe(200);
    ids.push(...body.items.map((one: Json) => String(one.id)));
    if (body.nextCursor === undefined) return ids;
    cursor = `&cursor=${encodeURIComponent(String(body.nextCursor))}`;
  }
}

test('a consultation is published with neither time nor capacity, listed by its kind, and never full', async () => {
  const slots = await Promise.all([publish(world), publish(world), publish(world)]);
  const [id, other, closed] = await Promise.all([offer(), offer(), offer()]);
  await change(closed, { status: 'closed' });
  const shown = await offering(id);
  expect(shown).toMatchObject({ kind: 'consultation', price: fee, seatsAvailable: null, status: 'open' });
  for (const field of ['startsAt', 'endsAt', 'timeZone', 'capacity', 'holdSeconds', 'seatsPerCustomer'])
    expect(shown).not.toHaveProperty(field);
  for (const seatsLike of [
    { capacity: 1 },
    { startsAt: '2199-01-01T00:00:00Z' },
    { timeZone: 'UTC' },
    { holdSeconds: 60 },
    { seatsPerCustomer: 1 },
  ]) {
    const body = { kind: 'consultation', title: 'Dr. Quick', price: fee, ...seatsLike };
    expect((await world.call('POST', '/v1/offerings', { token: doctor, body })).status).toBe(400);
  }

  const consultations = await listed('kind=consultation');
  expect(consultations.sort()).toEqual([id, other, closed].sort());
  expect((await listed('kind=slot')).sort()).toEqual([...slots].sort());
  // What has no time comes after all that has one, and no page loses or repeats anything.
  const all = await listed('providerId=provider');
  expect(all.slice(0, 3).sort()).toEqual([...slots].sort());
  expect(all.slice(3).sort()).toEqual(consultations);

  for (let patients = 0; patients < 2; patients += 1) {
    const patient = new Shopper(world);
    const booking = await patient.start(id);
    await pay(world, booking);
    await patient.until(booking.id, 'confirmed');
    expect((await offering(id)).seatsAvailable).toBeNull();
  }
  expect((await listed('kind=consultation&available=true')).sort()).toEqual([id, other].sort());
});

test('a paid request is a booking with its summary, linked to its payment, and the patient is told once', async () => {
  const id = await offer('Dr. Quick answers within a day');
  const started = await ada.start(ask(id));
  expect(await pay(world, started)).toBe(200);
  const booking = await ada.until(started.id, 'confirmed');
  expect(booking).toMatchObject({ reference: expect.stringMatching(/^BK-/), total: fee });
  expect(booking.items).toEqual([
    {
      offeringId: id,
      kind: 'consultation',
      title: 'Dr. Quick answers within a day',
      seats: 1,
      details: summary,
    },
  ]);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect(await rowsThatCount(world, [booking.id])).toEqual({
    ...none,
    bookings: 1,
    booking_items: 1,
    payments: 1,
    messages: 1,
  });
  expect(await world.db('payments').where({ booking_id: booking.id }).first()).toMatchObject({
    amount_minor: priceMinor,
    currency: 'EUR',
    gateway: 'stripe',
    gateway_ref: started.payment.gatewayRef,
    disposition: 'booked',
  });
  expect(await world.db('booking_items').where({ booking_id: booking.id }).first()).toMatchObject({
    offering_id: id,
    details: summary,
  });

  // Twice more by webhook and by the browser: still one booking, one payment, one mail.
  const paid = (await world.sandbox.ledger()).events.find(
    ({ paymentIntent, type }) =>
      paymentIntent === started.payment.gatewayRef && type === 'payment_intent.succeeded',
  );
  await world.sandbox.resend(paid?.id ?? '', 2);
  expect((await ada.comeBack(booking.id)).status).toBe(202);
  expect(await mailsArrive(world, ada.email, 1)).toEqual([`Your booking ${booking.reference} is confirmed`]);
  const mail = (await world.mail.messages()).find(({ to }) => to.includes(ada.email));
  expect(mail?.text).toContain('- Dr. Quick answers within a day\n');
  expect((await tracesOf(world, booking.id)).messages).toEqual(['booking-confirmed']);
});

test('a request nobody has paid exists for nobody but the patient, who sees what will be bought', async () => {
  const id = await offer();
  const before = await offering(id);
  const booking = await ada.start(ask(id));
  expect((await ada.read(booking.id)).body).toMatchObject({
    status: 'awaiting_payment',
    items: [{ offeringId: id, kind: 'consultation', title: before.title, details: summary }],
    total: fee,
    payment: { method: 'stripe', clientSecret: expect.any(String) },
    expiresAt: expect.any(String),
  });
  const theirs = await world.call('GET', `/v1/bookings/${booking.id}`, { token: doctor });
  const strangers = await new Shopper(world).read(booking.id);
  expect([theirs.status, strangers.status]).toEqual([404, 404]);
  for (const path of ['/v1/provider/bookings', `/v1/offerings/${id}/bookings`]) {
    const { status, body } = await world.call('GET', path, { token: doctor });
    expect([path, status]).toEqual([path, 200]);
    expect(JSON.stringify(body)).not.toContain(booking.id);
  }
  expect(await offering(id)).toEqual(before);
  expect(await rowsThatCount(world, [booking.id])).toEqual(none);
  expect(await mailsTo(world, ada.email)).toEqual([]);
});

test('a declined request leaves nothing behind, and a retry needs nothing entered again', async () => {
  const started = await ada.start(ask(await offer()));
  expect(await pay(world, started, declined)).toBe(402);
  expect(await ada.until(started.id, failed)).toMatchObject({
    status: 'awaiting_payment',
    retryable: true,
    failure: { type: 'payment-declined', code: 'insufficient_funds' },
  });
  expect(await rowsThatCount(world, [started.id])).toEqual(none);
  const retried = await ada.retry(started.id);
  expect(retried).toMatchObject({
    status: 200,
    body: { id: started.id, items: started.items, total: fee, payment: { try: 2 }, retryable: false },
  });
  expect(retried.body).not.toHaveProperty('failure');
  expect(await pay(world, retried.body)).toBe(200);
  expect((await ada.until(started.id, 'confirmed')).items).toMatchObject([{ details: summary }]);
  await expectOneEnd(world, started.id);
});

test('a request that is called off, or left until its window ends, leaves nothing behind', async () => {
  const id = await offer();
  const calledOff = await ada.start(ask(id));
  expect(await ada.cancel(calledOff.id)).toMatchObject({ status: 200, body: { status: 'canceled' } });
  expect(await expectOneEnd(world, calledOff.id)).toBe('canceled');
  expect(await rowsThatCount(world, [calledOff.id])).toEqual(none);
  expect(await pay(world, calledOff)).toBe(400);
  expect(await mailsTo(world, ada.email)).toEqual([]);

  const hasty = await startWorld({ windowSeconds: 5 });
  try {
    const grace = new Shopper(hasty);
    const left = await grace.start(ask(await publish(hasty, { kind: 'consultation' })));
    expect(await grace.until(left.id, 'expired')).toMatchObject({ retryable: false });
    expect(await expectOneEnd(hasty, left.id)).toBe('expired');
    expect(await rowsThatCount(hasty, [left.id])).toEqual(none);
    expect(await mailsTo(hasty, grace.email)).toEqual([]);
    expect((await grace.retry(left.id)).status).toBe(410);
  } finally {
    await hasty.stop();
  }
});

test('a gateway that does not answer leaves no request, and the same start goes on later', async () => {
  const id = await offer();
  const bookingId = ada.bookingId('a-key');
  const match = { metadata: { bookingId } };
  await world.sandbox.fault({ kind: 'lost-done', operation: 'payment_intents.create', times: null, match });
  const start = (): Promise<Answer> => ada.book(ask(id), 'a-key');
  expect(await start()).toMatchObject({ status: 202, body: { id: bookingId, status: 'awaiting_payment' } });
  expect(await ada.read(bookingId)).toMatchObject({ status: 200, body: { status: 'awaiting_payment' } });
  expect(await rowsThatCount(world, [bookingId])).toEqual(none);
  await world.sandbox.clearFaults();
  await ada.until(bookingId, (now) => now.payment?.clientSecret !== undefined);
  const again = await start();
  expect(again).toMatchObject({ status: 200, body: { id: bookingId, items: [{ details: summary }] } });
  await pay(world, again.body);
  await ada.until(bookingId, 'confirmed');
  await expectOneEnd(world, bookingId);
  expect(await tracesOf(world, bookingId)).toMatchObject({ intents: [{}], charges: 1 });
});

test('a doctor who stops offering while the patient pays: refused by name, and all of it goes back', async () => {
  const id = await offer();
  const [paying, retrying] = [await ada.start(id), await new Shopper(world).start(id)];
  await change(id, { status: 'closed' });
  expect(await pay(world, paying)).toBe(200);
  const refunded = await ada.until(paying.id, 'refunded');
  expect(refunded).toMatchObject({
    failure: { type: 'offering-closed', detail: expect.stringContaining('closed') },
    refund: { status: 'succeeded', amountMinor: priceMinor, reason: 'offering-closed' },
    retryable: false,
  });
  expect(await expectOneEnd(world, paying.id)).toBe('refunded');
  expect(await mailsArrive(world, ada.email, 1)).toEqual(['Your payment of €25.00 has been given back']);
  const mail = (await world.mail.messages()).find(({ to }) => to.includes(ada.email));
  expect(mail?.text).toContain('the offering was closed');

  const late = await ada.book(id);
  expect([late.status, late.body.type]).toEqual([409, '/problems/offering-closed']);
  // Offered again, it can be asked for again; who was merely looking on can still pay.
  await change(id, { status: 'open' });
  await pay(world, retrying);
  expect(await outcomeOf(world, retrying.id)).toBe('confirmed');
});

test('a retry after the doctor stopped offering is refused by name, before any money', async () => {
  const id = await offer();
  const booking = await ada.start(id);
  await pay(world, booking, declined);
  await ada.until(booking.id, failed);
  await change(id, { status: 'closed' });
  const refused = await ada.retry(booking.id);
  expect([refused.status, refused.body.type]).toEqual([409, '/problems/offering-closed']);
  expect(await tracesOf(world, booking.id)).toMatchObject({ status: 'awaiting_payment', charges: 0 });
});

test('two requests of one patient to one doctor are two attempts and two bookings', async () => {
  const id = await offer();
  const [first, second] = await Promise.all([
    ada.start(ask(id, { complaint: 'left knee' })),
    ada.start(ask(id, { complaint: 'right knee' })),
  ]);
  expect(first.id).not.toBe(second.id);
  expect(first.payment.gatewayRef).not.toBe(second.payment.gatewayRef);
  await pay(world, second);
  expect((await ada.until(second.id, 'confirmed')).items).toMatchObject([
    { details: { complaint: 'right knee' } },
  ]);
  expect((await ada.read(first.id)).body).toMatchObject({ status: 'awaiting_payment' });
  await pay(world, first);
  const { items, reference } = await ada.until(first.id, 'confirmed');
  expect(items).toMatchObject([{ details: { complaint: 'left knee' } }]);
  for (const booking of [first, second]) {
    expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
    expect(await tracesOf(world, booking.id)).toMatchObject({ charges: 1, capturedMinor: priceMinor });
  }
  const mine = await world.db('bookings').where({ customer_id: ada.sub }).select('reference');
  expect(new Set(mine.map((row: Json) => row.reference)).size).toBe(2);
  expect(mine).toContainEqual({ reference });
});

test('any number of patients pay one doctor at once, and every one is booked', async () => {
  const id = await offer();
  const patients = Array.from({ length: 20 }, () => new Shopper(world));
  const started = await Promise.all(patients.map((patient) => patient.start(ask(id))));
  expect(await Promise.all(started.map((booking) => pay(world, booking)))).toEqual(started.map(() => 200));
  const outcomes = await Promise.all(started.map((booking) => expectOneEnd(world, booking.id)));
  expect(outcomes).toEqual(started.map(() => 'confirmed'));
  expect(await offering(id)).toMatchObject({ seatsAvailable: null, status: 'open' });
});

test('a request to nobody, or with wrong contents, is refused, and nothing is started', async () => {
  const id = await offer();
  const unknown = 'off_zzzzzzzzzzzzzzzzzzzzzzzz';
  const base = ada.request(ask(id));
  const refusals: [string, Json, number, string][] = [
    ['nobody', ada.request(unknown), 404, 'not-found'],
    ['two-seats', ada.request([{ offeringId: id, seats: 2 }]), 400, 'invalid-request'],
    ['no-id', ada.request('a doctor'), 400, 'invalid-request'],
    ['no-items', { ...base, items: [] }, 400, 'invalid-request'],
    ['twice', { ...base, items: [...ask(id), ...ask(id)] }, 400, 'invalid-request'],
    ['no-mail', { ...base, customer: { name: 'Ada' } }, 400, 'invalid-request'],
    ['bad-mail', { ...base, customer: { name: 'Ada', email: 'ada' } }, 400, 'invalid-request'],
    ['own-price', { ...base, items: [{ offeringId: id, price: fee }] }, 400, 'invalid-request'],
    ['no-method', { ...base, payment: undefined }, 400, 'invalid-request'],
    ['odd-method', { ...base, payment: { method: 'cash' } }, 400, 'invalid-request'],
  ];
  for (const [key, body, status, type] of refusals) {
    const answer = await ada.call('POST', '/v1/bookings', body, key);
    expect([key, answer.status, answer.body.type]).toEqual([key, status, `/problems/${type}`]);
  }
  const ids = refusals.map(([key]) => ada.bookingId(key));
  expect(await rowsThatCount(world, ids)).toEqual(none);
  const { intents } = await world.sandbox.ledger();
  expect(intents.filter(({ metadata }) => ids.includes(metadata['bookingId'] ?? ''))).toEqual([]);
  // Those that only the tables could refuse are kept under their keys; none of them can be paid.
  const kept = await world.db('attempts').whereIn('booking_id', ids).select<Json[]>();
  expect(kept.map(({ status }) => status)).toEqual(['failed', 'failed', 'failed']);
  expect(kept.map(({ booking_id: one }) => String(one)).sort()).toEqual(
    ['nobody', 'two-seats', 'no-method'].map((key) => ada.bookingId(key)).sort(),
  );
});
