/** Looks after money, or a refund's bad news, that comes when its attempt is over or lost. Ends at once when nothing is owed. */
import {
  allHandlersFinished,
  condition,
  setCurrentDetails,
  startChild,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { giveBack } from './give-back';
import { openInbox } from './inbox';
import { attendCase } from './cases';
import { caseWorkflowId, searchAttributes, type ReconcileInput } from './messages';
import { reconcile as lookWhatIsOwed } from './steps';

/** One payment object of a gateway, looked at by itself. Started, or rung, by webhooks and the payment watch. */
export async function reconcile(input: ReconcileInput): Promise<'nothing owed' | 'given back' | 'a case'> {
  const inbox = openInbox();
  let result: 'nothing owed' | 'given back' | 'a case' = 'nothing owed';
  do {
    const owed = await lookWhatIsOwed(input, inbox.takeRings());
    for (const caseId of owed.caseIds) {
      result = 'a case';
      await startKeeper(caseId, owed.bookingId);
    }
    for (const refundId of owed.refundIds) {
      result = 'given back';
      setCurrentDetails('Money came when its attempt was over. It is on its way back.');
      await giveBack(inbox, refundId, (state) => {
        upsertSearchAttributes([
          { key: searchAttributes.needsAttention, value: state === 'needs_attention' },
        ]);
      });
      upsertSearchAttributes([{ key: searchAttributes.needsAttention, value: false }]);
    }
  } while (inbox.rang());
  setCurrentDetails(result === 'given back' ? 'The stray money went back.' : 'Nothing is left to do here.');
  await condition(allHandlersFinished);
  return result;
}

/** Gives a case the workflow that keeps it open. A case found before has its keeper already. */
async function startKeeper(caseId: string, bookingId: string | null): Promise<void> {
  try {
    await startChild(attendCase, {
      workflowId: caseWorkflowId(caseId),
      args: [{ caseId, bookingId }],
      // The case outlives this look: a person may need days.
      parentClosePolicy: 'ABANDON',
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
