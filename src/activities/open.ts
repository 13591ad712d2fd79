/**
 * Opening: freezing the quote, and making a payment object the customer can pay. Nobody else can notice any of it, save a
 * hold that the offering asks for. What needs no money from outside is booked here.
 */
import type { Knex } from 'knex';
import type { AttemptRow } from '../database';
import type { FailureType } from '../failures';
import type { BookInput } from '../workflows/messages';
import { lockAttempt, readStanding, type Dependencies, type Standing } from './dependencies';
import { makeQuote } from './quote';
import { settleInside } from './charges';
import { openTry } from './tries';
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
    await openTry(deps, input.bookingId);
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
    else if (quote.settlesInside) {
      const refusal = await settleInside(deps, trx, {
        bookingId,
        method: request.payment?.method ?? null,
        totalMinor: quote.totalMinor,
      });
      if (refusal !== undefined) tellRefused(bookingId, refusal);
    } else if (request.payment !== undefined) await beginTry(trx, bookingId, request.payment.method);
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
      const gateway = input.request.payment?.method;
      log.warn({ event: 'attempt.failed', bookingId, gateway, failure: 'gateway-unavailable' });
    }
    return readOpened(bookingId);
  }

  return { open, giveUpOpening };
}
