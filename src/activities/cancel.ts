/** Undoing what was confirmed: one booking by its customer, or all of an offering that its provider calls off. */
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { ring } from '../doorbell';
import type { FailureType } from '../failures';
import { bookingWorkflowId, calledOffSignal } from '../workflows/messages';
import { deriveId, readStanding, type Dependencies, type Refusal, type Standing } from './dependencies';

/** Who undoes a booking: the customer by the offering's policy, the provider with everything given back. */
export type CanceledBy = 'customer' | 'provider';

/**
 * Bookings of a called-off offering undone in one go, and the pause after it in ms. Each is two calls at its gateway, so ten
 * a second: Stripe's sandboxes take 25 (docs.stripe.com/rate-limits), and bookings go on meanwhile.
 */
const bookingsPerGo = 5;
const pauseMs = 1_000;

export function cancelActivities(deps: Dependencies) {
  const { db, log } = deps;

  /**
   * Undoes a confirmed booking: frees its seats and writes what goes back, in one transaction; then rings for the money to
   * be sent. One that is undone already is answered as it stands.
   * @param why in the customer's words
   */
  async function cancelBooking(bookingId: string, by: CanceledBy, why?: string): Promise<Standing | Refusal> {
    const result = await db.raw<{ rows: { refusal: FailureType | null; newly: boolean }[] }>(
      'SELECT * FROM cancel_booking(?, ?, ?, ?)',
      [bookingId, deriveId('refund', bookingId, 'canceled'), by, why ?? null],
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
      .select('payments.gateway', 'payments.gateway_ref')
      .first<{ gateway: string; gateway_ref: string } | undefined>();
    if (owed === undefined) return;
    const at = { bookingId, gateway: owed.gateway, ref: owed.gateway_ref };
    const rung = {
      by: 'cancellation',
      gateway: at.gateway,
      ref: at.ref,
      at: new Date().toISOString(),
    } as const;
    await ring(deps.temporal, deps.taskQueue, at, rung);
  }

  /**
   * Calls an offering off: nothing more is booked, open attempts are ended, and every booking is undone with everything
   * given back, at a pace that no gateway minds. Beats its heart; run again, it goes on with what is left.
   * @returns how many bookings this run undid
   */
  async function callOff(offeringId: string): Promise<number> {
    await db.raw('SELECT call_off(?)', [offeringId]);
    await endOpenAttempts(offeringId);
    let undone = 0;
    for (;;) {
      Context.current().heartbeat(undone);
      const ids = await confirmedOn(offeringId);
      if (ids.length === 0) return undone;
      for (const id of ids) await cancelBooking(id, 'provider');
      undone += ids.length;
      await Context.current().sleep(pauseMs);
    }
  }

  async function confirmedOn(offeringId: string): Promise<string[]> {
    const rows = await db('booking_items')
      .join('attempts', 'attempts.booking_id', 'booking_items.booking_id')
      .where({ offering_id: offeringId, 'attempts.status': 'confirmed' })
      .orderBy('attempts.booking_id')
      .limit(bookingsPerGo)
      .select<{ booking_id: string }[]>('attempts.booking_id');
    return rows.map((row) => row.booking_id);
  }

  async function endOpenAttempts(offeringId: string): Promise<void> {
    const rows = await db('attempts')
      .whereIn('status', ['awaiting_payment', 'processing'])
      .whereRaw('quote @> ?::jsonb', [JSON.stringify({ items: [{ offeringId }] })])
      .select<{ booking_id: string }[]>('booking_id');
    for (const { booking_id: id } of rows) {
      Context.current().heartbeat();
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
