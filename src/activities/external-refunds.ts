/** What others sent back, set against what we still owed of the same payment, and written down. */
import type { Knex } from 'knex';
import type { CaseRow, PaymentRow, RefundRow } from '../database';
import type { RefundSeen, Reversals } from '../gateways/gateway';
import { deriveId, type Dependencies } from './dependencies';
import { readOwed, recordRefunded, resolveByItself } from './refunds';

/** Money that left a payment by other hands. */
type Gone = Pick<RefundSeen, 'refundRef' | 'amountMinor'>;

/**
 * What we still owed of this payment counts as done by money that others sent back: in whole, or as far as it goes.
 * @param rows every refund of the payment, whose row is locked
 * @param seen what else the gateway has: a refund of ours that is there already needs nobody's help
 * @returns what is left of that money
 */
export async function fulfilOwed(
  deps: Dependencies,
  trx: Knex.Transaction,
  rows: readonly RefundRow[],
  gone: Gone,
  seen: Pick<Reversals, 'refunds'>,
): Promise<number> {
  const alive = seen.refunds.filter(({ status }) => status !== 'failed');
  const meant = rows.find((row) => isMeant(row, gone, alive));
  if (meant !== undefined) {
    await trx('refunds').where({ id: meant.id }).update({ gateway_refund_id: gone.refundRef });
    return 0;
  }
  const sent = new Set(alive.map(({ refundId }) => refundId));
  const owed = rows
    .filter(({ id, status }) => (status === 'unsent' || status === 'failed') && !sent.has(id))
    .sort((a, b) => a.created_at.getTime() - b.created_at.getTime() || a.id.localeCompare(b.id));
  let left = gone.amountMinor;
  for (const row of owed) {
    if (left === 0) break;
    if (row.amount_minor > left) {
      await shrink(trx, row, left);
      return left;
    }
    left -= row.amount_minor;
    // A new go: what the gateway says of a sending that is under way this moment is old news then.
    await trx('refunds')
      .where({ id: row.id })
      .update({ gateway_refund_id: gone.refundRef, go: trx.raw('go + 1') });
    await recordRefunded(deps, trx, await readOwed(trx, row.id));
    await resolveByItself(trx, { refund_id: row.id }, 'The money was given back at the gateway.');
  }
  return left;
}

/** An operator's word that money went back came first, and this is the money they meant. */
function isMeant(row: RefundRow, gone: Gone, alive: readonly RefundSeen[]): boolean {
  const isThere = alive.some(({ refundRef }) => refundRef === row.gateway_refund_id);
  // What others sent back before names that, or the dispute by which it went.
  const isTheirs = row.reason === 'external' && row.gateway_refund_id !== null;
  return row.status === 'succeeded' && row.amount_minor === gone.amountMinor && !isThere && !isTheirs;
}

async function shrink(trx: Knex.Transaction, row: RefundRow, by: number): Promise<void> {
  const amount = row.amount_minor - by;
  // Another amount needs another key: under the old one a gateway refuses it, or repeats its old answer.
  await trx('refunds')
    .where({ id: row.id })
    .update({ amount_minor: amount, key_number: row.key_number + 1 });
  await trx<CaseRow>('cases')
    .where({ refund_id: row.id })
    .whereNull('resolved_at')
    .update({ amount_minor: amount });
}

/** Writes what others sent back, never more than is left of what was captured. @returns how much that was */
export async function writeExternal(
  trx: Knex.Transaction,
  paymentId: string,
  ref: string,
  amountMinor: number,
): Promise<number> {
  const now = await trx<PaymentRow>('payments').where({ id: paymentId }).first();
  const room = now === undefined ? 0 : now.amount_minor - now.refunded_minor;
  // A gateway may count a chargeback's fee, or another currency.
  const written = Math.min(room, amountMinor);
  if (written === 0) return 0;
  await trx('refunds').insert({
    id: deriveId('refund', paymentId, 'external', ref),
    payment_id: paymentId,
    amount_minor: written,
    status: 'succeeded',
    reason: 'external',
    gateway_refund_id: ref,
    settled_at: trx.fn.now(),
  });
  await shrinkUnmatched(trx, paymentId, room - written);
  return written;
}

/** A person is asked about what is still here of money that nobody expected, and about nothing once all of it has left. */
async function shrinkUnmatched(trx: Knex.Transaction, paymentId: string, left: number): Promise<void> {
  const asked = { payment_id: paymentId, kind: 'unmatched-payment' as const };
  if (left === 0) await resolveByItself(trx, asked, 'The money went back at the gateway.');
  else
    await trx<CaseRow>('cases')
      .where({ ...asked, resolved_at: null })
      .update({ amount_minor: left });
}
