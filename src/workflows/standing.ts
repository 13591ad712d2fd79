/** The standing workflows. Each is one long activity; when its turn is over the workflow begins anew, so no history grows. */
import { continueAsNew, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities';

const { watchPayments, carryMessages } = proxyActivities<Activities>({
  // A turn is an hour; twice that means the loop is stuck.
  startToCloseTimeout: '2 hours',
  // A dead worker is noticed within this time and another goes on; a round lasts well under it.
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '200 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
});

/** Looks at open tries and refunds under way, and rings when something changed. */
export async function paymentWatch(): Promise<void> {
  setCurrentDetails('Looks at every open payment and refund on its gateway’s schedule.');
  await watchPayments();
  await continueAsNew<typeof paymentWatch>();
}

/** Sends queued messages. */
export async function courier(): Promise<void> {
  setCurrentDetails('Sends queued messages, once each.');
  await carryMessages();
  await continueAsNew<typeof courier>();
}
