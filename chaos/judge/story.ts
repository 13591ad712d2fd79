/** Everything a run left about one attempt, brought together: what its customer was told, the gateways' books, the rows. */
import type { AttemptStatus } from '../../src/booking';
import type { Charge, Evidence, PaymentObject, Refund, Rows, Visit } from '../evidence/evidence';

type Row<Table extends keyof Rows> = Rows[Table][number];

/** One attempt. */
export interface Story {
  bookingId: string;
  visit: Visit | undefined;
  attempt: Row<'attempts'> | undefined;
  booking: Row<'bookings'> | undefined;
  items: Row<'booking_items'>[];
  /** By the gateways' books and the wallet's entries. */
  objects: PaymentObject[];
  charges: Charge[];
  refunds: Refund[];
  /** By the service's own rows, which are held against the books and never summed instead of them. */
  payments: Row<'payments'>[];
  refundRows: Row<'refunds'>[];
  tries: Row<'payment_tries'>[];
  cases: Row<'cases'>[];
  messages: Row<'messages'>[];
}

/** All of a run. */
export interface Stories {
  all: Story[];
  of(bookingId: string): Story | undefined;
  /** Money of the books that belongs to no attempt. */
  strays: { charges: Charge[]; refunds: Refund[] };
  /** Of the object that a refund gives back; undefined where no book has it. */
  currencyOf(refund: Refund): string | undefined;
}

/** Names a payment object among all gateways. */
export const objectKey = (gateway: string, ref: string): string => `${gateway}/${ref}`;

/** What a refund gives back of. A wallet has no payment objects: there it is the attempt that was paid. */
export function paidObject(one: Charge | Refund): string {
  if (one.gateway === 'wallet') return objectKey('wallet', one.bookingId ?? one.ref);
  return objectKey(one.gateway, 'objectRef' in one ? one.objectRef : one.ref);
}

/** Whether nothing more is to come: the end as the contract has it. */
export function isTerminal(status: AttemptStatus): boolean {
  return ['confirmed', 'refunded', 'expired', 'canceled', 'failed'].includes(status);
}

/** Whether the attempt has been decided: its customer cannot pay it any more, although money may still be on its way back. */
export function isOver(status: AttemptStatus): boolean {
  return status !== 'awaiting_payment' && status !== 'processing';
}

/** Brings the evidence together by attempt. Money goes to the attempt that its object names, or that opened the object. */
export function readStories(evidence: Evidence): Stories {
  const { rows } = evidence;
  const stories = new Map<string, Story>();
  const storyOf = (bookingId: string): Story => {
    let story = stories.get(bookingId);
    if (story === undefined) stories.set(bookingId, (story = blank(bookingId)));
    return story;
  };

  for (const attempt of rows.attempts) storyOf(attempt.booking_id).attempt = attempt;
  for (const booking of rows.bookings) storyOf(booking.id).booking = booking;
  const visits = new Map(evidence.visits.map((visit) => [visit.customerId, visit]));
  for (const attempt of rows.attempts) storyOf(attempt.booking_id).visit = visits.get(attempt.customer_id);
  for (const visit of evidence.visits)
    if (visit.bookingId !== undefined) storyOf(visit.bookingId).visit = visit;

  for (const item of rows.booking_items) storyOf(item.booking_id).items.push(item);
  for (const one of rows.payment_tries) storyOf(one.booking_id).tries.push(one);
  for (const message of rows.messages) storyOf(message.booking_id).messages.push(message);
  for (const one of rows.cases) if (one.booking_id !== null) storyOf(one.booking_id).cases.push(one);
  const payments = new Map(rows.payments.map((payment) => [payment.id, payment]));
  for (const payment of rows.payments)
    if (payment.booking_id !== null) storyOf(payment.booking_id).payments.push(payment);
  for (const refund of rows.refunds) {
    const bookingId = payments.get(refund.payment_id)?.booking_id;
    if (bookingId !== undefined && bookingId !== null) storyOf(bookingId).refundRows.push(refund);
  }

  const owners = ownersOf(evidence);
  const strays: Stories['strays'] = { charges: [], refunds: [] };
  for (const object of evidence.objects) {
    const bookingId = owners.get(objectKey(object.gateway, object.ref));
    if (bookingId !== undefined) storyOf(bookingId).objects.push(object);
  }
  for (const charge of evidence.charges) {
    const bookingId = charge.bookingId ?? owners.get(objectKey(charge.gateway, charge.ref));
    (bookingId === undefined ? strays.charges : storyOf(bookingId).charges).push(charge);
  }
  for (const refund of evidence.refunds) {
    const bookingId = refund.bookingId ?? owners.get(objectKey(refund.gateway, refund.objectRef));
    (bookingId === undefined ? strays.refunds : storyOf(bookingId).refunds).push(refund);
  }

  const currencies = new Map(evidence.charges.map((charge) => [paidObject(charge), charge.currency]));
  return {
    all: [...stories.values()],
    of: (bookingId) => stories.get(bookingId),
    strays,
    currencyOf: (refund) => currencies.get(paidObject(refund)),
  };
}

/** Whose each payment object is: by what it carries, else by the try that opened it. */
function ownersOf({ objects, charges, rows }: Evidence): Map<string, string> {
  const owners = new Map<string, string>();
  for (const one of rows.payment_tries)
    if (one.gateway_ref !== null) owners.set(objectKey(one.gateway, one.gateway_ref), one.booking_id);
  for (const one of [...charges, ...objects])
    if (one.bookingId !== null) owners.set(objectKey(one.gateway, one.ref), one.bookingId);
  return owners;
}

function blank(bookingId: string): Story {
  return {
    bookingId,
    visit: undefined,
    attempt: undefined,
    booking: undefined,
    items: [],
    objects: [],
    charges: [],
    refunds: [],
    payments: [],
    refundRows: [],
    tries: [],
    cases: [],
    messages: [],
  };
}

/** The open ones: a case counts as an end only while a person can see it. */
export function openCases(story: Story): Row<'cases'>[] {
  return story.cases.filter((one) => one.resolved_at === null);
}
