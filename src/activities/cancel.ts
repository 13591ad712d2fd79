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
 * Pause after each booking, or open attempt, of a called-off offering, in ms: at most four a second, and never several at
 * once. Each is two calls at its gateway, and two more when the gateway tells us of its refund: 16 a second, where Stripe's
 * sandboxes take 25 (docs.stripe.com/rate-limits). In bunches of five the same average was refused now and then.
 */
const pauseMs = 250;

/** Bookings read at once to be undone. */
const perRead = 20;

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
    await ringForUndone(offeringId);
    let undone = 0;
    for (;;) {
      const ids = await confirmedOn(offeringId);
      if (ids.length === 0) break;
      await paced(ids, async (id) => {
        await cancelBooking(id, 'provider');
        notices.tell({ bookingId: id });
      });
      undone += ids.length;
    }
    // One that was opening as the offering closed could not be seen at first.
    await endOpenAttempts(offeringId);
    return undone;
  }

  /** A run that died may have undone a booking and told nobody that its money is owed. */
  async function ringForUndone(offeringId: string): Promise<void> {
    const rows = await db('booking_items')
      .join('payments', 'payments.booking_id', 'booking_items.booking_id')
      .join('refunds', 'refunds.payment_id', 'payments.id')
      .where({ offering_id: offeringId, reason: 'canceled-by-provider', 'refunds.status': 'unsent' })
      .select<{ booking_id: string }[]>('payments.booking_id');
    await paced(rows, ({ booking_id: id }) => ringForRefund(id));
  }

  /** Does one after the other, with the pause that gateways need. */
  async function paced<Row>(rows: readonly Row[], deed: (row: Row) => Promise<void>): Promise<void> {
    for (const row of rows) {
      Context.current().heartbeat();
      await deed(row);
      await Context.current().sleep(pauseMs);
    }
  }

  async function confirmedOn(offeringId: string): Promise<string[]> {
    const rows = await db('booking_items')
      .join('attempts', 'attempts.booking_id', 'booking_items.booking_id')
      .where({ offering_id: offeringId, 'attempts.status': 'confirmed' })
      .orderBy('attempts.booking_id')
      .limit(perRead)
      .select<{ booking_id: string }[]>('attempts.booking_id');
    return rows.map((row) => row.booking_id);
  }

  async function endOpenAttempts(offeringId: string): Promise<void> {
    const rows = await db('attempts')
      .whereIn('status', ['awaiting_payment', 'processing'])
      .whereRaw('quote @> ?::jsonb', [JSON.stringify({ items: [{ offeringId }] })])
      .select<{ booking_id: string }[]>('booking_id');
    await paced(rows, ({ booking_id: id }) => tellCalledOff(id));
  }

  async function tellCalledOff(bookingId: string): Promise<void> {
    try {
      await deps.temporal.workflow.getHandle(bookingWorkflowId(bookingId)).signal(calledOffSignal);
    } catch (error) {
      // It ended this moment.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  return { cancelBooking, callOff };
}
