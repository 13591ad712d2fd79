/** The wallet from end to end through HTTP: money, seats and booking move in one step, or nothing does. */
import {
  expectOneEnd,
  mailsArrive,
  mailsTo,
  outcomeOf,
  pay,
  priceMinor,
  publish,
  rowsThatCount,
  seatsFree,
  Shopper,
  tracesOf,
  gatewayOf,
} from './book-setup';
import { playRounds } from './races-end-to-end-setup';
import { auditBooks } from './settling-setup';
import { balanceOf, credit, movementsOf, walletOf } from './wallet-setup';
import { startWorld, withoutTicket, type Answer, type World } from './world';

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

const none = { bookings: 0, booking_items: 0, seats: 0, payments: 0, messages: 0 };
const euros = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const problemOf = ({ status, body }: Answer) => [status, body.type];
const refused = [402, '/problems/insufficient-funds'];

/** A start that the wallet pays. */
const book = (shopper: Shopper, wanted: Parameters<Shopper['book']>[0], key?: string) =>
  shopper.book(wanted, key, 'wallet');

test('a wallet pays at once: confirmed in the answer, the balance less by the total, one mail, no gateway asked', async () => {
  const slot = await publish(world, { capacity: 3 });
  await credit(world, ada, 10_000);
  const asked = async () => (await world.sandbox.ledger()).requests.length;
  const before = await asked();
  const {
    status,
    body: booking,
    headers,
  } = await book(ada, [{ offeringId: slot, seats: 2, details: 'window' }]);
  expect(status).toBe(201);
  expect(headers.get('location')).toBe(`/v1/bookings/${booking.id}`);
  expect(booking).toMatchObject({
    status: 'confirmed',
    reference: expect.stringMatching(/^BK-/),
    total: euros(2 * priceMinor),
    items: [{ offeringId: slot, seats: 2, details: 'window' }],
    payment: { method: 'wallet', try: 1 },
    retryable: false,
    confirmedAt: expect.any(String),
  });
  // It was never payable, so nothing runs out.
  expect(booking).not.toHaveProperty('expiresAt');
  expect(booking.payment).not.toHaveProperty('clientSecret');
  expect(withoutTicket((await ada.read(booking.id)).body)).toEqual(withoutTicket(booking));
  expect(await balanceOf(ada)).toBe(10_000 - 2 * priceMinor);
  expect(await seatsFree(world, slot)).toBe(1);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  expect((await walletOf(ada)).entries.items[0]).toMatchObject({
    kind: 'payment',
    amountMinor: -2 * priceMinor,
    currency: 'EUR',
    bookingId: booking.id,
  });
  expect(await world.db('payments').where({ booking_id: booking.id })).toMatchObject([
    { gateway: 'wallet', amount_minor: 2 * priceMinor, currency: 'EUR', disposition: 'booked' },
  ]);
  expect(await mailsArrive(world, ada.email, 1)).toEqual([`Your booking ${booking.reference} is confirmed`]);
  expect(await asked()).toBe(before);
});

test('too little balance takes nothing and confirms nothing', async () => {
  const slot = await publish(world, { capacity: 30 });
  await credit(world, ada, priceMinor - 1);
  // Money in another currency does not count, and neither does another's.
  await credit(world, ada, 10 * priceMinor, { currency: 'USD' });
  await credit(world, new Shopper(world), 10 * priceMinor);
  const first = await book(ada, slot, 'key');
  expect(problemOf(first)).toEqual(refused);
  expect(first.body.detail).toEqual(expect.stringMatching(/\S/));
  const id = ada.bookingId('key');
  expect(await outcomeOf(world, id)).toBe('failed');
  expect((await ada.read(id)).body).toMatchObject({
    status: 'failed',
    failure: { type: 'insufficient-funds' },
  });
  expect(await rowsThatCount(world, [id])).toEqual(none);
  expect(await seatsFree(world, slot)).toBe(30);
  // The refusal is kept under its key, also by repeats at once, and also when there is money: who wants it anew says so.
  await credit(world, ada, 2 * priceMinor);
  const again = await Promise.all(Array.from({ length: 10 }, () => book(ada, slot, 'key')));
  expect(again.map(problemOf)).toEqual(Array(10).fill(refused));
  expect(await balanceOf(ada)).toBe(3 * priceMinor - 1);
  const anew = await Promise.all(Array.from({ length: 10 }, () => book(ada, slot, 'a new key')));
  expect(anew.map(({ status }) => status).sort()).toEqual([...Array<number>(9).fill(200), 201]);
  expect(new Set(anew.map(({ body }) => body.status))).toEqual(new Set(['confirmed']));
  expect(await balanceOf(ada)).toBe(2 * priceMinor - 1);
  // Refused at once ten times by ten requests, and by one: as nobody else can notice.
  const poor = new Shopper(world);
  const atOnce = await Promise.all(Array.from({ length: 10 }, () => book(poor, slot, 'key')));
  expect(atOnce.map(problemOf)).toEqual(Array(10).fill(refused));
  expect(await walletOf(poor)).toEqual({ balances: [], entries: { items: [] } });
  expect(await mailsTo(world, poor.email)).toEqual([]);
});

