/** Who is mailed what: several providers in one cart, shared and missing addresses, languages, repeats and restarts. */
import { sendCopies } from './at-gateways';
import { expectOneEnd, mailsArrive, mailsTo, pay, priceMinor, Shopper } from './book-setup';
import { cartOf } from './carts-setup';
import { Provider, textsTo } from './providers-setup';
import { auditBooks } from './settling-setup';
import { eventually, startWorld, type Json, type RunningWorker, type World } from './world';

let world: World;
let worker: RunningWorker;
let ada: Shopper;
let doctor: Provider;
let mentor: Provider;

beforeAll(async () => {
  world = await startWorld({ worker: false });
  worker = await world.startWorker();
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
  doctor = new Provider(world);
  mentor = new Provider(world);
});
afterEach(async () => {
  await world.sandbox.clearFaults();
  await world.mail.clearFaults();
  expect(await auditBooks(world.db)).toEqual([]);
});

/** Ada books a cart of these and pays. */
async function booked(offerings: readonly string[]): Promise<Json> {
  const started = await ada.start({ cartId: await cartOf(ada, offerings) });
  await pay(world, started);
  return ada.until(started.id, 'confirmed');
}

/** Waits until nothing about a booking is queued any more; then whatever would be mailed has been. */
async function allMailed(bookingId: string): Promise<void> {
  await eventually('the last mail', async () => {
    const rows = await world.db('messages').where({ booking_id: bookingId });
    return rows.length > 0 && rows.every(({ sent_at }: Json) => sent_at !== null);
  });
}

test('two providers in one cart: each mail and each view names only their own items', async () => {
  await doctor.introduce();
  await mentor.introduce({ displayName: 'Maria Mentor' });
  const slot = await doctor.publish({ title: 'Check-up' });
  const talk = await mentor.publish({
    kind: 'consultation',
    title: 'Advice',
    price: { amountMinor: 900, currency: 'EUR' },
  });
  const started = await ada.start([
    { offeringId: slot, details: 'for the doctor' },
    { offeringId: talk, details: 'for the mentor' },
  ]);
  await pay(world, started);
  const { id, reference } = await ada.until(started.id, 'confirmed');
  for (const [provider, name, offeringId, amountMinor, own, foreign] of [
    [doctor, 'Dr. Example', slot, priceMinor, /Check-up/, /Advice|for the mentor|3400/],
    [mentor, 'Maria Mentor', talk, 900, /Advice/, /Check-up|for the doctor|3400/],
  ] as const) {
    expect(await mailsArrive(world, provider.email, 1)).toEqual([`New booking ${reference}`]);
    const [text = ''] = await textsTo(world, provider.email);
    expect(text).toContain(`Hello ${name},`);
    expect(text).toMatch(own);
    expect(text).not.toMatch(foreign);
    const listed = await provider.bookings();
    const { body } = await provider.read(id);
    for (const view of [...listed, body]) {
      expect(view).toMatchObject({ id, items: [{ offeringId }], total: { amountMinor } });
      expect(JSON.stringify(view)).not.toMatch(foreign);
    }
    expect(listed).toHaveLength(1);
  }
  await allMailed(id);
  expect(await expectOneEnd(world, id)).toBe('confirmed');
  for (const { email } of [doctor, mentor, ada]) expect(await mailsTo(world, email)).toHaveLength(1);
});

test('two providers who share an address get one mail that names the items of both, and no others', async () => {
  const email = `${doctor.sub}@practice.example`;
  await doctor.introduce({ displayName: 'Dr. Example', email });
  await mentor.introduce({ displayName: 'Maria Mentor', email });
  const stranger = new Provider(world);
  const { id, reference } = await booked([
    await doctor.publish({ title: 'Check-up' }),
    await stranger.publish({ title: 'Yoga' }),
    await mentor.publish({ title: 'Advice' }),
  ]);
  expect(await mailsArrive(world, email, 1)).toEqual([`New booking ${reference}`]);
  await allMailed(id);
  const texts = await textsTo(world, email);
  expect(texts).toHaveLength(1);
  expect(texts[0]).toMatch(/- Check-up.*\n- Advice/);
  expect(texts[0]).not.toContain('Yoga');
  expect(await expectOneEnd(world, id)).toBe('confirmed');
});

