/** How the API speaks with the workflow of an attempt. Every call has a deadline: without a worker an update waits for ever. */
import {
  isGrpcServiceError,
  ServiceError,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  type Client,
} from '@temporalio/client';
import { ApplicationFailure, type SearchAttributePair } from '@temporalio/common';
import type { UpdateDefinition } from '@temporalio/common';
import { walletMethod } from '../booking';
import { isFailureType, type FailureType } from '../failures';
import {
  bookingWorkflowId,
  cancelUpdate,
  cancelWorkflowId,
  openUpdate,
  searchAttributes,
  workflowTypes,
  type Answer,
  type BookInput,
  type CancelInput,
} from '../workflows/messages';
import type { ApiDependencies } from './dependencies';
import { openUpdateId, ownerMark } from './marks';
import { isTemporalAway } from './outage';

/** How long a client waits for the pay page, or for the answer to a wish, in ms; then it is told to follow the status. */
const answerWithinMs = 8_000;
/** How long a mere look at Temporal may take, in ms. */
const lookWithinMs = 2_000;

/** What came of asking an attempt's workflow. */
export type Outcome =
  | { kind: 'answered'; answer: Answer }
  | { kind: 'refused'; type: FailureType }
  /** The workflow is closed, or unknown: the record tells the rest. */
  | { kind: 'over' }
  /** No answer in time; it may still come. */
  | { kind: 'silent' };

/** Reads the outcome from what the client threw. @throws what is neither a refusal nor an end nor silence */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof WorkflowUpdateFailedError) {
    const type = error.cause instanceof ApplicationFailure ? error.cause.type : undefined;
    // Any other type is Temporal's own word for "it ended while you asked".
    return isFailureType(type) ? { kind: 'refused', type } : { kind: 'over' };
  }
  if (error instanceof WorkflowExecutionAlreadyStartedError || error instanceof WorkflowNotFoundError) {
    return { kind: 'over' };
  }
  if (isTemporalAway(error)) return { kind: 'silent' };
  throw error;
}

/** The memo and everything else Temporal shows in clear holds ids, fixed words and marks only. */
function startOperation(deps: ApiDependencies, input: BookInput) {
  const { items = [], payment, cartId } = input.request;
  // What a cart holds is read, and shown, when the attempt opens.
  const offeringIds = items.map((item) => item.offeringId);
  const seats = items.reduce((sum, item) => sum + item.seats, 0);
  const wanted = cartId === undefined ? `seats: ${seats}, offerings: ${offeringIds.length}` : 'a cart';
  const method = payment?.method ?? 'none';
  const shown: SearchAttributePair[] = [
    { key: searchAttributes.bookingStatus, value: 'awaiting_payment' },
    { key: searchAttributes.offeringIds, value: offeringIds },
    { key: searchAttributes.gateway, value: method },
    { key: searchAttributes.needsAttention, value: false },
    { key: searchAttributes.bookingId, value: input.bookingId },
  ];
  return new WithStartWorkflowOperation(workflowTypes.book, {
    workflowId: bookingWorkflowId(input.bookingId),
    taskQueue: deps.config.taskQueue,
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    memo: { owner: ownerMark(deps.config.appSecret, input.customerId) },
    typedSearchAttributes: shown,
    staticSummary: `An attempt to book ${wanted}, paid by ${method}`,
  });
}

/** gRPC's FAILED_PRECONDITION and ABORTED: a signal arrived meanwhile, and the server dropped the update with its workflow task. */
const droppedCodes: readonly number[] = [9, 10];

function wasDropped(error: unknown): boolean {
  const cause = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(cause) && droppedCodes.includes(cause.code);
}

/** Asks until there is an answer: an update that the server dropped never reached the story, so asking again is safe. */
async function askUntil<T>(temporal: Client, until: number, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await temporal.withDeadline(until, ask);
    } catch (error) {
      if (!wasDropped(error) || Date.now() >= until) throw error;
    }
  }
}

