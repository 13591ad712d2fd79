/**
 * Races on undoing bookings and attempts, everybody let go in the same instant; `cancel-races-controls.test.ts` shows that
 * each guard is needed, and `races-after-end-to-end.test.ts` plays them through HTTP and Temporal.
 */
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import {
  addBooked,
  addDisputed,
  addPayers,
  callOffAndUndo,
  canceling,
  cancelWhileLookedAt,
  ending,
  leftOf,
  quietDependencies,
  standingOn,
  whereClosingFindsPaid,
  winDispute,
} from './cancel-races-setup';
import { freshDatabase, type FreshDatabase } from './database';
import {
  addAttempts,
  addSlot,
  allAtOnce,
  auditBooks,
  priceMinor,
  recordCharge,
  settling,
  statusesOf,
} from './settling-setup';
import { activityRounds } from './tiers';

const rounds = activityRounds;

let database: FreshDatabase;
let db: Knex;
let deps: Dependencies;
beforeEach(async () => {
  database = await freshDatabase(26);
  db = database.db;
  deps = quietDependencies(db);
});
afterEach(() => database.close());

test.each([2, 8])('%i cancellations of one booking at once are one', async (times) => {
  const cancel = canceling(deps);
  for (let round = 0; round < rounds; round += 1) {
    const slot = await addSlot(db, 1);
    const [id = ''] = await addBooked(deps, slot, 1);
    const errors = await allAtOnce(
      db,
      Array.from({ length: times }, () => () => cancel(id, 'customer')),
    );
    expect(errors).toEqual([]);
    expect(await leftOf(db, id)).toEqual({
      seats: 0,
      told: 1,
      refunds: [priceMinor],
      reasons: ['canceled-by-customer'],
    });
  }
});

test('a customer and the provider at once: one refund, one message', async () => {
  const cancel = canceling(deps);
  for (let round = 0; round < rounds; round += 1) {
    const slot = await addSlot(db, 1);
    const [id = ''] = await addBooked(deps, slot, 1);
    const errors = await allAtOnce(db, [() => cancel(id, 'customer'), () => callOffAndUndo(deps, slot)]);
    expect(errors).toEqual([]);
    expect(await leftOf(db, id)).toMatchObject({ seats: 0, told: 1, refunds: [priceMinor] });
  }
});

test('bookings canceled while others pay for their seats: each seat has one owner at most, and nobody is stuck', async () => {
  const [cancel, settle] = [canceling(deps), settling(deps)];
  for (let round = 0; round < rounds; round += 1) {
    const slot = await addSlot(db, 2);
    const booked = await addBooked(deps, slot, 2);
    const payers = await addPayers(db, slot, 4);
    const errors = await allAtOnce(db, [
      ...booked.map((id) => () => cancel(id, 'customer')),
      ...payers.map((id) => () => settle(id)),
    ]);
    expect(errors).toEqual([]);
    const { confirmed = 0, refunding = 0 } = await statusesOf(db, payers);
    expect(confirmed + refunding).toBe(4);
    const sold = await db('seats').where({ offering_id: slot }).whereNotNull('booking_id');
    expect(sold).toHaveLength(confirmed);
  }
});

test('a booking that is settled and canceled at once ends undone, or stands', async () => {
  const [cancel, settle] = [canceling(deps), settling(deps)];
  for (let round = 0; round < rounds; round += 1) {
    const slot = await addSlot(db, 1);
    const [id = ''] = await addPayers(db, slot, 1);
    const errors = await allAtOnce(db, [() => settle(id), () => cancel(id, 'customer'), () => settle(id)]);
    expect(errors).toEqual([]);
    const stands = (await standingOn(db, slot)).length === 1;
    expect(await leftOf(db, id)).toMatchObject(
      stands ? { seats: 1, refunds: [] } : { seats: 0, refunds: [priceMinor] },
    );
  }
});

test('an offering called off while 20 settle: no booking is left on it', async () => {
  const settle = settling(deps);
  for (let round = 0; round < rounds; round += 1) {
    const slot = await addSlot(db, 20);
    const ids = await addPayers(db, slot, 20);
    const settles = ids.map((id) => () => settle(id));
    const errors = await allAtOnce(db, [
      ...settles.slice(10),
      () => callOffAndUndo(deps, slot),
      ...settles.slice(0, 10),
    ]);
    expect(errors).toEqual([]);
    expect(await standingOn(db, slot)).toEqual([]);
    expect(await statusesOf(db, ids)).toEqual({ refunding: 20 });
  }
});

