/**
 * Opening: freezing the quote, and making a payment object the customer can pay. Nobody else can notice any of it, save a
 * hold that the offering asks for. What needs no money from outside is booked here.
 */
import type { Knex } from 'knex';
import { isOpen } from '../booking';
import type { AttemptRow, TryRow } from '../database';
import type { FailureType } from '../failures';
import type { Gateway, OpenedTry } from '../gateways/gateway';
import type { BookInput } from '../workflows/messages';
import {
  deriveId,
  gatewayNamed,
  lockAttempt,
  readBackLater,
  readStanding,
  retryLater,
  tryToOpen,
  type Dependencies,
  type Refusal,
  type Standing,
} from './dependencies';
import { makeQuote } from './quote';
import { referencesFor } from './settle';
import { methodNamed } from './wallet';

/** Where a new attempt stands, and what it is about: a cart's items are known only now. */
export interface Opened extends Standing {
  offeringIds: string[];
}

export function openActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /**
   * Opens an attempt: its row and frozen quote, the payment object at the gateway, then how to pay. What is free or paid
   * from the wallet is booked with the row. A second run starts at what is missing; one that finds the attempt ended
   * changes nothing.
   * @returns where the attempt stands; `failed` with its failure when the start was refused
   * @throws `gateway-unavailable` (retried) when the gateway gave no usable answer
   */
  async function open(input: BookInput): Promise<Opened> {
    await db.transaction((trx) => writeAttempt(trx, input));
    await openTry(input.bookingId);
    return readOpened(input.bookingId);
  }

  async function readOpened(bookingId: string): Promise<Opened> {
    const attempt = await db<AttemptRow>('attempts').where({ booking_id: bookingId }).first('quote');
    const offeringIds = attempt?.quote.items.map((item) => item.offeringId) ?? [];
    return { ...(await readStanding(db, bookingId)), offeringIds };
  }

  async function writeAttempt(trx: Knex.Transaction, input: BookInput): Promise<void> {
    if ((await lockAttempt(trx, input.bookingId)) !== undefined) return;
    const { bookingId, request } = input;
    const quote = await makeQuote(trx, input, (name) => methodNamed(gateways, name));
    const written = await trx('attempts')
      .insert({
        booking_id: bookingId,
        request_hash: input.requestHash,
        customer_id: input.customerId,
        cart_id: quote.cartId,
        method: request.payment?.method ?? null,
        quote: JSON.stringify({ items: quote.items }),
        total_minor: quote.totalMinor,
        currency: quote.currency,
        contact: JSON.stringify(request.customer),
        return_url: request.returnUrl ?? null,
        status: quote.refusal === undefined ? 'awaiting_payment' : 'failed',
        failure: quote.refusal === undefined ? null : JSON.stringify(quote.refusal),
        tries_max: deps.payment.triesMax,
        window_seconds: deps.payment.windowSeconds,
        ended_at: quote.refusal === undefined ? null : trx.fn.now(),
      })
      // Another run of this activity was faster; its row is as good.
      .onConflict('booking_id')
      .ignore()
      .returning('booking_id');
    if (written.length === 0) return;
    if (quote.refusal !== undefined) tellRefused(bookingId, quote.refusal.type);
    else if (quote.settlesInside) await settleInside(trx, input, quote.totalMinor);
    else if (request.payment !== undefined) await beginTry(trx, bookingId, request.payment.method);
  }

  /** Books at once what needs nobody outside: money, seats and booking in this transaction, or nothing of it. */
  async function settleInside(
    trx: Knex.Transaction,
    { bookingId, request }: BookInput,
    totalMinor: number,
  ): Promise<void> {
    const result = await trx.raw<{ rows: { refusal: FailureType | null; reference: string | null }[] }>(
      'SELECT * FROM settle_inside(?, ?, ?, ?)',
      [bookingId, deriveId('payment', bookingId), deriveId('entry', bookingId), referencesFor(bookingId)],
    );
    const [settled] = result.rows;
    if (settled === undefined) throw new Error(`Bug: ${bookingId} was settled without an answer`);
    const { refusal, reference } = settled;
    const gateway = request.payment?.method ?? 'none';
    if (refusal !== null) return tellRefused(bookingId, refusal);
    if (totalMinor > 0) metrics.tries.inc({ gateway, result: 'paid' });
    metrics.attempts.inc({ outcome: 'confirmed' });
    log.info({ event: 'payment.settled', bookingId, gateway, status: 'confirmed', reference });
  }

  function tellRefused(bookingId: string, failure: FailureType): void {
    metrics.attempts.inc({ outcome: 'failed' });
    metrics.failures.inc({ type: failure });
    log.info({ event: 'attempt.refused', bookingId, failure });
  }

  /** Holds the seats where the offerings ask for it, and writes the try whose payment object is made next. */
  async function beginTry(trx: Knex.Transaction, bookingId: string, gateway: string): Promise<void> {
    const held = await trx.raw<{ rows: { held: boolean }[] }>('SELECT hold_seats(?) AS held', [bookingId]);
    if (held.rows[0]?.held !== true) {
      // Somebody was faster since the quote was made a moment ago.
      await trx('attempts')
        .where({ booking_id: bookingId })
        .update({
          status: 'failed',
          failure: JSON.stringify({ type: 'slot-unavailable' }),
          ended_at: trx.fn.now(),
        });
      return tellRefused(bookingId, 'slot-unavailable');
    }
    await trx('payment_tries').insert({ booking_id: bookingId, try: 1, gateway, status: 'opening' });
  }

  /** Makes the payment object of the attempt's newest try, unless it stands already. */
  async function openTry(bookingId: string): Promise<void> {
    const found = await db<TryRow & AttemptRow>('payment_tries')
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
      .first<
        | (TryRow &
            Pick<AttemptRow, 'total_minor' | 'currency' | 'return_url' | 'window_seconds' | 'hold_until'> & {
              attempt_status: AttemptRow['status'];
            })
        | undefined
      >();
    if (found === undefined || !isOpen(found.attempt_status)) return;
    const gateway = gatewayNamed(gateways, found.gateway);
    const opened = await gateway.open(tryToOpen(found, found));
    if (opened.status === 'unknown') throw readBackLater(gateway, opened);
    if (opened.status === 'opened') return db.transaction((trx) => recordOpened(trx, found, opened));
    log.error({
      event: 'try.refused',
      bookingId,
      try: found.try,
      gateway: gateway.name,
      reason: opened.reason,
    });
    metrics.tries.inc({ gateway: gateway.name, result: 'refused' });
    if (opened.replayed) {
      // The gateway would repeat this answer for its key for ever. Nobody holds the lost object's secret, so the next
      // key cannot make anybody pay twice.
      await db('payment_tries')
        .where({ booking_id: bookingId, try: found.try, key_number: found.key_number })
        .increment('key_number', 1);
      throw retryLater('gateway-unavailable', `${gateway.name} refused for this key: ${opened.reason}`);
    }
    await refuseTry(found);
  }

  async function recordOpened(trx: Knex.Transaction, row: TryRow, opened: OpenedTry): Promise<void> {
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
    await startWindow(trx, row.booking_id, gatewayNamed(gateways, row.gateway));
    metrics.tries.inc({ gateway: row.gateway, result: 'opened' });
    log.info({ event: 'attempt.opened', bookingId: row.booking_id, try: row.try });
  }

  /** The gateway refused the object itself: our mistake or the account's, never the customer's. */
  async function refuseTry(row: TryRow): Promise<void> {
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

  /**
   * No payment object could be made in time: the attempt ends. Nobody holds a secret to pay by, so no money can come.
   * Writes the attempt's row when even that is missing.
   */
  async function giveUpOpening(input: BookInput): Promise<Opened> {
    const { bookingId } = input;
    await db.transaction((trx) => writeAttempt(trx, input));
    const changed = await db('attempts')
      .where({ booking_id: bookingId, status: 'awaiting_payment' })
      .whereNull('expires_at')
      .update({
        status: 'failed',
        failure: JSON.stringify({ type: 'gateway-unavailable' }),
        ended_at: db.fn.now(),
      });
    if (changed > 0) {
      metrics.attempts.inc({ outcome: 'failed' });
      metrics.failures.inc({ type: 'gateway-unavailable' });
      log.warn({ event: 'attempt.failed', bookingId, failure: 'gateway-unavailable' });
    }
    return readOpened(bookingId);
  }

  /**
   * Accepts or refuses another try. The gateway's object is used again while it can still be paid; else a new one is
   * opened. Run it after `settle`, so that the row knows what the gateway said last.
   */
  async function retry(bookingId: string, method: string | undefined): Promise<Standing | Refusal> {
    const decision = await db.transaction((trx) => acceptRetry(trx, bookingId, method));
    if (decision !== 'go on')
      return decision === 'as it is' ? readStanding(db, bookingId) : { refused: decision };
    await openTry(bookingId);
    return readStanding(db, bookingId);
  }

  async function acceptRetry(
    trx: Knex.Transaction,
    bookingId: string,
    method: string | undefined,
  ): Promise<FailureType | 'as it is' | 'go on'> {
    const attempt = await lockAttempt(trx, bookingId);
    if (attempt === undefined) throw new Error(`Bug: no attempt ${bookingId}`);
    if (attempt.status === 'processing') return 'not-retryable';
    if (attempt.status !== 'awaiting_payment') return 'attempt-over';
    const newest = await trx<TryRow>('payment_tries')
      .where({ booking_id: bookingId })
      .orderBy('try', 'desc')
      .first();
    if (newest === undefined) throw new Error(`Bug: an attempt without a try, ${bookingId}`);
    // A run of this activity that was cut off after its first transaction goes on here.
    if (attempt.failure === null) return newest.status === 'opening' ? 'go on' : 'as it is';
    if (method !== undefined && method !== attempt.method) return 'not-retryable';
    if (attempt.tries >= attempt.tries_max) return 'retry-limit';
    const gone = await bookableStill(trx, attempt);
    if (gone !== undefined) return gone;
    const payable = newest.status === 'open';
    await trx('attempts')
      .where({ booking_id: bookingId })
      .update({ failure: null, tries: trx.raw('tries + 1') });
    metrics.retries.inc();
    log.info({ event: 'attempt.retried', bookingId, try: attempt.tries + 1 });
    if (payable) {
      await startWindow(trx, bookingId, gatewayNamed(gateways, newest.gateway));
      return 'as it is';
    }
    await trx('payment_tries').insert({
      booking_id: bookingId,
      try: newest.try + 1,
      gateway: newest.gateway,
      status: 'opening',
    });
    return 'go on';
  }

  return { open, retry, giveUpOpening };
}

