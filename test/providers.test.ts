/** Providers from end to end: told of what was paid, once, and of nothing else; each reads their own and nobody else's. */
import { sendCopies } from './at-gateways';
import { expectOneEnd, mailsArrive, mailsTo, pay, priceMinor, seatsFree, Shopper } from './book-setup';
import { Provider, textsTo } from './providers-setup';
import { openCaseOf } from './refunds-setup';
import { auditBooks } from './settling-setup';
import { credit } from './wallet-setup';
import { eventually, startWorld, withoutTicket, type Json, type World } from './world';

let world: World;
let ada: Shopper;
let doctor: Provider;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(async () => {
  ada = new Shopper(world);
  doctor = new Provider(world);
  await doctor.introduce();
});
afterEach(async () => {
  await world.sandbox.clearFaults();
  await world.mail.clearFaults();
  expect(await auditBooks(world.db)).toEqual([]);
});

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';
const failed = (now: Json): boolean => now.failure !== undefined;
const idsOf = (bookings: readonly Json[]): string[] => bookings.map(({ id }) => String(id));

/** A customer books and pays; the booking. */
async function booked(wanted: Parameters<Shopper['start']>[0], shopper = ada): Promise<Json> {
  const started = await shopper.start(wanted);
  await pay(world, started);
  return shopper.until(started.id, 'confirmed');
}

/** Messages about a booking, as kind and recipient. */
async function messagesOf(bookingId: string): Promise<string[]> {
  const rows = await world
    .db('messages')
    .where({ booking_id: bookingId })
    .orderBy('kind')
    .select<{ kind: string; recipient: string }[]>();
  return rows.map(({ kind, recipient }) => `${kind} ${recipient}`);
}

/** Waits until nothing is queued any more: whatever would be mailed has been. */
async function allMailed(): Promise<void> {
  await eventually('the last mail', async () => {
    const queued = await world.db('messages').whereNull('sent_at').whereNotNull('next_send_at');
    return queued.length === 0;
  });
}

test('a provider is told of a booking once it is paid, and once', async () => {
  const [slot, talk] = [
    await doctor.publish({ title: 'Check-up', capacity: 2 }),
    await doctor.publish({ kind: 'consultation', title: 'Advice' }),
  ];
  await credit(world, ada, priceMinor);
  const byCard = await ada.start([{ offeringId: slot, seats: 2, details: 'left knee' }]);
  expect(await messagesOf(byCard.id)).toEqual([]);
  await pay(world, byCard);
  const confirmed = await ada.until(byCard.id, 'confirmed');
  const fromWallet = await ada.start(talk, 'key', 'wallet');
  const bookings = [confirmed, fromWallet];
  expect((await mailsArrive(world, doctor.email, 2)).sort()).toEqual(
    bookings.map(({ reference }) => `New booking ${reference}`).sort(),
  );
  const texts = await textsTo(world, doctor.email);
  const [first = '', second = ''] = bookings.map(({ reference }) =>
    texts.find((text) => text.includes(String(reference))),
  );
  expect(first).toMatch(/Hello Dr\. Example,\s+Ada Example has booked:\s+- Check-up, .*, 2 seats/);
  expect(second).toMatch(/- Advice\n/);
  // Health data is not for mailboxes, and how to reach the customer stands in the booking.
  expect(texts.join('')).not.toMatch(/knee|example\.org/);

  // Heard again by webhook, browser and a repeat of the request: still one mail each.
  const { events } = await world.sandbox.ledger();
  const paid = events.find(
    ({ paymentIntent, type }) =>
      paymentIntent === byCard.payment.gatewayRef && type === 'payment_intent.succeeded',
  );
  expect(await sendCopies(world.sandbox, paid?.id ?? '', 3)).toEqual([200, 200, 200]);
  expect((await ada.comeBack(byCard.id)).status).toBe(202);
  expect((await ada.book(talk, 'key', 'wallet')).status).toBe(200);
  for (const { id } of bookings) {
    expect(await expectOneEnd(world, id)).toBe('confirmed');
    expect(await messagesOf(id)).toEqual([
      `booking-confirmed ${ada.email}`,
      `provider-booked ${doctor.email}`,
    ]);
  }
  await allMailed();
  expect(await mailsTo(world, doctor.email)).toHaveLength(2);
});

