/** Keeps a case open that no attempt's workflow keeps: findings of standing workflows, and late bad news. */
import { CancellationScope, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { giveBack } from './give-back';
import { openInbox } from './inbox';
import { searchAttributes, type AttendCaseInput } from './messages';
import { patient } from './steps';

/** Waits for an operator's `resolveCase`, carries it out, and follows a refund to its end. */
export function attendCase(input: AttendCaseInput): Promise<void> {
  // Canceling it would leave a case that nobody keeps.
  return CancellationScope.nonCancellable(() => attend(input));
}

async function attend(input: AttendCaseInput): Promise<void> {
  const inbox = openInbox();
  setCurrentDetails(
    `A person must decide case ${input.caseId}. Send the signal resolveCase with {caseId, action, note, by}.`,
  );
  for (;;) {
    const resolution = await inbox.resolutionOf(input.caseId, () => false);
    if (resolution === undefined) continue;
    const resolved = await patient.resolveCase.executeWithOptions({ summary: `Case: ${resolution.action}` }, [
      resolution,
    ]);
    if (!resolved.accepted) continue;
    if (resolved.sendAgain !== null) {
      await giveBack(inbox, resolved.sendAgain, (state) => {
        upsertSearchAttributes([
          { key: searchAttributes.needsAttention, value: state === 'needs_attention' },
        ]);
      });
    }
    break;
  }
  upsertSearchAttributes([{ key: searchAttributes.needsAttention, value: false }]);
  setCurrentDetails('Resolved.');
}
