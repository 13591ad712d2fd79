/** The gauges that PostgreSQL knows: asked when somebody scrapes, by the read-only role. */
import type { Knex } from 'knex';
import type { Metrics } from '../telemetry';

// Per payment: captured = kept + on its way or returned + in an open case. Distances are summed, for two payments that
// are wrong in opposite directions are two faults. An overdue refund counts as on its way, not also as its case.
const imbalances = `
  SELECT p.currency, sum(abs(p.amount_minor
      - CASE WHEN p.disposition = 'booked' THEN p.amount_minor - p.refunded_minor ELSE 0 END
      - coalesce((SELECT sum(r.amount_minor) FROM refunds r
          WHERE r.payment_id = p.id AND r.status IN ('unsent', 'pending', 'succeeded')), 0)
      - coalesce((SELECT sum(c.amount_minor) FROM cases c LEFT JOIN refunds r ON r.id = c.refund_id
          WHERE c.payment_id = p.id AND c.resolved_at IS NULL
            AND (p.disposition = 'unmatched' OR r.status = 'failed')), 0)))::bigint AS imbalance_minor
  FROM payments p GROUP BY p.currency`;

const waiting = `
  SELECT
    (SELECT count(*) FROM cases WHERE resolved_at IS NULL) AS cases_open,
    (SELECT count(*) FROM messages WHERE sent_at IS NULL AND next_send_at IS NOT NULL) AS messages_queued,
    count(*) AS refunds_under_way,
    coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision AS oldest_seconds
  FROM refunds WHERE status IN ('unsent', 'pending')`;

interface Waiting {
  cases_open: number;
  messages_queued: number;
  refunds_under_way: number;
  oldest_seconds: number;
}

/** Money that cannot be accounted for, by currency; 0 at rest. Currencies that have no payment are missing. */
export async function readImbalances(db: Knex): Promise<Map<string, number>> {
  const result = await db.raw<{ rows: { currency: string; imbalance_minor: number }[] }>(imbalances);
  return new Map(result.rows.map((row) => [row.currency, row.imbalance_minor]));
}

/** Sets the gauges from the tables. @throws when PostgreSQL cannot be asked */
export async function refreshGauges(db: Knex, metrics: Metrics): Promise<void> {
  const [byCurrency, result] = await Promise.all([readImbalances(db), db.raw<{ rows: Waiting[] }>(waiting)]);
  for (const [currency, minor] of byCurrency) metrics.moneyImbalance.set({ currency }, minor);
  const now = result.rows[0];
  if (now === undefined) return;
  metrics.casesOpen.set(now.cases_open);
  metrics.messagesQueued.set(now.messages_queued);
  metrics.refundsUnderWay.set(now.refunds_under_way);
  metrics.refundOldestSeconds.set(now.oldest_seconds);
}
