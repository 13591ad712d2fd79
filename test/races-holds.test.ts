/**
 * Races about held seats: the real activities on the real database, everybody let go in the same instant, many rounds, and
 * the books read after each. Ends of holds are moved in the database, so nobody waits for them.
 * `races-ways-controls.test.ts` shows that each guard is needed.
 */
import type { Knex } from 'knex';
import {
  addAttempts,
  addSlot,
  allAtOnce,
  auditBooks,
  nextId,
  priceMinor,
  type Wanted,
} from './settling-setup';
import {
  endingsOf,
  endWhileLookedAt,
  fillWallets,
  moveHoldEnd,
  openCounter,
  stillborn,
  tally,
  type Counter,
  type Payer,
} from './ways-setup';
import { activityRounds } from './tiers';

const rounds = activityRounds;
/** The most at once, and one connection for the barrier. */
const connections = 13;
/** Longer than any test: what ends here is ended by hand. */
const holdSeconds = 600;

let counter: Counter;
let db: Knex;

beforeEach(async () => {
  counter = await openCounter(connections);
  db = counter.db;
  await db.raw("ALTER DATABASE ?? SET deadlock_timeout = '50ms'", [
    new URL(counter.database.url).pathname.slice(1),
  ]);
});
afterEach(() => counter.database.close());

/** A customer with money in the wallet. */
async function customer(): Promise<string> {
  const id = nextId('cus_');
  await fillWallets(db, [id], 20 * priceMinor);
  return id;
}

interface Held {
  items: Wanted[];
  owner: string;
  /** The attempt that holds. */
  held: string;
}

/** Slots whose seats a customer's attempt holds, one of each. */
async function hold(...capacities: number[]): Promise<Held> {
  const items: Wanted[] = [];
  for (const capacity of capacities) {
    items.push({ offeringId: await addSlot(db, capacity, { holdSeconds }), seats: 1 });
  }
  const owner = await customer();
  const held = await counter.open({ customerId: owner, method: 'stub', items });
  expect(await db('seats').where({ held_by: held })).toHaveLength(items.length);
  return { items, owner, held };
}

/** Runs the calls at once, and expects that none failed and the books balance. */
async function atOnce(...calls: (() => Promise<unknown>)[]): Promise<void> {
  expect(await allAtOnce(db, calls)).toEqual([]);
  expect(await auditBooks(db)).toEqual([]);
  expect(await stillborn(db)).toEqual([]);
}

/** An attempt that will be opened at the barrier. */
function comer(payer: Payer): { id: string; come: () => Promise<unknown> } {
  const bookingId = nextId('bkg_');
  return { id: bookingId, come: () => counter.open({ ...payer, bookingId }) };
}

describe('while the hold lasts', () => {
  test.each([
    ['with minutes to go', holdSeconds],
    ['in its last minute', 30],
  ])('the owner gets the seat, however many others want it: %s', async (_, left) => {
    for (let round = 0; round < rounds; round += 1) {
      const { items, held } = await hold(1);
      await moveHoldEnd(db, held, left);
      const rivals = await addAttempts(db, [items, items], { customerId: 'rival' });
      const comers = await Promise.all(
        (['wallet', 'wallet', 'stub'] as const).map(async (method) =>
          comer({ customerId: await customer(), method, items }),
        ),
      );
      await atOnce(
        ...[...rivals, held].map((id) => () => counter.settle(id)),
        ...comers.map(({ come }) => come),
      );
      const endings = await endingsOf(db, [held, ...rivals, ...comers.map(({ id }) => id)]);
      expect(endings).toEqual(['confirmed', ...Array<string>(5).fill('slot-unavailable')]);
      const refunds = await db('payments')
        .join('refunds', 'payments.id', 'refunds.payment_id')
        .whereIn('booking_id', rivals)
        .pluck<number>('refunds.amount_minor');
      expect(refunds).toEqual([priceMinor, priceMinor]);
    }
  });

  test('its owner pays by another attempt from the wallet: one of the two is booked, never a stranger', async () => {
    const winners: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const { items, owner, held } = await hold(1);
      const [rival = ''] = await addAttempts(db, [items], { customerId: 'rival' });
      const second = comer({ customerId: owner, method: 'wallet', items });
      await atOnce(
        () => counter.settle(rival),
        second.come,
        // Every other time it does not pay, and the wallet must get the seat that it holds.
        ...(round % 2 === 0 ? [() => counter.settle(held)] : []),
      );
      const [byHolder, byWallet, byRival] = await endingsOf(db, [held, second.id, rival]);
      expect(byRival).toBe('slot-unavailable');
      if (round % 2 === 0) {
        expect([byHolder, byWallet].sort()).toEqual(['confirmed', 'slot-unavailable']);
      } else {
        expect([byHolder, byWallet]).toEqual(['awaiting_payment', 'confirmed']);
      }
      winners.push(byWallet === 'confirmed' ? 'wallet' : 'holder');
    }
    expect(tally(winners)['wallet']).toBeGreaterThanOrEqual(rounds / 2);
  });
});

