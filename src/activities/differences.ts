/** Differences between a gateway's books and ours that only a person can explain: one case each, however often they are found. */
import type { CaseRow } from '../database';
import { caseWorkflowId } from '../workflows/messages';
import { deriveId, type Dependencies } from './dependencies';

/** One difference. */
export interface Difference {
  /** What makes it this one and no other; the same again is the same case. */
  cause: string[];
  paymentId: string | null;
  bookingId: string | null;
  amountMinor: number;
  currency: string;
  detail: string;
}

/**
 * Gives a difference its case.
 * @returns the case while it is open, since one found before may still be without a keeper, if we died right after
 */
export async function caseOf(
  { db, log }: Dependencies,
  gateway: string,
  found: Difference,
): Promise<string | undefined> {
  const caseId = deriveId('case', 'difference', gateway, ...found.cause);
  const written = await db('cases')
    .insert({
      id: caseId,
      workflow_id: caseWorkflowId(caseId),
      booking_id: found.bookingId,
      payment_id: found.paymentId,
      kind: 'difference',
      amount_minor: found.amountMinor,
      currency: found.currency,
      detail: found.detail,
    })
    .onConflict('id')
    .ignore()
    .returning('id');
  if (written.length > 0) log.error({ event: 'comparison.difference', caseId, bookingId: found.bookingId });
  const open = await db<CaseRow>('cases').where({ id: caseId }).whereNull('resolved_at').first('id');
  return open?.id;
}
