/** Whoever changes an attempt or an offering's seats tells of it: heard by a listener of the test's own, behind no slow look. */
import type { Knex } from 'knex';
import { Client } from 'pg';
import pino from 'pino';
import { openNotices, readNotice, type Notice } from '../src/notices';
import { pay, publish, Shopper } from './book-setup';
import { eventually, startWorld, type World } from './world';

let world: World;
let ear: Client;
const heard: Notice[] = [];

beforeAll(async () => {
  world = await startWorld();
  ear = new Client({ connectionString: world.config.database.url });
  ear.on('notification', ({ payload = '' }) => {
    const notice = readNotice(payload);
    if (notice !== undefined) heard.push(notice);
    // Anybody who may connect can listen: ids and a version, and nothing else.
    expect(payload).toMatch(/^\{[^@]{10,120}\}$/);
  });
  await ear.connect();
  await ear.query('LISTEN payfirst');
});
afterAll(async () => {
  await ear.end();
  await world.stop();
});
beforeEach(() => heard.splice(0));

async function toldAsItStands(bookingId: string): Promise<void> {
  await eventually(`word of the newest version of ${bookingId}`, async () => {
    const row = await world.db('attempts').where({ booking_id: bookingId }).first<{ version: number }>();
    return heard.some((one) => one.kind === 'booking' && one.id === bookingId && one.version === row.version);
  });
}

const toldOf = (offeringId: string) => heard.some((one) => one.kind === 'offering' && one.id === offeringId);

async function seatsTold(offeringId: string): Promise<void> {
  await eventually(`word of the seats of ${offeringId}`, async () => toldOf(offeringId));
}

test('opening, a decline, a retry, the payment, the cancellation and its refund are told', async () => {
  const slot = await publish(world, { capacity: 2 });
  const shopper = new Shopper(world);
  const booking = await shopper.start(slot);
  const id = String(booking.id);
  await toldAsItStands(id);
  await pay(world, booking, 'pm_card_visa_chargeDeclinedInsufficientFunds');
  await shopper.until(id, (now) => now.failure !== undefined);
  await toldAsItStands(id);
  await shopper.retry(id);
  await toldAsItStands(id);
  // Nobody's seat was touched yet, so nobody who watches the slot was woken.
  expect(toldOf(slot)).toBe(false);
  await pay(world, booking);
  await shopper.until(id, 'confirmed');
  await toldAsItStands(id);
  await seatsTold(slot);
  heard.splice(0);
  await shopper.cancel(id);
  await seatsTold(slot);
  await shopper.until(id, 'refunded');
  await toldAsItStands(id);
});

test('a hold is told when it begins and when its attempt is canceled', async () => {
  const slot = await publish(world, { holdSeconds: 300 });
  const shopper = new Shopper(world);
  const { id } = await shopper.start(slot);
  await seatsTold(slot);
  heard.splice(0);
  await shopper.cancel(String(id));
  await seatsTold(slot);
  await toldAsItStands(String(id));
});

test('an offering that is changed or called off is told, with every booking of it', async () => {
  const slot = await publish(world, { capacity: 3 });
  const shoppers = [new Shopper(world), new Shopper(world), new Shopper(world)];
  const bookings = await Promise.all(shoppers.map((shopper) => shopper.start(slot)));
  const ids = bookings.map((booking) => String(booking.id));
  for (const [n, booking] of bookings.slice(0, 2).entries()) {
    await pay(world, booking);
    await shoppers[n]?.until(String(booking.id), 'confirmed');
  }
  const token = await world.token('provider', 'catalog');
  heard.splice(0);
  await world.call('PATCH', `/v1/offerings/${slot}`, { token, body: { title: 'Another' } });
  await seatsTold(slot);
  heard.splice(0);
  await world.call('POST', `/v1/offerings/${slot}/cancel`, { token });
  await seatsTold(slot);
  for (const [n, id] of ids.entries()) {
    await shoppers[n]?.until(id, n < 2 ? 'refunded' : 'canceled');
    await toldAsItStands(id);
  }
});

test('a notice that cannot be sent is told once in the log, and fails nobody', async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  let working = false;
  const sent = jest.fn(() => (working ? Promise.resolve() : Promise.reject(new Error('away'))));
  const notices = openNotices({ raw: sent } as unknown as Knex, log);
  for (let n = 0; n < 3; n += 1) {
    notices.tell({ bookingId: `bkg_${n}` });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(sent).toHaveBeenCalledTimes(3);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('notices.unsent');
  working = true;
  notices.tell({ bookingId: 'bkg_0' });
  // What changes while one is under way goes with the next, once each.
  for (const bookingId of ['bkg_1', 'bkg_2', 'bkg_1']) notices.tell({ bookingId });
  await new Promise((resolve) => setImmediate(resolve));
  expect(sent).toHaveBeenCalledTimes(5);
  expect(sent.mock.lastCall).toEqual([
    expect.any(String),
    expect.objectContaining({ bookings: ['bkg_1', 'bkg_2'] }),
  ]);
});
