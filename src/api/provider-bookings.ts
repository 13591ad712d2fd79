/** Bookings as their providers list them: what was paid, and nothing of what was not. */
import { z } from 'zod';
import type { OfferingRow } from '../database';
import type { Caller } from './auth';
import { bookingView } from './booking-schemas';
import { readBookings, showBooking, type BookingRecord } from './booking-view';
import type { ApiDependencies } from './dependencies';
import { providerOf } from './find';
import { offeringId } from './offering-schemas';
import { cutPage, instantOfMicros, pageOf, pageQuery, readCursor, type PageMark } from './pages';
import { Problem } from './problem';
import { defineRoute, type Route } from './route';

const query = z.strictObject(pageQuery);
const tag = 'Providers';
const page = { description: 'A page of bookings, without details', schema: pageOf(bookingView) };
const description =
  'Only what has been paid. Of each booking the items of your own offerings, their sum, and who comes; ' +
  'also where you are the customer yourself.';

/** The lists of bookings that providers read. */
export function providerBookingRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/provider/bookings',
      tag,
      summary: 'List the bookings of your offerings, newest first',
      description,
      scopes: ['catalog'],
      query,
      answers: { 200: page },
      problems: ['invalid-request', 'unavailable'],
      handle: async (asked) => {
        asked.response.json(await list(deps, asked.caller, asked.query, undefined));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/offerings/{id}/bookings',
      tag,
      summary: 'List the bookings of one of your offerings, newest first',
      description,
      scopes: ['catalog'],
      params: z.strictObject({ id: offeringId }),
      query,
      answers: { 200: page },
      problems: ['invalid-request', 'not-found', 'unavailable'],
      handle: async (asked) => {
        const { id } = asked.params;
        const own = { id, provider_id: asked.caller.sub };
        const offering = await deps.reading<OfferingRow>('offerings').where(own).first('id');
        if (offering === undefined) throw new Problem('not-found');
        asked.response.json(await list(deps, asked.caller, asked.query, id));
      },
    }),
  ];
}

/** @param offering only those that bought this one, which is the caller's; undefined for all of theirs */
async function list(
  deps: ApiDependencies,
  caller: Caller,
  { limit, cursor }: z.output<typeof query>,
  offering: string | undefined,
) {
  const after = readCursor(cursor);
  const sold =
    offering === undefined
      ? 'JOIN offerings AS own ON own.id = item.offering_id WHERE own.provider_id = ?'
      : 'WHERE item.offering_id = ?';
  const from =
    after === undefined
      ? ''
      : `AND sold.confirmed_at <= ${instantOfMicros} AND (sold.confirmed_at < ${instantOfMicros} OR sold.id > ?)`;
  // The page is cut before attempts are joined with all that their view needs.
  const rows = await readBookings(
    deps.reading,
    `a.booking_id IN (
       SELECT sold.id FROM bookings AS sold
       WHERE sold.id IN (SELECT item.booking_id FROM booking_items AS item ${sold}) ${from}
       ORDER BY sold.confirmed_at DESC, sold.id LIMIT ?)
     ORDER BY b.confirmed_at DESC, b.id`,
    [
      offering ?? caller.sub,
      ...(after === undefined ? [] : [after.micros, after.micros, after.id]),
      limit + 1,
    ],
  );
  const viewer = await providerOf(deps, caller, rows);
  return cutPage(rows, limit, markOf, (row) => showBooking(row, viewer, false));
}

function markOf({ booking_id: id, confirmed_micros: micros }: BookingRecord): PageMark {
  if (micros === null) throw new Error(`Bug: ${id} is listed as paid and is not`);
  return { micros, id };
}
