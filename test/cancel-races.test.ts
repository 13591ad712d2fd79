/** Races on undoing bookings, everybody let go in the same instant; `cancel-races-controls.test.ts` shows that each guard is needed. */
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { priceMinor as price, seatsFree } from './book-setup';
import {
  addBooked,
  addPayers,
  callOffAndUndo,
  canceling,
  leftOf,
  quietDependencies,
  standingOn,
} from './cancel-races-setup';
import { bookSlot, callOff, expectMoneyToBalance, undone } from './cancel-setup';
import { freshDatabase, type FreshDatabase } from './database';
import { addSlot, allAtOnce, priceMinor, settling, statusesOf } from './settling-setup';
import { startWorld, type World } from './world';

const rounds = 50;

describe('in the database', () => {
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
});

describe('through HTTP and Temporal', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.stop());

  test('a customer who cancels six times at once, and a provider who calls it off meanwhile: one refund', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { shopper, id, slot } = await bookSlot(world);
      const answers = Array.from({ length: 6 }, () => shopper.cancel(id));
      const [off, ...canceled] = await Promise.all([callOff(world, slot), ...answers]);
      expect(off.status).toBe(202);
      expect(canceled.map((one) => one.status)).toEqual(Array.from({ length: 6 }, () => 200));
      await shopper.until(id, 'refunded');
      expect(await undone(world, id)).toMatchObject({ refunds: 1, refundedMinor: price, seats: 0 });
      expect(await seatsFree(world, slot)).toBe(1);
    }
    await expectMoneyToBalance(world);
  });
});
