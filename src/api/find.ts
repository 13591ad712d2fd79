/** Finding a booking for whoever asks: theirs to see, or not there at all. */
import type { OfferingRow } from '../database';
import { lookAtAttempt } from './attempts';
import type { Caller } from './auth';
import { ownerOf, readBooking, type BookingRecord, type Viewer } from './booking-view';
import type { ApiDependencies } from './dependencies';
import { isDatabaseAway } from './outage';
import { Problem, unavailable } from './problem';

type ProviderViewer = Extract<Viewer, { as: 'provider' }>;

/** The version of what was found; an attempt without a record has none yet. */
export function versionOf(found: Readable): number {
  return found === 'starting' ? 0 : found.record.version;
}

/** An attempt with its record, or one that has none yet. */
export type Readable = { record: BookingRecord; viewer: Viewer } | 'starting';

/** An attempt that the caller may see; `unreadable` is the caller's own, whose record cannot be read now. */
export type Found = Readable | 'unreadable';

/**
 * What can be shown. Nobody who saw a booking confirmed is told that it waits for its payment, only because PostgreSQL is away.
 * @throws Problem `unavailable` where there may be a record that cannot be read
 */
export function readable(found: Found): Readable {
  if (found === 'unreadable') throw unavailable();
  return found;
}

/**
 * Finds a booking for its reader.
 * @throws Problem `not-found` for what is not theirs; `unavailable` when it cannot be known
 */
export async function findBooking(deps: ApiDependencies, caller: Caller, id: string): Promise<Found> {
  let outage: Problem | undefined;
  try {
    const record = await readBooking(deps.reading, id);
    if (record !== undefined) {
      const viewer = await viewerOf(deps, caller, record);
      if (viewer === undefined) throw new Problem('not-found');
      return { record, viewer };
    }
  } catch (error) {
    if (!isDatabaseAway(error)) throw error;
    outage = unavailable();
  }
  const own = caller.scopes.has('bookings') ? await lookAtAttempt(deps, id, caller.sub) : undefined;
  if (own === undefined) throw outage ?? new Problem('not-found');
  return outage === undefined || own.opening ? 'starting' : 'unreadable';
}

/** Finds a booking for whoever has a ticket for it, which only its owner is given. */
export async function findByTicket({ reading }: ApiDependencies, id: string): Promise<Readable> {
  const record = await readBooking(reading, id);
  return record === undefined ? 'starting' : { record, viewer: { as: 'ticket' } };
}

async function viewerOf(
  deps: ApiDependencies,
  caller: Caller,
  record: BookingRecord,
): Promise<Viewer | undefined> {
  if (caller.scopes.has('bookings') && record.customer_id === caller.sub)
    return ownerOf(deps.config, record.booking_id);
  if (caller.scopes.has('ops')) return { as: 'operator' };
  // Nobody hears of a request that nobody paid for.
  if (!caller.scopes.has('catalog') || record.reference === null) return undefined;
  const viewer = await providerOf(deps, caller, [record]);
  return viewer.offerings.size === 0 ? undefined : viewer;
}

/** The caller as the provider of what these attempts bought: `offerings` are those of them that are theirs. */
export async function providerOf(
  { reading }: ApiDependencies,
  { sub }: Caller,
  records: readonly BookingRecord[],
): Promise<ProviderViewer> {
  const bought = records.flatMap(({ quote }) => quote.items.map((item) => item.offeringId));
  const own = await reading<OfferingRow>('offerings')
    .whereIn('id', bought)
    .where({ provider_id: sub })
    .select('id');
  return { as: 'provider', offerings: new Set(own.map((row) => row.id)) };
}
