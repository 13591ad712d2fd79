/** Where the money is, and the gauges that PostgreSQL knows: asked when somebody scrapes, by the read-only role. */
import type { Knex } from 'knex';
import type { Metrics } from '../telemetry';

/** What became of all money captured in one currency, in its smallest unit. */
export interface Balance {
  currency: string;
  captured_minor: number;
  kept_minor: number;
  returned_minor: number;
  on_its_way_minor: number;
  open_cases_minor: number;
  /** Distances, summed per payment: two payments that are wrong in opposite directions are two faults. */
  imbalance_minor: number;
}

// The one definition of rule 3: per payment, captured = kept + returned + on its way + in open cases. A case counts where
// the money has no other place: its refund failed, it was never matched, or a bank holds it while a dispute lasts (of what was
// never matched, the first case counts it). So an overdue refund is on its way, and not counted a second time because a case asks about it.
const balances = `
  WITH sent AS (
    SELECT payment_id,
      coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS returned,
      coalesce(sum(amount_minor) FILTER (WHERE status IN ('unsent', 'pending')), 0) AS on_its_way
    FROM refunds GROUP BY payment_id),
  asked AS (
    SELECT c.payment_id, sum(c.amount_minor) AS in_cases,
      coalesce(sum(c.amount_minor) FILTER (WHERE c.kind = 'dispute'), 0) AS disputed
    FROM cases AS c JOIN payments AS p ON p.id = c.payment_id LEFT JOIN refunds AS r ON r.id = c.refund_id
    WHERE c.resolved_at IS NULL AND (r.status = 'failed' OR (c.kind <> 'dispute' AND p.disposition = 'unmatched')
      OR (c.kind = 'dispute' AND p.disposition <> 'unmatched'))
    GROUP BY c.payment_id),
  accounts AS (
    SELECT p.currency, p.amount_minor AS captured,
      CASE WHEN p.disposition = 'booked' THEN p.amount_minor - p.refunded_minor - coalesce(asked.disputed, 0) ELSE 0 END AS kept,
      coalesce(sent.returned, 0) AS returned, coalesce(sent.on_its_way, 0) AS on_its_way,
      coalesce(asked.in_cases, 0) AS in_cases
    FROM payments AS p LEFT JOIN sent ON sent.payment_id = p.id LEFT JOIN asked ON asked.payment_id = p.id)
  SELECT currency, sum(captured)::bigint AS captured_minor, sum(kept)::bigint AS kept_minor,
    sum(returned)::bigint AS returned_minor, sum(on_its_way)::bigint AS on_its_way_minor,
    sum(in_cases)::bigint AS open_cases_minor,
    sum(abs(captured - kept - returned - on_its_way - in_cases))::bigint AS imbalance_minor
  FROM accounts GROUP BY currency ORDER BY currency`;

const waiting = `
  SELECT
    (SELECT count(*) FROM cases WHERE resolved_at IS NULL) AS cases_open,
    (SELECT count(*) FROM messages WHERE sent_at IS NULL AND next_send_at IS NOT NULL) AS messages_queued,
    (SELECT count(*) FROM webhook_deliveries WHERE next_try_at IS NOT NULL) AS webhooks_queued,
    (SELECT count(*) FROM webhook_endpoints WHERE status = 'disabled') AS endpoints_disabled,
    count(*) AS refunds_under_way,
    coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision AS oldest_seconds
  FROM refunds WHERE status IN ('unsent', 'pending')`;

interface Waiting {
  cases_open: number;
  messages_queued: number;
  webhooks_queued: number;
  endpoints_disabled: number;
  refunds_under_way: number;
  oldest_seconds: number;
}

/** Where the money is, by currency. Currencies that have no payment are missing. */
export async function readBalances(db: Knex): Promise<Balance[]> {
  const result = await db.raw<{ rows: Balance[] }>(balances);
  return result.rows;
}

/** Money that cannot be accounted for, by currency; 0 at rest. */
export async function readImbalances(db: Knex): Promise<Map<string, number>> {
  const rows = await readBalances(db);
  return new Map(rows.map((row) => [row.currency, row.imbalance_minor]));
}

/** Sets the gauges from the tables. @throws when PostgreSQL cannot be asked */
export async function refreshGauges(db: Knex, metrics: Metrics): Promise<void> {
  const [byCurrency, result] = await Promise.all([readImbalances(db), db.raw<{ rows: Waiting[] }>(waiting)]);
  for (const [currency, minor] of byCurrency) metrics.moneyImbalance.set({ currency }, minor);
  const now = result.rows[0];
  if (now === undefined) return;
  metrics.casesOpen.set(now.cases_open);
  metrics.messagesQueued.set(now.messages_queued);
  metrics.webhooksQueued.set(now.webhooks_queued);
  metrics.webhookEndpointsDisabled.set(now.endpoints_disabled);
  metrics.refundsUnderWay.set(now.refunds_under_way);
  metrics.refundOldestSeconds.set(now.oldest_seconds);
}
