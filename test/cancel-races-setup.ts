/** Bookings that stand, and races on undoing them: the real activities on the real database. */
import type { Client } from '@temporalio/client';
import type { Knex } from 'knex';
import { cancelActivities, type CanceledBy } from '../src/activities/cancel';
import type { Dependencies } from '../src/activities/dependencies';
import { addAttempts, payingDependencies, priceMinor, settling } from './settling-setup';

/** What settling and canceling need; whoever is rung hears nothing. */
export function quietDependencies(db: Knex): Dependencies {
  const workflow = {
    getHandle: () => ({ signal: () => Promise.resolve() }),
    signalWithStart: () => Promise.resolve(),
  };
  return { ...payingDependencies(db), temporal: { workflow } as unknown as Client };
}

/** The activity `cancelBooking`. */
export function canceling(deps: Dependencies): (bookingId: string, by: CanceledBy) => Promise<void> {
  const { cancelBooking } = cancelActivities(deps, { tell: () => undefined });
  return async (bookingId, by) => {
    await cancelBooking(bookingId, by);
  };
}

/** Attempts for one seat each, whose money is there. */
export function addPayers(db: Knex, offeringId: string, count: number): Promise<string[]> {
  return addAttempts(
    db,
    Array.from({ length: count }, () => [{ offeringId, seats: 1, priceMinor }]),
  );
}

/** As many bookings that stand. */
export async function addBooked(deps: Dependencies, offeringId: string, count: number): Promise<string[]> {
  const ids = await addPayers(deps.db, offeringId, count);
  for (const id of ids) await settling(deps)(id);
  return ids;
}

/** Calls an offering off as the activity does, once everybody stands at the door: closes it, then undoes what it finds. */
export async function callOffAndUndo(deps: Dependencies, offeringId: string): Promise<void> {
  const { db } = deps;
  await db.transaction(async (trx) => {
    await trx('attempts').first('booking_id');
    await trx.raw('SELECT call_off(?)', [offeringId]);
  });
  for (const id of await standingOn(db, offeringId)) await canceling(deps)(id, 'provider');
}

/** Bookings of an offering that stand. */
export async function standingOn(db: Knex, offeringId: string): Promise<string[]> {
  const rows = await db('booking_items')
    .join('attempts', 'attempts.booking_id', 'booking_items.booking_id')
    .where({ offering_id: offeringId, status: 'confirmed' })
    .select<{ booking_id: string }[]>('attempts.booking_id');
  return rows.map((row) => row.booking_id);
}

/** What undoing left of one booking. */
export async function leftOf(db: Knex, bookingId: string) {
  const seats = await db('seats').where({ booking_id: bookingId });
  const told = await db('messages').where({ booking_id: bookingId, kind: 'booking-canceled' });
  const refunds = await db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where({ booking_id: bookingId })
    .select<{ amount_minor: number; reason: string }[]>('refunds.amount_minor', 'refunds.reason');
  return {
    seats: seats.length,
    told: told.length,
    refunds: refunds.map((row) => row.amount_minor),
    reasons: refunds.map((row) => row.reason),
  };
}
