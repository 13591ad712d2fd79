/** Faults of PostgreSQL, which holds our tables and Temporal's: its sessions cut, itself crashed, its rows held by a stranger. */
import { Client } from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault';
import type { Ground } from '../stack/stack';

/** How long the server is away after a crash, in ms at most. */
const downMs = 5_000;
/** How long a stranger holds what everybody wants, in ms. */
const heldMs = 3_000;

async function asSuperuser<T>(stack: Ground, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({
    connectionString: stack.postgres.url('payfirst'),
    connectionTimeoutMillis: 5_000,
  });
  // It is cut like the others when the server goes away; what was asked then says so.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Ends every session but its own: ours, the service's, Temporal's. */
async function cut(stack: Ground): Promise<string | undefined> {
  return asSuperuser(stack, async (client) => {
    const { rowCount } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    return rowCount === null || rowCount === 0 ? undefined : `${rowCount} sessions were ended`;
  });
}

/** Holds a lock for a while, and counts who waits for it. */
async function held(stack: Ground, lock: string): Promise<string | undefined> {
  return asSuperuser(stack, async (client) => {
    await client.query('BEGIN');
    await client.query(lock);
    await sleep(heldMs);
    const { rows } = await client.query<{ waiting: number }>(
      'SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))',
    );
    await client.query('ROLLBACK');
    const waiting = rows[0]?.waiting ?? 0;
    return waiting === 0 ? undefined : `${waiting} sessions waited for it`;
  });
}

/** The slot that most people are after now: rows of its seats are what settles wait for. */
const hotSeats = `
  SELECT FROM seats WHERE offering_id IN (
    SELECT item ->> 'offeringId' FROM attempts AS a, jsonb_array_elements(a.quote -> 'items') AS item
    WHERE a.status IN ('awaiting_payment', 'processing') GROUP BY 1 ORDER BY count(*) DESC LIMIT 20
  ) FOR UPDATE`;

export const databaseFaults: readonly Fault[] = [
  { kind: 'sessions-cut', part: 'postgres', weight: 4, play: cut },
  {
    kind: 'postgres-crashed',
    part: 'postgres',
    weight: 3,
    // SIGQUIT is "immediate shutdown": no checkpoint, recovery at the next start (PostgreSQL 17 manual, 18.5).
    play: async (stack, dice) => {
      const before = stack.supervisor.pid('postgres');
      await stack.supervisor.crash('postgres', 'SIGQUIT', dice[1] * downMs);
      return `it was ${before ?? 'away'}, is ${stack.supervisor.pid('postgres') ?? 'away'}`;
    },
  },
  { kind: 'seats-held', part: 'postgres', weight: 2, play: (stack) => held(stack, hotSeats) },
  {
    kind: 'pool-starved',
    part: 'postgres',
    weight: 2,
    // Every connection of the pools soon stands behind the table that all activities write.
    play: (stack) => held(stack, 'LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE'),
  },
];
