/**
 * The races between ways to pay through HTTP and Temporal: who pays by card stands at Stripe's door until everybody is
 * there, and wallets are sent off in the same moment. Five rounds each; the activities' own races have many more.
 */
import { expectOneEnd, pay, priceMinor, publish, Shopper, type Wanted, gatewayOf } from './book-setup';
import { cartOf, readCart } from './carts-setup';
import { letTimePass } from './holds-setup';
import { playRounds } from './races-end-to-end-setup';
import { balanceOf, credit } from './wallet-setup';
import { tally } from './ways-setup';
import { startWorld, type Json, type World } from './world';

const rounds = 5;
const holdSeconds = 600;

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
afterEach(() => world.sandbox.clearFaults());

/** Who pays, and for what. */
interface Payer {
  shopper: Shopper;
  wanted: Wanted;
}

/** A customer with an attempt paid by card, and what lets its settling go on. */
interface AtTheDoor {
  id: string;
  release: () => Promise<unknown>;
}

/** Starts an attempt and pays it; its settling stands at Stripe's door. */
async function payByCard({ shopper, wanted }: Payer): Promise<AtTheDoor> {
  const booking = await shopper.start(wanted);
  const id = String(booking.id);
  const gate = await gatewayOf(world, 'stripe').gate('read', id);
  expect(await pay(world, booking)).toBe(200);
  await gate.hold();
  return { id, release: () => gate.release() };
}

let keys = 0;
/** Pays from the wallet, whatever comes of it. */
async function payByWallet({
  shopper,
  wanted,
}: Payer): Promise<{ id: string; refused?: string | undefined }> {
  keys += 1;
  const key = `wallet-${keys}`;
  const { status, body } = await shopper.book(wanted, key, 'wallet');
  expect([201, 402, 409]).toContain(status);
  const id = shopper.bookingId(key);
  if (status === 201) expect(body).toMatchObject({ id, status: 'confirmed' });
  // A cart that is booked already is refused at the door: nothing begins.
  return { id, refused: status === 201 ? undefined : String(body.type).split('/').pop() };
}

/** How an attempt ended, held against the rules about its end. */
async function endingOf(id: string, refused?: string): Promise<Json> {
  const attempt = await world.db('attempts').where({ booking_id: id }).first<Json>();
  if (attempt === undefined) return { outcome: 'failed', failure: refused };
  const outcome = await expectOneEnd(world, id);
  const { failure } = await world.db('attempts').where({ booking_id: id }).first<Json>();
  return { outcome, failure: failure?.type };
}

/** Lets the cards' settling go on and the wallets pay at the same moment; how each ended, cards first. */
async function race(cards: readonly AtTheDoor[], wallets: readonly Payer[]): Promise<Json[]> {
  const [, paid] = await Promise.all([
    Promise.all(cards.map(({ release }) => release())),
    Promise.all(wallets.map(payByWallet)),
  ]);
  return Promise.all([
    ...cards.map(({ id }) => endingOf(id)),
    ...paid.map(({ id, refused }) => endingOf(id, refused)),
  ]);
}

const endings = (ended: readonly Json[]): Record<string, number> =>
  tally(ended.map(({ outcome, failure }) => [outcome, failure].filter(Boolean).join(': ')));

/** A customer whose wallet covers so many seats. */
async function withWallet(seats: number): Promise<Shopper> {
  const shopper = new Shopper(world);
  expect((await credit(world, shopper, seats * priceMinor)).status).toBe(201);
  return shopper;
}

/** Seats that were sold are what the wallet lost. */
async function expectWallet(shopper: Shopper, had: number, ended: readonly Json[]): Promise<void> {
  const bought = ended.filter(({ outcome }) => outcome === 'confirmed').length;
  expect(await balanceOf(shopper)).toBe((had - bought) * priceMinor);
}

test('cards and wallets for two seats: two are booked, cards get their money back, wallets never spent it', async () => {
  await playRounds(
    rounds,
    async () => {
      const wanted = await publish(world, { capacity: 2 });
      const wallets = await Promise.all([withWallet(1), withWallet(1), withWallet(1)]);
      const cards = await Promise.all(
        [1, 2, 3].map(() => payByCard({ shopper: new Shopper(world), wanted })),
      );
      const ended = await race(
        cards,
        wallets.map((shopper) => ({ shopper, wanted })),
      );
      expect(tally(ended.map(({ outcome }) => outcome))['confirmed']).toBe(2);
      for (const { outcome, failure } of ended.slice(0, 3)) {
        if (outcome !== 'confirmed') expect([outcome, failure]).toEqual(['refunded', 'slot-unavailable']);
      }
      for (const [n, shopper] of wallets.entries()) await expectWallet(shopper, 1, ended.slice(3 + n, 4 + n));
    },
    rounds,
  );
});

