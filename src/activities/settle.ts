/** Settling: reading the truth at the gateway, then writing what it means, in one transaction. And ending without money. */
import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import { isOpen, makeReference, settlingRefusals, type AttemptStatus } from '../booking';
import type { AttemptRow, TryRow } from '../database';
import type { CloseState, Gateway, PaymentState } from '../gateways/gateway';
import type { Ring } from '../workflows/messages';
import { ring } from '../doorbell';
import { recordHeard } from './heard';
import { readRefundsAgain, thisWorkflow } from './refunds';
import { methodNamed } from './wallet';
import {
  deriveId,
  gatewayNamed,
  lockAttempt,
  readBackLater,
  readStanding,
  tryToOpen,
  type Dependencies,
  type Refusal,
  type Standing,
} from './dependencies';

/** Money the gateway says it captured, as `recordPayment` needs it. */
interface Captured {
  bookingId: string;
  gateway: string;
  ref: string;
  paid: Extract<PaymentState, { status: 'paid' }>;
}

/** What an attempt can end as without money. */
export type EmptyOutcome = 'expired' | 'canceled';

/** References to choose from: 50 bits clash once in millions, and the second choice settles it. */
export function referencesFor(bookingId: string): string[] {
  return ['', '\u0000second'].map((salt) =>
    makeReference(
      createHash('sha256')
        .update(bookingId + salt)
        .digest(),
    ),
  );
}

/**
 * Decides what captured money buys: the booking, or a refund row with its reason. One round trip; asking again about the
 * same payment answers what was decided.
 */
export async function recordPayment(
  deps: Dependencies,
  captured: Captured,
  heard: readonly Ring[],
): Promise<void> {
  const { paid } = captured;
  const result = await deps.db.raw<{
    rows: {
      status: AttemptStatus;
      refund_id: string | null;
      newly: boolean;
      refusal: string | null;
      reference: string | null;
    }[];
  }>('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
    captured.bookingId,
    captured.gateway,
    captured.ref,
    paid.chargeRef,
    paid.total.amountMinor,
    paid.total.currency,
    deriveId('payment', captured.gateway, paid.chargeRef),
    deriveId('refund', captured.gateway, paid.chargeRef),
    referencesFor(captured.bookingId),
  ]);
  const decided = result.rows[0];
  if (decided?.newly !== true) return;
  const { bookingId, gateway } = captured;
  deps.metrics.tries.inc({ gateway: captured.gateway, result: 'paid' });
  deps.log.info({
    event: 'payment.settled',
    bookingId,
    gateway,
    gatewayPaymentId: paid.chargeRef,
    status: decided.status,
    ...(decided.refund_id === null
      ? { reference: decided.reference }
      : { refundId: decided.refund_id, refusal: decided.refusal }),
  });
  const refusal = settlingRefusals.find((one) => one === decided.refusal);
  // Money that came outside an open attempt is given back as well, but nobody's attempt has failed by it.
  if (refusal !== undefined) deps.metrics.failures.inc({ type: refusal });
  if (decided.refund_id !== null) return;
  deps.metrics.attempts.inc({ outcome: 'confirmed' });
  const firstRing = heard.map((ring) => Date.parse(ring.at)).sort((a, b) => a - b)[0];
  if (firstRing !== undefined)
    deps.metrics.webhookToConfirmed.observe(Math.max(0, (Date.now() - firstRing) / 1000));
}