test('a provider without a profile is told nothing, and nothing breaks; one who comes later is told of what comes later', async () => {
  const slot = await doctor.publish({ capacity: 2 });
  const first = await booked([slot]);
  await allMailed(first.id);
  expect(await expectOneEnd(world, first.id)).toBe('confirmed');
  await doctor.introduce();
  expect((await doctor.bookings()).map(({ id }) => id)).toEqual([first.id]);
  const second = await booked([slot]);
  await allMailed(second.id);
  expect(await mailsTo(world, doctor.email)).toEqual([`New booking ${second.reference}`]);
});

test('a provider is mailed at the address and in the language of the moment, not the customer’s', async () => {
  await doctor.introduce({ locale: 'en-GB' });
  const slot = await doctor.publish({ capacity: 3 });
  const locales = async (bookingId: string) =>
    Object.fromEntries(
      (await world.db('messages').where({ booking_id: bookingId })).map(({ kind, locale }: Json) => [
        kind,
        locale,
      ]),
    );
  const request = { ...ada.request(slot), customer: { name: 'Ada', email: ada.email, locale: 'fr' } };
  const { body: started } = await ada.call('POST', '/v1/bookings', request, 'a key');
  // Moved while the customer pays: who is told is decided by the payment.
  const moved = `new-${doctor.email}`;
  await doctor.introduce({ email: moved, locale: 'de' });
  await pay(world, started);
  await ada.until(started.id, 'confirmed');
  await allMailed(started.id);
  expect(await locales(started.id)).toEqual({ 'booking-confirmed': 'fr', 'provider-booked': 'de' });
  expect([(await mailsTo(world, moved)).length, (await mailsTo(world, doctor.email)).length]).toEqual([1, 0]);
  // Written in a language there is, and without one in the first.
  await doctor.introduce();
  const { id, reference } = await booked([slot]);
  await allMailed(id);
  expect(await locales(id)).toEqual({ 'booking-confirmed': null, 'provider-booked': null });
  expect(await mailsTo(world, doctor.email)).toEqual([`New booking ${reference}`]);
});

test('a provider who is the customer’s own mailbox gets both mails', async () => {
  await doctor.introduce({ email: ada.email });
  const { id, reference } = await booked([await doctor.publish()]);
  await allMailed(id);
  expect((await mailsTo(world, ada.email)).sort()).toEqual([
    `New booking ${reference}`,
    `Your booking ${reference} is confirmed`,
  ]);
});

test('a webhook that comes twice and a worker that is replaced do not tell twice', async () => {
  await doctor.introduce();
  const slot = await doctor.publish();
  const match = { metadata: { bookingId: ada.bookingId('key') } };
  await world.sandbox.webhookFault({ kind: 'double', event: '*', times: null, match });
  const started = await ada.start(slot, 'key');
  await pay(world, started);
  const { id, reference } = await ada.until(started.id, 'confirmed');
  // Down before or after the courier has sent: the next one finds what is left to send, if anything.
  await worker.stop();
  worker = await world.startWorker();
  await allMailed(id);
  expect(await expectOneEnd(world, id)).toBe('confirmed');
  const { events } = await world.sandbox.ledger();
  const paid = events.find(
    (one) => one.paymentIntent === started.payment.gatewayRef && one.type === 'payment_intent.succeeded',
  );
  expect(paid?.deliveries.length).toBeGreaterThanOrEqual(2);
  expect(await sendCopies(world.sandbox, paid?.id ?? '', 5)).toEqual(Array(5).fill(200));
  await worker.stop();
  worker = await world.startWorker();
  // Another booking makes its way through the whole courier: what was queued before it has been sent by then.
  const next = new Shopper(world);
  const other = await next.start(await doctor.publish());
  await pay(world, other);
  const { reference: later } = await next.until(other.id, 'confirmed', 40_000);
  await allMailed(other.id);
  expect((await mailsTo(world, doctor.email)).sort()).toEqual(
    [`New booking ${reference}`, `New booking ${later}`].sort(),
  );
  expect(await mailsTo(world, ada.email)).toHaveLength(1);
});
