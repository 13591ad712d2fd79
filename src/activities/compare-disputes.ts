/** The part of the daily comparison that concerns disputes: those whose news never reached us. */
import type { Knex } from 'knex';
import type { CaseRow, PaymentRow, RefundRow } from '../database';
import type { DisputeListed } from '../gateways/gateway';
import { disputeCaseId } from './reversals';

/**
 * Disputes of our payments that our rows do not tell of as the gateway does. Whoever looks at the payment's reversals then
 * writes them down. Those of other shops are none of ours: their payments are counted where those are listed.
 */
export async function unheardDisputes(
  db: Knex,
  gateway: string,
  listed: readonly DisputeListed[],
): Promise<DisputeListed[]> {
  if (listed.length === 0) return [];
  const payments = await db<PaymentRow>('payments')
    .where({ gateway })
    .whereIn(
      'gateway_ref',
      listed.map(({ ref }) => ref),
    );
  const paymentIds = payments.map(({ id }) => id);
  const cases = await db<CaseRow>('cases').where({ kind: 'dispute' }).whereIn('payment_id', paymentIds);
  const refunds = await db<RefundRow>('refunds').whereIn('payment_id', paymentIds);
  return listed.filter((dispute) => {
    const payment = payments.find(
      (row) =>
        row.gateway_ref === dispute.ref &&
        (dispute.chargeRef === undefined || dispute.chargeRef === row.gateway_payment_id),
    );
    if (payment === undefined) return false;
    const own = cases.find(({ id }) => id === disputeCaseId(gateway, dispute.disputeRef));
    if (dispute.status === 'won') return own?.resolved_at === null;
    if (dispute.status === 'lost') {
      return !refunds.some((row) => row.gateway_refund_id === dispute.disputeRef);
    }
    // A second dispute of one payment is added to the case that is open.
    const open = cases.find((row) => row.payment_id === payment.id && row.resolved_at === null);
    return own === undefined && open === undefined;
  });
}
