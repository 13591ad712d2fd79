/** Starting an attempt: `POST /v1/bookings`. The same key twice is one attempt, whatever happened in between. */
import { createHash, randomBytes } from 'node:crypto';
import { makeId, walletMethod } from '../booking';
import type { CartItemRow, CartRow, OfferingRow } from '../database';
import type { FailureType } from '../failures';
import { failures } from '../failures';
import type { BookInput } from '../workflows/messages';
import { lookAtAttempt, openAttempt, type Outcome } from './attempts';
import type { NewBooking } from './booking-schemas';
import {
  alternativesPath,
  bookingPath,
  failureOf,
  ownerOf,
  readBooking,
  showBooking,
  showStarting,
  type BookingRecord,
} from './booking-view';
import type { ApiDependencies } from './dependencies';
import { hashOf } from './marks';
import { isDatabaseAway } from './outage';
import { invalid, Problem, unavailable } from './problem';
import type { Asked } from './route';
import type { StartLimit } from './start-limit';

type AskedToStart = Asked<undefined, undefined, NewBooking>;

/** Wanted: which attempt this request means, before anything is looked up. */
interface Wanted {
  bookingId: string;
  requestHash: string;
  asked: AskedToStart;
}

/** The record of an attempt, `none`, or `away` when PostgreSQL cannot be asked. */
type Known = BookingRecord | 'none' | 'away';

/** Makes the handler of `POST /v1/bookings`. */
export function makeStart(deps: ApiDependencies, limit: StartLimit): (asked: AskedToStart) => Promise<void> {
  return async (asked) => {
    const wanted = readWanted(asked);
    const known = await lookUp(deps, wanted.bookingId);
    if (isRecord(known)) {
      refuseOtherBody(known, wanted);
      if (isAnswerable(known)) return answerKnown(deps, wanted, known, 200);
    } else {
      await limit.count(wanted.bookingId, asked.request, asked.response);
      refuseUnusable(deps, asked.body);
      await refuseUnusableCart(deps, wanted);
    }
    // The client's own request id may come twice; only the one request that started it may answer 201.
    const startedBy = `${asked.requestId}.${randomBytes(6).toString('hex')}`;
    const outcome = await openAttempt(deps, inputFor(deps, wanted, startedBy));
    await answer(deps, wanted, outcome, startedBy);
  };
}

function readWanted(asked: AskedToStart): Wanted {
  const cause = `${asked.caller.sub}\0${asked.idempotencyKey ?? ''}`;
  return {
    bookingId: makeId('booking', createHash('sha256').update(cause).digest()),
    requestHash: hashOf(asked.body),
    asked,
  };
}

async function lookUp(deps: ApiDependencies, bookingId: string): Promise<Known> {
  try {
    return (await readBooking(deps.reading, bookingId)) ?? 'none';
  } catch (error) {
    // The tables only make a repeat cheap; the workflow's id makes it safe.
    if (isDatabaseAway(error)) return 'away';
    throw error;
  }
}

function isRecord(known: Known): known is BookingRecord {
  return typeof known === 'object';
}

function refuseOtherBody(known: BookingRecord, { requestHash }: Wanted): void {
  if (known.request_hash !== requestHash) throw new Problem('idempotency-key-reused');
}

/** Payable or over: the record says all there is. Otherwise `open` is still at work, and can be waited for. */
function isAnswerable(known: BookingRecord): boolean {
  return known.status !== 'awaiting_payment' || known.gateway_ref !== null;
}

/** @throws Problem `invalid-request` for a method that is not offered, or a return address of a stranger */
function refuseUnusable({ gateways, config }: ApiDependencies, body: NewBooking): void {
  const offered = [...gateways.keys(), walletMethod];
  if (body.payment !== undefined && !offered.includes(body.payment.method)) {
    throw invalid('/payment/method', `Not offered here. Offered: ${offered.join(', ')}.`);
  }
  if (body.returnUrl === undefined) return;
  if (!config.http.webOrigins.includes(new URL(body.returnUrl).origin)) {
    throw invalid('/returnUrl', 'Its origin is not among the web origins of this service.');
  }
}

/**
 * Refuses early what `open` would refuse as well, so that nothing is started for a cart that cannot be booked.
 * @throws Problem `not-found` for what is not theirs, `cart-converted`, or `invalid-request` for an empty one
 */
async function refuseUnusableCart({ db }: ApiDependencies, wanted: Wanted): Promise<void> {
  const { body, caller } = wanted.asked;
  if (body.cartId === undefined) return;
  let cart: (CartRow & { items: number }) | undefined;
  try {
    // Not from a replica, which may not know yet what the customer has just put in.
    cart = await db<CartRow>('carts')
      .where({ id: body.cartId, customer_id: caller.sub })
      .select<(CartRow & { items: number })[]>(
        'carts.*',
        db.raw('(SELECT count(*) FROM cart_items WHERE cart_id = carts.id) AS items'),
      )
      .first();
  } catch (error) {
    // `open` asks again, and waits for PostgreSQL.
    if (isDatabaseAway(error)) return;
    throw error;
  }
  if (cart === undefined) throw new Problem('not-found', `There is no cart ${body.cartId}.`);
  // The same request a moment ago may have been the one that converted it.
  if (cart.booking_id !== null && cart.booking_id !== wanted.bookingId) throw new Problem('cart-converted');
  if (cart.items === 0) throw invalid('/cartId', 'The cart is empty.');
}

