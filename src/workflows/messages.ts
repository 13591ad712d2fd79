/**
 * What crosses the border of a workflow: ids, inputs, signals, updates, search attributes. Shared by workflows,
 * activities and the API, so it holds names and shapes and no behaviour.
 */
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { AttemptStatus, BookingRequest, CaseAction, RefundStatus } from '../booking';

/** Workflow types: the names under which the bundle exports them. */
export const workflowTypes = {
  book: 'book',
  reconcile: 'reconcile',
  attendCase: 'attendCase',
  cancel: 'cancel',
  compare: 'compare',
  cancelOffering: 'cancelOffering',
  paymentWatch: 'paymentWatch',
  courier: 'courier',
} as const;

/** Ids of the two standing workflows; one of each per namespace. */
export const paymentWatchId = 'payment-watch';
export const courierId = 'courier';

/** Id of the Schedule that compares each day with the gateways' books, and of the workflows it starts. */
export const comparisonId = 'daily-comparison';

/** Id of the workflow that runs an attempt. */
export function bookingWorkflowId(bookingId: string): string {
  return `booking/${bookingId}`;
}

/** Id of the workflow that looks after money or bad news that came when the attempt was over or is unknown. */
export function reconcileWorkflowId(gateway: string, ref: string): string {
  return `reconcile/${gateway}/${ref}`;
}

/** Id of the workflow that keeps a case open which no attempt's workflow keeps. */
export function caseWorkflowId(caseId: string): string {
  return `case/${caseId}`;
}

/** Id of the workflow that undoes a confirmed booking. */
export function cancelWorkflowId(bookingId: string): string {
  return `cancel/${bookingId}`;
}

/** Id of the workflow that calls an offering off. */
export function cancelOfferingWorkflowId(offeringId: string): string {
  return `cancel-offering/${offeringId}`;
}

/** Input of `book`: everything `open` needs. Encrypted in Temporal by the payload codec. */
export interface BookInput {
  bookingId: string;
  customerId: string;
  /** Hash of the validated body in canonical form. */
  requestHash: string;
  request: BookingRequest;
  /** The HTTP request that started it: it alone may answer 201, and logs can be joined by it. */
  requestId: string;
}

/** Answer of the update `open` and of `retry`, `cancel`: where the record now stands. The API reads the rest from the row. */
export interface Answer {
  status: AttemptStatus;
  version: number;
  /** `requestId` of the HTTP request that started the attempt. */
  startedBy: string;
}

/** What a ring may carry: which event caused it, to be written down. Never what became of the money. */
export interface Ring {
  /** Who rang. */
  by: 'webhook' | 'return' | 'watch' | 'cancellation' | 'operator';
  gateway?: string;
  eventId?: string;
  type?: string;
  ref?: string | null;
  /** Whether it is about money that others took back. */
  reversal?: true;
  /** ISO 8601. */
  at: string;
}

/** An operator's answer to a case. */
export interface Resolution {
  caseId: string;
  action: CaseAction;
  note?: string;
  /** Who decided: the token's subject by the API, what the operator typed in the Temporal UI. */
  by: string;
}

/** Input of `reconcile`. */
export interface ReconcileInput {
  gateway: string;
  ref: string;
  bookingId: string | null;
}

/** Input of `attendCase`. */
export interface AttendCaseInput {
  caseId: string;
  bookingId: string | null;
}

/** Input of `cancel`. */
export interface CancelInput {
  bookingId: string;
  /** Why, in the customer's words. */
  reason?: string;
  requestId: string;
}

/** Input of `cancelOffering`. */
export interface CancelOfferingInput {
  offeringId: string;
}

/** What `reconcile` and `settle` say a workflow still owes. */
export interface RefundProgress {
  refundId: string;
  status: RefundStatus;
  /** The open case that stops this refund, if one does. */
  caseId?: string;
  /** Open cases seen on the way, each of which needs a workflow of its own that keeps it. */
  toKeep?: { caseIds: string[]; bookingId: string | null };
}

/** "Look at the gateway now." */
export const doorbellSignal = defineSignal<[Ring?]>('doorbell');
/** The same request as the update `retry`, rung by an operator from the Temporal UI. */
export const retryPaymentSignal = defineSignal('retryPayment');
/** The provider has called an offering of this attempt off: end it as the customer's cancel would. */
export const calledOffSignal = defineSignal('calledOff');
/** An operator's answer to a case. */
export const resolveCaseSignal = defineSignal<[Resolution]>('resolveCase');

/** Answers once the payment object exists, or refuses with a failure's name. */
export const openUpdate = defineUpdate<Answer, [{ requestHash: string }]>('open');
export const retryUpdate = defineUpdate<Answer, [{ method?: string }]>('retry');
export const cancelUpdate = defineUpdate<Answer, [{ reason?: string }]>('cancel');

/** Search attributes are never encrypted: opaque ids and fixed words only. Registered by `npm run migrate`. */
export const searchAttributes = {
  bookingStatus: defineSearchAttributeKey('BookingStatus', SearchAttributeType.KEYWORD),
  offeringIds: defineSearchAttributeKey('OfferingIds', SearchAttributeType.KEYWORD_LIST),
  gateway: defineSearchAttributeKey('Gateway', SearchAttributeType.KEYWORD),
  needsAttention: defineSearchAttributeKey('NeedsAttention', SearchAttributeType.BOOL),
  bookingId: defineSearchAttributeKey('BookingId', SearchAttributeType.KEYWORD),
} as const;
