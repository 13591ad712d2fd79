/**
 * Who keeps a case open, and who waits for a refund. A case about the refund that a workflow gives back now is kept by that
 * workflow; one that is found beside it has a workflow of its own, so that what an operator decides is carried out at once.
 */
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Knex } from 'knex';
import type { CaseRow, PaymentRow } from '../database';
import {
  bookingWorkflowId,
  caseWorkflowId,
  doorbellSignal,
  reconcileWorkflowId,
  resolveCaseSignal,
  type Resolution,
  type Ring,
} from '../workflows/messages';
import type { Dependencies } from './dependencies';

/** Which workflow keeps a case open: the one named, or, with null, a workflow of the case's own. */
export interface Keeper {
  workflowId: string | null;
}

/** A workflow of the case's own: whoever finds it says so, and `toKeep` or `caseIds` begins it. */
export const ownKeeper: Keeper = { workflowId: null };

/** Who resolves a case when the gateway itself made it void. */
export const byItself = 'payfirst';

/** The workflow that runs this activity: it stays open until a case of its own is resolved. */
export function thisWorkflow(): { workflowId: string } {
  const workflow = Context.current().info.workflowExecution;
  if (workflow === undefined) throw new Error('Bug: this activity belongs to a workflow');
  return { workflowId: workflow.workflowId };
}

/** Payments: those of an attempt, or those that a gateway's payment object took. */
export type Of = { booking_id: string } | { gateway: string; gateway_ref: string };

/**
 * Open cases that need a workflow of their own. Asked of the rows, so that a second go finds the case whose first go was
 * cut off before it could tell.
 */
export async function casesToKeep(db: Knex, of: Of): Promise<string[]> {
  const rows = await db('cases')
    .whereIn('payment_id', db('payments').where(of).select('id'))
    .whereNull('resolved_at')
    .whereRaw("workflow_id = 'case/' || id")
    .orderBy('id')
    .select<{ id: string }[]>('id');
  return rows.map(({ id }) => id);
}

/** A refund that was sent again from a case: that case's keeper follows it to its end. */
interface Followed {
  refundId: string;
  keeper: string;
}

/** The refunds under way that the keeper of a case follows. Rings do not reach it by themselves. */
export async function followedByKeepers(db: Knex, of: Of): Promise<Followed[]> {
  const rows = await db('cases')
    .join('refunds', 'refunds.id', 'cases.refund_id')
    .whereIn('cases.payment_id', db('payments').where(of).select('id'))
    .where({ resolution: 'retry-refund' })
    .whereIn('refunds.status', ['unsent', 'pending'])
    .whereLike('cases.workflow_id', 'case/%')
    .distinctOn('refunds.id')
    .orderBy([{ column: 'refunds.id' }, { column: 'cases.resolved_at', order: 'desc' }])
    .select<{ id: string; workflow_id: string }[]>('refunds.id', 'cases.workflow_id');
  return rows.map(({ id, workflow_id: keeper }) => ({ refundId: id, keeper }));
}

/**
 * Passes a ring on to a workflow, without its event, which is written down already.
 * @param gateway where that workflow is to pass it on to keepers, too: whose money the ring is about
 * @returns false when that is gone, although its rows are open: then the caller does its work
 */
export async function passOn(
  { temporal }: Dependencies,
  workflowId: string,
  heard: readonly Ring[],
  gateway?: string,
): Promise<boolean> {
  const ring: Ring = {
    by: heard[0]?.by ?? 'operator',
    at: heard[0]?.at ?? new Date().toISOString(),
    ...(gateway === undefined ? {} : { gateway }),
  };
  try {
    await temporal.workflow.getHandle(workflowId).signal(doorbellSignal, ring);
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/**
 * Passes the rings on to the keepers of cases that follow refunds of this attempt.
 * @returns the refunds that others than this workflow follow
 */
export async function ringKeepers(
  deps: Dependencies,
  bookingId: string,
  heard: readonly Ring[],
): Promise<string[]> {
  // What was passed on names no gateway. It goes no further, or two keepers would ring at each other for ever.
  const fresh = heard.filter(({ gateway }) => gateway !== undefined);
  const followed: string[] = [];
  for (const { refundId, keeper } of await followedByKeepers(deps.db, { booking_id: bookingId })) {
    if (keeper === thisWorkflow().workflowId) continue;
    if (fresh.length === 0 || (await passOn(deps, keeper, fresh))) followed.push(refundId);
  }
  return followed;
}

/** Whoever keeps a case that the gateway itself made void waits for a person's word: this is as good. */
export async function tellKeepers(deps: Dependencies, paymentId: string): Promise<void> {
  const answered = await deps.db<CaseRow>('cases').where({ payment_id: paymentId, resolved_by: byItself });
  for (const { id, workflow_id: keeper } of answered) {
    await tell(deps, keeper, { caseId: id, action: 'mark-settled', by: byItself });
  }
}

/** A decision may be sent, in the Temporal UI, to another workflow that waits for the same refund: the case's keepers hear of it. */
export async function repeatToKeepers(
  deps: Dependencies,
  { id, workflow_id: keeper }: CaseRow,
  decided: Resolution,
): Promise<void> {
  for (const workflowId of new Set([keeper, caseWorkflowId(id)])) await tell(deps, workflowId, decided);
}

async function tell({ temporal }: Dependencies, keeper: string, decided: Resolution): Promise<void> {
  if (keeper === thisWorkflow().workflowId) return;
  try {
    await temporal.workflow.getHandle(keeper).signal(resolveCaseSignal, decided);
  } catch (error) {
    // It has ended, told before; or has not begun, and the next look tells it.
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}

/**
 * Rings at everybody else who may wait for a refund: an operator's decision reaches the case's keeper alone, and the gateway's
 * word whoever reads it first.
 * @param isMine whether the workflow that runs this gives the refund back: without a case nobody else waits for it then
 */
export async function ringWaiting(deps: Dependencies, refundId: string, isMine = true): Promise<void> {
  const { db } = deps;
  const itsPayment = db('refunds').where({ id: refundId }).select('payment_id');
  const cases = await db<CaseRow>('cases')
    .whereIn('payment_id', itsPayment.clone())
    .where({ refund_id: refundId })
    .select('id', 'workflow_id');
  if (cases.length === 0 && isMine) return;
  const payment = await db('payments').whereIn('id', itsPayment).first<PaymentRow>();
  const waiting = new Set([
    reconcileWorkflowId(payment.gateway, payment.gateway_ref),
    ...(payment.booking_id === null ? [] : [bookingWorkflowId(payment.booking_id)]),
    // A case's row names who carried it out; its own workflow may wait beside.
    ...cases.flatMap((row) => [row.workflow_id, caseWorkflowId(row.id)]),
  ]);
  waiting.delete(thisWorkflow().workflowId);
  // An operator's ring would look for other people's refunds, too, at a gateway that may be the reason for all this.
  const ring: Ring = { by: 'watch', at: new Date().toISOString() };
  for (const workflowId of waiting) await passOn(deps, workflowId, [ring]);
}
