/** Looks after money, or a refund's bad news, that comes when its attempt is over or lost. Ends at once when nothing is owed. */
import {
  allHandlersFinished,
  CancellationScope,
  condition,
  setCurrentDetails,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { giveBack } from './give-back';
import { openInbox } from './inbox';
import { startKeeper } from './keeper';
import { searchAttributes, type ReconcileInput } from './messages';
import { reconcile as lookWhatIsOwed } from './steps';

/** What came of the look. */
type Reconciled = 'nothing owed' | 'given back' | 'a case';

/** One payment object of a gateway, looked at by itself. Started, or rung, by webhooks and the payment watch. */
export function reconcile(input: ReconcileInput): Promise<Reconciled> {
  // Money that is owed is not left half-way because somebody pressed "cancel".
  return CancellationScope.nonCancellable(() => lookAndGiveBack(input));
}

async function lookAndGiveBack(input: ReconcileInput): Promise<Reconciled> {
  const inbox = openInbox();
  let result: Reconciled = 'nothing owed';
  do {
    const owed = await lookWhatIsOwed(input, inbox.takeRings());
    for (const caseId of owed.caseIds) {
      result = 'a case';
      await startKeeper(caseId, owed.bookingId);
    }
    for (const refundId of owed.refundIds) {
      result = 'given back';
      setCurrentDetails(
        'Money is on its way back: it came when its attempt was over, or its booking was canceled.',
      );
      await giveBack(inbox, refundId, (state) => {
        upsertSearchAttributes([
          { key: searchAttributes.bookingStatus, value: state },
          { key: searchAttributes.needsAttention, value: state === 'needs_attention' },
        ]);
      });
      upsertSearchAttributes([
        { key: searchAttributes.bookingStatus, value: 'refunded' },
        { key: searchAttributes.needsAttention, value: false },
      ]);
    }
  } while (inbox.rang());
  setCurrentDetails(result === 'given back' ? 'The money went back.' : 'Nothing is left to do here.');
  await condition(allHandlersFinished);
  return result;
}