/** Starts the attempt, or joins the one that the same key started, and waits until it can be paid. */
export async function openAttempt(deps: ApiDependencies, input: BookInput): Promise<Outcome> {
  const { temporal, config } = deps;
  const { requestHash } = input;
  try {
    const answer = await askUntil(temporal, Date.now() + answerWithinMs, () =>
      temporal.workflow.executeUpdateWithStart(openUpdate, {
        args: [{ requestHash }],
        updateId: openUpdateId(config.appSecret, requestHash),
        startWorkflowOperation: startOperation(deps, input),
      }),
    );
    return { kind: 'answered', answer };
  } catch (error) {
    return outcomeOf(error);
  }
}

/** Sends a wish to a running attempt and waits for its answer. */
export async function askAttempt<Args extends [unknown]>(
  temporal: Client,
  bookingId: string,
  wish: UpdateDefinition<Answer, Args>,
  args: Args,
): Promise<Outcome> {
  try {
    const answer = await askUntil(temporal, Date.now() + answerWithinMs, () =>
      temporal.workflow.getHandle(bookingWorkflowId(bookingId)).executeUpdate(wish, { args }),
    );
    return { kind: 'answered', answer };
  } catch (error) {
    return outcomeOf(error);
  }
}

/** Undoes a confirmed booking, or joins who is doing so, and waits for the answer. */
export async function cancelConfirmed(deps: ApiDependencies, input: CancelInput): Promise<Outcome> {
  const until = Date.now() + answerWithinMs;
  for (;;) {
    const outcome = await askToCancel(deps, input, until);
    // It ended the moment we asked: another one finds what it did.
    if (outcome.kind !== 'over' || Date.now() >= until) return outcome;
  }
}

async function askToCancel(
  { temporal, config }: ApiDependencies,
  input: CancelInput,
  until: number,
): Promise<Outcome> {
  const { bookingId, reason } = input;
  try {
    const answer = await askUntil(temporal, until, () =>
      temporal.workflow.executeUpdateWithStart(cancelUpdate, {
        args: [reason === undefined ? {} : { reason }],
        startWorkflowOperation: new WithStartWorkflowOperation(workflowTypes.cancel, {
          workflowId: cancelWorkflowId(bookingId),
          taskQueue: config.taskQueue,
          args: [input],
          workflowIdConflictPolicy: 'USE_EXISTING',
          typedSearchAttributes: [
            { key: searchAttributes.bookingId, value: bookingId },
            { key: searchAttributes.bookingStatus, value: 'confirmed' },
            { key: searchAttributes.needsAttention, value: false },
          ],
          staticSummary: 'A confirmed booking is canceled by its customer',
        }),
      }),
    );
    return { kind: 'answered', answer };
  } catch (error) {
    return outcomeOf(error);
  }
}

/**
 * What Temporal knows of an attempt of this customer, from the moment its start is durable, record or not.
 * @returns undefined when there is none; `opening` while `open` is under way and can decide nothing yet: what a wallet pays, or nobody, it confirms itself
 * @throws when Temporal cannot be asked
 */
export async function lookAtAttempt(
  deps: Pick<ApiDependencies, 'temporal' | 'config'>,
  bookingId: string,
  customerId: string,
): Promise<{ opening: boolean } | undefined> {
  const { temporal, config } = deps;
  try {
    const { memo, raw, typedSearchAttributes } = await temporal.withDeadline(Date.now() + lookWithinMs, () =>
      temporal.workflow.getHandle(bookingWorkflowId(bookingId)).describe(),
    );
    if (memo?.['owner'] !== ownerMark(config.appSecret, customerId)) return undefined;
    const decidesAtOnce = [walletMethod, 'none'].includes(
      typedSearchAttributes.get(searchAttributes.gateway) ?? 'none',
    );
    const isPending =
      raw.pendingActivities?.some(({ activityType }) => activityType?.name === 'open') === true;
    return { opening: isPending && !decidesAtOnce };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