test('a provider hears and sees nothing of what was not paid', async () => {
  const slot = await doctor.publish({ capacity: 2 });
  const [first, hers, theirs, left, late] = [1, 2, 3, 4, 5].map(() => new Shopper(world)) as [
    Shopper,
    Shopper,
    Shopper,
    Shopper,
    Shopper,
  ];
  const { payment } = world.dependencies;
  world.dependencies.payment = { ...payment, windowSeconds: 1 };
  const short = await left.start(slot);
  world.dependencies.payment = payment;
  const waiting = await first.start(slot);
  const [refused, canceled, lost] = await Promise.all(
    [hers, theirs, late].map((shopper) => shopper.start(slot)),
  );
  await pay(world, refused, declined);
  await hers.until(refused.id, failed);
  await theirs.cancel(canceled.id);
  await left.until(short.id, 'expired');
  // A start that was refused, with an empty wallet.
  expect((await ada.book(slot, 'poor', 'wallet')).status).toBe(402);
  const all = [waiting, refused, canceled, short, lost];
  const nothing = async (): Promise<void> => {
    expect([await doctor.bookings(), await doctor.bookings(slot)]).toEqual([[], []]);
    for (const id of [...idsOf(all), ada.bookingId('poor')]) {
      expect((await doctor.read(id)).status).toBe(404);
      expect(await messagesOf(id)).toEqual([]);
    }
  };
  await nothing();
  // Nor of who paid and lost the race: only the two who have the seats are there.
  const winners = [await booked(slot, new Shopper(world)), await booked(slot, new Shopper(world))];
  await pay(world, lost);
  await late.until(lost.id, 'refunded');
  expect(idsOf(await doctor.bookings(slot))).toEqual(idsOf(winners).reverse());
  expect((await doctor.read(lost.id)).status).toBe(404);
  expect(await messagesOf(lost.id)).toEqual([`payment-refunded ${late.email}`]);
  await allMailed();
  expect(await mailsTo(world, doctor.email)).toHaveLength(2);
});

test('a provider reads the paid bookings of one offering and of all, newest first, with what the customer sent', async () => {
  const [one, two] = [await doctor.publish({ capacity: 9 }), await doctor.publish({ kind: 'consultation' })];
  const details = { complaint: 'left knee', files: ['scan.png'] };
  const bookings: Json[] = [];
  for (const [n, offeringId] of [one, two, one, one].entries()) {
    bookings.unshift(await booked([{ offeringId, details: { ...details, n } }], new Shopper(world)));
  }
  const newest = idsOf(bookings);
  expect(idsOf(await doctor.bookings())).toEqual(newest);
  expect(idsOf(await doctor.bookings(one))).toEqual([newest[0], newest[1], newest[3]]);
  expect(idsOf(await doctor.bookings(two))).toEqual([newest[2]]);
  const page = await doctor.call('GET', '/v1/provider/bookings?limit=3');
  expect(idsOf(page.body.items)).toEqual(newest.slice(0, 3));
  const rest = await doctor.call('GET', `/v1/provider/bookings?limit=3&cursor=${page.body.nextCursor}`);
  expect([idsOf(rest.body.items), rest.body.nextCursor]).toEqual([newest.slice(3), undefined]);
  // What was sent stands in the booking itself, and in no list.
  expect(JSON.stringify(page.body)).not.toContain('knee');
  for (const [n, booking] of [...bookings].reverse().entries()) {
    const { status, body } = await doctor.read(booking.id);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      reference: booking.reference,
      status: 'confirmed',
      total: { amountMinor: priceMinor, currency: 'EUR' },
      items: [{ details: { ...details, n } }],
      customer: { name: 'Ada Example', email: expect.stringMatching(/@example\.org$/) },
    });
    expect(JSON.stringify(body)).not.toMatch(/pi_|_secret_/);
  }
});

