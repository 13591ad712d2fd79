/**
 * Tickets: leave to follow one booking, for a browser's EventSource, which sends no header. A ticket stands in an address,
 * and addresses end up in the logs of proxies: so it is good for one booking, to connect within minutes, and what it shows
 * can neither pay nor tell what somebody wrote.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Config } from '../config';
import { unauthenticated } from './auth';
import { ticketMark } from './marks';

/** How long a ticket lets one connect at least, in s, and twice that at most: a page may be read before it follows. */
const goodForSeconds = 600;

/** Where a booking's events are, with a ticket for whoever may see it as its owner. */
export function eventsLink({ appSecret }: Pick<Config, 'appSecret'>, bookingId: string): string {
  // The same for some minutes, so that who reads a booking twice is told the same twice.
  const now = Math.floor(Date.now() / 1000);
  const until = (Math.floor(now / goodForSeconds) + 2) * goodForSeconds;
  return `/v1/bookings/${bookingId}/events?ticket=${until}.${ticketMark(appSecret, bookingId, until)}`;
}

/** @throws Problem `unauthenticated` for a ticket that is another booking's, too old, or none of ours */
export function checkTicket(
  { appSecret }: Pick<Config, 'appSecret'>,
  bookingId: string,
  ticket: string,
): void {
  const [, until = '', mark = ''] = /^(\d{10})\.([\w-]{43})$/.exec(ticket) ?? [];
  const expected = ticketMark(appSecret, bookingId, Number(until));
  const genuine =
    mark.length === expected.length && timingSafeEqual(Buffer.from(mark), Buffer.from(expected));
  if (!genuine) throw unauthenticated('The ticket is not for this booking.', true);
  if (Number(until) * 1000 > Date.now()) return;
  throw unauthenticated('The ticket has expired: read the booking for a new one.', true);
}
