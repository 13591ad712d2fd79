/**
 * The vocabulary of Payfirst: ids, states and their legal transitions, money. Pure; imports nothing, so workflows,
 * activities, gateways and the API can all speak it.
 *
 * Terminology (one word, one thing): an *offering* can be booked; a *slot* is an offering with a time and a capacity; a
 * *seat* is one unit of that capacity and a row. An *attempt* is one customer's go at booking: one workflow and one
 * `attempts` row. The *quote* is its frozen price. A *try* is one payment object at a gateway. A *booking* exists only
 * once the money is there. A *payment* is money a gateway says it captured; a *refund* is such money on its way back. A
 * *case* is what only a person can decide. A *cart* is items booked together or not at all. A *hold* is a claim on seats
 * that ends by the clock. A *wallet* is a customer's balance with us; its *entries* sum to zero. The *doorbell* is the signal that says "look at the gateway now".
 */

/** Status of an attempt as clients see it. */
export const attemptStatuses = [
  'awaiting_payment',
  'processing',
  'confirmed',
  'refunding',
  'refunded',
  'needs_attention',
  'expired',
  'canceled',
  'failed',
] as const;
export type AttemptStatus = (typeof attemptStatuses)[number];

/**
 * Every arrow an attempt's status may take. The database holds the same table (migration 1, `attempt_may_become`), so
 * code that tries another arrow fails there; a test compares the two.
 */
export const legalTransitions: Readonly<Record<AttemptStatus, readonly AttemptStatus[]>> = {
  awaiting_payment: ['processing', 'confirmed', 'refunding', 'expired', 'canceled', 'failed'],
  processing: ['confirmed', 'refunding', 'awaiting_payment', 'expired'],
  refunding: ['refunded', 'needs_attention'],
  confirmed: ['refunding', 'needs_attention'],
  refunded: ['needs_attention'],
  needs_attention: ['refunding', 'refunded', 'confirmed'],
  expired: [],
  canceled: [],
  failed: [],
};

/** Whether the attempt still waits for money: nothing has been decided and its workflow listens. */
export function isOpen(status: AttemptStatus): boolean {
  return status === 'awaiting_payment' || status === 'processing';
}

/**
 * What a retry means that was wished while the attempt was open, once something is decided: granted where it is paid, maybe
 * by this very wish, of which Temporal forgets a first run when a signal comes as the workflow ends; else the attempt is over.
 */
export function retryVerdict(status: AttemptStatus): 'granted' | 'attempt-over' {
  return status === 'expired' || status === 'canceled' || status === 'failed' ? 'attempt-over' : 'granted';
}

/**
 * What canceling means once something is decided: granted where it is so already, or on its way; by the offering's policy
 * where the booking stands; refused where a person must decide; else the attempt is over.
 */
export function cancelVerdict(
  status: AttemptStatus,
): 'granted' | 'by-policy' | 'not-cancelable' | 'attempt-over' {
  switch (status) {
    case 'canceled':
    case 'refunding':
    case 'refunded':
      return 'granted';
    case 'confirmed':
      return 'by-policy';
    case 'needs_attention':
      return 'not-cancelable';
    default:
      return 'attempt-over';
  }
}

/** How an attempt ended: the result of its workflow. */
export type Outcome = 'confirmed' | 'refunded' | 'expired' | 'canceled' | 'failed';

/** Why settling refuses money: the attempt ends by giving it back. */
export const settlingRefusals = [
  'slot-unavailable',
  'offering-closed',
  'amount-mismatch',
  'cart-converted',
  'seats-per-customer',
] as const;

/** Who called a confirmed booking off: its refund is how it ends. */
export const cancellations = ['canceled-by-customer', 'canceled-by-provider'] as const;

/** Why a refund exists: settling refused the money, or it came outside an open attempt; `external` is what went back by other hands. */
export type RefundReason =
  | (typeof settlingRefusals)[number]
  | (typeof cancellations)[number]
  | 'late-payment'
  | 'second-payment'
  | 'external';

/** State of a refund row. `unsent`: owed, the gateway has not acknowledged it yet. */
export type RefundStatus = 'unsent' | 'pending' | 'succeeded' | 'failed';

/** What a person can be asked to decide. */
export type CaseKind =
  | 'refund-failed'
  | 'refund-overdue'
  | 'unmatched-payment'
  | 'message-failed'
  | 'external-refund'
  | 'dispute'
  | 'difference';

/** What an operator can answer. */
export type CaseAction = 'retry-refund' | 'mark-settled' | 'resend';

/** Which answers fit which case. An operator may type any word into a signal, so others must change nothing. */
export const actionsFor: Readonly<Record<CaseKind, readonly CaseAction[]>> = {
  'refund-failed': ['retry-refund', 'mark-settled'],
  'refund-overdue': ['retry-refund', 'mark-settled'],
  'unmatched-payment': ['mark-settled'],
  'message-failed': ['resend', 'mark-settled'],
  'external-refund': ['mark-settled'],
  dispute: ['mark-settled'],
  difference: ['mark-settled'],
};

