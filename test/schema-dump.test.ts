/** The dump is what the migrations make, and the migrations go both ways. */
import { readFileSync } from 'node:fs';
import type { Knex } from 'knex';
import { dumpSchema, schemaFile } from '../dev/schema';
import { migrationSource } from '../migrations';
import { attemptStatuses, legalTransitions } from '../src/booking';
import { freshDatabase, type FreshDatabase } from './database';

let database: FreshDatabase;
let db: Knex;

beforeAll(async () => {
  database = await freshDatabase(2);
  db = database.db;
});
afterAll(() => database.close());

/** Everything in the schema that a migration could have left behind, Knex's own two tables aside. */
async function leftovers(): Promise<string[]> {
  const { rows } = await db.raw<{ rows: { name: string }[] }>(`
    SELECT relname AS name FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'knex\\_migrations%'
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT typname FROM pg_type
      WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '%knex\\_migrations%'`);
  return rows.map(({ name }) => name);
}

test('schema.sql is what the migrations make', async () => {
  expect(await dumpSchema(db)).toBe(readFileSync(schemaFile, 'utf8'));
});

test('the two tables of legal transitions agree for every pair of statuses', async () => {
  for (const from of attemptStatuses) {
    for (const to of attemptStatuses) {
      const { rows } = await db.raw<{ rows: { legal: boolean }[] }>(
        'SELECT attempt_may_become(?, ?) AS legal',
        [from, to],
      );
      expect(`${from} > ${to}: ${rows[0]?.legal}`).toBe(
        `${from} > ${to}: ${legalTransitions[from].includes(to)}`,
      );
    }
  }
});

test('every status of the vocabulary is one the table takes, and no other', async () => {
  const { rows } = await db.raw<{ rows: { definition: string }[] }>(
    "SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'attempts_status_check'",
  );
  const named = [...(rows[0]?.definition ?? '').matchAll(/'(\w+)'/g)].map((match) => match[1]);
  expect(named.sort()).toEqual([...attemptStatuses].sort());
});

test('every table says what it is for, and no function is without a word', async () => {
  const { rows } = await db.raw<{ rows: { name: string }[] }>(`
    SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname NOT LIKE 'knex\\_migrations%' AND obj_description(oid, 'pg_class') IS NULL
    UNION ALL SELECT proname FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL`);
  expect(rows).toEqual([]);
});

test('the migrations go down to nothing and up again to the same schema', async () => {
  const before = await dumpSchema(db);
  await db.migrate.rollback({ migrationSource }, true);
  expect(await leftovers()).toEqual([]);
  await db.migrate.latest({ migrationSource });
  expect(await dumpSchema(db)).toBe(before);
});

test('schema.sql makes the same schema in an empty database', async () => {
  const before = await dumpSchema(db);
  await db.migrate.rollback({ migrationSource }, true);
  await db.raw(readFileSync(schemaFile, 'utf8').replaceAll('?', '\\?'));
  expect(await dumpSchema(db)).toBe(before);
});
