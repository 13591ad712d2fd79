/**
 * Clients that wait for a booking to change. All of one process share one query, asked only while somebody waits; to be
 * told by PostgreSQL instead, replace the asking and keep `tell`.
 */
import type { Knex } from 'knex';
import type { AttemptRow } from '../database';
import type { Logger } from '../telemetry';
import { describeError } from './problem';

/** Pause between two looks, in ms: what a person does not notice, and one small query for all waiting clients. */
const lookEveryMs = 200;

interface Waiter {
  bookingId: string;
  after: number;
  done(changed: boolean): void;
}

/** Reads the versions of these bookings; those without a record are missing. */
export type ReadVersions = (bookingIds: readonly string[]) => Promise<ReadonlyMap<string, number>>;

export interface WaitingRoom {
  /**
   * Waits until the booking's version exceeds `after`.
   * @param ms longest wait
   * @param hungUp aborted when the client is gone
   * @returns whether it changed; false after the wait, when the client is gone, and when the process ends
   */
  untilNewer(bookingId: string, after: number, ms: number, hungUp: AbortSignal): Promise<boolean>;
  /** How many wait now. */
  readonly size: number;
}

/** Reads versions by the given role. */
export function versionsIn(db: Knex): ReadVersions {
  return async (bookingIds) => {
    const rows = await db<AttemptRow>('attempts')
      .whereRaw('booking_id = ANY(?)', [[...bookingIds]])
      .select('booking_id', 'version');
    return new Map(rows.map((row) => [row.booking_id, row.version]));
  };
}

/** Opens the room. `stopping` sends everybody home. */
export function openWaitingRoom(
  readVersions: ReadVersions,
  log: Logger,
  stopping?: AbortSignal,
): WaitingRoom {
  const waiters = new Set<Waiter>();
  let looking = false;
  let away = false;

  function tell(versions: ReadonlyMap<string, number>): void {
    for (const waiter of waiters) {
      if ((versions.get(waiter.bookingId) ?? 0) > waiter.after) waiter.done(true);
    }
  }

  /** Asks for all waiting clients at once, until nobody waits. */
  async function look(): Promise<void> {
    while (waiters.size > 0) {
      try {
        tell(await readVersions([...new Set([...waiters].map((waiter) => waiter.bookingId))]));
        away = false;
      } catch (error) {
        // Nobody is told anything wrong: they wait on, and their time ends as if nothing had changed.
        if (!away) log.warn({ event: 'waiting.blind', error: describeError(error) });
        away = true;
      }
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
    looking = false;
  }

  function untilNewer(bookingId: string, after: number, ms: number, hungUp: AbortSignal): Promise<boolean> {
    if (hungUp.aborted || stopping?.aborted === true) return Promise.resolve(false);
    return new Promise((resolve) => {
      const leave = () => waiter.done(false);
      const timer = setTimeout(leave, ms);
      const waiter: Waiter = {
        bookingId,
        after,
        done: (changed) => {
          clearTimeout(timer);
          hungUp.removeEventListener('abort', leave);
          waiters.delete(waiter);
          resolve(changed);
        },
      };
      waiters.add(waiter);
      hungUp.addEventListener('abort', leave);
      if (!looking) {
        looking = true;
        void look();
      }
    });
  }

  stopping?.addEventListener('abort', () => {
    for (const waiter of waiters) waiter.done(false);
  });

  return {
    untilNewer,
    get size() {
      return waiters.size;
    },
  };
}
