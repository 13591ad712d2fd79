/** Live: bookings and availability told as they change, by server-sent events. */
import { setMaxListeners } from 'node:events';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { AttemptRow } from '../database';
import { describeError } from '../telemetry';
import { callerWith } from './auth';
import { availabilityIn, type Availability } from './availability';
import { bookingId, ticketQuery } from './booking-schemas';
import { showBooking, showStarting } from './booking-view';
import type { ApiDependencies } from './dependencies';
import { findBooking, findByTicket, readable, versionOf, type Readable } from './find';
import { offeringId } from './offering-schemas';
import { Problem } from './problem';
import { addressOf } from './rates';
import { defineRoute, type Asked, type Route } from './route';
import { longestLifeMs, openStreams, type Stream, type Streams } from './streams';
import { checkTicket } from './tickets';
import { openRoom, readWithinMs, type Room } from './waiting';

/** Where clients of this process wait, and the streams they read. */
export interface Live {
  /** By booking, its version. */
  bookings: Room<number>;
  offerings: Room<Availability>;
  streams: Streams;
}

/** Opens what waits and streams in one process, and lets it hear the notices. */
export function openLive({ reading, config, log, metrics, stopping, listener }: ApiDependencies): Live {
  const bookings = openRoom({
    log,
    read: async (ids) => {
      const rows = await reading<AttemptRow>('attempts')
        .whereRaw('booking_id = ANY(?)', [[...ids]])
        .select('booking_id', 'version')
        .timeout(readWithinMs);
      return new Map(rows.map((row) => [row.booking_id, row.version]));
    },
  });
  const offerings = openRoom({
    log,
    read: availabilityIn(reading),
    changesInMs: (state) => state.changesInMs,
  });
  // Everybody who waits listens to it: thousands are no leak.
  if (stopping !== undefined) setMaxListeners(0, stopping);
  listener?.listen({
    hear: (notice) => {
      if (notice.kind === 'booking') bookings.tell(notice.id, notice.version);
      else offerings.look(notice.id);
    },
    lookAgain: () => {
      bookings.lookAgain();
      offerings.lookAgain();
    },
    isNeeded: () => bookings.size + offerings.size > 0,
  });
  return { bookings, offerings, streams: openStreams({ max: config.streamsMax, log, metrics, stopping }) };
}

const eventStream = (description: string) => ({
  description,
  contentType: 'text/event-stream',
  schema: z.string(),
});

const howItRuns =
  'The newest state comes first, also after a reconnect; those between may be skipped. A stream lives an hour at most.';

/** The routes of live events. */
export function liveRoutes(deps: ApiDependencies, live: Live): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/bookings/{id}/events',
      tag: 'Bookings',
      summary: 'Follow a booking by server-sent events',
      description:
        'Events `status`: data is the Booking, the id its version. `links.events` carries a ticket for a browser’s ' +
        `EventSource, which sends no header; by a ticket neither secrets nor details are shown. ${howItRuns}`,
      scopes: ['bookings', 'catalog', 'ops'],
      ticket: true,
      params: z.strictObject({ id: bookingId }),
      query: ticketQuery,
      answers: { 200: eventStream('A stream of `status` events') },
      problems: ['invalid-request', 'not-found', 'unavailable'],
      handle: (asked) => followBooking(deps, live, asked),
    }),
    defineRoute({
      method: 'get',
      path: '/v1/offerings/{id}/events',
      tag: 'Offerings',
      summary: 'Follow an offering’s availability by server-sent events',
      description:
        'Events `availability`: data is `{seatsAvailable}`, null when unlimited, 0 as soon as nothing can be booked ' +
        `(closed, called off, started); ids rise. ${howItRuns}`,
      scopes: [],
      params: z.strictObject({ id: offeringId }),
      answers: { 200: eventStream('A stream of `availability` events') },
      problems: ['not-found', 'unavailable'],
      handle: (asked) => followOffering(deps, live, asked),
    }),
  ];
}

