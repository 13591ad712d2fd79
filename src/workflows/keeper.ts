/** Giving a case that belongs to no running workflow one of its own. */
import { startChild } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { attendCase } from './cases';
import { caseWorkflowId, searchAttributes, workflowTypes } from './messages';

/** Gives a case the workflow that keeps it open. A case found before has its keeper already. */
export async function startKeeper(caseId: string, bookingId: string | null): Promise<void> {
  try {
    await startChild<typeof attendCase>(workflowTypes.attendCase, {
      workflowId: caseWorkflowId(caseId),
      args: [{ caseId, bookingId }],
      // The case outlives this look: a person may need days.
      parentClosePolicy: 'ABANDON',
      // One that completed has resolved the case since it was seen open.
      workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
      typedSearchAttributes: [
        ...(bookingId === null ? [] : [{ key: searchAttributes.bookingId, value: bookingId }]),
        { key: searchAttributes.needsAttention, value: true },
      ],
      staticSummary: 'A case for an operator',
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
