/** Numbers of attempts and what became of them, counted from the rows in one statement: all of one moment. */
import type { Knex } from 'knex';

/** What attempts can be grouped by. */
export const groupings = ['kind', 'gateway'] as const;
export type Grouping = (typeof groupings)[number];

/** Which attempts are counted: those that started from `from` on and before `to`, in ISO 8601. */
export interface Range {
  from: string;
  /** Undefined: up to now. */
  to: string | undefined;
}

/** The numbers of one group, or of all. */
export interface PaymentNumbers {
  key: string;
  attempts: number;
  confirmed: number;
  abandoned: number;
  retries: number;
  failures: { type: string; count: number }[];
  refunds: { reason: string; count: number; amountMinor: number; currency: string }[];
  /** Median and 95th percentile, in seconds; null where nothing was confirmed. */
  seconds: [number, number] | null;
}

/** How an attempt's groups are found. A start that was refused before it had a quote has no items. */
const keys: Readonly<Record<Grouping | 'all', { key: string; join: string }>> = {
  all: { key: `'all'`, join: '' },
  gateway: { key: `coalesce(a.method, 'none')`, join: '' },
  kind: {
    key: `coalesce(k.kind, 'none')`,
    join: `LEFT JOIN LATERAL (
      SELECT DISTINCT coalesce(item ->> 'kind', 'slot') AS kind FROM jsonb_array_elements(a.quote -> 'items') AS item) AS k ON true`,
  },
};

function statement(grouping: Grouping | 'all'): string {
  const { key, join } = keys[grouping];
  return `
  WITH chosen AS MATERIALIZED (
    SELECT ${key} AS key, a.booking_id, a.status, a.tries,
      extract(epoch FROM b.confirmed_at - a.started_at)::double precision AS seconds
    FROM attempts AS a LEFT JOIN bookings AS b ON b.id = a.booking_id ${join}
    WHERE a.started_at >= ?::timestamptz AND a.started_at < ?::timestamptz),
  counted AS (
    SELECT key, count(*) AS attempts, count(seconds) AS confirmed,
      count(*) FILTER (WHERE status = 'expired') AS abandoned, sum(tries - 1) AS retries,
      percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY seconds) AS seconds
    FROM chosen GROUP BY key),
  failed AS (
    SELECT key, jsonb_agg(jsonb_build_object('type', type, 'count', count) ORDER BY count DESC, type) AS failures
    FROM (SELECT key, type, count(*) FROM chosen JOIN failures USING (booking_id) GROUP BY key, type) AS f GROUP BY key),
  given_back AS (
    SELECT key, jsonb_agg(jsonb_build_object('reason', reason, 'count', count, 'amountMinor', amount, 'currency', currency)
      ORDER BY count DESC, reason, currency) AS refunds
    FROM (
      SELECT key, r.reason, p.currency, count(*), sum(r.amount_minor) AS amount
      FROM chosen JOIN payments AS p USING (booking_id) JOIN refunds AS r ON r.payment_id = p.id
      GROUP BY key, r.reason, p.currency) AS r GROUP BY key)
  SELECT c.*, coalesce(f.failures, '[]') AS failures, coalesce(g.refunds, '[]') AS refunds
  FROM counted AS c LEFT JOIN failed AS f USING (key) LEFT JOIN given_back AS g USING (key)
  ORDER BY key`;
}

/** Counts the attempts of a range, whole or by groups. A group, or the whole, without attempts is missing. */
export async function countPayments(
  db: Knex,
  range: Range,
  grouping: Grouping | 'all',
): Promise<PaymentNumbers[]> {
  const bindings = [range.from, range.to ?? 'infinity'];
  const result = await db.raw<{
    rows: (Omit<PaymentNumbers, 'seconds'> & { seconds: [number | null, number | null] | null })[];
  }>(statement(grouping), bindings);
  return result.rows.map((row) => {
    const [p50, p95] = row.seconds ?? [null, null];
    return { ...row, seconds: p50 === null || p95 === null ? null : [p50, p95] };
  });
}
