/** Bookings that stand, and races on undoing them: the real activities on the real database. */
import type { Client } from '@temporalio/client';
import type { Knex } from 'knex';
import { cancelActivities, type CanceledBy } from '../src/activities/cancel';
import { lockAttempt, type Dependencies } from '../src/activities/dependencies';
import { restoreStatus } from '../src/activities/reversals';
import { endActivities } from '../src/activities/end';
import type { PaymentRow } from '../src/database';
import type { Gateway } from '../src/gateways/gateway';
import {
  addAttempts,
  addSlot,
  describe,
  payingDependencies,
  priceMinor,
  recordCharge,
  settling,
  untilWaiting,
} from './settling-setup';

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

/** The activity `end`, for a customer who cancels before money is seen. */
export function ending(deps: Dependencies): (bookingId: string) => Promise<void> {
  const { end } = endActivities(deps);
  return async (bookingId) => {
    await end(bookingId, 'canceled', []);
  };
}

/** The same with a gateway that, asked to close a payment, says it is paid. */
export function whereClosingFindsPaid(deps: Dependencies): Dependencies {
  const gateway = { ...deps.gateways.get('stub'), close: async () => ({ status: 'paid' }) } as Gateway;
  return { ...deps, gateways: new Map([['stub', gateway]]) };
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

/** A booking that a dispute has stopped. */
export async function addDisputed(deps: Dependencies, offeringId: string): Promise<string> {
  const [id = ''] = await addBooked(deps, offeringId, 1);
  await deps.db('attempts').where({ booking_id: id }).update({ status: 'needs_attention' });
  return id;
}

/** Writes that the bank decided for us, as the activities do: the booking stands again. */
export async function winDispute(db: Knex, bookingId: string): Promise<void> {
  await db.transaction(async (trx) => {
    await lockAttempt(trx, bookingId);
    const payment = await trx<PaymentRow>('payments').where({ booking_id: bookingId }).first();
    if (payment === undefined) throw new Error(`${bookingId} has no payment`);
    await restoreStatus(trx, payment);
  });
}

/**
 * Cancels a booking of the first and last of three seats while another payer, who saw them free, keeps the first one locked
 * and is on the way to the last. Returns the errors.
 */
export async function cancelWhileLookedAt(deps: Dependencies): Promise<string[]> {
  const { db } = deps;
  const offeringId = await addSlot(db, 3);
  const [booked = ''] = await addAttempts(db, [[{ offeringId, seats: 2, priceMinor }]]);
  const [between = '', looking = ''] = await addPayers(db, offeringId, 2);
  const first = await db.transaction();
  await first('seats').where({ offering_id: offeringId, seat_no: 1 }).forUpdate();
  const second = await db.transaction();
  await recordCharge({ ...deps, db: second }, between, between);
  await first.rollback();
  const outer = await db.transaction();
  await recordCharge({ ...deps, db: outer }, booked, booked);
  const errors: string[] = [];
  const caught = (error: unknown): unknown => errors.push(describe(error));
  const settled = settling(deps)(looking).catch(caught);
  await untilWaiting(db, 1);
  await outer.commit();
  await untilWaiting(db, 1);
  let over = false;
  const canceled = canceling(deps)(booked, 'customer')
    .catch(caught)
    .finally(() => (over = true));
  await untilWaiting(db, 2, () => over);
  await second.commit();
  await Promise.all([settled, canceled]);
  return errors;
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
