/** The controls of `cancel-races.test.ts`: each guard switched off in a database of its own, and then its fault is seen. */
import type { Knex } from 'knex';
import {
  addBooked,
  addDisputed,
  addPayers,
  callOffAndUndo,
  canceling,
  cancelWhileLookedAt,
  ending,
  quietDependencies,
  standingOn,
  winDispute,
} from './cancel-races-setup';
import { freshDatabase, type FreshDatabase } from './database';
import { withoutRowLocks } from './row-locks';
import { addSlot, allAtOnce, auditBooks, rewrite, settling } from './settling-setup';

/** Most rounds until the fault must have been seen. */
const rounds = 60;

let database: FreshDatabase;
let db: Knex;
beforeEach(async () => {
  database = await freshDatabase(26);
  db = database.db;
  // Deadlocks are looked for after this wait; a second each would be most of this file's time.
  await db.raw("ALTER DATABASE ?? SET deadlock_timeout = '50ms'", [new URL(database.url).pathname.slice(1)]);
});
afterEach(async () => {
  jest.restoreAllMocks();
  await database.close();
});

test('the lock on the attempt’s row: without it a second cancellation ends in an error', async () => {
  const read = 'WHERE a.booking_id = in_booking_id FOR UPDATE;';
  await rewrite(db, 'cancel_booking', [
    [read, 'WHERE a.booking_id = in_booking_id; PERFORM pg_sleep(0.02);'],
  ]);
  const deps = quietDependencies(db);
  const errors: string[] = [];
  for (let round = 0; round < rounds && errors.length === 0; round += 1) {
    const [id = ''] = await addBooked(deps, await addSlot(db, 1), 1);
    const both = [0, 1].map(() => () => canceling(deps)(id, 'customer'));
    errors.push(...(await allAtOnce(db, both)));
  }
  expect(errors.length).toBeGreaterThan(0);
});

test('the lock of offerings: without it a booking is left on one that was called off', async () => {
  // The pause widens the window between the look at the offering and the booking; it does not make it.
  await rewrite(db, 'lock_customer', [['PERFORM pg_advisory_xact_lock_shared(', 'PERFORM (']]);
  await rewrite(db, 'book', [
    ['refusal := refusal_of(attempt);', 'refusal := refusal_of(attempt); PERFORM pg_sleep(0.05);'],
  ]);
  const deps = quietDependencies(db);
  let left: string[] = [];
  for (let round = 0; round < rounds && left.length === 0; round += 1) {
    const slot = await addSlot(db, 20);
    const settles = (await addPayers(db, slot, 20)).map((id) => () => settling(deps)(id));
    await allAtOnce(db, [...settles, () => callOffAndUndo(deps, slot)]);
    left = await standingOn(db, slot);
  }
  expect(left).not.toEqual([]);
});

test('the lock of offerings: without it a booking whose dispute is won is left on one that was called off', async () => {
  await rewrite(db, 'stand_again', [
    ['PERFORM pg_advisory_xact_lock_shared(', 'PERFORM ('],
    ['IF called_off THEN', 'PERFORM pg_sleep(0.05); IF called_off THEN'],
  ]);
  const deps = quietDependencies(db);
  let left: string[] = [];
  for (let round = 0; round < rounds && left.length === 0; round += 1) {
    const slot = await addSlot(db, 1);
    const id = await addDisputed(deps, slot);
    await allAtOnce(db, [() => winDispute(db, id), () => callOffAndUndo(deps, slot)]);
    left = await standingOn(db, slot);
  }
  expect(left).not.toEqual([]);
});

test('the one order of seats: a cancellation that locks them in another deadlocks with who comes to the next', async () => {
  await rewrite(db, 'cancel_booking', [
    [
      'ORDER BY s.offering_id, s.seat_no FOR UPDATE',
      'ORDER BY s.offering_id DESC, s.seat_no DESC FOR UPDATE',
    ],
  ]);
  const errors: string[] = [];
  for (let round = 0; round < rounds && errors.length === 0; round += 1)
    errors.push(...(await cancelWhileLookedAt(quietDependencies(db))));
  expect(errors).toEqual([expect.stringContaining('40P01')]);
});

describe('the lock on the attempt’s row where an attempt ends', () => {
  beforeEach(() => withoutRowLocks(db));

  async function cancelAndSettle(): Promise<{ errors: string[]; wrong: string[] }> {
    const deps = quietDependencies(db);
    const [id = ''] = await addPayers(db, await addSlot(db, 1), 1);
    const errors = await allAtOnce(db, [() => settling(deps)(id), () => ending(deps)(id)]);
    return { errors, wrong: await auditBooks(db) };
  }

  test('without it who cancels while the payment settles gets an error', async () => {
    let errors: string[] = [];
    for (let round = 0; round < rounds && errors.length === 0; round += 1)
      ({ errors } = await cancelAndSettle());
    expect(errors).toEqual([expect.stringContaining('an attempt may not take this step')]);
  });

  test('without it and the trigger for legal steps a canceled attempt has a booking', async () => {
    await db.raw('DROP TRIGGER attempts_legal_transition ON attempts');
    let wrong: string[] = [];
    for (let round = 0; round < rounds && wrong.length === 0; round += 1)
      ({ wrong } = await cancelAndSettle());
    expect(wrong).toContainEqual(expect.stringContaining('is canceled'));
  });
});
