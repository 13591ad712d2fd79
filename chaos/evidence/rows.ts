/** The database's rows as the judge wants them: one `REPEATABLE READ` transaction, as the superuser, after everything is quiet. */
import { Client } from 'pg';
import type { Rows } from './evidence';

/** One query for each table; instants as milliseconds since 1970. */
const queries: Readonly<Record<keyof Rows, string>> = {
  attempts:
    'SELECT booking_id, customer_id, status, total_minor, currency, method, failure, cart_id FROM attempts',
  bookings: `SELECT id, status, total_minor, currency, extract(epoch FROM confirmed_at)::float8 * 1000 AS confirmed_at FROM bookings`,
  booking_items: 'SELECT booking_id, offering_id, seats FROM booking_items',
  offerings: 'SELECT id, capacity FROM offerings',
  seats: `SELECT offering_id, seat_no, booking_id, held_by, extract(epoch FROM held_until)::float8 * 1000 AS held_until
          FROM seats`,
  payments: `SELECT id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, disposition, refunded_minor
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

/** A movement of a wallet for an attempt; the wallet's book is ours, so its sums are also held against the balances. */
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
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const rows: Record<string, unknown[]> = {};
    for (const [table, sql] of Object.entries(queries)) rows[table] = (await client.query<object>(sql)).rows;
    const wallet = await client.query<WalletEntry>(
      `SELECT id, booking_id, kind, amount_minor, currency, extract(epoch FROM at)::float8 * 1000 AS at
       FROM wallet_entries WHERE account = 'customer' AND booking_id IS NOT NULL`,
    );
    await client.query('COMMIT');
    return { rows: rows as unknown as Rows, wallet: wallet.rows };
  } finally {
    await client.end();
  }
}

/** What is not over yet, as counts; all zero once everything is quiet. */
export interface Pending {
  attempts: number;
  refunds: number;
  messages: number;
}

/** Counts what is not over yet. @throws while the database is away */
export async function countPending(url: string): Promise<Pending> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000, query_timeout: 5_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<Pending>(
      `SELECT (SELECT count(*)::int FROM attempts WHERE status IN ('awaiting_payment', 'processing', 'refunding')) AS attempts,
              (SELECT count(*)::int FROM refunds WHERE status IN ('unsent', 'pending')) AS refunds,
              (SELECT count(*)::int FROM messages WHERE next_send_at IS NOT NULL) AS messages`,
    );
    return rows[0] ?? { attempts: -1, refunds: -1, messages: -1 };
  } finally {
    await client.end();
  }
}

/** Sessions of the service's own database. */
export async function countSessions(url: string): Promise<number> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ sessions: number }>(
      `SELECT count(*)::int AS sessions FROM pg_stat_activity
       WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
    return rows[0]?.sessions ?? 0;
  } finally {
    await client.end();
  }
}
