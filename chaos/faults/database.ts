/** Faults of PostgreSQL, which holds our tables and Temporal's: its sessions cut, itself crashed, its rows held by a stranger. */
import { setTimeout as sleep } from 'node:timers/promises';
import { withClient } from '../../dev/postgres';
import { counted, replacing, type Fault } from './fault';
import type { Ground } from '../stack/stack';

/** How long the server is away after a crash, in ms at most: a restart of its machine's service, without a fail-over. */
const downMs = 5_000;
/** How long a stranger holds what everybody wants, in ms: a migration's lock, or somebody's forgotten transaction. */
const heldMs = 3_000;

/** Ends every session but its own: ours, the service's, Temporal's. */
async function cut(stack: Ground): Promise<string | undefined> {
  return withClient(stack.postgres.url('payfirst'), async (client) => {
    const { rowCount } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    return counted(rowCount ?? 0, 'sessions were ended');
  });
}

/** Holds a lock for a while, and counts who waits for it. Whatever fails, the lock goes with the connection. */
async function held(stack: Ground, lock: string): Promise<string | undefined> {
  return withClient(stack.postgres.url('payfirst'), async (client) => {
    await client.query('BEGIN');
    await client.query(lock);
    await sleep(heldMs);
    const { rows } = await client.query<{ waiting: number }>(
      'SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))',
    );
    await client.query('ROLLBACK');
    return counted(rows[0]?.waiting ?? 0, 'sessions waited for it');
  });
}

/** The offerings that most people are after now, up to 20: the rows of their seats are what settling waits for. */
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
    play: (stack, dice) =>
      replacing(stack, ['postgres'], () => stack.supervisor.crash('postgres', 'SIGQUIT', dice[1] * downMs)),
  },
  { kind: 'seats-held', part: 'postgres', weight: 2, play: (stack) => held(stack, hotSeats) },
  {
    kind: 'attempts-locked',
    part: 'postgres',
    weight: 2,
    // The table that all activities write, and every reader of a status reads.
    play: (stack) => held(stack, 'LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE'),
  },
];
