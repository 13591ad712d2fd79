/** What doorbells carried, written down by whoever acts on it. */
import type { Knex } from 'knex';
import type { Ring } from '../workflows/messages';

/** Writes down which events were heard; the same event twice is one row. */
export async function recordHeard(db: Knex, bookingId: string | null, heard: readonly Ring[]): Promise<void> {
  const events = heard
    .filter((ring) => ring.eventId !== undefined)
    .map((ring) => ({ ...ring, bookingId, heardAt: ring.at }));
  if (events.length > 0) await db.raw('SELECT hear_events(?::jsonb)', [JSON.stringify(events)]);
}
