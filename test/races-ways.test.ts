/**
 * Races between ways to pay, between carts, and of one customer against a limit: the real activities on the real database,
 * everybody let go in the same instant, many rounds, and the books read after each. `races-ways-controls.test.ts` shows
 * that each guard is needed.
 */
import type { Knex } from 'knex';
import {
  addAttempts,
  addSlot,
  allAtOnce,
  auditBooks,
  needlessRefusals,
  nextId,
  priceMinor,
  type Wanted,
} from './settling-setup';
import {
  addCart,
  balanceOf,
  endingsOf,
  fillWallets,
  openCounter,
  tally,
  type Counter,
  type Payer,
} from './ways-setup';
import { activityRounds } from './tiers';

const rounds = activityRounds;
/** The most payers at once, and one connection for the barrier. */
const connections = 51;

let counter: Counter;
let db: Knex;

beforeEach(async () => {
  counter = await openCounter(connections);
  db = counter.db;
});
afterEach(() => counter.database.close());

/** Pays by all the ways in the same instant: gateway attempts that stand open are settled, wallets open and pay. */
async function race(
  settled: readonly string[],
  wallets: readonly Payer[],
  door?: 'attempts' | 'carts',
): Promise<{ ids: string[]; errors: string[] }> {
  const paying = wallets.map((payer) => ({ ...payer, bookingId: nextId('bkg_') }));
  const settling = settled.map((id) => () => counter.settle(id));
  const opening = paying.map((payer) => () => counter.open(payer));
  // In turn: on a busy machine who stands first in line is first at the seats.
  const inLine = settling.flatMap((settle, n) => [settle, ...opening.slice(n, n + 1)]);
  const errors = await allAtOnce(db, [...inLine, ...opening.slice(settling.length)], door);
  return { ids: [...settled, ...paying.map(({ bookingId }) => bookingId)], errors };
}

/** Refunds that are owed for attempts, as reason and amount. */
async function refundsOf(ids: readonly string[]): Promise<string[]> {
  const rows = await db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .whereIn('payments.booking_id', [...ids])
    .select<{ reason: string; amount_minor: number }[]>('reason', 'refunds.amount_minor');
  return rows.map((row) => `${row.reason} ${row.amount_minor}`);
}

test('of 27 to 50 payers for 5 seats, by the gateway and by the wallet, five are booked; the others lose nothing', async () => {
  const customers = Array.from({ length: 25 }, () => nextId('cus_'));
  // Enough for every round, and for nobody to be refused for want of money.
  await fillWallets(db, customers, rounds * priceMinor);
  const won = { stub: 0, wallet: 0 };
  for (let round = 0; round < rounds; round += 1) {
    const items = [{ offeringId: await addSlot(db, 5), seats: 1 }];
    // A payer from a wallet has one step more to go: among many others none may get a seat, in any round.
    const gateway = await addAttempts(db, Array<Wanted[]>(round % 2 === 0 ? 25 : 2).fill(items));
    const { ids, errors } = await race(
      gateway,
      customers.map((customerId) => ({ customerId, method: 'wallet', items })),
    );
    expect(errors).toEqual([]);
    expect(tally(await endingsOf(db, ids))).toEqual({ confirmed: 5, 'slot-unavailable': ids.length - 5 });
    const byGateway = tally(await endingsOf(db, gateway));
    const turnedAway = byGateway['slot-unavailable'];
    expect(tally(await refundsOf(ids))).toEqual(
      turnedAway === undefined ? {} : { [`slot-unavailable ${priceMinor}`]: turnedAway },
    );
    won.stub += byGateway['confirmed'] ?? 0;
    won.wallet += 5 - (byGateway['confirmed'] ?? 0);
    expect(await auditBooks(db)).toEqual([]);
  }
  expect(won.stub).toBeGreaterThan(0);
  expect(won.wallet).toBeGreaterThan(0);
  const left = await Promise.all(customers.map((customerId) => balanceOf(db, customerId)));
  expect(left.reduce((sum, balance) => sum + balance, 0)).toBe(
    customers.length * rounds * priceMinor - won.wallet * priceMinor,
  );
  // Nobody who lost has even an attempt that is not over.
  expect(
    await db('attempts')
      .whereNot({ status: 'confirmed' })
      .where({ method: 'wallet' })
      .distinct('status')
      .pluck('status'),
  ).toEqual(['failed']);
});

test('carts of the same slots in different order, and of overlapping slots: all of a cart or nothing, and no deadlock', async () => {
  const customers = Array.from({ length: 6 }, () => nextId('cus_'));
  await fillWallets(db, customers, 100 * rounds * priceMinor);
  let booked = 0;
  for (let round = 0; round < rounds; round += 1) {
    const [a, b, c] = [await addSlot(db, 2), await addSlot(db, 2), await addSlot(db, 2)] as const;
    const orders = [
      [a, b, c],
      [c, b, a],
      [b, c],
      [c, a],
      [b, a],
      [c, a, b],
    ];
    const carts = await Promise.all(
      orders.map(async (slots, n) => {
        const items = slots.map((offeringId, m) => ({ offeringId, seats: 1 + ((n + m + round) % 2) }));
        const customerId = customers[n] ?? '';
        return { customerId, items, cartId: await addCart(db, customerId, items) };
      }),
    );
    // Every other cart is paid by the gateway; in the next round it is the other half.
    const byGateway = await Promise.all(
      carts
        .filter((_, n) => (n + round) % 2 === 0)
        .map(async ({ items, ...by }) => (await addAttempts(db, [items], by))[0] ?? ''),
    );
    const byWallet = carts
      .filter((_, n) => (n + round) % 2 === 1)
      .map(({ customerId, cartId }): Payer => ({ customerId, cartId, method: 'wallet' }));
    const { ids, errors } = await race(byGateway, byWallet);
    expect(errors).toEqual([]);
    const endings = tally(await endingsOf(db, ids));
    expect((endings['confirmed'] ?? 0) + (endings['slot-unavailable'] ?? 0)).toBe(orders.length);
    booked += endings['confirmed'] ?? 0;
    expect(await auditBooks(db)).toEqual([]);
    expect(await needlessRefusals(db)).toEqual([]);
  }
  expect(booked).toBeGreaterThanOrEqual(rounds);
});

