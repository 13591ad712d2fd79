/** Undoing what was confirmed: one booking by its customer, or all of an offering that its provider calls off. */
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { ring } from '../doorbell';
import type { FailureType } from '../failures';
import type { Notices } from '../notices';
import { bookingWorkflowId, calledOffSignal, type Ring } from '../workflows/messages';
import { readStanding, type Dependencies, type Refusal, type Standing } from './dependencies';
import { cancellationRefundId } from './reversals';

/** Who undoes a booking: the customer by the offering's policy, the provider with everything given back. */
export type CanceledBy = 'customer' | 'provider';

/**
 * Bookings, or open attempts, of a called-off offering that are ended in one go, and the pause after it in ms. Each is two
 * calls at its gateway, and two more when the gateway tells us of its refund, so 20 a second: Stripe's sandboxes take 25
 * (docs.stripe.com/rate-limits).
 */
const perGo = 5;
const pauseMs = 1_000;

export function cancelActivities(deps: Dependencies, notices: Notices) {
  const { db, log } = deps;

  /**
   * Undoes a confirmed booking: frees its seats and writes what goes back, in one transaction; then rings for the money to
   * be sent. One that is undone already is answered as it stands.
   * @param why in the customer's words
   */
  async function cancelBooking(bookingId: string, by: CanceledBy, why?: string): Promise<Standing | Refusal> {
    const result = await db.raw<{ rows: { refusal: FailureType | null; newly: boolean }[] }>(
      'SELECT * FROM cancel_booking(?, ?, ?, ?)',
      [bookingId, cancellationRefundId(bookingId), by, why ?? null],
    );
    const done = result.rows[0];
    if (done === undefined) throw new Error(`Bug: canceling ${bookingId} gave no answer`);
    if (done.refusal !== null) return { refused: done.refusal };
    if (done.newly) {
      deps.metrics.cancellations.inc({ by });
      log.info({ event: 'booking.canceled', bookingId, by });
    }
    await ringForRefund(bookingId);
    return readStanding(db, bookingId);
  }

  /** The money is sent by whoever looks after this payment now that the attempt's own workflow is over. */
  async function ringForRefund(bookingId: string): Promise<void> {
    const owed = await db('refunds')
      .join('payments', 'payments.id', 'refunds.payment_id')
      .where({ 'payments.booking_id': bookingId, 'refunds.status': 'unsent' })
      .select<{ gateway: string; gateway_ref: string }[]>('payments.gateway', 'payments.gateway_ref');
    for (const { gateway, gateway_ref: ref } of owed) {
      const rung: Ring = { by: 'cancellation', gateway, ref, at: new Date().toISOString() };
      await ring(deps.temporal, deps.taskQueue, { bookingId, gateway, ref }, rung);
    }
  }

  /**
   * Calls an offering off: nothing more is booked, open attempts are ended, and every booking is undone with everything
   * given back, at a pace that no gateway minds. Beats its heart; run again, it goes on with what is left. A booking that a
   * dispute has stopped is undone when that is won (SQL `stand_again`).
   * @returns how many bookings this run undid
   */
  async function callOff(offeringId: string): Promise<number> {
    await db.raw('SELECT call_off(?)', [offeringId]);
    notices.tell({ offeringId });
    await endOpenAttempts(offeringId);
    let undone = 0;
    for (;;) {
      Context.current().heartbeat(undone);
      const ids = await confirmedOn(offeringId);
      if (ids.length === 0) break;
      for (const id of ids) {
        await cancelBooking(id, 'provider');
        notices.tell({ bookingId: id });
      }
      undone += ids.length;
      await Context.current().sleep(pauseMs);
    }
    // One that was opening as the offering closed could not be seen at first.
    await endOpenAttempts(offeringId);
    return undone;
  }

  async function confirmedOn(offeringId: string): Promise<string[]> {
    const rows = await db('booking_items')
      .join('attempts', 'attempts.booking_id', 'booking_items.booking_id')
      .where({ offering_id: offeringId, 'attempts.status': 'confirmed' })
      .orderBy('attempts.booking_id')
      .limit(perGo)
      .select<{ booking_id: string }[]>('attempts.booking_id');
    return rows.map((row) => row.booking_id);
  }

  async function endOpenAttempts(offeringId: string): Promise<void> {
    const rows = await db('attempts')
      .whereIn('status', ['awaiting_payment', 'processing'])
      .whereRaw('quote @> ?::jsonb', [JSON.stringify({ items: [{ offeringId }] })])
      .select<{ booking_id: string }[]>('booking_id');
    for (const [n, { booking_id: id }] of rows.entries()) {
      Context.current().heartbeat();
      if (n > 0 && n % perGo === 0) await Context.current().sleep(pauseMs);
      try {
        await deps.temporal.workflow.getHandle(bookingWorkflowId(id)).signal(calledOffSignal);
      } catch (error) {
        // It ended this moment.
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
    }
  }

  return { cancelBooking, callOff };
}
