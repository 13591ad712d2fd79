/** Giving money back, until the gateway's last word. Never gives up: what it cannot do becomes a case that a person decides. */
import { condition, setCurrentDetails } from '@temporalio/workflow';
import type { Inbox } from './inbox';
import { startKeeper } from './keeper';
import type { RefundProgress } from './messages';
import { patient } from './steps';

/** How long a gateway may take before a person asks why. Stripe's slowest refunds take some 10 days; 30 leave no doubt. */
const overdueAfter = '30 days';

/** What the caller shows while the money is on its way. */
export type Tell = (state: 'refunding' | 'needs_attention') => void;

/**
 * Sends one refund and follows it to its end.
 * @param tell called when the money's whereabouts change
 */
export async function giveBack(inbox: Inbox, refundId: string, tell: Tell): Promise<void> {
  let progress = await send(refundId);
  while (progress.status !== 'succeeded') {
    if (progress.caseId !== undefined) {
      tell('needs_attention');
      setCurrentDetails(
        `The money should go back and did not. A person must decide case ${progress.caseId}.`,
      );
      progress = await askOperator(inbox, progress.caseId, progress);
      setCurrentDetails('A person decided, or the gateway did: what is still owed is on its way back.');
    } else if (progress.status === 'unsent') {
      progress = await send(refundId);
    } else {
      tell('refunding');
      const rang = await condition(() => inbox.rang(), overdueAfter, {
        summary: 'The gateway finishes the refund',
      });
      progress = rang
        ? await read(inbox, refundId)
        : await patient.reportOverdue.executeWithOptions({ summary: 'Open a case: the refund is overdue' }, [
            refundId,
          ]);
    }
  }
}

async function send(refundId: string): Promise<RefundProgress> {
  return kept(await patient.sendRefund.executeWithOptions({ summary: 'Send the refund' }, [refundId]));
}

async function read(inbox: Inbox, refundId: string): Promise<RefundProgress> {
  const progress = await patient.readRefund.executeWithOptions(
    { summary: 'Read the refund at the gateway' },
    [refundId, inbox.takeRings()],
  );
  return kept(progress);
}

/** Cases that were seen on the way are given their keepers. */
async function kept(progress: RefundProgress): Promise<RefundProgress> {
  const { caseIds = [], bookingId = null } = progress.toKeep ?? {};
  for (const caseId of caseIds) await startKeeper(caseId, bookingId);
  return progress;
}

/** Waits for the operator; a ring meanwhile may show that an overdue refund was finished after all. */
async function askOperator(inbox: Inbox, caseId: string, progress: RefundProgress): Promise<RefundProgress> {
  const { refundId } = progress;
  const resolution = await inbox.resolutionOf(caseId, () => inbox.rang());
  if (resolution === undefined) return read(inbox, refundId);
  const resolved = await patient.resolveCase.executeWithOptions({ summary: `Case: ${resolution.action}` }, [
    resolution,
  ]);
  if (!resolved.accepted) return progress;
  return resolved.sendAgain === null ? { refundId, status: 'succeeded' } : { refundId, status: 'unsent' };
}