/** The window counts from now, and so do the payment watch's looks: after opening, and anew after each accepted retry. */
async function startWindow(trx: Knex.Transaction, bookingId: string, gateway: Gateway): Promise<void> {
  await trx('attempts')
    .where({ booking_id: bookingId })
    .update({
      // A hold has its own end, which no retry moves; its last minute is for settling.
      expires_at: trx.raw(
        "coalesce(hold_until - interval '60 seconds', now() + make_interval(secs => window_seconds))",
      ),
    });
  await trx('payment_tries')
    .where({ booking_id: bookingId, status: 'open' })
    .update({
      looks: 0,
      next_look_at: trx.raw('now() + make_interval(secs => ?)', [gateway.capabilities.lookSchedule[0] ?? 60]),
      watch_until: trx.raw(
        '(SELECT expires_at FROM attempts WHERE attempts.booking_id = payment_tries.booking_id)',
      ),
    });
}

/** What a new try would be refused for when it settled, if anything: better now than after the money came. */
async function bookableStill(trx: Knex.Transaction, attempt: AttemptRow): Promise<FailureType | undefined> {
  const result = await trx.raw<{ rows: { refusal: FailureType | null; enough: boolean }[] }>(
    `SELECT refusal_of(a) AS refusal, NOT EXISTS (
       SELECT FROM jsonb_array_elements(a.quote -> 'items') AS item
       WHERE item ->> 'kind' IS DISTINCT FROM 'consultation'
         AND seats_free(item ->> 'offeringId', a.customer_id) < (item ->> 'seats')::integer) AS enough
     FROM attempts AS a WHERE a.booking_id = ?`,
    [attempt.booking_id],
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error(`Bug: no attempt ${attempt.booking_id}`);
  return row.refusal ?? (row.enough ? undefined : 'slot-unavailable');
}
