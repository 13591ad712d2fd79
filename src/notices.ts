/**
 * Notices: "look again at this", from whoever changed something to the API processes whose clients wait for it, by
 * PostgreSQL's NOTIFY. A notice carries opaque ids only and no truth: who hears one reads the rows. One that is lost loses
 * nothing, for a slow poll stands behind (`api/waiting.ts`).
 *
 * They go out after the commit, in a statement of their own, many at once. A transaction that holds a NOTIFY takes one lock
 * for the whole cluster when it commits and keeps it until its commit is on disk, so that commits come one by one.
 * Source: PreCommit_Notify in src/backend/commands/async.c of PostgreSQL ("special lock that we hold till after commit",
 * on "database 0"). Ours waits for no disk: with `synchronous_commit` off the lock is held for microseconds.
 */
import type { Knex } from 'knex';
import type { Logger } from './telemetry';

/** The one channel: what proves that it is heard (a beat) proves it for every notice. */
export const noticeChannel = 'payfirst';

/** What a notice says. Some 80 bytes; NOTIFY takes 7,999 (postgresql.org/docs/17/sql-notify.html). */
export type Notice =
  | { kind: 'booking'; id: string; version: number }
  | { kind: 'offering'; id: string }
  /** A listener's own, to learn whether it still hears. */
  | { kind: 'beat'; id: string };

/** What was changed, as far as whoever changed it knows. */
export type Subject =
  | { bookingId: string | null }
  | { refundId: string }
  | { caseId: string }
  | { offeringId: string }
  | { gateway: string; ref: string };

export interface Notices {
  /** Tells of a change that is committed. Never waits and never fails: whoever changed something has done its work. */
  tell(subject: Subject): void;
}

/** Reads a notice; undefined for what is none of ours. */
export function readNotice(payload: string | undefined): Notice | undefined {
  try {
    const read = JSON.parse(payload ?? '') as Partial<Record<'kind' | 'id' | 'version', unknown>>;
    const { kind, id, version } = read;
    if (typeof id !== 'string') return undefined;
    if (kind === 'booking') return typeof version === 'number' ? { kind, id, version } : undefined;
    return kind === 'offering' || kind === 'beat' ? { kind, id } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * One statement for all that changed. An attempt that neither held nor booked anything has changed no offering's seats, so
 * the many who only look at a hot slot wake nobody.
 */
const tellSql = `
  WITH changed AS (
    SELECT a.booking_id, a.version, a.quote,
      a.hold_until IS NOT NULL OR EXISTS (SELECT FROM bookings AS b WHERE b.id = a.booking_id) AS moved_seats
    FROM attempts AS a WHERE a.booking_id IN (
      SELECT unnest(:bookings::text[])
      UNION ALL SELECT p.booking_id FROM refunds AS r JOIN payments AS p ON p.id = r.payment_id WHERE r.id = ANY (:refunds)
      UNION ALL SELECT c.booking_id FROM cases AS c WHERE c.id = ANY (:cases)
      UNION ALL SELECT t.booking_id FROM payment_tries AS t
        JOIN unnest(:gateways::text[], :refs::text[]) AS named (gateway, ref)
          ON t.gateway = named.gateway AND t.gateway_ref = named.ref)
  ), notices (notice) AS (
    SELECT json_build_object('kind', 'booking', 'id', booking_id, 'version', version)::text FROM changed
    UNION ALL
    SELECT json_build_object('kind', 'offering', 'id', id)::text FROM (
      SELECT unnest(:offerings::text[]) AS id
      UNION SELECT item ->> 'offeringId' FROM changed, jsonb_array_elements(quote -> 'items') AS item
        WHERE moved_seats AND item ->> 'kind' IS DISTINCT FROM 'consultation') AS offered
  )
  SELECT set_config('synchronous_commit', 'off', true), pg_notify('${noticeChannel}', notice) FROM notices`;

async function send(db: Knex, subjects: readonly Subject[]): Promise<void> {
  const all = <T>(pick: (subject: Subject) => T | null | undefined): T[] =>
    subjects.map(pick).filter((value): value is T => value !== undefined && value !== null);
  await db.raw(tellSql, {
    bookings: all((subject) => ('bookingId' in subject ? subject.bookingId : undefined)),
    refunds: all((subject) => ('refundId' in subject ? subject.refundId : undefined)),
    cases: all((subject) => ('caseId' in subject ? subject.caseId : undefined)),
    offerings: all((subject) => ('offeringId' in subject ? subject.offeringId : undefined)),
    gateways: all((subject) => ('ref' in subject ? subject.gateway : undefined)),
    refs: all((subject) => ('ref' in subject ? subject.ref : undefined)),
  });
}

/**
 * Opens the way out for notices of one process. One statement is under way at a time, and what changes meanwhile goes with
 * the next: the busier the process, the fewer statements per change.
 */
export function openNotices(db: Knex, log: Logger): Notices {
  let waiting = new Map<string, Subject>();
  let sending = false;
  let failing = false;

  async function sendAll(): Promise<void> {
    sending = true;
    while (waiting.size > 0) {
      const subjects = [...waiting.values()];
      waiting = new Map();
      try {
        await send(db, subjects);
        failing = false;
      } catch (error) {
        // Nothing is tried again: the slow poll sees what changed.
        if (!failing)
          log.warn({
            event: 'notices.unsent',
            reason: error instanceof Error ? error.name : 'unknown',
          });
        failing = true;
      }
    }
    sending = false;
  }

  return {
    tell: (subject) => {
      waiting.set(JSON.stringify(subject), subject);
      if (!sending) void sendAll();
    },
  };
}

/** Sends a listener's own beat. Its other way than the listening connection is the point: so come all other notices. */
export async function sendBeat(db: Knex, id: string): Promise<void> {
  const beat: Notice = { kind: 'beat', id };
  await db.raw(`SELECT set_config('synchronous_commit', 'off', true), pg_notify(?, ?)`, [
    noticeChannel,
    JSON.stringify(beat),
  ]);
}