test('another provider, a customer and nobody read none of them', async () => {
  const slot = await doctor.publish();
  const booking = await booked([{ offeringId: slot, details: 'left knee' }]);
  const stranger = new Provider(world);
  await stranger.publish();
  const single = `/v1/bookings/${booking.id}`;
  const ofOne = `/v1/offerings/${slot}/bookings`;
  expect(await stranger.bookings()).toEqual([]);
  expect((await stranger.call('GET', ofOne)).status).toBe(404);
  expect((await stranger.read(booking.id)).status).toBe(404);
  const grace = new Shopper(world);
  for (const shopper of [ada, grace]) {
    for (const path of ['/v1/provider/bookings', ofOne]) {
      expect((await shopper.call('GET', path)).status).toBe(403);
    }
  }
  expect((await grace.call('GET', single)).status).toBe(404);
  for (const path of ['/v1/provider/bookings', ofOne, single]) {
    const { status, body } = await world.call('GET', path);
    expect([path, status]).toEqual([path, 401]);
    expect(JSON.stringify(body)).not.toMatch(/knee|Ada|BK-/);
  }
  // Who may look at all bookings, to steer them, reads what was booked and not what was written.
  const operator = await world.call('GET', single, { token: await world.token('olga', 'ops') });
  expect([operator.status, JSON.stringify(operator.body).includes('knee')]).toEqual([200, false]);
  // The doctor's name as a customer's is no key to the doctor's bookings.
  const disguised = await world.call('GET', single, { token: await world.token(doctor.sub, 'bookings') });
  expect(disguised.status).toBe(404);
  expect((await doctor.read(booking.id)).body.items).toMatchObject([{ details: 'left knee' }]);
});

test('a mail that does not reach the provider does not undo the booking', async () => {
  const slot = await doctor.publish();
  await world.mail.fault('refuse', null);
  const booking = await booked(slot);
  const message = { booking_id: booking.id, kind: 'provider-booked' };
  const row = () => world.db('messages').where(message).first<Json>();
  await eventually('a mail in vain', async () => (await row()).tries === 1);
  // Days later nobody has taken it: a person is asked.
  await world.db('messages').where(message).update({ tries: 15, next_send_at: world.db.fn.now() });
  const found = await openCaseOf(world, booking.id);
  expect(found).toMatchObject({ kind: 'message-failed', detail: expect.stringContaining('provider-booked') });
  expect(found.detail).not.toContain('@');
  expect(withoutTicket((await ada.read(booking.id)).body)).toEqual(withoutTicket(booking));
  expect(idsOf(await doctor.bookings())).toEqual([booking.id]);
  expect(await seatsFree(world, slot)).toBe(0);
  // The customer's own mail is not held up by it.
  await world.mail.clearFaults();
  await world.db('messages').where({ kind: 'booking-confirmed', booking_id: booking.id }).update({
    next_send_at: world.db.fn.now(),
  });
  expect(await mailsArrive(world, ada.email, 1)).toEqual([`Your booking ${booking.reference} is confirmed`]);
  const path = `/v1/cases/${found.id}`;
  const token = await world.token('olga', 'ops');
  expect((await world.call('GET', path, { token })).body).toMatchObject({
    status: 'open',
    bookingId: booking.id,
  });
  const body = { action: 'resend', note: 'the address works again' };
  expect((await world.call('POST', `${path}/resolve`, { token, body })).status).toBe(200);
  expect(await mailsArrive(world, doctor.email, 1)).toEqual([`New booking ${booking.reference}`]);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

test('an offering shows its provider’s name, and never the address', async () => {
  const unknown = new Provider(world);
  const [named, unnamed] = [await doctor.publish(), await unknown.publish()];
  const shown = async (id: string): Promise<Json> => (await world.call('GET', `/v1/offerings/${id}`)).body;
  expect(await shown(named)).toMatchObject({ providerId: doctor.sub, displayName: 'Dr. Example' });
  expect(await shown(unnamed)).not.toHaveProperty('displayName');
  // A new name shows at once, also with what was published before.
  await doctor.introduce({ displayName: 'Dr. Example-Lovelace' });
  const listed = await world.call('GET', `/v1/offerings?providerId=${doctor.sub}`);
  expect(listed.body.items).toMatchObject([{ id: named, displayName: 'Dr. Example-Lovelace' }]);
  const booking = await booked(named);
  const seen = [await shown(named), listed.body, booking, (await doctor.read(booking.id)).body];
  expect(JSON.stringify(seen)).not.toContain('clinic.example');
  // Only the provider reads the address.
  expect((await doctor.call('GET', '/v1/provider')).body).toMatchObject({ email: doctor.email });
  expect((await unknown.call('GET', '/v1/provider')).status).toBe(404);
});