test('carts of the same three slots in different order: one has all, the other nothing', async () => {
  await playRounds(
    rounds,
    async (round) => {
      const slots = await Promise.all([1, 2, 3].map(() => publish(world)));
      const [one, two] = [new Shopper(world), await withWallet(3)];
      const first = { shopper: one, wanted: { cartId: await cartOf(one, slots) } };
      const second = { shopper: two, wanted: { cartId: await cartOf(two, [...slots].reverse()) } };
      const ended =
        round % 2 === 0
          ? await race([await payByCard(first), await payByCard(second)], [])
          : await race([await payByCard(first)], [second]);
      expect(ended.filter(({ outcome }) => outcome === 'confirmed')).toHaveLength(1);
      expect(ended.filter(({ failure }) => failure === 'slot-unavailable')).toHaveLength(1);
    },
    rounds,
  );
});

test('one cart paid twice, by two cards or by card and wallet: one booking', async () => {
  await playRounds(
    rounds,
    async (round) => {
      const shopper = await withWallet(2);
      const slots = await Promise.all([1, 2].map(() => publish(world, { capacity: 5 })));
      const payer = { shopper, wanted: { cartId: await cartOf(shopper, slots) } };
      const cards = [await payByCard(payer), ...(round % 2 === 0 ? [await payByCard(payer)] : [])];
      const ended = await race(cards, round % 2 === 0 ? [] : [payer]);
      expect(ended.map(({ failure }) => failure ?? 'none').sort()).toEqual(['cart-converted', 'none']);
      expect(ended.filter(({ outcome }) => outcome === 'confirmed')).toHaveLength(1);
      expect(await readCart(shopper, payer.wanted.cartId)).toMatchObject({ status: 'converted' });
      const spent = round % 2 === 1 && ended[1].outcome === 'confirmed';
      expect(await balanceOf(shopper)).toBe(spent ? 0 : 2 * priceMinor);
    },
    rounds,
  );
});

test('a held seat is its holder’s while the hold lasts, and anybody’s after it', async () => {
  await playRounds(
    rounds,
    async () => {
      const wanted = await publish(world, { holdSeconds });
      const owner = await payByCard({ shopper: new Shopper(world), wanted });
      // In the last minute, which is there for settling.
      await letTimePass(world, owner.id, holdSeconds + 30);
      const early = await race([owner], [{ shopper: await withWallet(1), wanted }]);
      expect(early.map(({ outcome }) => outcome)).toEqual(['confirmed', 'failed']);

      const later = await publish(world, { holdSeconds });
      const late = await payByCard({ shopper: new Shopper(world), wanted: later });
      await letTimePass(world, late.id, holdSeconds + 61);
      const ended = await race([late], [{ shopper: await withWallet(1), wanted: later }]);
      expect(ended.map(({ failure }) => failure ?? 'none').sort()).toEqual(['none', 'slot-unavailable']);
    },
    rounds,
  );
});

test('who cancels a held seat and begins anew at once has one hold at most, and a window to pay in', async () => {
  await playRounds(
    rounds,
    async () => {
      const shopper = new Shopper(world);
      const wanted = await publish(world, { holdSeconds });
      const held = await shopper.start(wanted);
      const [canceled, anew] = await Promise.all([shopper.cancel(held.id), shopper.start(wanted)]);
      expect(canceled.body).toMatchObject({ status: 'canceled' });
      expect(Date.parse(anew.expiresAt) - Date.parse(anew.createdAt)).toBeGreaterThan(60_000);
      expect(await pay(world, anew)).toBe(200);
      expect(await expectOneEnd(world, anew.id)).toBe('confirmed');
      expect(await world.db('seats').whereNotNull('held_by').where({ offering_id: wanted })).toEqual([]);
    },
    rounds,
  );
});

test('ten payments at once from a wallet for three: three are booked', async () => {
  await playRounds(
    rounds,
    async () => {
      const shopper = await withWallet(3);
      const slots = await Promise.all([1, 2].map(() => publish(world, { capacity: 10 })));
      const wishes = Array.from({ length: 10 }, (_, n) => ({ shopper, wanted: slots[n % 2] ?? '' }));
      const ended = await race([], wishes);
      expect(endings(ended)).toEqual({ confirmed: 3, 'failed: insufficient-funds': 7 });
      await expectWallet(shopper, 3, ended);
    },
    rounds,
  );
});

test('five attempts of one customer where two seats are the limit: two are booked', async () => {
  await playRounds(
    rounds,
    async () => {
      const shopper = await withWallet(2);
      const payer = { shopper, wanted: await publish(world, { capacity: 9, seatsPerCustomer: 2 }) };
      const cards = await Promise.all([payByCard(payer), payByCard(payer), payByCard(payer)]);
      const ended = await race(cards, [payer, payer]);
      expect(ended.filter(({ outcome }) => outcome === 'confirmed')).toHaveLength(2);
      expect(ended.filter(({ failure }) => failure === 'seats-per-customer')).toHaveLength(3);
      await expectWallet(shopper, 2, ended.slice(3));
    },
    rounds,
  );
});
