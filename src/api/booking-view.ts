/** Bookings as rows and as people see them: who may see what is decided here and nowhere else. */
import type { Knex } from 'knex';
import type { QuotedItem, RefundReason, RefundStatus } from '../booking';
import type { Config } from '../config';
import type { AttemptRow, TryRow } from '../database';
import { failures, isFailureType, type Failure, type FailureType } from '../failures';
import type { BookingView, StartingView } from './booking-schemas';
import { microsOf } from './pages';
import { eventsLink } from './tickets';

/** An attempt with all that its view needs, read in one query. */
export interface BookingRecord extends AttemptRow {
  gateway_ref: string | null;
  how_to_pay: TryRow['how_to_pay'];
  try_status: TryRow['status'] | null;
  reference: string | null;
  confirmed_at: Date | null;
  refund_status: RefundStatus | null;
  refund_amount_minor: number | null;
  refund_reason: RefundReason | null;
  in_window: boolean;
  alternatives_provider: string | null;
  alternatives_from: Date | null;
  started_micros: number;
  /** Null until it is paid. */
  confirmed_micros: number | null;
}

/**
 * Who looks: the owner sees everything; an operator, and the owner's own ticket, neither secrets nor details; a provider who
 * comes, and of what was bought the items of the offerings that are theirs: what else a customer buys is none of their
 * business. `events`: where the owner follows this one booking; in lists there is none.
 */
export type Viewer =
  | { as: 'owner'; events?: string }
  | { as: 'ticket' }
  | { as: 'operator' }
  | { as: 'provider'; offerings: ReadonlySet<string> };

/** The owner of this booking, with a fresh ticket to follow it by. */
export function ownerOf(config: Pick<Config, 'appSecret'>, id: string): Extract<Viewer, { as: 'owner' }> {
  return { as: 'owner', events: eventsLink(config, id) };
}

// A booking that stands shows only refunds of the payment that bought it: a second payment going back is not its story.
const columns = `
  a.*, t.gateway_ref, t.how_to_pay, t.status AS try_status, b.reference, b.confirmed_at,
  r.status AS refund_status, r.amount_minor AS refund_amount_minor, r.reason AS refund_reason,
  coalesce(a.expires_at > now(), false) AS in_window,
  o.provider_id AS alternatives_provider, o.starts_at AS alternatives_from,
  ${microsOf('a.started_at')} AS started_micros, ${microsOf('b.confirmed_at')} AS confirmed_micros`;

const joins = `
  LEFT JOIN LATERAL (
    SELECT gateway_ref, how_to_pay, status FROM payment_tries
    WHERE booking_id = a.booking_id ORDER BY try DESC LIMIT 1) t ON true
  LEFT JOIN bookings b ON b.id = a.booking_id
  LEFT JOIN LATERAL (
    SELECT refunds.status, refunds.amount_minor, refunds.reason
    FROM refunds JOIN payments p ON p.id = refunds.payment_id
    WHERE p.booking_id = a.booking_id AND (b.id IS NULL OR p.disposition = 'booked')
    ORDER BY refunds.reason = 'second-payment', refunds.reason = 'external', refunds.created_at, refunds.id LIMIT 1) r ON true
  LEFT JOIN LATERAL (
    SELECT provider_id, starts_at FROM offerings
    WHERE a.failure ->> 'type' = 'slot-unavailable'
      AND id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(a.quote -> 'items') AS item)
    ORDER BY seats_free(id, NULL), starts_at
    LIMIT 1) o ON true`;

/** Reads attempts for their view. `condition` is SQL over `a` (attempts) and `b` (bookings), with its order and limit. */
export async function readBookings(
  db: Knex,
  condition: string,
  bindings: readonly Knex.Value[],
): Promise<BookingRecord[]> {
  const result = await db.raw<{ rows: BookingRecord[] }>(
    `SELECT ${columns} FROM attempts a ${joins} WHERE ${condition}`,
    bindings,
  );
  return result.rows;
}

/** Reads one attempt; undefined when there is none. */
export async function readBooking(db: Knex, id: string): Promise<BookingRecord | undefined> {
  const [record] = await readBookings(db, 'a.booking_id = ?', [id]);
  return record;
}

/** Where a booking is found. */
export function bookingPath(id: string): string {
  return `/v1/bookings/${id}`;
}

/** What can be said of an attempt that has started and has no record yet. */
export function showStarting(
  config: Pick<Config, 'appSecret'>,
  id: string,
  to: 'owner' | 'ticket' = 'owner',
): StartingView {
  const events = to === 'owner' ? { events: eventsLink(config, id) } : {};
  return { id, status: 'awaiting_payment', links: { self: bookingPath(id), ...events } };
}

/**
 * Shows an attempt.
 * @param details whether the items' details are shown, as far as the viewer may see them
 */
