/** Carrying out what an operator decided. A case is resolved once; asking again says so. */
import type { CaseRow } from '../database';
import type { Resolution } from '../workflows/messages';
import { deriveId, lockAttempt, type Dependencies } from './dependencies';
import { readOwed, recordRefunded } from './refunds';

/** What a resolution leads to: a refund to send again, or nothing more to do. */
export interface Resolved {
  /** False when the case was resolved before, or cannot be resolved this way. */
  accepted: boolean;
  sendAgain: string | null;
}

export function caseActivities(deps: Dependencies) {
  const { db, log } = deps;

  /**
   * Resolves a case: `retry-refund` sends the refund under a new go, `mark-settled` writes that the money was given back
   * by other hands, `resend` queues a message again.
   */
  async function resolveCase(resolution: Resolution): Promise<Resolved> {
    return db.transaction(async (trx) => {
      const seen = await trx<CaseRow>('cases').where({ id: resolution.caseId }).first();
      if (seen === undefined) return { accepted: false, sendAgain: null };
      if (seen.booking_id !== null) await lockAttempt(trx, seen.booking_id);
      const found = await trx<CaseRow>('cases').where({ id: seen.id }).forUpdate().first();
      if (found === undefined || found.resolved_at !== null) return { accepted: false, sendAgain: null };
      const refund = found.refund_id === null ? undefined : await readOwed(trx, found.refund_id);
      let sendAgain: string | null = null;
      if (resolution.action === 'resend') {
        if (found.kind !== 'message-failed') return { accepted: false, sendAgain };
        await trx('messages')
          .where({ booking_id: found.booking_id })
          .whereNull('sent_at')
          .whereNull('next_send_at')
          .update({ next_send_at: trx.fn.now(), tries: 0 });
      } else if (resolution.action === 'retry-refund') {
        if (refund === undefined) return { accepted: false, sendAgain };
        sendAgain = refund.id;
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
        await trx('attempts')
          .where({ booking_id: found.booking_id, status: 'needs_attention' })
          .update({ status: 'refunding' });
      } else if (refund !== undefined) {
        await recordRefunded(trx, refund);
      } else if (found.payment_id !== null) {
        // The money left by other hands: a row says so, or the balance would miss it.
        await trx('refunds').insert({
          id: deriveId('refund', found.payment_id, 'external'),
          payment_id: found.payment_id,
          amount_minor: found.amount_minor,
          status: 'succeeded',
          reason: 'external',
          settled_at: trx.fn.now(),
        });
      }
      await trx('cases')
        .where({ id: found.id })
        .update({
          resolved_at: trx.fn.now(),
          resolved_by: resolution.by,
          resolution: resolution.action,
          note: resolution.note ?? null,
        });
      log.info({
        event: 'case.resolved',
        caseId: found.id,
        bookingId: found.booking_id,
        action: resolution.action,
      });
      return { accepted: true, sendAgain };
    });
  }

  return { resolveCase };
}
