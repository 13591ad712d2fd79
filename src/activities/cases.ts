/** Carrying out what an operator decided. A case is resolved once; asking again says so. */
import type { Knex } from 'knex';
import { actionsFor, type CaseAction } from '../booking';
import type { CaseRow, PaymentRow } from '../database';
import type { Resolution } from '../workflows/messages';
import { deriveId, lockAttempt, type Dependencies } from './dependencies';
import { repeatToKeepers, ringWaiting, thisWorkflow } from './keepers';
import { moveAttempt, readOwed, recordRefunded, type OwedRefund } from './refunds';
import { restoreStatus } from './reversals';

/** What a resolution leads to: a refund to send again, or nothing more to do. */
export interface Resolved {
  /** False when this case cannot be resolved this way; it stays open. */
  accepted: boolean;
  sendAgain: string | null;
}

export function caseActivities(deps: Dependencies) {
  const { db, log } = deps;

  /**
   * Resolves a case: `retry-refund` sends the refund under a new go, `mark-settled` writes that the money was given back
   * by other hands, `resend` queues a message again. A case that is resolved already is answered with what was decided.
   */
  async function resolveCase(resolution: Resolution): Promise<Resolved> {
    const about = await db<CaseRow>('cases').where({ id: resolution.caseId }).first();
    const resolved = await carriedOut(resolution);
    if (resolved.accepted && about !== undefined) await repeatToKeepers(deps, about, resolution);
    const refundId = about?.refund_id ?? null;
    // What is sent again rings when it ends: who is rung now might send it at the same moment.
    if (resolved.accepted && resolved.sendAgain === null && refundId !== null) {
      await ringWaiting(deps, refundId);
    }
    return resolved;
  }

  async function carriedOut(resolution: Resolution): Promise<Resolved> {
    return db.transaction(async (trx) => {
      const seen = await trx<CaseRow>('cases').where({ id: resolution.caseId }).first();
      if (seen === undefined) return { accepted: false, sendAgain: null };
      if (seen.booking_id !== null) await lockAttempt(trx, seen.booking_id);
      const found = await trx<CaseRow>('cases').where({ id: seen.id }).forUpdate().first();
      if (found === undefined) throw new Error(`Bug: case ${seen.id} is gone`);
      if (found.resolution !== null) return resolvedAs(found, found.resolution);
      if (!actionsFor[found.kind].includes(resolution.action)) return { accepted: false, sendAgain: null };
      await carryOut(trx, found, resolution.action);
      await trx('cases')
        .where({ id: found.id })
        .update({
          resolved_at: trx.fn.now(),
          resolved_by: resolution.by,
          resolution: resolution.action,
          note: resolution.note ?? null,
          // Who follows the refund now is found by this; the one that was to keep the case may be gone.
          workflow_id: thisWorkflow().workflowId,
        });
      log.info({
        event: 'case.resolved',
        caseId: found.id,
        bookingId: found.booking_id,
        action: resolution.action,
      });
      const owed = await standAgain(trx, found);
      return owed === undefined ? resolvedAs(found, resolution.action) : { accepted: true, sendAgain: owed };
    });
  }

  async function carryOut(trx: Knex.Transaction, found: CaseRow, action: CaseAction): Promise<void> {
    if (action === 'resend') {
      await trx('messages')
        .where({ booking_id: found.booking_id })
        .whereNull('sent_at')
        .whereNull('next_send_at')
        .update({ next_send_at: trx.fn.now(), tries: 0 });
    } else if (found.refund_id !== null) {
      const refund = await readOwed(trx, found.refund_id);
      await (action === 'mark-settled' ? recordRefunded(deps, trx, refund) : sendAgain(trx, refund));
    } else if (found.kind === 'unmatched-payment' && found.payment_id !== null) {
      // The money left by other hands: a row says so, or the balance would miss it. A part may have gone before.
      await trx.raw(
        `INSERT INTO refunds (id, payment_id, amount_minor, status, reason, settled_at)
           SELECT ?, id, amount_minor - refunded_minor, 'succeeded', 'external', now()
           FROM payments WHERE id = ? AND amount_minor > refunded_minor`,
        [deriveId('refund', found.payment_id, 'external'), found.payment_id],
      );
    }
  }

  /** What the case had only stopped goes on as it was. Gives the refund that is owed where that is its end. */
  async function standAgain(trx: Knex.Transaction, found: CaseRow): Promise<string | undefined> {
    if (found.payment_id === null || (found.kind !== 'external-refund' && found.kind !== 'dispute')) return;
    const payment = await trx<PaymentRow>('payments').where({ id: found.payment_id }).first();
    return payment === undefined ? undefined : restoreStatus(trx, payment);
  }

  async function sendAgain(trx: Knex.Transaction, refund: OwedRefund): Promise<void> {
    // The gateway still works on an overdue one: sending it anew would pay twice. It is read again instead.
    if (refund.status === 'failed') {
      await trx('refunds')
        .where({ id: refund.id })
        .update({
          go: trx.raw('go + 1'),
          key_number: 1,
          status: 'unsent',
          gateway_refund_id: null,
          looks: 0,
          next_look_at: trx.raw("now() + interval '1 minute'"),
        });
    }
    await moveAttempt(trx, refund, ['needs_attention'], 'refunding');
  }

  return { resolveCase };
}

function resolvedAs(found: CaseRow, action: CaseAction): Resolved {
  return { accepted: true, sendAgain: action === 'retry-refund' ? found.refund_id : null };
}