export function showBooking(record: BookingRecord, viewer: Viewer, details: boolean): BookingView {
  const failure = failureOf(record);
  const alternatives = alternativesOf(record);
  const items = record.quote.items.filter((item) => seesItem(viewer, item));
  const whole = items.length === record.quote.items.length;
  return {
    id: record.booking_id,
    ...(record.reference === null ? {} : { reference: record.reference }),
    status: record.status,
    version: record.version,
    items: items.map((item) => ({
      offeringId: item.offeringId,
      kind: item.kind,
      title: item.title,
      seats: item.seats,
      ...(item.startsAt === undefined ? {} : { startsAt: item.startsAt }),
      ...(item.endsAt === undefined ? {} : { endsAt: item.endsAt }),
      ...(item.timeZone === undefined ? {} : { timeZone: item.timeZone }),
      ...(details && item.details !== undefined && seesDetails(viewer) ? { details: item.details } : {}),
    })),
    total: { amountMinor: whole ? record.total_minor : totalOf(items), currency: record.currency },
    ...paymentOf(record, viewer),
    retryable: isRetryable(record),
    ...(failure === undefined ? {} : { failure }),
    // One sum goes back for everything, so of a part it would say too much.
    ...(whole ? refundOf(record) : {}),
    ...customerOf(record, viewer),
    links: {
      self: bookingPath(record.booking_id),
      ...(viewer.as === 'owner' && viewer.events !== undefined ? { events: viewer.events } : {}),
      ...(alternatives === undefined ? {} : { alternatives }),
    },
    createdAt: record.started_at.toISOString(),
    ...(record.expires_at === null ? {} : { expiresAt: record.expires_at.toISOString() }),
    ...(record.confirmed_at === null ? {} : { confirmedAt: record.confirmed_at.toISOString() }),
  };
}

function seesItem(viewer: Viewer, item: QuotedItem): boolean {
  return viewer.as !== 'provider' || viewer.offerings.has(item.offeringId);
}

function seesDetails({ as }: Viewer): boolean {
  return as === 'owner' || as === 'provider';
}

function totalOf(items: readonly QuotedItem[]): number {
  return items.reduce((sum, item) => sum + item.priceMinor * item.seats, 0);
}

/** A doctor must know who comes; operators find people by their ids. */
function customerOf({ contact }: BookingRecord, viewer: Viewer): Pick<BookingView, 'customer'> {
  if (viewer.as !== 'provider') return {};
  const { name, email, phone } = contact;
  return { customer: { name, email, ...(phone === undefined ? {} : { phone }) } };
}

function paymentOf(record: BookingRecord, viewer: Viewer): Pick<BookingView, 'payment'> {
  if (record.method === null) return {};
  const payable = record.status === 'awaiting_payment' && record.try_status === 'open';
  const secrets = payable && viewer.as === 'owner' ? record.how_to_pay : null;
  return {
    payment: {
      method: record.method,
      try: record.tries,
      ...(record.gateway_ref === null || viewer.as === 'provider' ? {} : { gatewayRef: record.gateway_ref }),
      ...secrets,
    },
  };
}

/** Whether `POST …/retry` can open another try: something failed, and both time and tries are left. */
function isRetryable(record: BookingRecord): boolean {
  return (
    record.status === 'awaiting_payment' &&
    record.failure !== null &&
    record.in_window &&
    record.tries < record.tries_max
  );
}

function refundOf(record: BookingRecord): Pick<BookingView, 'refund'> {
  const { refund_status: status, refund_amount_minor: amountMinor, refund_reason: reason } = record;
  if (status === null || amountMinor === null || reason === null) return {};
  return { refund: { status: status === 'unsent' ? 'pending' : status, amountMinor, reason } };
}

/** Sentences for people; what a row itself says about its failure comes first. */
const sentences: Partial<Record<FailureType, string>> = {
  'slot-unavailable': 'Somebody else paid for the last seats first.',
  'insufficient-funds': 'The wallet holds less than the total.',
  'cart-converted': 'A booking was made from this cart already.',
  'seats-per-customer': 'You have as many seats there as one customer may have.',
  'offering-closed': 'The offering was closed, or had started, before the payment arrived.',
  'amount-mismatch': 'The amount or currency that was paid is not the one that was quoted.',
  'payment-declined': 'The payment was declined. Try again, or use another card.',
  'payment-canceled': 'The payment was closed before it was completed.',
  'gateway-unavailable': 'The payment gateway could not be reached, so nothing could be paid.',
};

/** A failure as a booking shows it; undefined when nothing has failed. */
export function failureOf(record: Pick<AttemptRow, 'failure'>): Failure | undefined {
  const { failure } = record;
  if (failure === null) return undefined;
  const type = isFailureType(failure.type) ? failure.type : 'internal';
  const reason = failure.code?.replaceAll('_', ' ').toLowerCase();
  const declined = type === 'payment-declined' && reason !== undefined;
  return {
    type,
    detail:
      failure.detail ??
      (declined ? `The payment was declined: ${reason}.` : (sentences[type] ?? `${failures[type].title}.`)),
    ...(failure.code === undefined ? {} : { code: failure.code }),
  };
}

function alternativesOf(record: BookingRecord): string | undefined {
  if (record.failure?.type !== 'slot-unavailable') return undefined;
  return alternativesPath(record.alternatives_provider, record.alternatives_from);
}

/** Free slots of one provider from the beginning of that day (UTC); of anybody, when the provider is unknown. */
export function alternativesPath(providerId: string | null, startsAt: Date | null): string {
  const query = new URLSearchParams({ available: 'true', kind: 'slot' });
  if (providerId !== null) query.set('providerId', providerId);
  if (startsAt !== null) query.set('from', `${startsAt.toISOString().slice(0, 10)}T00:00:00Z`);
  return `/v1/offerings?${query.toString()}`;
}