test('a slot that is gone takes nothing', async () => {
  const slot = await publish(world, { capacity: 2 });
  const [winner, closed] = [new Shopper(world), await publish(world)];
  await pay(world, await winner.start([{ offeringId: slot, seats: 1 }], 'card'));
  await winner.until(winner.bookingId('card'), 'confirmed');
  const token = await world.token('provider', 'catalog');
  await world.call('PATCH', `/v1/offerings/${closed}`, { token, body: { status: 'closed' } });
  await credit(world, ada, 10 * priceMinor);
  for (const [wanted, type] of [
    [[{ offeringId: slot, seats: 2 }], 'slot-unavailable'],
    [[{ offeringId: closed }], 'offering-closed'],
    // Nothing in part: the seat that is free is not taken when another is gone.
    [[{ offeringId: slot }, { offeringId: closed }], 'offering-closed'],
  ] as const) {
    const key = JSON.stringify(wanted);
    expect(problemOf(await book(ada, [...wanted], key))).toEqual([409, `/problems/${type}`]);
    expect(await rowsThatCount(world, [ada.bookingId(key)])).toEqual(none);
  }
  expect(await movementsOf(ada)).toEqual([`credit ${10 * priceMinor}`]);
  expect(await seatsFree(world, slot)).toBe(1);
  // The money is still good for what is there.
  expect((await book(ada, slot)).body.status).toBe('confirmed');
});

test('a consultation is created and paid in one step', async () => {
  const talk = await publish(world, { kind: 'consultation', title: 'Advice', price: euros(900) });
  await credit(world, ada, 1000);
  const details = { complaint: 'left knee', files: ['scan.png'] };
  const { status, body: booking } = await book(ada, [{ offeringId: talk, details }]);
  expect([status, booking.status]).toEqual([201, 'confirmed']);
  expect(booking.items).toEqual([
    { offeringId: talk, kind: 'consultation', title: 'Advice', seats: 1, details },
  ]);
  expect(await balanceOf(ada)).toBe(100);
  expect(await world.db('booking_items').where({ booking_id: booking.id })).toMatchObject([
    { offering_id: talk, seats: 1, details },
  ]);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  // The doctor reads it at once; what was refused is not there.
  expect(problemOf(await book(ada, talk, 'too little'))).toEqual(refused);
  const listed = await world.call('GET', `/v1/offerings/${talk}/bookings`, {
    token: await world.token('provider', 'catalog'),
  });
  expect(listed.body.items).toMatchObject([{ id: booking.id, total: euros(900) }]);
});

