/** Each rule of the schema, tried with raw SQL by several connections at once; and its control, without the guard. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { freshDatabase, type FreshDatabase } from './database';
import { rules as firstRules, scene, type Rule } from './schema-rules';
import { waysRules } from './schema-rules-ways';

const rules = [...firstRules, ...waysRules];

/** Times each rule is tried; every time from a clean slate. */
const rounds = 3;
/** Number of the advisory lock that is the barrier. */
const barrier = 4711;

let database: FreshDatabase;
let db: Knex;

beforeAll(async () => {
  database = await freshDatabase(24);
  db = database.db;
});
afterAll(() => database.close());

interface Tried {
  succeeded: number;
  /** Constraint, index or trigger that refused. */
  refusedBy: string[];
}

function guardOf(error: unknown): string {
  return error instanceof Error && 'constraint' in error ? String(error.constraint) : String(error);
}

/** Runs the statements, each in a transaction of its own, all at once; they stay open a little, so that they overlap. */
async function tryAtOnce(statements: readonly string[]): Promise<Tried> {
  const tried: Tried = { succeeded: 0, refusedBy: [] };
  const gate = await db.transaction();
  await gate.raw('SELECT pg_advisory_xact_lock(?)', [barrier]);
  const running = statements.map((statement) =>
    // Several statements in one message are one transaction.
    db.raw(`SELECT pg_advisory_xact_lock_shared(${barrier}); ${statement}; SELECT pg_sleep(0.01)`).then(
      () => (tried.succeeded += 1),
      (error: unknown) => tried.refusedBy.push(guardOf(error)),
    ),
  );
  for (;;) {
    const { rows } = await gate.raw<{ rows: { waiting: number }[] }>(
      `SELECT count(*) AS waiting FROM pg_locks
       WHERE locktype = 'advisory' AND objid = ? AND NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [barrier],
    );
    if (rows[0]?.waiting === statements.length) break;
    // Whoever looks without a pause is in the way of those who arrive.
    await sleep(5);
  }
  await gate.commit();
  await Promise.all(running);
  return tried;
}

/** Takes everything away again, seats included, which no ordinary statement may. */
async function clear(): Promise<void> {
  await db.raw('TRUNCATE offerings, attempts, wallets, gateway_events CASCADE');
}

async function tryRule({ before, tries }: Rule): Promise<Tried> {
  await clear();
  await db.raw(scene);
  if (before !== undefined) await db.raw(before);
  return tryAtOnce(tries);
}

test.each(rules)('$rule', async (rule) => {
  // Where one statement stands alone there is no race.
  for (let round = 0; round < (rule.tries.length > 1 ? rounds : 1); round += 1) {
    const { succeeded, refusedBy } = await tryRule(rule);
    expect(succeeded).toBe(rule.allowed);
    expect(refusedBy).toHaveLength(rule.tries.length - rule.allowed);
    expect(Object.keys(rule.guards)).toEqual(expect.arrayContaining(refusedBy));
  }
});

const controls = rules.flatMap((rule) =>
  Object.entries(rule.guards).map(([guard, off]) => ({ guard, off, rule })),
);

test.each(controls)('control: without $guard the rule breaks ($rule.rule)', async ({ off, rule }) => {
  const scratch = await freshDatabase(10);
  const whole = db;
  db = scratch.db;
  try {
    await db.raw(off);
    const { succeeded } = await tryRule(rule);
    expect(succeeded).toBeGreaterThan(rule.allowed);
  } finally {
    db = whole;
    await scratch.close();
  }
});

test('an offering is born with exactly its capacity in seats', async () => {
  await clear();
  await db.raw(scene);
  const { rows } = await db.raw<{ rows: { offering_id: string; seats: number[] }[] }>(
    'SELECT offering_id, array_agg(seat_no ORDER BY seat_no) AS seats FROM seats GROUP BY 1 ORDER BY 1',
  );
  expect(rows).toEqual([
    { offering_id: 'o', seats: [1, 2, 3] },
    { offering_id: 'p', seats: [1] },
  ]);
});

test('the running total follows every change of the refunds', async () => {
  await clear();
  await db.raw(scene);
  const total = async (): Promise<number | undefined> =>
    (await db('payments').where({ id: 'pay_a' }).first<{ refunded_minor: number } | undefined>())
      ?.refunded_minor;
  await db('refunds').insert({
    id: 'one',
    payment_id: 'pay_a',
    amount_minor: 30,
    status: 'unsent',
    reason: 'a',
  });
  await db('refunds').insert({
    id: 'two',
    payment_id: 'pay_a',
    amount_minor: 50,
    status: 'unsent',
    reason: 'b',
  });
  expect(await total()).toBe(80);
  await db('refunds').where({ id: 'two' }).update({ amount_minor: 20 });
  expect(await total()).toBe(50);
  await db('refunds').where({ id: 'one' }).delete();
  expect(await total()).toBe(20);
});

const twenty = Array<string>(20).fill(
  `UPDATE attempts SET return_url = 'https://example.org', version = 1 WHERE booking_id = 'a'`,
);

async function versionAfterTwentyChanges(): Promise<number | undefined> {
  await clear();
  await db.raw(scene);
  await tryAtOnce(twenty);
  return (await db('attempts').where({ booking_id: 'a' }).first<{ version: number } | undefined>())?.version;
}

test('the version rises with each of twenty changes at once, whatever they write into it', async () => {
  expect(await versionAfterTwentyChanges()).toBe(21);
});

test('control: without attempts_version changes go unnoticed', async () => {
  const scratch = await freshDatabase(24);
  const whole = db;
  db = scratch.db;
  try {
    await db.raw('DROP TRIGGER attempts_version ON attempts');
    expect(await versionAfterTwentyChanges()).toBe(1);
  } finally {
    db = whole;
    await scratch.close();
  }
});
