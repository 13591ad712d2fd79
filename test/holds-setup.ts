/** Holds as the tables know them, and a clock that tests can move: nobody waits for minutes to pass. */
import type { World } from './world';

/** Seconds after the window for settling what was paid in its last moment. */
export const settlingSeconds = 60;

/** What an attempt holds, measured by PostgreSQL, which knows its instants to the microsecond. */
export interface Hold {
  /** Seconds from the attempt's start to the end of its window, and from when it could be paid. Its hold began in between. */
  fromStart: number;
  fromOpened: number;
  /** From the end of the window to the end of the hold. */
  settlingSeconds: number | null;
  /** Seats held by this attempt, whether their hold still lives or not, by offering. */
  seats: Record<string, number>;
  /** Whether each of those seats is held to the attempt's own end. */
  whole: boolean;
  /** End of the hold and of the window, as text that compares exactly. */
  until: string | null;
  expiresAt: string | null;
}

/** Reads what an attempt holds. */
export async function holdOf(world: World, bookingId: string): Promise<Hold> {
  const result = await world.db.raw<{ rows: Hold[] }>(
    `SELECT extract(epoch FROM a.expires_at - a.started_at)::float8 AS "fromStart",
       extract(epoch FROM a.expires_at - (SELECT max(opened_at) FROM payment_tries AS t
         WHERE t.booking_id = a.booking_id))::float8 AS "fromOpened",
       extract(epoch FROM a.hold_until - a.expires_at)::float8 AS "settlingSeconds",
       coalesce((SELECT jsonb_object_agg(offering_id, n) FROM
         (SELECT offering_id, count(*) AS n FROM seats WHERE held_by = a.booking_id GROUP BY 1) AS held), '{}') AS seats,
       NOT EXISTS (SELECT FROM seats WHERE held_by = a.booking_id AND held_until <> a.hold_until) AS whole,
       a.hold_until::text AS until, a.expires_at::text AS "expiresAt"
     FROM attempts AS a WHERE a.booking_id = ?`,
    [bookingId],
  );
  const [hold] = result.rows;
  if (hold === undefined) throw new Error(`There is no attempt ${bookingId}`);
  return hold;
}

/** The window is as long as a hold of so many seconds, and the hold ends when the time for settling is over as well. */
export function expectWindow(hold: Hold, seconds: number): void {
  expect(hold.settlingSeconds).toBe(settlingSeconds);
  expect(hold.fromOpened).toBeLessThanOrEqual(seconds);
  expect(hold.fromStart).toBeGreaterThanOrEqual(seconds);
}

/** Ends of the holds that an offering remembers, by customer: whether each still lives. */
export async function remembered(world: World, offeringId: string): Promise<Record<string, boolean>> {
  const rows = await world
    .db('holds')
    .where({ offering_id: offeringId })
    .select<{ customer_id: string; lives: boolean }[]>(
      'customer_id',
      world.db.raw('held_until > now() AS lives'),
    );
  return Object.fromEntries(rows.map((row) => [row.customer_id, row.lives]));
}

/** Makes it later for an attempt that holds seats: its hold ends that much sooner, wherever that is written. */
export async function letTimePass(world: World, bookingId: string, seconds: number): Promise<void> {
  await world.db.transaction(async (trx) => {
    const earlier = (column: string) => trx.raw('?? - make_interval(secs => ?)', [column, seconds]);
    await trx('attempts')
      .where({ booking_id: bookingId })
      .update({
        started_at: earlier('started_at'),
        hold_until: earlier('hold_until'),
        expires_at: earlier('expires_at'),
      });
    await trx('seats')
      .where({ held_by: bookingId })
      .update({ held_until: earlier('held_until') });
    await trx('holds')
      .where({ booking_id: bookingId })
      .update({ held_until: earlier('held_until') });
  });
}