test('a balance and its entries are shown to their owner, and credited by operators, once per key', async () => {
  expect(await walletOf(ada)).toEqual({ balances: [], entries: { items: [] } });
  const both = await Promise.all(
    Array.from({ length: 5 }, () => credit(world, ada, 5000, { key: 'a gift' })),
  );
  expect(both.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 201]);
  expect(new Set(both.map(({ body }) => body.id)).size).toBe(1);
  expect(problemOf(await credit(world, ada, 5001, { key: 'a gift' }))).toEqual([
    422,
    '/problems/idempotency-key-reused',
  ]);
  await credit(world, ada, 300, { currency: 'USD' });
  const { body: booking } = await book(ada, await publish(world));
  const wallet = await walletOf(ada);
  expect(wallet).toEqual({
    balances: [euros(5000 - priceMinor), { amountMinor: 300, currency: 'USD' }],
    entries: {
      items: [
        {
          kind: 'payment',
          ...euros(-priceMinor),
          bookingId: booking.id,
          id: expect.any(String),
          at: expect.any(String),
        },
        { kind: 'credit', amountMinor: 300, currency: 'USD', id: expect.any(String), at: expect.any(String) },
        { kind: 'credit', ...euros(5000), id: both[0]?.body.id, at: expect.any(String) },
      ],
    },
  });
  // Customers and providers cannot make money, and nobody reads another's.
  for (const scope of ['bookings', 'catalog']) {
    const answer = await world.call('POST', `/v1/wallets/${ada.sub}/credits`, {
      token: await world.token(ada.sub, scope),
      body: euros(1),
      key: 'own',
    });
    expect(problemOf(answer)).toEqual([403, '/problems/forbidden']);
  }
  expect(await walletOf(new Shopper(world))).toEqual({ balances: [], entries: { items: [] } });
  expect((await world.call('GET', '/v1/wallet')).status).toBe(401);
  expect(await walletOf(ada)).toEqual(wallet);
});

test('payments at the same moment never take more than the balance', async () => {
  await credit(world, ada, 3 * priceMinor + 1);
  const slots = await Promise.all([publish(world, { capacity: 30 }), publish(world, { capacity: 30 })]);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => book(ada, slots[n % 2] ?? '', `key ${n}`)),
  );
  expect(answers.map(problemOf).sort()).toEqual([
    ...Array(3).fill([201, undefined]),
    ...Array(17).fill(refused),
  ]);
  expect(await balanceOf(ada)).toBe(1);
  expect((await movementsOf(ada)).sort()).toEqual([
    `credit ${3 * priceMinor + 1}`,
    ...Array<string>(3).fill(`payment ${-priceMinor}`),
  ]);
  const left = await Promise.all(slots.map((slot) => seatsFree(world, slot)));
  expect(left.reduce((sum, free) => sum + free, 0)).toBe(57);
  const ids = Array.from({ length: 20 }, (_, n) => ada.bookingId(`key ${n}`));
  const ends = await Promise.all(ids.map((id) => expectOneEnd(world, id)));
  expect(ends.filter((end) => end === 'confirmed')).toHaveLength(3);
});

test('wallet and card for the last seat: one booking, and who lost has all of it where it came from', async () => {
  const play = async (round: number) => {
    const [rich, other] = [new Shopper(world), new Shopper(world)];
    const slot = await publish(world);
    await credit(world, rich, priceMinor);
    const byCard = await other.start(slot);
    const id = String(byCard.id);
    const gate = await gatewayOf(world, 'stripe').gate('read', id);
    await pay(world, byCard);
    await gate.hold();
    // The wallet before the card, the card before the wallet, and both at the same moment.
    const cardSettles = async () => {
      await gate.release();
      await expectOneEnd(world, id);
    };
    if (round % 4 === 1) await cardSettles();
    const walletPays = book(rich, slot, 'key');
    if (round % 4 === 0) await walletPays;
    await cardSettles();
    const fromWallet = await walletPays;
    const byWallet = fromWallet.status === 201;
    expect(problemOf(fromWallet)).toEqual(byWallet ? [201, undefined] : [409, '/problems/slot-unavailable']);
    expect(await balanceOf(rich)).toBe(byWallet ? 0 : priceMinor);
    expect(await expectOneEnd(world, rich.bookingId('key'))).toBe(byWallet ? 'confirmed' : 'failed');
    expect((await other.read(id)).body).toMatchObject(
      byWallet
        ? { status: 'refunded', refund: { status: 'succeeded', ...{ amountMinor: priceMinor } } }
        : { status: 'confirmed' },
    );
    expect(await tracesOf(world, id)).toMatchObject({ refundedMinor: byWallet ? priceMinor : 0 });
    expect(await balanceOf(other)).toBe(0);
    expect(await seatsFree(world, slot)).toBe(0);
    return byWallet;
  };
  const won = await playRounds(4, play, 12);
  for (const [round, byWallet] of won.entries()) {
    if (round % 4 === 0) expect([round, byWallet]).toEqual([round, true]);
    if (round % 4 === 1) expect([round, byWallet]).toEqual([round, false]);
  }
});
