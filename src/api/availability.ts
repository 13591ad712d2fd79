/** What can be booked of an offering at this moment, for those who watch it. */
import type { Knex } from 'knex';
import { microsOf } from './pages';
import { readWithinMs, type ReadStates } from './waiting';

/** An offering's availability when it was read. */
export interface Availability {
  /** Null when unlimited; 0 when nothing can be booked, because it is closed, called off or has started. */
  seatsAvailable: number | null;
  /** Microseconds since 1970 by PostgreSQL's clock: which of two readings is the newer one. */
  readMicros: number;
  /** Ms until the clock alone changes it: the next end of a hold, or the start. Null: it will not. */
  changesInMs: number | null;
}

/** Reads availability by the given role. */
export function availabilityIn(db: Knex): ReadStates<Availability> {
  return async (ids) => {
    const result = await db
      .raw<{
        rows: {
          id: string;
          seats_available: number | null;
          read_micros: number;
          changes_in_ms: number | null;
        }[];
      }>(
        `SELECT o.id, ${microsOf('now()')} AS read_micros,
           CASE WHEN o.status <> 'open' OR o.starts_at <= now() THEN 0
             WHEN o.kind = 'slot' THEN seats_free(o.id, NULL) END AS seats_available,
           ceil(extract(epoch FROM least(CASE WHEN o.starts_at > now() THEN o.starts_at END,
             (SELECT min(s.held_until) FROM seats AS s
               WHERE s.offering_id = o.id AND s.booking_id IS NULL AND s.held_until > now())) - now()) * 1000)::bigint
             AS changes_in_ms
         FROM offerings AS o WHERE o.id = ANY (?)`,
        [[...ids]],
      )
      .timeout(readWithinMs);
    return new Map(
      result.rows.map((row) => [
        row.id,
        {
          seatsAvailable: row.seats_available,
          readMicros: row.read_micros,
          changesInMs: row.changes_in_ms,
        },
      ]),
    );
  };
}