describe('one cart paid twice at once', () => {
  /** A cart of two slots, and how many seats are left of each. */
  async function cartOfTwo(customerId: string): Promise<{ cartId: string; items: Wanted[] }> {
    const items = [
      { offeringId: await addSlot(db, 5), seats: 2 },
      { offeringId: await addSlot(db, 5), seats: 1 },
    ];
    return { items, cartId: await addCart(db, customerId, items) };
  }

  test('by two payments of the gateway: one booking, the other is given back', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const customerId = nextId('cus_');
      const { cartId, items } = await cartOfTwo(customerId);
      const attempts = await addAttempts(db, [items, items], { customerId, cartId });
      const { ids, errors } = await race(attempts, []);
      expect(errors).toEqual([]);
      expect(tally(await endingsOf(db, ids))).toEqual({ confirmed: 1, 'cart-converted': 1 });
      expect(await refundsOf(ids)).toEqual([`cart-converted ${3 * priceMinor}`]);
      expect(await auditBooks(db)).toEqual([]);
    }
  });

  test('by the gateway and the wallet: one booking, the loser has all the money', async () => {
    const winners: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const customerId = nextId('cus_');
      await fillWallets(db, [customerId], 10 * priceMinor);
      const { cartId, items } = await cartOfTwo(customerId);
      const attempts = await addAttempts(db, [items], { customerId, cartId });
      // At the carts' own door: on the way there a wallet has more to do, and would always be second.
      const { ids, errors } = await race(attempts, [{ customerId, cartId, method: 'wallet' }], 'carts');
      expect(errors).toEqual([]);
      const [byGateway = '', byWallet = ''] = await endingsOf(db, ids);
      expect([byGateway, byWallet].sort()).toEqual(['cart-converted', 'confirmed']);
      winners.push(byGateway === 'confirmed' ? 'gateway' : 'wallet');
      expect(await refundsOf(ids)).toEqual(
        byGateway === 'confirmed' ? [] : [`cart-converted ${3 * priceMinor}`],
      );
      expect(await balanceOf(db, customerId)).toBe((byGateway === 'confirmed' ? 10 : 7) * priceMinor);
      expect(await auditBooks(db)).toEqual([]);
    }
    expect(new Set(winners).size).toBe(2);
  });

  test('by two wallet payments: one booking, paid once', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const customerId = nextId('cus_');
      await fillWallets(db, [customerId], 10 * priceMinor);
      const { cartId } = await cartOfTwo(customerId);
      const { ids, errors } = await race([], Array<Payer>(2).fill({ customerId, cartId, method: 'wallet' }));
      expect(errors).toEqual([]);
      expect(tally(await endingsOf(db, ids))).toEqual({ confirmed: 1, 'cart-converted': 1 });
      expect(await balanceOf(db, customerId)).toBe(7 * priceMinor);
      expect(await auditBooks(db)).toEqual([]);
    }
  });
});

describe('a limit of two seats per customer', () => {
  test.each([
    ['one by one', [1, 1, 1, 1, 1]],
    ['two at a time', [2, 1, 2, 1, 2]],
  ])(
    'five attempts of one customer at once, seats %s: at most two seats, the others pay nothing',
    async (_, seats) => {
      for (let round = 0; round < rounds; round += 1) {
        const customerId = nextId('cus_');
        await fillWallets(db, [customerId], 20 * priceMinor);
        const offeringId = await addSlot(db, 20, { seatsPerCustomer: 2 });
        const wishes = seats.map((count) => [{ offeringId, seats: count }]);
        const { ids, errors } = await race(
          await addAttempts(db, wishes.slice(0, 3), { customerId }),
          wishes.slice(3).map((items) => ({ customerId, items, method: 'wallet' })),
        );
        expect(errors).toEqual([]);
        const endings = await endingsOf(db, ids);
        const words = tally(endings);
        expect((words['confirmed'] ?? 0) + (words['seats-per-customer'] ?? 0)).toBe(5);
        const has = endings.reduce((sum, word, n) => sum + (word === 'confirmed' ? (seats[n] ?? 0) : 0), 0);
        expect(has).toBe(2);
        const refused = endings.slice(0, 3).filter((word) => word === 'seats-per-customer').length;
        expect(await refundsOf(ids)).toHaveLength(refused);
        expect(await auditBooks(db)).toEqual([]);
      }
    },
  );

  test('other customers do not wait for it, and get theirs', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const offeringId = await addSlot(db, 8, { seatsPerCustomer: 2 });
      const attempts: string[] = [];
      for (let n = 0; n < 4; n += 1) {
        const items = [{ offeringId, seats: 1 }];
        attempts.push(...(await addAttempts(db, [items, items, items], { customerId: nextId('cus_') })));
      }
      const { ids, errors } = await race(attempts, []);
      expect(errors).toEqual([]);
      expect(tally(await endingsOf(db, ids))).toEqual({ confirmed: 8, 'seats-per-customer': 4 });
      expect(await auditBooks(db)).toEqual([]);
    }
  });
});
