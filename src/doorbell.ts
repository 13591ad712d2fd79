/** Ringing: the one way in which webhooks, the browser's return and the payment watch say "look at the gateway now". */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import {
  bookingWorkflowId,
  doorbellSignal,
  reconcileWorkflowId,
  searchAttributes,
  workflowTypes,
  type ReconcileInput,
  type Ring,
} from './workflows/messages';

/** Who heard the ring. */
export type HeardBy = 'attempt' | 'reconcile' | 'nobody';

/**
 * Rings the attempt; where its workflow is over or unknown, `reconcile` looks after the payment object instead.
 * @returns `nobody` when the ring names neither an open attempt nor a payment object
 * @throws whatever the client throws when Temporal cannot be reached: the caller's own caller must come again
 */
export async function ring(
  temporal: Client,
  taskQueue: string,
  at: { bookingId: string | null; gateway: string; ref: string | null },
  rung: Ring,
): Promise<HeardBy> {
  // What others took back is recorded by `reconcile` alone, which then rings the attempt.
  if (at.bookingId !== null && rung.reversal !== true) {
    try {
      await temporal.workflow.getHandle(bookingWorkflowId(at.bookingId)).signal(doorbellSignal, rung);
      return 'attempt';
    } catch (error) {
      // The normal end of a late webhook, not a fault.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
  if (at.ref === null) return 'nobody';
  const input: ReconcileInput = { gateway: at.gateway, ref: at.ref, bookingId: at.bookingId };
  await temporal.workflow.signalWithStart(workflowTypes.reconcile, {
    workflowId: reconcileWorkflowId(at.gateway, at.ref),
    taskQueue,
    args: [input],
    signal: doorbellSignal,
    signalArgs: [rung],
    workflowIdConflictPolicy: 'USE_EXISTING',
    typedSearchAttributes: [
      { key: searchAttributes.gateway, value: at.gateway },
      { key: searchAttributes.needsAttention, value: false },
      ...(at.bookingId === null ? [] : [{ key: searchAttributes.bookingId, value: at.bookingId }]),
    ],
    staticSummary: 'Looks whether anything is owed for a payment whose attempt is over',
  });
  return 'reconcile';
}
