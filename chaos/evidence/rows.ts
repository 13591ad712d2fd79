/** The database's rows as the judge wants them: one `REPEATABLE READ` transaction, as the superuser, after everything is quiet. */
import type { Client } from 'pg';
import { withClient } from '../../dev/postgres';
import type { Rows } from './evidence';

/** One query for each table; instants as milliseconds since 1970. */
const queries: Readonly<Record<keyof Rows, string>> = {
  attempts: 'SELECT booking_id, customer_id, status, total_minor, currency, method, failure FROM attempts',
  bookings: `SELECT id, status, total_minor, currency, extract(epoch FROM confirmed_at)::float8 * 1000 AS confirmed_at FROM bookings`,
  booking_items: 'SELECT booking_id, offering_id, seats FROM booking_items',
  offerings: 'SELECT id, capacity FROM offerings',
  seats: 'SELECT offering_id, seat_no, booking_id, held_by FROM seats',
  payments: `SELECT id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, disposition
             FROM payments`,
  refunds: 'SELECT id, payment_id, amount_minor, status, reason FROM refunds',
  cases: `SELECT id, workflow_id, booking_id, payment_id, kind, amount_minor,
            extract(epoch FROM resolved_at)::float8 * 1000 AS resolved_at FROM cases`,
  messages: `SELECT booking_id, kind, recipient, extract(epoch FROM sent_at)::float8 * 1000 AS sent_at FROM messages`,
  payment_tries: 'SELECT booking_id, try, gateway, gateway_ref, status FROM payment_tries',
  gateway_events: 'SELECT gateway, event_id FROM gateway_events',
  // A bigint comes as text, for it may be larger than a double holds; no wallet of a run is.
  wallets: 'SELECT customer_id, currency, balance_minor::float8 AS balance_minor FROM wallets',
};

/** A movement of a wallet for an attempt; the wallet's book is ours, so its sums are held against the balances, too. */
export interface WalletEntry {
  id: string;
  booking_id: string;
  kind: 'payment' | 'refund';
  amount_minor: number;
  currency: string;
  at: number;
}

/** Reads everything as of one moment. */
export async function readRows(url: string): Promise<{ rows: Rows; wallet: WalletEntry[] }> {
  return withClient(url, async (client) => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const rows: Record<string, unknown[]> = {};
    for (const [table, sql] of Object.entries(queries)) rows[table] = (await client.query<object>(sql)).rows;
    const wallet = await client.query<WalletEntry>(
      `SELECT id, booking_id, kind, amount_minor, currency, extract(epoch FROM at)::float8 * 1000 AS at
       FROM wallet_entries WHERE account = 'customer' AND booking_id IS NOT NULL`,
    );
    await client.query('COMMIT');
    return { rows: rows as unknown as Rows, wallet: wallet.rows };
  });
}

/** How long a look during the run may take, in ms: a fault may have locked what it looks at. */
export const lookWithinMs = 5_000;

/** What is not over yet, as counts. */
export interface Pending {
  attempts: number;
  refunds: number;
  messages: number;
  /** Not pending: money of the gateways that is known by now. */
  payments: number;
}

/** Counts what is not over yet. @throws while the database is away */
export async function countPending(url: string): Promise<Pending> {
  const count = async (client: Client): Promise<Pending> => {
    const { rows } = await client.query<Pending>(
      `SELECT (SELECT count(*)::int FROM attempts WHERE status IN ('awaiting_payment', 'processing', 'refunding')) AS attempts,
              (SELECT count(*)::int FROM refunds WHERE status IN ('unsent', 'pending')) AS refunds,
              (SELECT count(*)::int FROM messages WHERE next_send_at IS NOT NULL) AS messages,
              (SELECT count(*)::int FROM payments WHERE gateway <> 'wallet') AS payments`,
    );
    const [counts] = rows;
    if (counts === undefined) throw new Error('Counts are one row');
    return counts;
  };
  return withClient(url, count, lookWithinMs);
}

/** Sessions of the service's own database. */
export async function countSessions(url: string): Promise<number> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ sessions: number }>(
      `SELECT count(*)::int AS sessions FROM pg_stat_activity
       WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
    return rows[0]?.sessions ?? 0;
  });
}
