/** The controls of `cancel-races.test.ts`: each guard switched off in a database of its own, and then its fault is seen. */
import type { Knex } from 'knex';
import {
  addBooked,
  addPayers,
  callOffAndUndo,
  canceling,
  quietDependencies,
  standingOn,
} from './cancel-races-setup';
import { freshDatabase, type FreshDatabase } from './database';
import { addSlot, allAtOnce, settling } from './settling-setup';

/** Most rounds until the fault must have been seen. */
const rounds = 20;

let database: FreshDatabase;
let db: Knex;
beforeEach(async () => {
  database = await freshDatabase(26);
  db = database.db;
});
afterEach(() => database.close());

/** Rewrites a function of the database; the text must be there, or the control would test nothing. */
async function rewrite(name: string, from: string, to: string): Promise<void> {
  const { rows } = await db.raw<{ rows: { source: string }[] }>(
    'SELECT pg_get_functiondef(oid) AS source FROM pg_proc WHERE proname = ?',
    [name],
  );
  const source = rows[0]?.source ?? '';
  const changed = source.replaceAll(from, to);
  if (changed === source) throw new Error(`${name} has no ${from}`);
  await db.raw(changed.replaceAll('?', '\\?'));
}

test('the lock on the attempt’s row: without it a second cancellation ends in an error', async () => {
  const read = 'WHERE a.booking_id = in_booking_id FOR UPDATE;';
  await rewrite('cancel_booking', read, 'WHERE a.booking_id = in_booking_id; PERFORM pg_sleep(0.02);');
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
  await rewrite('lock_customer', 'PERFORM pg_advisory_xact_lock_shared(', 'PERFORM (');
  await rewrite(
    'book',
    'refusal := refusal_of(attempt);',
    'refusal := refusal_of(attempt); PERFORM pg_sleep(0.05);',
  );
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
