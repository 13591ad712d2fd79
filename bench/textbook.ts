/**
 * What one would write first: a counter on the slot, and a Knex transaction that locks it, counts, and writes. It writes
 * the same rows as settling does (booking, item, payment, message, attempt, try) into simple tables of its own.
 */
import type { Knex } from 'knex';

/** Makes the textbook's tables, in a schema of their own. */
export async function makeTextbook(db: Knex): Promise<void> {
  await db.raw(`
    CREATE SCHEMA textbook;
    CREATE TABLE textbook.slots (
      id text PRIMARY KEY, capacity integer NOT NULL, booked integer NOT NULL DEFAULT 0 CHECK (booked <= capacity));
    CREATE TABLE textbook.attempts (id text PRIMARY KEY, slot_id text NOT NULL REFERENCES textbook.slots, status text NOT NULL);
    CREATE TABLE textbook.tries (
      attempt_id text NOT NULL REFERENCES textbook.attempts, try integer NOT NULL, status text NOT NULL, PRIMARY KEY (attempt_id, try));
    CREATE TABLE textbook.bookings (id text PRIMARY KEY REFERENCES textbook.attempts, reference text NOT NULL UNIQUE);
    CREATE TABLE textbook.items (
      booking_id text NOT NULL REFERENCES textbook.bookings, slot_id text NOT NULL REFERENCES textbook.slots,
      seats integer NOT NULL, PRIMARY KEY (booking_id, slot_id));
    CREATE INDEX ON textbook.items (slot_id);
    CREATE TABLE textbook.payments (
      id text PRIMARY KEY, attempt_id text NOT NULL REFERENCES textbook.attempts, charge text NOT NULL UNIQUE,
      amount_minor integer NOT NULL, disposition text NOT NULL);
    CREATE TABLE textbook.refunds (
      id text PRIMARY KEY, payment_id text NOT NULL REFERENCES textbook.payments, amount_minor integer NOT NULL);
    CREATE TABLE textbook.messages (
      booking_id text NOT NULL REFERENCES textbook.bookings, kind text NOT NULL, recipient text NOT NULL,
      PRIMARY KEY (booking_id, kind, recipient))`);
}

/** A slot and its attempts. */
export async function addTextbookRound(
  db: Knex,
  slotId: string,
  capacity: number,
  attemptIds: readonly string[],
): Promise<void> {
  await db('textbook.slots').insert({ id: slotId, capacity });
  await db('textbook.attempts').insert(
    attemptIds.map((id) => ({ id, slot_id: slotId, status: 'awaiting_payment' })),
  );
  await db('textbook.tries').insert(attemptIds.map((id) => ({ attempt_id: id, try: 1, status: 'open' })));
}

/** Books a paid attempt, or writes the refund it is owed. */
export async function settleByTextbook(db: Knex, slotId: string, attemptId: string): Promise<void> {
  await db.transaction(async (trx) => {
    const slot = await trx('textbook.slots')
      .where({ id: slotId })
      .forUpdate()
      .first<{ capacity: number; booked: number }>();
    const free = slot.booked < slot.capacity;
    await trx('textbook.payments').insert({
      id: `pay_${attemptId}`,
      attempt_id: attemptId,
      charge: `ch_${attemptId}`,
      amount_minor: 700,
      disposition: free ? 'booked' : 'returned',
    });
    await trx('textbook.tries').where({ attempt_id: attemptId }).update({ status: 'paid' });
    await trx('textbook.attempts')
      .where({ id: attemptId })
      .update({ status: free ? 'confirmed' : 'refunding' });
    if (!free) {
      await trx('textbook.refunds').insert({
        id: `ref_${attemptId}`,
        payment_id: `pay_${attemptId}`,
        amount_minor: 700,
      });
      return;
    }
    await trx('textbook.bookings').insert({ id: attemptId, reference: `BK-${attemptId}` });
    await trx('textbook.items').insert({ booking_id: attemptId, slot_id: slotId, seats: 1 });
    await trx('textbook.slots').where({ id: slotId }).increment('booked', 1);
    await trx('textbook.messages').insert({
      booking_id: attemptId,
      kind: 'booking-confirmed',
      recipient: 'payer@example.org',
    });
  });
}

/** Bookings of a slot, counted from rows. */
export async function countTextbook(db: Knex, slotId: string): Promise<{ booked: number; refunded: number }> {
  const result = await db.raw<{ rows: { booked: number; refunded: number }[] }>(
    `SELECT (SELECT count(*) FROM textbook.items WHERE slot_id = :slotId) AS booked,
       (SELECT count(*) FROM textbook.refunds AS r JOIN textbook.payments AS p ON p.id = r.payment_id
        JOIN textbook.attempts AS a ON a.id = p.attempt_id WHERE a.slot_id = :slotId) AS refunded`,
    { slotId },
  );
  return result.rows[0] ?? { booked: -1, refunded: -1 };
}
