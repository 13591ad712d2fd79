/**
 * Another try for the same attempt: at the same payment object while that can be paid, else at a new one, or by another way to
 * pay.
 */
import type { Knex } from 'knex';
import type { AttemptRow, TryRow } from '../database';
import { isOpen, retryVerdict } from '../booking';
import type { FailureType } from '../failures';
import {
  gatewayNamed,
  lockAttempt,
  readStanding,
  type Dependencies,
  type Refusal,
  type Standing,
} from './dependencies';
import { closeTry, leaveOpen } from './end';
import { settleInside } from './charges';
import { settleTries } from './settle';
import { openTry, startWindow } from './tries';
import { methodNamed, wallet } from './wallet';

/** What becomes of a wish to retry: a refusal, or what to do next. */
type Decision = FailureType | 'as it is' | 'open' | 'close first';

export function retryActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /**
   * Accepts or refuses another try. Run it after `settle`, so that the row knows what the gateway said last.
   * @param method another way to pay: then the old object is closed first, where that can be done. If it turns out paid,
   *   that settles and no new one is opened; where it cannot be closed, both stay watched
   * @throws `gateway-unavailable` (retried for as long as the customer waits) when a gateway gave no usable answer
   */
  async function retry(bookingId: string, method: string | undefined): Promise<Standing | Refusal> {
    let decision = await db.transaction((trx) => acceptRetry(trx, bookingId, method));
    if (decision === 'close first') {
      const closed = await closeNewest(bookingId);
      if (closed === 'paid') return readStanding(db, bookingId);
      if (closed === 'processing') return { refused: 'not-retryable' };
      decision = await db.transaction((trx) => acceptRetry(trx, bookingId, method, closed));
    }
    if (decision === 'open') await openTry(deps, bookingId);
    else if (decision !== 'as it is' && decision !== 'close first') return { refused: decision };
    return readStanding(db, bookingId);
  }

  async function closeNewest(bookingId: string): Promise<'closed' | 'open' | 'paid' | 'processing'> {
    const newest = await newestTry(db, bookingId);
    const closed = await closeTry(deps, newest);
    if (closed === 'paid' || closed === 'processing') await settleTries(deps, [newest], []);
    return closed;
  }

  /** @param closed what became of the old payment object, once that was asked */
  async function acceptRetry(
    trx: Knex.Transaction,
    bookingId: string,
    wanted: string | undefined,
    closed?: 'closed' | 'open',
  ): Promise<Decision> {
    const attempt = await lockAttempt(trx, bookingId);
    if (attempt === undefined) throw new Error(`Bug: no attempt ${bookingId}`);
    if (attempt.status === 'processing') return 'not-retryable';
    if (!isOpen(attempt.status))
      return retryVerdict(attempt.status) === 'granted' ? 'as it is' : 'attempt-over';
    const newest = await newestTry(trx, bookingId);
    const method = wanted ?? newest.gateway;
    const changes = method !== newest.gateway;
    // A run of this activity that was cut off after its first transaction goes on here.
    if (attempt.failure === null && !changes) return newest.status === 'opening' ? 'open' : 'as it is';
    const refusal = await whyNot(trx, attempt, method);
    if (refusal !== undefined) return refusal;
    const payable = newest.status === 'open';
    if (changes && payable && closed === undefined) return 'close first';
    const again = payable && !changes;
    const { insideTransaction } = methodNamed(gateways, method).capabilities;
    if (insideTransaction) {
      const unpaid = await payInside(trx, attempt, method);
      if (unpaid !== undefined) return unpaid;
    } else {
      await begin(trx, newest, method, again);
    }
    if (changes) await leaveOld(trx, newest, closed);
    metrics.retries.inc();
    log.info({ event: 'attempt.retried', bookingId, try: attempt.tries + 1 });
    return insideTransaction || again ? 'as it is' : 'open';
  }

  function payInside(trx: Knex.Transaction, attempt: AttemptRow, method: string) {
    const { booking_id: bookingId, total_minor: totalMinor, tries } = attempt;
    return settleInside(deps, trx, { bookingId, method, totalMinor, retry: tries + 1 });
  }

  /** Starts the window anew at the same payment object, or writes the try whose object is made next. */
  async function begin(trx: Knex.Transaction, newest: TryRow, method: string, again: boolean): Promise<void> {
    const { booking_id: bookingId } = newest;
    await trx('attempts')
      .where({ booking_id: bookingId })
      .update({ failure: null, method, tries: trx.raw('tries + 1') });
    if (again) return startWindow(trx, newest, gatewayNamed(gateways, newest.gateway));
    const key = { booking_id: bookingId, try: newest.try + 1 };
    await trx('payment_tries').insert({ ...key, gateway: method, status: 'opening' });
  }

  /** The try that another way to pay replaces. One that was never opened needs no closing: nobody was told how to pay it. */
  async function leaveOld(trx: Knex.Transaction, old: TryRow, closed: 'closed' | 'open' | undefined) {
    if (closed === 'open') return leaveOpen(trx, old, gatewayNamed(gateways, old.gateway));
    await trx('payment_tries')
      .where({ booking_id: old.booking_id, try: old.try })
      .whereIn('status', ['opening', 'open'])
      .update({ status: 'closed', next_look_at: null });
  }

  return { retry };
}

async function newestTry(db: Knex, bookingId: string): Promise<TryRow> {
  const newest = await db<TryRow>('payment_tries')
    .where({ booking_id: bookingId })
    .orderBy('try', 'desc')
    .first();
  if (newest === undefined) throw new Error(`Bug: an attempt without a try, ${bookingId}`);
  return newest;
}

/**
 * What a new try would be refused for, now or when it settled, if anything: better told before the money comes, and before
 * the old object is closed.
 */
async function whyNot(
  trx: Knex.Transaction,
  attempt: AttemptRow,
  method: string,
): Promise<FailureType | undefined> {
  if (attempt.tries >= attempt.tries_max) return 'retry-limit';
  const result = await trx.raw<{ rows: { refusal: FailureType | null; enough: boolean; funds: boolean }[] }>(
    `SELECT refusal_of(a) AS refusal, NOT EXISTS (
       SELECT FROM jsonb_array_elements(a.quote -> 'items') AS item
       WHERE item ->> 'kind' IS DISTINCT FROM 'consultation'
         AND seats_free(item ->> 'offeringId', a.customer_id) < (item ->> 'seats')::integer) AS enough,
       ? <> ? OR EXISTS (SELECT FROM wallets AS w WHERE w.customer_id = a.customer_id
         AND w.currency = a.currency AND w.balance_minor >= a.total_minor) AS funds
     FROM attempts AS a WHERE a.booking_id = ?`,
    [method, wallet.name, attempt.booking_id],
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error(`Bug: no attempt ${attempt.booking_id}`);
  if (row.refusal !== null) return row.refusal;
  if (!row.enough) return 'slot-unavailable';
  return row.funds ? undefined : 'insufficient-funds';
}
