/** The tries of an attempt: their payment objects at the gateways, and the window in which they can be paid. */
import type { Knex } from 'knex';
import { isOpen } from '../booking';
import type { AttemptRow, TryRow } from '../database';
import type { Gateway, OpenedTry, Refused, TryToOpen } from '../gateways/gateway';
import { gatewayNamed, lockAttempt, readBackLater, retryLater, type Dependencies } from './dependencies';

/**
 * The end of a hold, in seconds, which is not for paying but for settling what was paid in the last moment: the SQL function
 * `hold_seats` adds it.
 */
const settlingSeconds = 60;

/** What an attempt says of its payment objects. */
type Terms = Pick<AttemptRow, 'total_minor' | 'currency' | 'return_url' | 'window_seconds' | 'hold_until'>;

/** What opens a try at its gateway: the same each time it is asked for, save that a hold leaves less and less time. */
export function tryToOpen(row: Pick<TryRow, 'booking_id' | 'try' | 'key_number'>, attempt: Terms): TryToOpen {
  const returnUrl = attempt.return_url === null ? undefined : new URL(attempt.return_url);
  returnUrl?.searchParams.set('bookingId', row.booking_id);
  return {
    bookingId: row.booking_id,
    try: row.try,
    keyNumber: row.key_number,
    total: { amountMinor: attempt.total_minor, currency: attempt.currency },
    payWithinSeconds:
      attempt.hold_until === null
        ? attempt.window_seconds
        : Math.max(1, Math.floor((attempt.hold_until.getTime() - Date.now()) / 1000) - settlingSeconds),
    ...(returnUrl === undefined ? {} : { returnUrl: returnUrl.toString() }),
  };
}

/** A try whose payment object is still to be made, and what its attempt says of it. */
type OpeningTry = TryRow & Terms & { attempt_status: AttemptRow['status'] };

async function openingTry(db: Knex, bookingId: string): Promise<OpeningTry | undefined> {
  return db('payment_tries')
    .join('attempts', 'attempts.booking_id', 'payment_tries.booking_id')
    .where({ 'payment_tries.booking_id': bookingId, 'payment_tries.status': 'opening' })
    .select(
      'payment_tries.*',
      'attempts.total_minor',
      'attempts.currency',
      'attempts.return_url',
      'attempts.window_seconds',
      'attempts.hold_until',
      'attempts.status as attempt_status',
    )
    .first<OpeningTry | undefined>();
}

/**
 * Makes the payment object of the attempt's newest try, unless it stands already, and starts the window to pay it in.
 * @throws `gateway-unavailable` (retried) when the gateway gave no usable answer
 */
export async function openTry(deps: Dependencies, bookingId: string): Promise<void> {
  const { db, gateways } = deps;
  const found = await openingTry(db, bookingId);
  if (found === undefined || !isOpen(found.attempt_status)) return;
  const gateway = gatewayNamed(gateways, found.gateway);
  const opened = await gateway.open(tryToOpen(found, found));
  if (opened.status === 'unknown') throw readBackLater(gateway, opened);
  if (opened.status === 'refused') return recordRefused(deps, found, opened);
  await db.transaction((trx) => recordOpened(deps, trx, found, opened));
}

/** @throws `gateway-unavailable` (retried) when another key can still pass */
async function recordRefused(deps: Dependencies, row: TryRow, refused: Refused): Promise<void> {
  const { booking_id: bookingId, gateway } = row;
  deps.log.error({ event: 'try.refused', bookingId, try: row.try, gateway, reason: refused.reason });
  deps.metrics.tries.inc({ gateway, result: 'refused' });
  if (!refused.replayed) return refuseTry(deps, row);
  // The gateway would repeat this answer for its key for ever. Nobody holds the lost object's secret, so the next
  // key cannot make anybody pay twice.
  await deps
    .db('payment_tries')
    .where({ booking_id: bookingId, try: row.try, key_number: row.key_number })
    .increment('key_number', 1);
  throw retryLater('gateway-unavailable', `${gateway} refused for this key: ${refused.reason}`);
}

async function recordOpened(
  deps: Dependencies,
  trx: Knex.Transaction,
  row: TryRow,
  opened: OpenedTry,
): Promise<void> {
  const attempt = await lockAttempt(trx, row.booking_id);
  if (attempt === undefined) throw new Error(`Bug: a try without an attempt, ${row.booking_id}`);
  const changed = await trx('payment_tries')
    .where({ booking_id: row.booking_id, try: row.try, status: 'opening' })
    .update({
      status: 'open',
      gateway_ref: opened.ref,
      how_to_pay: JSON.stringify(opened.howToPay),
      opened_at: trx.fn.now(),
    });
  if (changed === 0 || !isOpen(attempt.status)) return;
  await startWindow(trx, row, gatewayNamed(deps.gateways, row.gateway));
  deps.metrics.tries.inc({ gateway: row.gateway, result: 'opened' });
  deps.log.info({ event: 'attempt.opened', bookingId: row.booking_id, try: row.try });
}

/** The gateway refused the object itself: our mistake or the account's, never the customer's. */
async function refuseTry({ db, metrics }: Dependencies, row: TryRow): Promise<void> {
  await db.transaction(async (trx) => {
    const attempt = await lockAttempt(trx, row.booking_id);
    await trx('payment_tries')
      .where({ booking_id: row.booking_id, try: row.try })
      .update({ status: 'refused' });
    if (attempt === undefined || attempt.status !== 'awaiting_payment') return;
    const failure = JSON.stringify({ type: 'gateway-unavailable' });
    metrics.failures.inc({ type: 'gateway-unavailable' });
    if (attempt.expires_at !== null) {
      await trx('attempts').where({ booking_id: row.booking_id }).update({ failure });
      return;
    }
    await trx('attempts')
      .where({ booking_id: row.booking_id })
      .update({ status: 'failed', failure, ended_at: trx.fn.now() });
    metrics.attempts.inc({ outcome: 'failed' });
  });
}

/** The window counts from now, and so do the payment watch's looks: after opening, and anew after each accepted retry. */
export async function startWindow(
  trx: Knex.Transaction,
  row: Pick<TryRow, 'booking_id' | 'try'>,
  gateway: Gateway,
): Promise<void> {
  await trx('attempts')
    .where({ booking_id: row.booking_id })
    .update({
      // A hold has its own end, which no retry moves.
      expires_at: trx.raw(
        'coalesce(hold_until - make_interval(secs => ?), now() + make_interval(secs => window_seconds))',
        [settlingSeconds],
      ),
    });
  await trx('payment_tries')
    .where({ booking_id: row.booking_id, try: row.try, status: 'open' })
    .update({
      looks: 0,
      next_look_at: trx.raw('now() + make_interval(secs => ?)', [gateway.capabilities.lookSchedule[0] ?? 60]),
      watch_until: trx.raw(
        '(SELECT expires_at FROM attempts WHERE attempts.booking_id = payment_tries.booking_id)',
      ),
    });
}