function inputFor({ config }: ApiDependencies, wanted: Wanted, startedBy: string): BookInput {
  const { body, caller } = wanted.asked;
  const returnUrl = body.returnUrl ?? config.http.returnUrl;
  const { name, email, phone, locale } = body.customer;
  return {
    bookingId: wanted.bookingId,
    customerId: caller.sub,
    requestHash: wanted.requestHash,
    request: {
      ...(body.items === undefined ? {} : { items: body.items }),
      ...(body.cartId === undefined ? {} : { cartId: body.cartId }),
      ...(body.payment === undefined ? {} : { payment: body.payment }),
      customer: {
        name,
        email,
        ...(phone === undefined ? {} : { phone }),
        ...(locale === undefined ? {} : { locale }),
      },
      ...(returnUrl === undefined ? {} : { returnUrl }),
    },
    requestId: startedBy,
  };
}

async function answer(
  deps: ApiDependencies,
  wanted: Wanted,
  outcome: Outcome,
  startedBy: string,
): Promise<void> {
  if (outcome.kind === 'refused' && !isStartRefusal(outcome.type)) throw new Problem(outcome.type);
  const known = await lookUp(deps, wanted.bookingId);
  if (isRecord(known)) {
    refuseOtherBody(known, wanted);
    if (outcome.kind === 'silent' && !isAnswerable(known)) return answerStarting(deps, wanted);
    // A read replica may lag behind the refusal.
    if (outcome.kind === 'refused' && !failureKept(known)) throw await refusalOf(deps, wanted, outcome.type);
    const fresh = outcome.kind === 'answered' && outcome.answer.startedBy === startedBy;
    return answerKnown(deps, wanted, known, fresh ? 201 : 200);
  }
  switch (outcome.kind) {
    case 'refused':
      throw await refusalOf(deps, wanted, outcome.type);
    case 'answered':
      return answerStarting(deps, wanted);
    case 'over':
      if (known === 'away') return answerStarting(deps, wanted);
      throw new Problem('attempt-over', 'The attempt of this Idempotency-Key has ended. Use a new key.');
    case 'silent':
      if (await hasStarted(deps, wanted)) return answerStarting(deps, wanted);
      throw unavailable('Nothing was started. Please send the same request again in a moment.');
  }
}

/** Failures of the start itself; any other refusal is about this request. */
function isStartRefusal(type: FailureType): boolean {
  return type !== 'idempotency-key-reused' && type !== 'attempt-over';
}

/** Whether a start that got no answer is durable all the same. */
async function hasStarted(deps: ApiDependencies, { bookingId, asked }: Wanted): Promise<boolean> {
  try {
    return (await lookAtAttempt(deps, bookingId, asked.caller.sub)) !== undefined;
  } catch {
    // Temporal is away: whatever was started, the same request again finds it.
    return false;
  }
}

function failureKept(known: BookingRecord): boolean {
  return known.status === 'failed' && known.failure !== null;
}

function answerStarting(deps: ApiDependencies, { bookingId, asked }: Wanted): void {
  asked.response.status(202).location(bookingPath(bookingId)).json(showStarting(deps.config, bookingId));
}

/** @throws the kept refusal of a start that failed */
async function answerKnown(
  deps: ApiDependencies,
  wanted: Wanted,
  known: BookingRecord,
  status: 200 | 201,
): Promise<void> {
  if (failureKept(known)) throw await refusalOf(deps, wanted, known);
  const { asked, bookingId } = wanted;
  asked.response
    .status(status)
    .location(bookingPath(bookingId))
    .json(showBooking(known, ownerOf(deps.config, bookingId), true));
}

/** A refused start as a problem; a repeat of its key is told the same again. */
async function refusalOf(
  deps: ApiDependencies,
  { bookingId, asked }: Wanted,
  cause: BookingRecord | FailureType,
): Promise<Problem> {
  const failure = typeof cause === 'string' ? undefined : failureOf(cause);
  const type = failure?.type ?? (typeof cause === 'string' ? cause : 'internal');
  const alternatives = type === 'slot-unavailable' ? await alternativesTo(deps, asked.body) : undefined;
  return new Problem(type, failure?.detail ?? `${failures[type].title}.`, {
    links: { self: bookingPath(bookingId), ...(alternatives === undefined ? {} : { alternatives }) },
  });
}

/** Where else to look: with the provider of the fullest of the wanted slots, on its day. */
async function alternativesTo({ reading }: ApiDependencies, { items, cartId }: NewBooking): Promise<string> {
  try {
    const fullest = await reading<OfferingRow>('offerings')
      .where({ kind: 'slot' })
      .whereIn(
        'id',
        items?.map((item) => item.offeringId) ??
          reading<CartItemRow>('cart_items')
            .where({ cart_id: cartId ?? '' })
            .select('offering_id'),
      )
      .orderByRaw('seats_free(id, NULL), starts_at')
      .first();
    return alternativesPath(fullest?.provider_id ?? null, fullest?.starts_at ?? null);
  } catch (error) {
    if (isDatabaseAway(error)) return alternativesPath(null, null);
    throw error;
  }
}
