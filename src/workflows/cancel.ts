/** Undoing what was confirmed. The money goes back by `reconcile`, which looks after every payment whose attempt is over. */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { ApplicationFailureCategory } from '@temporalio/common';
import type { Activities } from '../activities';
import type { Refusal, Standing } from '../activities/dependencies';
import {
  cancelUpdate,
  searchAttributes,
  type Answer,
  type CancelInput,
  type CancelOfferingInput,
} from './messages';
import { cancelBooking } from './steps';

/** Undoes one booking by its customer's wish, if the offering's policy lets it. */
export async function cancel(input: CancelInput): Promise<'canceled' | 'refused'> {
  const done = CancellationScope.nonCancellable(() =>
    cancelBooking(input.bookingId, 'customer', input.reason),
  );
  setHandler(cancelUpdate, async () => answerOf(await done, input.requestId));
  const now = await done;
  if ('refused' in now) setCurrentDetails('The offering’s policy does not allow it. The booking stands.');
  else {
    setCurrentDetails('The seats are free again. What goes back is sent by the workflow reconcile/….');
    upsertSearchAttributes([{ key: searchAttributes.bookingStatus, value: now.status }]);
  }
  await condition(allHandlersFinished);
  return 'refused' in now ? 'refused' : 'canceled';
}

/** @throws the refusal, which is final and no cause for alarm */
function answerOf(now: Standing | Refusal, startedBy: string): Answer {
  if (!('refused' in now)) return { status: now.status, version: now.version, startedBy };
  throw ApplicationFailure.create({
    type: now.refused,
    message: now.refused,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
  });
}

const { callOff } = proxyActivities<Activities>({
  // Four bookings a second: enough for the 10,000 seats of the largest slot.
  startToCloseTimeout: '2 hours',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '1 minute' },
});

/** Calls an offering off: every booking undone with everything given back, every open attempt ended. */
export async function cancelOffering(input: CancelOfferingInput): Promise<number> {
  setCurrentDetails(
    'Undoing every booking of this offering, four a second. Each refund has its own workflow.',
  );
  const undone = await CancellationScope.nonCancellable(() =>
    callOff.executeWithOptions({ summary: 'Undo every booking of the offering' }, [input.offeringId]),
  );
  setCurrentDetails(`Called off. ${undone} bookings were undone in the last run.`);
  return undone;
}
