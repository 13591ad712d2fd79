/** What a customer writes for the provider: kept unchanged, 8 KiB at most, and seen by nobody else. Told of consultations. */
import pino from 'pino';
import { bookingWorkflowId } from '../src/workflows/messages';
import { pay, publish, Shopper } from './book-setup';
import { startWorld, type World } from './world';

const logged: string[] = [];

let world: World;
let ada: Shopper;
let doctor: string;

beforeAll(async () => {
  world = await startWorld({
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
  });
  doctor = await world.token('provider', 'catalog');
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
});

/** Nested, in several scripts, and with words that occur nowhere else. */
const summary = {
  subject: 'Kopfschmerzen – سردرد 🤕',
  message: 'persistent hiccups since Tuesday\n\tشماره ملی: ۰۰۱۲۳۴۵۶۷۸ "quoted" \\ \u2028',
  files: [
    { name: 'Röntgen №1.png', size: 120_000, pages: [1, 2.5, -3], seen: false, note: null },
    { name: '', tags: [], more: {} },
  ],
};

/** Words of the summary that must turn up nowhere but in the request itself. */
const privateWords = ['hiccups', 'Kopfschmerzen', 'Röntgen'];

const offer = (): Promise<string> => publish(world, { kind: 'consultation' });

test('details may have 8 KiB, counted in bytes', async () => {
  const id = await offer();
  // A JSON string of that many bytes, with its quotes; each ß takes two.
  const text = (bytes: number): string => 'ß'.repeat((bytes - 2) / 2);
  const fits = text(8 * 1024);
  const tooLong = `${fits}.`;
  expect(Buffer.byteLength(JSON.stringify(tooLong))).toBe(8 * 1024 + 1);
  const refused = await ada.book([{ offeringId: id, details: tooLong }], 'too-long');
  expect(refused).toMatchObject({ status: 400, body: { errors: [{ pointer: '/items/0/details' }] } });
  expect(await world.db('attempts').where({ booking_id: ada.bookingId('too-long') })).toEqual([]);
  const booking = await ada.start([{ offeringId: id, details: fits }]);
  expect(booking.items).toMatchObject([{ details: fits }]);
  await ada.cancel(booking.id);
});

test('details come back unchanged to customer and provider, and turn up nowhere else', async () => {
  const id = await offer();
  const shapes: unknown[] = [summary, null, false, 0, '', [], {}, [null, [summary]]];
  for (const details of shapes) {
    const booking = await ada.start([{ offeringId: id, details }]);
    await pay(world, booking);
    await ada.until(booking.id, 'confirmed');
    const own = (await ada.read(booking.id)).body;
    const theirs = (await world.call('GET', `/v1/bookings/${booking.id}`, { token: doctor })).body;
    expect([own.items[0].details, theirs.items[0].details]).toEqual([details, details]);
  }
  const [newest] = (await ada.call('GET', '/v1/bookings')).body.items;
  const places: Record<string, string> = {
    log: logged.join(''),
    mails: JSON.stringify(await world.mail.messages()),
  };
  const operator = await world.token('olga', 'ops');
  for (const [path, token] of [
    ['/v1/bookings', await world.token(ada.sub)],
    [`/v1/bookings?customerId=${ada.sub}`, operator],
    [`/v1/bookings/${newest.id}`, operator],
    ['/v1/provider/bookings', doctor],
    [`/v1/offerings/${id}/bookings`, doctor],
    ['/v1/offerings?kind=consultation', doctor],
  ] as const) {
    const { status, body } = await world.call('GET', path, { token });
    expect([path, status]).toEqual([path, 200]);
    places[path] = JSON.stringify(body);
  }
  for await (const listing of world.temporal.workflow.list({ query: `TaskQueue = '${world.taskQueue}'` })) {
    const { memo, typedSearchAttributes, workflowId } = listing;
    places[workflowId] = JSON.stringify([workflowId, memo, typedSearchAttributes.getAll()]);
  }
  expect(places).toHaveProperty([bookingWorkflowId(newest.id)]);
  // Escaped as JSON escapes it: letters outside ASCII stand as they are.
  const leaks = Object.entries(places).filter(
    ([, text]) => /details/.test(text) || privateWords.some((word) => text.includes(word)),
  );
  expect(leaks.map(([place]) => place)).toEqual([]);
  expect(places['log']).toContain(newest.id);
});