describe('when the hold has ended', () => {
  test('owner and others are equals: exactly one is booked', async () => {
    const winners: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const { items, held } = await hold(1);
      await moveHoldEnd(db, held, -1);
      const rivals = await addAttempts(db, [items, items], { customerId: 'rival' });
      const wallet = comer({ customerId: await customer(), method: 'wallet', items });
      const settled = round % 2 === 0 ? [held, ...rivals] : [...rivals, held];
      await atOnce(...settled.map((id) => () => counter.settle(id)), wallet.come);
      const endings = await endingsOf(db, [held, ...rivals, wallet.id]);
      expect(tally(endings)).toEqual({ confirmed: 1, 'slot-unavailable': 3 });
      winners.push(endings.indexOf('confirmed'));
    }
    expect(new Set(winners).size).toBeGreaterThan(1);
  });

  test('the seat goes to one: booked by owner or rival, or held by whoever comes next', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { items, held } = await hold(1);
      await moveHoldEnd(db, held, -1);
      const rivals = await addAttempts(db, [items], { customerId: 'rival' });
      const comers = [await customer(), await customer()].map((customerId) =>
        comer({ customerId, method: 'stub', items }),
      );
      await atOnce(
        ...[held, ...rivals].map((id) => () => counter.settle(id)),
        ...comers.map(({ come }) => come),
      );
      const endings = tally(await endingsOf(db, [held, ...rivals, ...comers.map(({ id }) => id)]));
      expect((endings['confirmed'] ?? 0) + (endings['awaiting_payment'] ?? 0)).toBe(1);
      expect(endings['slot-unavailable']).toBe(3);
    }
  });
});

describe('a customer who begins anew', () => {
  test('five new attempts at once are one hold, with its old end', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { items, owner, held } = await hold(6);
      await moveHoldEnd(db, held, 300);
      const comers = Array.from({ length: 5 }, () => comer({ customerId: owner, method: 'stub', items }));
      await atOnce(...comers.map(({ come }) => come));
      const seats = await db('seats')
        .whereNotNull('held_by')
        .where({ offering_id: items[0]?.offeringId ?? '' })
        .select<{ left: number }[]>(db.raw('extract(epoch FROM held_until - now())::integer AS left'));
      expect(seats).toHaveLength(1);
      expect(seats[0]?.left).toBeLessThanOrEqual(300);
    }
  });

  test('while the old attempt settles, is booked by that; the new one is refused, or has a window to pay in', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const capacity = round % 2 === 0 ? 1 : 3;
      const { items, owner, held } = await hold(capacity);
      const rivals = capacity === 1 ? await addAttempts(db, [items], { customerId: 'rival' }) : [];
      const next = comer({ customerId: owner, method: 'stub', items });
      await atOnce(next.come, () => counter.settle(held), ...rivals.map((id) => () => counter.settle(id)));
      const [old, anew] = await endingsOf(db, [held, next.id]);
      expect(old).toBe('confirmed');
      expect(['awaiting_payment', ...(capacity === 1 ? ['slot-unavailable'] : [])]).toContain(anew);
    }
  });

  test('in the last minute of the hold leaves it to the old attempt, and has a window of its own', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { items, owner, held } = await hold(1);
      await moveHoldEnd(db, held, 30);
      const next = comer({ customerId: owner, method: 'stub', items });
      await atOnce(next.come);
      expect(await db('seats').where({ held_by: held })).toHaveLength(1);
      await atOnce(
        () => counter.settle(held),
        () => counter.settle(next.id),
      );
      expect((await endingsOf(db, [held, next.id])).sort()).toEqual(['confirmed', 'slot-unavailable']);
    }
  });

  test('while the old attempt is canceled, has a window to pay in; slots named in the other order do not deadlock', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { items, owner, held } = await hold(1, 1, 1, 1);
      const next = comer({ customerId: owner, method: 'stub', items: [...items].reverse() });
      await atOnce(next.come, () => counter.end(held));
      expect(await endingsOf(db, [held, next.id])).toEqual(['canceled', 'awaiting_payment']);
    }
  });

  test('while the old attempt is canceled and a wallet pays for the same: booked by the wallet', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { items, owner, held } = await hold(1, 1, 1, 1);
      const next = comer({ customerId: owner, method: 'wallet', items: [...items].reverse() });
      await atOnce(next.come, () => counter.end(held));
      expect(await endingsOf(db, [held, next.id])).toEqual(['canceled', 'confirmed']);
    }
  });
});

test('a hold that ends by canceling while others settle leaves nothing behind, and nobody deadlocks', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const { items, held } = await hold(2, 2);
    const rivals = await addAttempts(
      db,
      [
        [...items].reverse().map((item) => ({ ...item, seats: 2 })),
        items.map((item) => ({ ...item, seats: 2 })),
        items,
      ],
      { customerId: 'rival' },
    );
    const wallet = comer({ customerId: await customer(), method: 'wallet', items });
    await atOnce(...rivals.map((id) => () => counter.settle(id)), () => counter.end(held), wallet.come);
    const endings = tally(await endingsOf(db, [...rivals, wallet.id]));
    expect(endings['confirmed']).toBeGreaterThanOrEqual(1);
    expect((endings['confirmed'] ?? 0) + (endings['slot-unavailable'] ?? 0)).toBe(4);
  }
});

test('an attempt that ends while somebody looks at its seat frees it all the same', async () => {
  for (let round = 0; round < rounds; round += 1) {
    await endWhileLookedAt(counter, holdSeconds);
    expect(await auditBooks(db)).toEqual([]);
  }
});
