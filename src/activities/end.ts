/** Ending without money: closing what can be closed at the gateways first, for the customer may be faster. */
import type { Knex } from 'knex';
import { isOpen } from '../booking';
import type { AttemptRow, TryRow } from '../database';
import type { CloseState, Gateway } from '../gateways/gateway';
import type { Ring } from '../workflows/messages';
import {
  gatewayNamed,
  lockAttempt,
  readBackLater,
  readStanding,
  type Dependencies,
  type Refusal,
  type Standing,
} from './dependencies';
import { recordHeard } from './heard';
import { settleTries } from './settle';
import { tryToOpen } from './tries';
import { lastGap } from './watch';

/** What an attempt can end as without money. */
export type EmptyOutcome = 'expired' | 'canceled';

/**
 * Closes the payment object of a try at its gateway, where it has one and that can be done.
 * @throws `gateway-unavailable` (retried) without a usable answer
 */
export async function closeTry(
  deps: Dependencies,
  row: TryRow,
): Promise<Exclude<CloseState['status'], 'unknown'>> {
  const gateway = gatewayNamed(deps.gateways, row.gateway);
  const ref = row.gateway_ref ?? (await learnLostRef(deps, gateway, row));
  if (ref === undefined) return 'closed';
  const closed = await gateway.close(ref);
  if (closed.status === 'unknown') throw readBackLater(gateway, closed);
  return closed.status;
}

/** An object whose making got no answer is found again by making it again with the same key. */
async function learnLostRef(deps: Dependencies, gateway: Gateway, row: TryRow): Promise<string | undefined> {
  // Nobody was ever told how to pay it, so where it cannot be closed it need not be.
  if (!gateway.capabilities.closes) return undefined;
  const attempt = await deps.db<AttemptRow>('attempts').where({ booking_id: row.booking_id }).first();
  if (attempt === undefined) throw new Error(`Bug: a try without an attempt, ${row.booking_id}`);
  const opened = await gateway.open(tryToOpen(row, attempt));
  if (opened.status === 'unknown') throw readBackLater(gateway, opened);
  // A refused object never was; nobody can pay it.
  return opened.status === 'opened' ? opened.ref : undefined;
}

/** A try that nobody waits for any more although money may still come by it: the watch goes on looking, less often. */
export async function leaveOpen(trx: Knex.Transaction, row: TryRow, gateway: Gateway): Promise<void> {
  await trx('payment_tries')
    .where({ booking_id: row.booking_id, try: row.try, status: 'open' })
    .update({
      next_look_at: trx.raw('now() + make_interval(secs => ?)', [lastGap(gateway.capabilities.lookSchedule)]),
    });
}

export function endActivities(deps: Dependencies) {
  const { db, log, metrics } = deps;

  /**
   * Ends the attempt without money: closes its payment objects at the gateway first, and only then writes the outcome.
   * What turns out paid is settled as usual, for the customer was faster; what cannot be closed stays watched.
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
    const left: TryRow[] = [];
    let processing = false;
    let silent: Error | undefined;
    for (const row of tries) {
      const closed = await closeTry(deps, row).catch((error: Error) => {
        silent ??= error;
      });
      if (closed === 'paid' || closed === 'processing') await settleTries(deps, [row], heard);
      if (closed === 'processing') processing = true;
      if (closed === 'open') left.push(row);
    }
    // Money that came by one try is not held up by a gateway that does not answer for another.
    if (silent !== undefined && isOpen((await readStanding(db, bookingId)).status)) throw silent;
    if (processing)
      return outcome === 'canceled' ? { refused: 'not-cancelable' } : readStanding(db, bookingId);
    await db.transaction((trx) => recordEnd(trx, bookingId, outcome, left, { reason, calledOff }));
    return readStanding(db, bookingId);
  }

  async function recordEnd(
    trx: Knex.Transaction,
    bookingId: string,
    outcome: EmptyOutcome,
    left: readonly TryRow[],
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
      .whereNotIn(
        'try',
        left.map((one) => one.try),
      )
      .update({ status: 'closed', next_look_at: null });
    for (const one of left) await leaveOpen(trx, one, gatewayNamed(deps.gateways, one.gateway));
    metrics.attempts.inc({ outcome });
    log.info({ event: `attempt.${outcome}`, bookingId });
  }

  /** Closes what an attempt that failed to open may have left at the gateway, so that nothing stays behind there. */
  async function closeLeftovers(bookingId: string): Promise<void> {
    const tries = await db<TryRow>('payment_tries')
      .where({ booking_id: bookingId })
      .whereIn('status', ['opening', 'open']);
    for (const row of tries) {
      await closeTry(deps, row);
      await db('payment_tries')
        .where({ booking_id: bookingId, try: row.try })
        .update({ status: 'closed', next_look_at: null });
    }
  }

  return { end, closeLeftovers };
}