export function settleActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /**
   * Reads every payment object of the attempt at its gateway and writes what that means: confirmed, refused with a
   * refund to send, processing, declined, or nothing new.
   * @param heard the rings that led here, to be written down
   * @throws `gateway-unavailable` (retried) when a gateway gave no usable answer: unknown is not failed
   */
  async function settle(bookingId: string, heard: Ring[]): Promise<Standing> {
    await recordHeard(db, bookingId, heard);
    const tries = (
      await db<TryRow>('payment_tries')
        .where({ booking_id: bookingId })
        .whereNotNull('gateway_ref')
        .orderBy('try')
    ).filter((row) => !methodNamed(gateways, row.gateway).capabilities.insideTransaction);
    for (const row of tries) await settleTry(row, heard);
    await passOnStrays(tries, heard);
    // A refund can fail after it said success, and its ring can come while this workflow is still here.
    if (tries.some((row) => row.status === 'paid')) {
      await readRefundsAgain(deps, { booking_id: bookingId }, thisWorkflow);
    }
    return readStanding(db, bookingId);
  }

  /** A ring can name a payment object that is none of ours although it bears our id: that is for `reconcile` to judge. */
  async function passOnStrays(tries: readonly TryRow[], heard: readonly Ring[]): Promise<void> {
    for (const rung of heard) {
      const { gateway, ref } = rung;
      if (gateway === undefined || !ref || tries.some((row) => row.gateway_ref === ref)) continue;
      await ring(deps.temporal, deps.taskQueue, { bookingId: null, gateway, ref }, rung);
    }
  }

  async function settleTry(row: TryRow, heard: readonly Ring[]): Promise<PaymentState['status']> {
    if (row.gateway_ref === null) throw new Error(`Bug: an open try without a reference, ${row.booking_id}`);
    const gateway = gatewayNamed(gateways, row.gateway);
    const state = await gateway.read(row.gateway_ref);
    if (state.status === 'unknown') throw readBackLater(gateway, state);
    if (state.status === 'paid') {
      const captured = { bookingId: row.booking_id, gateway: row.gateway, ref: row.gateway_ref, paid: state };
      await recordPayment(deps, captured, heard);
    } else {
      await db.transaction((trx) => recordUnpaid(trx, row, state));
    }
    return state.status;
  }

  async function recordUnpaid(
    trx: Knex.Transaction,
    seen: TryRow,
    state: Exclude<PaymentState, { status: 'paid' | 'unknown' }>,
  ): Promise<void> {
    const attempt = await lockAttempt(trx, seen.booking_id);
    if (attempt === undefined || !isOpen(attempt.status)) return;
    const key = { booking_id: seen.booking_id, try: seen.try };
    const row = await trx<TryRow>('payment_tries').where(key).first();
    if (row?.status !== 'open') return;
    const become = (change: Record<string, unknown>) =>
      trx('attempts').where({ booking_id: seen.booking_id }).update(change);
    switch (state.status) {
      case 'processing':
        if (attempt.status !== 'processing') await become({ status: 'processing' });
        return;
      case 'unpaid':
        // It failed after all, or the customer chose another card: payable again.
        if (attempt.status === 'processing') await become({ status: 'awaiting_payment' });
        return;
      case 'failed': {
        const known = row.failure_ref === state.failureRef;
        if (known && attempt.status !== 'processing') return;
        const failure = known
          ? {}
          : {
              failure: JSON.stringify({ type: 'payment-declined', ...(state.code && { code: state.code }) }),
            };
        await trx('payment_tries').where(key).update({ failure_ref: state.failureRef });
        await become({ status: 'awaiting_payment', ...failure });
        // Told before, and only the status did not know yet: no second failure.
        if (known) return;
        metrics.failures.inc({ type: 'payment-declined' });
        metrics.tries.inc({ gateway: seen.gateway, result: 'declined' });
        log.info({ event: 'payment.declined', bookingId: seen.booking_id, try: seen.try, code: state.code });
        return;
      }
      case 'expired':
      case 'missing':
        await trx('payment_tries').where(key).update({ status: 'closed', next_look_at: null });
        await become({ status: 'awaiting_payment', failure: JSON.stringify({ type: 'payment-canceled' }) });
        metrics.failures.inc({ type: 'payment-canceled' });
        metrics.tries.inc({ gateway: seen.gateway, result: 'closed' });
        return;
    }
  }

  /**
   * Ends the attempt without money: closes its payment objects at the gateway first, and only when all are closed writes
   * the outcome. What turns out paid is settled as usual, for the customer was faster.
   * @param reason why the customer cancels, in their words
   * @param calledOff whether the provider cancels: then the attempt says why it ended
   * @returns where the attempt stands; `processing` when the gateway itself cannot say yet
   * @throws `gateway-unavailable` (retried without end) when a gateway did not answer: the attempt stays open till it does
   */
  async function end(
    bookingId: string,
    outcome: EmptyOutcome,
    heard: Ring[],
    reason?: string,
    calledOff?: boolean,
  ): Promise<Standing | Refusal> {
    await recordHeard(db, bookingId, heard);
    const tries = await db<TryRow>('payment_tries')
      .where({ booking_id: bookingId })
      .whereIn('status', ['opening', 'open'])
      .orderBy('try');
    let processing = false;
    for (const row of tries) {
      const closed = await closeTry(row);
      if (closed === 'paid') await settleTry(row, heard);
      if (closed === 'processing') {
        await settleTry(row, heard);
        processing = true;
      }
    }
    if (processing)
      return outcome === 'canceled' ? { refused: 'not-cancelable' } : readStanding(db, bookingId);
    await db.transaction((trx) => recordEnd(trx, bookingId, outcome, { reason, calledOff }));
    return readStanding(db, bookingId);
  }

  async function closeTry(row: TryRow): Promise<Exclude<CloseState['status'], 'unknown'>> {
    const gateway = gatewayNamed(gateways, row.gateway);
    const ref = row.gateway_ref ?? (await learnLostRef(gateway, row));
    if (ref === undefined) return 'closed';
    const closed = await gateway.close(ref);
    if (closed.status === 'unknown') throw readBackLater(gateway, closed);
    return closed.status;
  }

  /** An object whose making got no answer is found again by making it again with the same key. */
  async function learnLostRef(gateway: Gateway, row: TryRow): Promise<string | undefined> {
    const attempt = await db<AttemptRow>('attempts').where({ booking_id: row.booking_id }).first();
    if (attempt === undefined) throw new Error(`Bug: a try without an attempt, ${row.booking_id}`);
    const opened = await gateway.open(tryToOpen(row, attempt));
    if (opened.status === 'unknown') throw readBackLater(gateway, opened);
    // A refused object never was; nobody can pay it.
    return opened.status === 'opened' ? opened.ref : undefined;
  }

  async function recordEnd(
    trx: Knex.Transaction,
    bookingId: string,
    outcome: EmptyOutcome,
    why: { reason: string | undefined; calledOff: boolean | undefined },
  ): Promise<void> {
    const attempt = await lockAttempt(trx, bookingId);
    if (attempt === undefined || !isOpen(attempt.status)) return;
    const row = trx('attempts').where({ booking_id: bookingId });
    // What could be closed was not processing any more: the payment failed after all, and nobody told us.
    if (attempt.status === 'processing') await row.clone().update({ status: 'awaiting_payment' });
    await row.update({
      status: outcome,
      ended_at: trx.fn.now(),
      cancel_reason: why.reason ?? null,
      ...(why.calledOff === true ? { failure: JSON.stringify({ type: 'offering-closed' }) } : {}),
    });
    await trx('payment_tries')
      .where({ booking_id: bookingId })
      .whereIn('status', ['opening', 'open'])
      .update({ status: 'closed', next_look_at: null });
    metrics.attempts.inc({ outcome });
    log.info({ event: `attempt.${outcome}`, bookingId });
  }

  /** Closes what an attempt that failed to open may have left at the gateway, so that nothing stays behind there. */
  async function closeLeftovers(bookingId: string): Promise<void> {
    const tries = await db<TryRow>('payment_tries')
      .where({ booking_id: bookingId })
      .whereIn('status', ['opening', 'open']);
    for (const row of tries) {
      await closeTry(row);
      await db('payment_tries')
        .where({ booking_id: bookingId, try: row.try })
        .update({ status: 'closed', next_look_at: null });
    }
  }

  /** Where the attempt stands, without a look at the gateway. */
  async function lookUp(bookingId: string): Promise<Standing> {
    return readStanding(db, bookingId);
  }

  return { settle, end, closeLeftovers, lookUp };
}
