/** How the workflows call activities: quickly first where that saves a workflow task, patiently where it must happen. */
import {
  ApplicationFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  type ActivityFunctionWithOptions,
  type LocalActivityFunctionWithOptions,
} from '@temporalio/workflow';
import type { ActivityFunction } from '@temporalio/common';
import type { Activities } from '../activities';

/**
 * Limit of a local go, in ms. Its workflow task stays open that long, during which nothing else reaches the workflow; and
 * it must end well before the task's own 10 s.
 */
const localGoMs = 5_000;

const local = proxyLocalActivities<Activities>({
  startToCloseTimeout: localGoMs,
  retry: { maximumAttempts: 1 },
});

/** Longest pause between two goes of an activity that must happen in the end: a minute after a gateway is back, so are we. */
const longestPause = '1 minute';
const retry = {
  initialInterval: '500 milliseconds',
  backoffCoefficient: 2,
  maximumInterval: longestPause,
} as const;

/**
 * Retried without end: nothing else may happen to the attempt or its money first. A gateway's own time-out is 4 s, and
 * the longest activity reads a handful of objects.
 */
export const patient = proxyActivities<Activities>({ startToCloseTimeout: '30 seconds', retry });

/** `open` gives up after ten minutes without a gateway: the customer is long gone, and holds no secret to pay by. */
const opening = proxyActivities<Activities>({
  startToCloseTimeout: '20 seconds',
  scheduleToCloseTimeout: '10 minutes',
  retry: { ...retry, maximumInterval: '15 seconds' },
});

/** A retry is answered while the customer waits; what it began, another retry or the end of the window finishes. */
const retrying = proxyActivities<Activities>({
  startToCloseTimeout: '20 seconds',
  scheduleToCloseTimeout: '30 seconds',
  retry,
});

/** Tidying up after a failed start ends before Stripe forgets the key that finds the lost object (24 h). */
const tidying = proxyActivities<Activities>({
  startToCloseTimeout: '30 seconds',
  scheduleToCloseTimeout: '20 hours',
  retry: { ...retry, maximumInterval: '10 minutes' },
});

/**
 * A local go, then the regular activity with its full retry policy. A local activity saves a workflow task and a matching
 * hop: 40 % less CPU for a booking. One that timed out may still run; every transaction locks the attempt's row first.
 */
async function localFirst<A extends ActivityFunction>(
  quick: LocalActivityFunctionWithOptions<A>,
  slow: ActivityFunctionWithOptions<A>,
  summary: string,
  args: Parameters<A>,
): Promise<Awaited<ReturnType<A>>> {
  try {
    return await quick.executeWithOptions({ summary }, args);
  } catch (error) {
    // A local activity rejects with the failure itself, a regular one with the failure as its cause.
    const final = error instanceof ApplicationFailure && error.nonRetryable === true;
    if (final || isCancellation(error)) throw error;
    return slow.executeWithOptions({ summary }, args);
  }
}

type Arguments<Name extends keyof Activities> = Parameters<Activities[Name]>;

export const open = (...args: Arguments<'open'>) =>
  localFirst(local.open, opening.open, 'Freeze the quote and open the payment', args);
export const settle = (...args: Arguments<'settle'>) =>
  localFirst(local.settle, patient.settle, 'Read the payment at the gateway and settle it', args);
export const reconcile = (...args: Arguments<'reconcile'>) =>
  localFirst(local.reconcile, patient.reconcile, 'Look what is owed', args);
export const lookUp = (...args: Arguments<'lookUp'>) =>
  localFirst(local.lookUp, patient.lookUp, 'Read where the attempt stands', args);
export const retryPayment = (...args: Arguments<'retry'>) =>
  localFirst(local.retry, retrying.retry, 'Accept or refuse another try', args);
export const cancelBooking = (...args: Arguments<'cancelBooking'>) =>
  localFirst(local.cancelBooking, patient.cancelBooking, 'Free the seats and write what goes back', args);
export const end = (...args: Arguments<'end'>) =>
  patient.end.executeWithOptions(
    { summary: `Close the payment at the gateway, then end as ${args[1]}` },
    args,
  );
export const closeLeftovers = (...args: Arguments<'closeLeftovers'>) =>
  tidying.closeLeftovers.executeWithOptions(
    { summary: 'Close what the failed start may have left at the gateway' },
    args,
  );
