/** One look a second at what must hold at every moment, from the rows alone and on a connection of its own. */
import { DatabaseError, type Client } from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { withClient } from '../../dev/postgres';
import type { Sample } from './evidence';
import { lookWithinMs } from './rows';

const everyMs = 1_000;

/**
 * What breaks a rule, as a query that gives one sentence a row. Each is one statement, so it sees one moment. None leans on a key
 * of the tables: a control takes keys away.
 */
const rules: Readonly<Record<string, string>> = {
  S1: `SELECT o.id || ' has ' || sum(i.seats) || ' seats booked of ' || o.capacity AS text
       FROM bookings AS b JOIN booking_items AS i ON i.booking_id = b.id JOIN offerings AS o ON o.id = i.offering_id
       WHERE b.status = 'confirmed' AND o.capacity IS NOT NULL GROUP BY o.id, o.capacity HAVING sum(i.seats) > o.capacity`,
  S2: `SELECT 'seat ' || s.seat_no || ' of ' || s.offering_id || ' belongs to ' || s.booking_id || ', which is no booking' AS text
       FROM seats AS s LEFT JOIN bookings AS b ON b.id = s.booking_id AND b.status = 'confirmed'
       WHERE s.booking_id IS NOT NULL AND b.id IS NULL`,
  S3: `SELECT booking_id || ' was bought by ' || count(*) || ' payments' AS text
       FROM payments WHERE disposition = 'booked' GROUP BY booking_id HAVING count(*) > 1`,
  S4: `SELECT p.id || ' gave back ' || sum(r.amount_minor) || ' of ' || p.amount_minor AS text
       FROM payments AS p JOIN refunds AS r ON r.payment_id = p.id AND r.status <> 'failed'
       GROUP BY p.id, p.amount_minor HAVING sum(r.amount_minor) > p.amount_minor`,
  S5: `SELECT b.id || ' is booked and nothing was paid' AS text FROM bookings AS b
       WHERE b.total_minor > 0 AND NOT EXISTS (SELECT FROM payments AS p WHERE p.booking_id = b.id AND p.disposition = 'booked')
         AND NOT EXISTS (SELECT FROM wallet_entries AS w WHERE w.booking_id = b.id AND w.kind = 'payment')`,
  S7: `SELECT b.id || ' stands and all its money is back' AS text
       FROM bookings AS b JOIN payments AS p ON p.booking_id = b.id AND p.disposition = 'booked'
       WHERE b.status = 'confirmed' AND p.refunded_minor >= p.amount_minor`,
  S9: `SELECT 'seat ' || seat_no || ' of ' || offering_id || ' is held by ' || held_by || ', who asked for no hold' AS text
       FROM seats JOIN offerings AS o ON o.id = offering_id WHERE held_by IS NOT NULL AND o.hold_seconds IS NULL`,
};

/** Looks until told to stop. While the database is away there is nothing to see, and no sample. */
export class Sampler {
  readonly samples: Sample[] = [];
  #going = true;
  readonly #work: Promise<void>;

  /** @param url a connection that no fault of the run's own proxies touches */
  constructor(url: string) {
    this.#work = this.#look(url);
    // Whoever ends it hears of a mistake; until then it is not unhandled.
    this.#work.catch(() => undefined);
  }

  /**
   * Ends with one more look.
   * @throws DatabaseError where a query is wrong
   */
  async end(): Promise<Sample[]> {
    this.#going = false;
    await this.#work;
    return this.samples;
  }

  async #look(url: string): Promise<void> {
    let going = true;
    while (going) {
      going = this.#going;
      const sample = await withClient(url, sampleWith, lookWithinMs).catch((error: unknown) => {
        if (isOurs(error)) throw error;
        return undefined;
      });
      if (sample !== undefined) this.samples.push(sample);
      await sleep(everyMs);
    }
  }
}

/** A mistake in a query: class 42 of SQLSTATE, "syntax error or access rule violation" (PostgreSQL 17 manual, appendix A). */
const isOurs = (error: unknown): boolean =>
  error instanceof DatabaseError && error.code?.startsWith('42') === true;

/** One look. */
export async function sampleWith(client: Client): Promise<Sample> {
  const broken: string[] = [];
  const at = Date.now();
  for (const [rule, sql] of Object.entries(rules)) {
    const { rows } = await client.query<{ text: string }>(sql);
    broken.push(...rows.map(({ text }) => `${rule} ${text}`));
  }
  return { at, broken };
}
