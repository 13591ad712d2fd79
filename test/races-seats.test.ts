/**
 * Races on the settling code: the real activities on the real database, everybody let go in the same instant, many rounds,
 * and the books read after each. `races-controls.test.ts` shows that each guard is needed.
 */
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { freshDatabase, type FreshDatabase } from './database';
import {
  addAttempts,
  addSlot,
  allAtOnce,
  auditBooks,
  needlessRefusals,
  payingDependencies,
  recordCharge,
  settleInParts,
  settling,
  statusesOf,
  untilWaiting,
  type Wanted,
} from './settling-setup';
import { activityRounds } from './tiers';

const rounds = activityRounds;
/** The most payers at once, and one connection for the barrier. */
const connections = 51;

let database: FreshDatabase;
let db: Knex;
let deps: Dependencies;
let settle: (bookingId: string) => Promise<void>;

beforeEach(async () => {
  database = await freshDatabase(connections);
  db = database.db;
  deps = payingDependencies(db);
  settle = settling(deps);
});
afterEach(() => database.close());

/** Everybody's settling, in the same instant. */
function race(ids: readonly string[]): Promise<string[]> {
  return allAtOnce(
    db,
    ids.map((id) => () => settle(id)),
  );
}

/** That many who want one seat each. */
function payersOf(offeringId: string, count: number): Wanted[][] {
  return Array.from({ length: count }, () => [{ offeringId, seats: 1 }]);
}

async function countOf(table: string, where: Record<string, string>): Promise<number> {
  const row = await db(table).where(where).count<{ count: number }[]>().first();
  return row?.count ?? 0;
}

test.each([2, 8, 32])(
  'of %i payers for the last seat one is booked, the others get it back',
  async (payers) => {
    for (let round = 0; round < rounds; round += 1) {
      const offeringId = await addSlot(db, 1);
      const ids = await addAttempts(db, payersOf(offeringId, payers));
      const errors = await race(ids);
      expect(errors).toEqual([]);
      expect(await statusesOf(db, ids)).toEqual({ confirmed: 1, refunding: payers - 1 });
      expect(await auditBooks(db)).toEqual([]);
    }
    expect(await countOf('refunds', { reason: 'slot-unavailable' })).toBe(rounds * (payers - 1));
  },
);

test('of 50 payers for 5 seats five are booked', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const offeringId = await addSlot(db, 5);
    const ids = await addAttempts(db, payersOf(offeringId, 50));
    expect(await race(ids)).toEqual([]);
    expect(await statusesOf(db, ids)).toEqual({ confirmed: 5, refunding: 45 });
    expect(await auditBooks(db)).toEqual([]);
  }
});

test('16 payers of 2 to 5 seats of 12 neither deadlock nor oversell, and no seat is lost', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const offeringId = await addSlot(db, 12);
    const wishes = Array.from({ length: 16 }, (_, n) => [{ offeringId, seats: 2 + ((n + round) % 4) }]);
    const ids = await addAttempts(db, wishes);
    expect(await race(ids)).toEqual([]);
    expect(await auditBooks(db)).toEqual([]);
    expect(await needlessRefusals(db)).toEqual([]);
  }
});

test('16 payers of 2 to 5 seats of two slots, asked for in opposite order, do not deadlock', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const first = await addSlot(db, 12);
    const second = await addSlot(db, 12);
    const wishes = Array.from({ length: 16 }, (_, n) => {
      const items = [
        { offeringId: first, seats: 2 + ((n + round) % 4) },
        { offeringId: second, seats: 2 + ((n * 3 + round) % 4) },
      ];
      return n % 2 === 0 ? items : items.reverse();
    });
    const ids = await addAttempts(db, wishes);
    expect(await race(ids)).toEqual([]);
    expect(await auditBooks(db)).toEqual([]);
    expect(await needlessRefusals(db)).toEqual([]);
  }
});

test.each([2, 8])(
  'an attempt settled %i times at once is one booking, one payment and one message',
  async (times) => {
    for (let round = 0; round < rounds; round += 1) {
      const offeringId = await addSlot(db, 3);
      const [id = ''] = await addAttempts(db, [[{ offeringId, seats: 2 }]]);
      expect(
        await allAtOnce(
          db,
          Array<() => Promise<void>>(times).fill(() => settle(id)),
        ),
      ).toEqual([]);
      expect(await countOf('bookings', { id })).toBe(1);
      expect(await countOf('payments', { booking_id: id })).toBe(1);
      expect(await countOf('messages', { booking_id: id })).toBe(1);
      expect(await countOf('seats', { booking_id: id })).toBe(2);
      expect(await auditBooks(db)).toEqual([]);
    }
  },
);

test.each([2, 8])(
  'of %i payments of one attempt at once one is booked, the others go back',
  async (charges) => {
    for (let round = 0; round < rounds; round += 1) {
      const offeringId = await addSlot(db, 3);
      const [id = ''] = await addAttempts(db, [[{ offeringId, seats: 1 }]]);
      // The first is the one of its own payment object; the others came by objects that could not be closed.
      const names = Array.from({ length: charges }, (_, n) => (n === 0 ? id : `${id}_${n}`));
      expect(
        await allAtOnce(
          db,
          names.map((charge) => () => recordCharge(deps, id, charge)),
        ),
      ).toEqual([]);
      expect(await countOf('payments', { booking_id: id, disposition: 'booked' })).toBe(1);
      expect(await countOf('payments', { booking_id: id, disposition: 'returned' })).toBe(charges - 1);
      expect(await auditBooks(db)).toEqual([]);
    }
    expect(await countOf('refunds', { reason: 'second-payment' })).toBe(rounds * (charges - 1));
  },
);

test('a seat that a transaction gives back while others wait for it is sold', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const offeringId = await addSlot(db, 1);
    const ids = await addAttempts(db, payersOf(offeringId, 4));
    const doomed = await db.transaction();
    await doomed('seats').where({ offering_id: offeringId }).forUpdate();
    const racing = Promise.all(ids.map((id) => settle(id)));
    // One payer waits for the seat; the others wait behind it.
    await untilWaiting(db, ids.length);
    await doomed.rollback();
    await racing;
    expect(await statusesOf(db, ids)).toEqual({ confirmed: 1, refunding: 3 });
    expect(await auditBooks(db)).toEqual([]);
  }
});

test('two who each find a part of what they want do not wait for each other', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const { errors, ids } = await settleInParts(db, settle);
    expect(errors).toEqual([]);
    expect(await statusesOf(db, ids)).toEqual({ confirmed: 1, refunding: 1 });
  }
});
