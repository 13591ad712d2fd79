/** What must be true of every list that was played. */
import { arrayFromPayloads, defaultPayloadConverter } from '@temporalio/common';
import { decodeTypedSearchAttributes } from '@temporalio/common/lib/converter/payload-search-attributes';
import { temporal } from '@temporalio/proto';
import { calledOffSignal, type Answer } from '../src/workflows/messages';
import { isOpen, type AttemptStatus } from '../src/booking';
import type { FailureType } from '../src/failures';
import type { List } from './story-lists';
import type { State } from './story-model';
import type { Play, Question } from './story-play';

const { EventType, WorkflowTaskFailedCause } = temporal.api.enums.v1;
type Event = temporal.api.history.v1.IHistoryEvent;

/** Names what is untrue of a list that was played; nothing, when all is well. */
export function whatIsUntrue(play: Play): string[] {
  return [
    ...theEnd(play),
    ...play.questions.flatMap((question) => whyUntrue(play, question)),
    ...theHistory(play),
  ];
}

function theEnd({ model, result, failure, rung, list }: Play): string[] {
  const found: string[] = [];
  const { status } = model;
  if (result === undefined) found.push(`the workflow has no result: ${String(failure)}`);
  else if (result !== status) found.push(`the workflow ended as ${result}, the attempt as ${status}`);
  for (const { id, status: reached } of model.refunds) {
    if (reached !== 'succeeded') found.push(`refund ${id} was left ${reached}`);
  }
  for (const { id } of model.openCases) found.push(`case ${id} was left open`);
  const unheard = rung.filter((mark) => !model.heard.has(mark));
  if (unheard.length > 0) found.push(`rings that nobody heard: ${unheard.join()}`);
  if (status === 'failed' && list.opens !== 'refused' && model.failure === 'gateway-unavailable') {
    if (!model.tidied) found.push('what the failed start left at the gateway was not closed');
  }
  return found;
}

/** Whether anything between the question and its answer made the answer true. */
function whyUntrue({ model, list }: Play, { asked, from, to, answer }: Question): string[] {
  const then = model.journal.slice(from, to);
  const untrue = (word: string) => [
    `${asked} was told ${word}, which was never true: ${JSON.stringify(then)}`,
  ];
  switch (answer.kind) {
    case 'silent':
      return [`${asked} got no answer`];
    case 'over':
      // Junk may be refused by Temporal's own word, too.
      return asked === 'junk' || !isOpen(then.at(-1)?.status ?? 'awaiting_payment')
        ? []
        : untrue('that it is over');
    case 'refused':
      return asked === 'junk' ||
        isOfOtherBody(asked, answer.type) ||
        then.some((state) => isTrueRefusal(asked, answer.type, state, list))
        ? []
        : untrue(answer.type);
    case 'answered':
      return isTrueAnswer(asked, answer.answer, asked === 'open' ? model.journal : then)
        ? []
        : untrue(JSON.stringify(answer.answer));
  }
}

const isOfOtherBody = (asked: Question['asked'], type: FailureType) =>
  asked === 'other body' && type === 'idempotency-key-reused';

function isTrueRefusal(asked: Question['asked'], type: FailureType, state: State, list: List): boolean {
  const over = !isOpen(state.status);
  switch (type) {
    case 'attempt-over':
      return asked === 'cancel' ? ['expired', 'failed'].includes(state.status) : over;
    case 'not-cancelable':
      return asked === 'cancel' && ['processing', 'needs_attention'].includes(state.status);
    case 'not-retryable':
      return asked === 'retry' && state.status === 'processing';
    case 'retry-limit':
      return asked === 'retry' && state.triesLeft <= 0;
    case 'insufficient-funds':
      return asked === 'retry' && !list.funds;
    default:
      return asked === 'open' ? state.failure === type : state.outOfTime === true;
  }
}

/** Statuses a granted wish can lead to. */
const granted: Partial<Record<Question['asked'], readonly AttemptStatus[]>> = {
  cancel: ['canceled', 'confirmed', 'refunding', 'refunded'],
  retry: ['awaiting_payment', 'confirmed', 'refunding'],
};