describe('a customer cancels before the money is seen', () => {
  test('a payment that comes all the same is booked, or given back: never both, never neither', async () => {
    const [end, settle] = [ending(deps), settling(deps)];
    for (let round = 0; round < rounds; round += 1) {
      const slot = await addSlot(db, 1);
      const [id = ''] = await addPayers(db, slot, 1);
      const moves = [() => end(id), () => settle(id)];
      expect(await allAtOnce(db, round % 2 === 0 ? moves : moves.reverse())).toEqual([]);
      const stands = (await standingOn(db, slot)).length === 1;
      expect(await statusesOf(db, [id])).toEqual(stands ? { confirmed: 1 } : { canceled: 1 });
      expect(await leftOf(db, id)).toEqual(
        stands
          ? { seats: 1, told: 0, refunds: [], reasons: [] }
          : { seats: 0, told: 0, refunds: [priceMinor], reasons: ['late-payment'] },
      );
    }
    expect(await auditBooks(db)).toEqual([]);
  });

  test('where closing finds the payment paid, it is booked once, whoever sees it first', async () => {
    const closing = whereClosingFindsPaid(deps);
    const [end, settle] = [ending(closing), settling(closing)];
    for (let round = 0; round < rounds; round += 1) {
      const [id = ''] = await addPayers(db, await addSlot(db, 1), 1);
      expect(await allAtOnce(db, [() => end(id), () => settle(id), () => end(id)])).toEqual([]);
      expect(await leftOf(db, id)).toMatchObject({ seats: 1, refunds: [] });
    }
    expect(await auditBooks(db)).toEqual([]);
  });
});

test('a booking canceled while a second payment of it settles: each payment goes back once', async () => {
  const cancel = canceling(deps);
  for (let round = 0; round < rounds; round += 1) {
    const [id = ''] = await addBooked(deps, await addSlot(db, 1), 1);
    const moves = [() => cancel(id, 'customer'), () => recordCharge(deps, id, `${id}_2`)];
    expect(await allAtOnce(db, round % 2 === 0 ? moves : moves.reverse())).toEqual([]);
    const { reasons, ...left } = await leftOf(db, id);
    expect(left).toEqual({ seats: 0, told: 1, refunds: [priceMinor, priceMinor] });
    expect(reasons.sort()).toEqual(['canceled-by-customer', 'second-payment']);
  }
});

test('bookings of several seats of two slots canceled while others buy the same: nobody is stuck', async () => {
  const [cancel, settle] = [canceling(deps), settling(deps)];
  for (let round = 0; round < rounds; round += 1) {
    const items = [await addSlot(db, 4), await addSlot(db, 4)].map((offeringId) => ({
      offeringId,
      seats: 2,
      priceMinor,
    }));
    const wish = (n: number) => (n % 2 === 0 ? items : [...items].reverse());
    const booked = await addAttempts(db, [wish(0), wish(1)]);
    for (const id of booked) await settle(id);
    const payers = await addAttempts(db, [wish(0), wish(1), wish(2), wish(3)]);
    const errors = await allAtOnce(db, [
      ...booked.map((id) => () => cancel(id, 'customer')),
      ...payers.map((id) => () => settle(id)),
    ]);
    expect(errors).toEqual([]);
    const { confirmed = 0 } = await statusesOf(db, payers);
    const sold = await db('seats').whereIn('booking_id', payers);
    expect(sold).toHaveLength(confirmed * 4);
  }
});

test('a booking canceled while another payer has locked a seat of it and comes to the next: nobody is stuck', async () => {
  for (let round = 0; round < rounds; round += 1) expect(await cancelWhileLookedAt(deps)).toEqual([]);
});

test('disputes won while their offering is called off: no booking is left on it', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const slot = await addSlot(db, 4);
    const ids = await Promise.all([1, 2, 3, 4].map(() => addDisputed(deps, slot)));
    const wins = ids.map((id) => () => winDispute(db, id));
    const off = () => callOffAndUndo(deps, slot);
    const errors = await allAtOnce(db, round % 2 === 0 ? [...wins, off] : [off, ...wins]);
    expect(errors).toEqual([]);
    expect(await standingOn(db, slot)).toEqual([]);
    for (const id of ids)
      expect(await leftOf(db, id)).toEqual({
        seats: 0,
        told: 1,
        refunds: [priceMinor],
        reasons: ['canceled-by-provider'],
      });
  }
});