/** Messages to people; one each per booking, kind and recipient. */
export type MessageKind =
  | 'booking-confirmed'
  | 'payment-refunded'
  | 'refund-failed'
  | 'provider-booked'
  | 'booking-canceled'
  | 'provider-canceled';

/**
 * What an API client's own backend can be told of by webhook, each once per booking or case. Migration 8 queues them and
 * holds the same list; a test compares the two.
 */
export const webhookEvents = [
  'booking.confirmed',
  'booking.refunded',
  'booking.expired',
  'booking.canceled',
  'case.opened',
] as const;
export type WebhookEvent = (typeof webhookEvents)[number];

/** What can be booked: a slot has a time and a capacity, a consultation has neither. */
export type OfferingKind = 'slot' | 'consultation';

/** The method of payment that needs no gateway: a balance with us. */
export const walletMethod = 'wallet';

/** Money in the smallest unit of its currency: 1999 USD is 19.99 dollars, 500 JPY is 500 yen. */
export interface Money {
  amountMinor: number;
  /** ISO 4217, upper case. */
  currency: string;
}

/**
 * The largest price, total and movement of a wallet, in any currency: eight digits. Stripe takes no more in one payment
 * (docs.stripe.com/api/payment_intents/create, `amount`, read 2026-11), and an amount fits its column, whichever way it is paid.
 */
export const largestAmountMinor = 99_999_999;

/** One line of a quote: what was asked for at which price, frozen when the attempt opened. */
export interface QuotedItem {
  offeringId: string;
  kind: OfferingKind;
  title: string;
  /** 1 for a consultation. */
  seats: number;
  /** Price of one seat, or of the consultation, in the smallest unit of the quote's currency. */
  priceMinor: number;
  /** Missing for a consultation, as the next two are. */
  startsAt?: string;
  endsAt?: string;
  timeZone?: string;
  details?: unknown;
}

/** Whom to write to. Private: never in ids, logs, search attributes or failure messages. */
export interface Contact {
  name: string;
  email: string;
  phone?: string;
  locale?: string;
}

/** One thing a customer wants. */
export interface WantedItem {
  offeringId: string;
  seats: number;
  details?: unknown;
}

/** What the client asked for in `POST /v1/bookings`, after validation; the durable input of an attempt. */
export interface BookingRequest {
  /** Either these or a cart, whose items are read when the attempt opens. */
  items?: WantedItem[];
  cartId?: string;
  /** May be missing for what is free. */
  payment?: { method: string };
  customer: Contact;
  returnUrl?: string;
}

const idPrefixes = {
  offering: 'off_',
  booking: 'bkg_',
  payment: 'pay_',
  refund: 'ref_',
  case: 'cas_',
  cart: 'crt_',
  entry: 'wen_',
  webhookEndpoint: 'whe_',
  webhookDelivery: 'whd_',
} as const;
export type IdKind = keyof typeof idPrefixes;

/** Crockford's base 32: no I, L, O or U, so a reference can be read out over the phone. Source: crockford.com/base32.html */
const crockfordAlphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * Encodes bytes, five bits a character, in Crockford's base 32 (upper case).
 * @param length number of characters wanted; needs `length * 5 / 8` bytes
 */
function crockford(bytes: Uint8Array, length: number): string {
  let text = '';
  let bits = 0;
  let buffer = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5 && text.length < length) {
      bits -= 5;
      text += crockfordAlphabet[(buffer >> bits) & 31] ?? '';
    }
    buffer &= (1 << bits) - 1;
  }
  if (text.length < length)
    throw new Error(`Bug: ${length} characters need ${Math.ceil((length * 5) / 8)} bytes`);
  return text;
}

/** Characters of an opaque id after its prefix: 24 × 5 = 120 bits, so ids derived by hash never meet. */
const idLength = 24;

/**
 * Makes an opaque, prefixed id such as `bkg_5x…` from at least 15 bytes: random ones, or a hash where the same cause
 * must give the same id (an attempt from customer and `Idempotency-Key`, a refund from its payment).
 */
export function makeId(kind: IdKind, bytes: Uint8Array): string {
  return idPrefixes[kind] + crockford(bytes, idLength).toLowerCase();
}

/** Whether a text has the form of an id of that kind; says nothing about whether the thing exists. */
export function isId(kind: IdKind, text: string): boolean {
  return (
    text.startsWith(idPrefixes[kind]) && /^[0-9a-hjkmnp-tv-z]{24}$/.test(text.slice(idPrefixes[kind].length))
  );
}

/**
 * Makes a booking's reference, `BK-` and ten characters, from at least 7 bytes. Derived from the attempt's id, so that
 * settling twice gives the same reference (50 bits: one clash expected among some 40 million bookings; the column is
 * unique, and `salt` gives the next one).
 */
export function makeReference(bytes: Uint8Array): string {
  return `BK-${crockford(bytes, 10)}`;
}