function isTrueAnswer(asked: Question['asked'], { status, version }: Answer, states: State[]): boolean {
  if (asked === 'other body') return false;
  if (granted[asked]?.includes(status) === false) return false;
  return states.some(
    (state) =>
      state.version === version &&
      state.status === status &&
      // What was granted can be paid again.
      (asked !== 'retry' || status !== 'awaiting_payment' || state.failure === undefined),
  );
}

/**
 * Events that a list may cost: those of the shortest story, and for each message and each go of an activity one event and a
 * workflow task of its own with what it leads to.
 */
function eventsMost({ goes, sent, questions }: Play): number {
  return 20 + 8 * (sent + questions.length) + 8 * goes;
}

function theHistory(play: Play): string[] {
  const events = play.history.events ?? [];
  const found: string[] = [];
  const last = events.at(-1)?.eventType;
  if (last !== EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED) {
    found.push(`the last event is ${EventType[last ?? 0]}`);
  }
  for (const { workflowTaskFailedEventAttributes: failed } of events) {
    // A signal that came while the workflow completed: the task is done again with it.
    if (failed && failed.cause !== WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND) {
      found.push(`a workflow task failed: ${failed.failure?.message}`);
    }
  }
  if (events.length > eventsMost(play)) found.push(`${events.length} events`);
  return [...found, ...endsAfterTheEnd(events), ...wishesForgotten(events), ...whatIsShown(play, events)];
}

const read = (payloads: temporal.api.common.v1.IPayload[] | null | undefined): unknown[] =>
  arrayFromPayloads(defaultPayloadConverter, payloads);

/** What an activity answered, where this event is its answer. A local one's is in a marker. */
function answerIn(event: Event): unknown {
  const { activityTaskCompletedEventAttributes: regular, markerRecordedEventAttributes: marker } = event;
  return read(regular?.result?.payloads ?? marker?.details?.['result']?.payloads)[0];
}

/** Nothing is ended of which the story was told that it is decided. What a workflow task that failed was told is forgotten. */
function endsAfterTheEnd(events: readonly Event[]): string[] {
  const found: string[] = [];
  let told: AttemptStatus | undefined;
  for (const event of events) {
    const answer = answerIn(event) as { status?: AttemptStatus; version?: number } | null | undefined;
    if (answer?.version !== undefined) told = answer.status;
    const ends = event.activityTaskScheduledEventAttributes?.activityType?.name === 'end';
    if (ends && (told === undefined || !isOpen(told)))
      found.push(`end was called of what is ${told} already`);
  }
  return found;
}

/** Whoever wished that it ends is served before the end of the window. */
function wishesForgotten(events: readonly Event[]): string[] {
  let wished = false;
  for (const event of events) {
    const signal = event.workflowExecutionSignaledEventAttributes?.signalName;
    wished ||=
      signal === calledOffSignal.name || event.workflowExecutionCancelRequestedEventAttributes != null;
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled?.activityType?.name !== 'end') continue;
    const [, outcome] = read(scheduled.input?.payloads);
    if (outcome === 'expired')
      return wished ? ['a wish to end it came before the end of the window, which was first'] : [];
    wished = false;
  }
  return [];
}

/** What search attributes say, at the end and while a person is asked. */
function whatIsShown({ model }: Play, events: readonly Event[]): string[] {
  const found: string[] = [];
  const shown = new Map<string, unknown>();
  for (const event of events) {
    const set =
      event.workflowExecutionStartedEventAttributes?.searchAttributes ??
      event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes;
    for (const { key, value } of decodeTypedSearchAttributes(set?.indexedFields).getAll())
      shown.set(key.name, value);
    const asked = event.activityTaskScheduledEventAttributes?.activityType?.name === 'resolveCase';
    if (asked && shown.get('NeedsAttention') !== true)
      found.push('a person was asked, and nobody called one');
  }
  const meant = { BookingStatus: model.status, NeedsAttention: false, Gateway: model.method };
  for (const [name, value] of Object.entries(meant)) {
    if (shown.get(name) !== value) found.push(`${name} shows ${String(shown.get(name))}, not ${value}`);
  }
  return found;
}