type AskedToFollow = Asked<{ id: string }, z.output<typeof ticketQuery>, undefined>;

async function followBooking(deps: ApiDependencies, live: Live, asked: AskedToFollow): Promise<void> {
  const { id } = asked.params;
  const { find, who, lifeMs } = followerOf(deps, asked);
  let sent = -1;
  let stream: Stream | undefined;
  const show = (found: Readable): void => {
    const version = versionOf(found);
    if (version <= sent) return;
    sent = version;
    stream?.send({ event: 'status', id: version, data: shown(deps, id, found, asked.query.ticket) });
  };
  const refresh = oneAtATime(async () => {
    try {
      show(await find());
    } catch (error) {
      // What one may not see any more is not streamed on; anything else passes, and the slow look comes again.
      if (error instanceof Problem && error.type === 'not-found') stream?.end();
      else deps.log.warn({ event: 'stream.blind', bookingId: id, error: describeError(error) });
    }
  });
  // Entered before the first look, so that nothing changes unseen between the two.
  const leave = live.bookings.enter(id, (version) => {
    if (stream !== undefined && version > sent) refresh();
  });
  try {
    const found = await find();
    stream = live.streams.open(asked.response, who, lifeMs);
    stream.whenEnded(leave);
    show(found);
    live.bookings.look(id);
  } catch (error) {
    leave();
    throw error;
  }
}

/** Who follows: by a ticket as its owner, without what a ticket must not show; else as the token says, while it is valid. */
function followerOf(deps: ApiDependencies, asked: AskedToFollow) {
  const { ticket } = asked.query;
  const { id } = asked.params;
  if (ticket !== undefined) {
    checkTicket(deps.config, id, ticket);
    return { find: () => findByTicket(deps, id), who: addressOf(asked.request), lifeMs: longestLifeMs };
  }
  const caller = callerWith(asked.response, ['bookings', 'catalog', 'ops']);
  const lifeMs = caller.expiresAt === undefined ? longestLifeMs : caller.expiresAt * 1000 - Date.now();
  return {
    find: async () => readable(await findBooking(deps, caller, id)),
    who: `sub ${caller.sub}`,
    lifeMs,
  };
}

function shown(deps: ApiDependencies, id: string, found: Readable, ticket: string | undefined) {
  if (found !== 'starting') return showBooking(found.record, found.viewer, true);
  return showStarting(deps.config, id, ticket === undefined ? 'owner' : 'ticket');
}

/** Runs one at a time; asked for meanwhile, once more afterwards. */
function oneAtATime(run: () => Promise<void>): () => void {
  let running = false;
  let again = false;
  const start = async (): Promise<void> => {
    running = true;
    do {
      again = false;
      await run();
    } while (again);
    running = false;
  };
  return () => {
    if (running) again = true;
    else void start();
  };
}

interface AskedForAvailability {
  params: { id: string };
  request: Request;
  response: Response;
}

async function followOffering(
  deps: ApiDependencies,
  live: Live,
  { params: { id }, request, response }: AskedForAvailability,
): Promise<void> {
  let last: Availability | undefined;
  let stream: Stream | undefined;
  const show = (state: Availability): void => {
    // Two readings may overtake each other on their way here.
    if (last !== undefined && state.readMicros <= last.readMicros) return;
    const changed = state.seatsAvailable !== last?.seatsAvailable;
    last = state;
    const { seatsAvailable, readMicros } = state;
    if (changed) stream?.send({ event: 'availability', id: readMicros, data: { seatsAvailable } });
  };
  const leave = live.offerings.enter(id, (state) => {
    if (stream !== undefined) show(state);
  });
  try {
    const state = (await availabilityIn(deps.reading)([id])).get(id);
    if (state === undefined) throw new Problem('not-found');
    stream = live.streams.open(response, addressOf(request));
    stream.whenEnded(leave);
    show(state);
    // Its clock is set by what the room reads itself.
    live.offerings.tell(id, state);
    live.offerings.look(id);
  } catch (error) {
    leave();
    throw error;
  }
}
