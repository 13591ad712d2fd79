/** Bookings: the routes, reading one, listing them. */
import { z } from 'zod';
import type { Caller } from './auth';
import {
  bookingId,
  bookingQuery,
  bookingView,
  cancelBody,
  newBooking,
  retryBody,
  returnBody,
  startingView,
  waitQuery,
  type BookingQuery,
} from './booking-schemas';
import { readBookings, showBooking, showStarting, type BookingRecord, type Viewer } from './booking-view';
import type { ApiDependencies } from './dependencies';
import { findBooking, readable, versionOf } from './find';
import type { Live } from './live';
import { cutPage, instantOfMicros, pageOf, readCursor } from './pages';
import { Problem } from './problem';
import type { Rates } from './rates';
import { defineRoute, type Asked, type Route } from './route';
import { makeStart } from './start';
import { makeStartLimit } from './start-limit';
import { untilNewer } from './waiting';
import { makeWishes } from './wishes';

const idOnly = z.strictObject({ id: bookingId });
const tag = 'Bookings';
const starting = {
  description: 'Started, but the record is not there yet: follow the status',
  schema: startingView,
};
const current = { description: 'The booking as it is now', schema: bookingView };

/** The routes of bookings. */
export function bookingRoutes(deps: ApiDependencies, rates: Rates, live: Live): Route[] {
  const start = makeStart(deps, makeStartLimit(rates.starts));
  const wishes = makeWishes(deps);
  return [
    defineRoute({
      method: 'post',
      path: '/v1/bookings',
      tag,
      summary: 'Start an attempt to book',
      description:
        'No seat is taken before the money is there. The answer carries what the browser needs to pay. Sent again ' +
        'with the same Idempotency-Key and body, it answers the same attempt as it is then; a refusal is kept too.',
      scopes: ['bookings'],
      idempotencyKey: 'required',
      body: newBooking,
      answers: {
        201: { description: 'Started; pay now', schema: bookingView, headers: { Location: 'The booking' } },
        200: { ...current, description: 'Started before under this key: the booking as it is now' },
        202: { ...starting, headers: { Location: 'The booking' } },
      },
      problems: [
        'invalid-request',
        'idempotency-key-missing',
        'insufficient-funds',
        'not-found',
        'slot-unavailable',
        'offering-closed',
        'cart-converted',
        'seats-per-customer',
        'attempt-over',
        'payload-too-large',
        'idempotency-key-reused',
        'gateway-unavailable',
        'unavailable',
      ],
      handle: start,
    }),
    defineRoute({
      method: 'get',
      path: '/v1/bookings',
      tag,
      summary: 'List bookings, newest first',
      description: 'A customer’s own. With the scope ops, anyone’s.',
      scopes: ['bookings', 'ops'],
      query: bookingQuery,
      answers: { 200: { description: 'A page of bookings, without details', schema: pageOf(bookingView) } },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, caller, response }) => {
        response.json(await list(deps, caller, query));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/bookings/{id}',
      tag,
      summary: 'Read a booking, or wait for it to change',
      description:
        'For its owner; for operators; and, once paid, for the provider of one of its offerings, who sees the own ' +
        'items and who comes. With `wait` the answer comes as soon as the version exceeds `after`.',
      scopes: ['bookings', 'catalog', 'ops'],
      params: idOnly,
      query: waitQuery,
      answers: {
        200: { ...current, schema: z.union([bookingView, startingView]) },
        304: { description: 'Nothing changed during the wait' },
      },
      problems: ['invalid-request', 'not-found', 'unavailable'],
      handle: (asked) => read(deps, live, asked),
    }),
    defineRoute({
      method: 'post',
      path: '/v1/bookings/{id}/retry',
      tag,
      summary: 'Try to pay again after a failure',
      description:
        'While nothing has failed it answers the current booking and opens nothing, unless another way to pay is named: ' +
        'then the old payment is closed first, where its gateway can do that.',
      scopes: ['bookings'],
      params: idOnly,
      body: retryBody,
      limits: [rates.retries],
      answers: { 200: current, 202: starting },
      problems: [
        'invalid-request',
        'not-found',
        'slot-unavailable',
        'offering-closed',
        'cart-converted',
        'seats-per-customer',
        'insufficient-funds',
        'not-retryable',
        'retry-limit',
        'attempt-over',
        'payload-too-large',
        'gateway-unavailable',
        'unavailable',
      ],
      handle: wishes.retry,
    }),
    defineRoute({
      method: 'post',
      path: '/v1/bookings/{id}/return',
      tag,
      summary: 'Tell that the customer is back from the payment page',
      description: 'Only a doorbell: what became of the money is read at the gateway.',
      scopes: ['bookings'],
      params: idOnly,
      body: returnBody,
      limits: [rates.returns],
      answers: { 202: { ...current, schema: z.union([bookingView, startingView]) } },
      problems: ['invalid-request', 'not-found', 'payload-too-large', 'unavailable'],
      handle: wishes.comeBack,
    }),
    defineRoute({
      method: 'post',
      path: '/v1/bookings/{id}/cancel',
      tag,
      summary: 'Cancel an attempt, or the booking it became',
      description:
        'Before it is paid: the payment is closed at the gateway; if it turns out paid, the answer is what became of ' +
        'it. Once confirmed: by the offering’s policy the seats are freed and the money goes back.',
      scopes: ['bookings'],
      params: idOnly,
      body: cancelBody,
      limits: [rates.cancels],
      answers: { 200: current, 202: starting },
      problems: [
        'invalid-request',
        'not-found',
        'not-cancelable',
        'attempt-over',
        'payload-too-large',
        'unavailable',
      ],
      handle: wishes.cancel,
    }),
  ];
}

