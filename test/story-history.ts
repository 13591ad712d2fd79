/** What the history of a list's workflow must not show. */
import { arrayFromPayloads, defaultPayloadConverter } from '@temporalio/common';
import { decodeTypedSearchAttributes } from '@temporalio/common/lib/converter/payload-search-attributes';
import { temporal } from '@temporalio/proto';
import { isOpen, type AttemptStatus } from '../src/booking';
import { calledOffSignal } from '../src/workflows/messages';
import type { Play } from './story-play';

const { EventType, WorkflowTaskFailedCause } = temporal.api.enums.v1;
type Event = temporal.api.history.v1.IHistoryEvent;

/**
 * Most events of a list: those of an attempt; for each command a message, a workflow task and an activity; for each refund its
 * sending, a reading and a case; for each look at what is still processed a timer and the look; for each go that went ill an
 * activity of its own and its workflow task. Where the opening is given up, one more: what was given up may turn out to have
 * been done, and then the whole story follows.
 */
function eventsMost({ goes, list, sent, model }: Play, events: readonly Event[]): number {
  const gaveUp = events.some(
    ({ activityTaskScheduledEventAttributes: scheduled }) =>
      scheduled?.activityType?.name === 'giveUpOpening',
  );
  const ill = list.goes.slice(0, goes).filter((go) => go !== 'plain').length;
  const activities = ill + (gaveUp ? 1 : 0);
  return 30 + 6 * activities + 8 * sent + 20 * model.refunds.all.length + 8 * model.unrungLooks;
}

/**
 * Tasks that are done again, and rightly: a signal came while the workflow completed; or the machine stalled until the server had
 * given an update up whose acceptance then arrived ("referenced absent message ID").
 */
const doneAgain: readonly number[] = [
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE,
];

/** Names what is untrue of the story as Temporal wrote it down. */
export function untrueHistory(play: Play): string[] {
  const events = play.history.events ?? [];
  const found: string[] = [];
  const last = events.at(-1)?.eventType;
  if (last !== EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED) {
    const lately = events.slice(-8).map(({ eventType }) => EventType[eventType ?? 0]);
    found.push(`it was not completed: ${lately.join()}`);
  }
  for (const { workflowTaskFailedEventAttributes: failed } of events) {
    if (failed && !doneAgain.includes(failed.cause ?? 0)) {
      found.push(`a workflow task failed: ${failed.failure?.message}`);
    }
  }
  if (events.length > eventsMost(play, events)) found.push(`${events.length} events`);
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
      signal === calledOffSignal.name || Boolean(event.workflowExecutionCancelRequestedEventAttributes);
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