type AskedToRead = Asked<{ id: string }, z.output<typeof waitQuery>, undefined>;

async function read(deps: ApiDependencies, { bookings }: Live, asked: AskedToRead): Promise<void> {
  const { params, query, caller, response } = asked;
  let found = readable(await findBooking(deps, caller, params.id));
  const { wait, after } = query;
  if (wait !== undefined && after !== undefined && versionOf(found) <= after) {
    const hangUp = new AbortController();
    response.once('close', () => hangUp.abort());
    if (response.destroyed) hangUp.abort();
    const patience = { ms: wait * 1000, hungUp: hangUp.signal, stopping: deps.stopping };
    if (!(await untilNewer(bookings, params.id, after, patience))) {
      response.status(304).end();
      return;
    }
    found = readable(await findBooking(deps, caller, params.id));
  }
  if (found === 'starting') response.json(showStarting(deps.config, params.id));
  else response.json(showBooking(found.record, found.viewer, true));
}

async function list(deps: ApiDependencies, caller: Caller, query: BookingQuery) {
  const operator = caller.scopes.has('ops');
  if (!operator && query.customerId !== undefined && query.customerId !== caller.sub) {
    throw new Problem('forbidden', 'Only operators may ask for another customer.');
  }
  const customerId = operator ? query.customerId : caller.sub;
  const after = readCursor(query.cursor);
  const where: [string, ...(string | number)[]][] = [];
  if (customerId !== undefined) where.push(['a.customer_id = ?', customerId]);
  if (query.status === 'open') where.push([`a.status IN ('awaiting_payment', 'processing')`]);
  if (query.status === 'confirmed') where.push([`a.status = 'confirmed'`]);
  if (query.reference !== undefined) where.push(['b.reference = ?', query.reference.toUpperCase()]);
  if (after !== undefined) {
    const { micros, id } = after;
    where.push([`a.started_at <= ${instantOfMicros}`, micros]);
    where.push([`(a.started_at < ${instantOfMicros} OR a.booking_id > ?)`, micros, id]);
  }
  const condition = where.map(([sql]) => sql).join(' AND ') || 'true';
  const rows = await readBookings(
    deps.reading,
    `${condition} ORDER BY a.started_at DESC, a.booking_id LIMIT ?`,
    [...where.flatMap(([, ...bindings]) => bindings), query.limit + 1],
  );
  return cutPage(
    rows,
    query.limit,
    (row) => ({ micros: row.started_micros, id: row.booking_id }),
    (row) => showBooking(row, viewerInList(caller, row), false),
  );
}

function viewerInList(caller: Caller, row: BookingRecord): Viewer {
  const own = caller.scopes.has('bookings') && row.customer_id === caller.sub;
  return { as: own ? 'owner' : 'operator' };
}
