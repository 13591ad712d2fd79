/** Opening: freezing the quote, and making a payment object the customer can pay. Nobody else can notice any of it. */
import type { Knex } from 'knex';
import { isOpen, type QuotedItem } from '../booking';
import type { AttemptRow, OfferingRow, TryRow } from '../database';
import type { FailureType } from '../failures';
import type { Gateway, OpenedTry } from '../gateways/gateway';
import type { BookInput } from '../workflows/messages';
import {
  gatewayNamed,
  lockAttempt,
  readBackLater,
  readStanding,
  retryLater,
  type Dependencies,
  type Refusal,
  type Standing,
} from './dependencies';

/** ISO 4217's code for "no currency": a refused start has nothing to pay, and its row says so. */
const noCurrency = 'XXX';

interface Quote {
  items: QuotedItem[];
  totalMinor: number;
  currency: string;
  refusal?: { type: FailureType; detail: string };
}

export function openActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /**
   * Opens an attempt: its row and frozen quote, the payment object at the gateway, then how to pay. A second run starts
   * at what is missing; one that finds the attempt ended changes nothing.
   * @returns where the attempt stands; `failed` with its failure when the start was refused
   * @throws `gateway-unavailable` (retried) when the gateway gave no usable answer
   */
  async function open(input: BookInput): Promise<Standing> {
    await db.transaction((trx) => writeAttempt(trx, input));
    await openTry(input.bookingId);
    return readStanding(db, input.bookingId);
  }

  async function writeAttempt(trx: Knex.Transaction, input: BookInput): Promise<void> {
    if ((await lockAttempt(trx, input.bookingId)) !== undefined) return;
    const { request } = input;
    const quote = await makeQuote(trx, input);
    const written = await trx('attempts')
      .insert({
        booking_id: input.bookingId,
        request_hash: input.requestHash,
        customer_id: input.customerId,
        method: request.payment.method,
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
    if (quote.refusal !== undefined) {
      metrics.attempts.inc({ outcome: 'failed' });
      metrics.failures.inc({ type: quote.refusal.type });
      log.info({ event: 'attempt.refused', bookingId: input.bookingId, failure: quote.refusal.type });
      return;
    }
    await trx('payment_tries').insert({
      booking_id: input.bookingId,
      try: 1,
      gateway: request.payment.method,
      status: 'opening',
    });
  }

  async function makeQuote(trx: Knex.Transaction, { request }: BookInput): Promise<Quote> {
    const ids = request.items.map((item) => item.offeringId);
    const offerings = await trx('offerings')
      .whereIn('id', ids)
      .select<(OfferingRow & { free: number; started: boolean })[]>(
        'offerings.*',
        trx.raw('starts_at <= now() AS started'),
        trx.raw(
          '(SELECT count(*) FROM seats WHERE offering_id = offerings.id AND booking_id IS NULL) AS free',
        ),
      );
    const byId = new Map(offerings.map((offering) => [offering.id, offering]));
    const items: QuotedItem[] = [];
    let refusal: Quote['refusal'];
    for (const item of request.items) {
      const offering = byId.get(item.offeringId);
      if (offering === undefined) return refused('not-found', `There is no offering ${item.offeringId}.`);
      items.push({
        offeringId: offering.id,
        kind: offering.kind,
        title: offering.title,
        seats: item.seats,
        priceMinor: offering.price_minor,
        startsAt: offering.starts_at.toISOString(),
        endsAt: offering.ends_at.toISOString(),
        timeZone: offering.time_zone,
        ...(item.details === undefined ? {} : { details: item.details }),
      });
      refusal ??= refuseItem(offering, item.seats);
    }
    const totalMinor = items.reduce((sum, item) => sum + item.priceMinor * item.seats, 0);
    const currencies = new Set(offerings.map((offering) => offering.currency));
    const [currency = noCurrency] = currencies;
    const unpayable = refuseTotal(totalMinor, currencies, request.payment.method);
    if (unpayable !== undefined) return refused('invalid-request', unpayable);
    return { items, totalMinor, currency, ...(refusal === undefined ? {} : { refusal }) };
  }

  /** Why a total cannot be paid by this method at all, if so. */
  function refuseTotal(
    totalMinor: number,
    currencies: ReadonlySet<string>,
    method: string,
  ): string | undefined {
    const [currency = noCurrency, second] = currencies;
    if (second !== undefined) return 'All items of one booking must have the same currency.';
    const { minimumAmountMinor, maximumAmountMinor } = gatewayNamed(gateways, method).capabilities;
    const minimum = minimumAmountMinor[currency];
    if (minimum === undefined) return `${method} does not take ${currency} here.`;
    if (totalMinor >= minimum && totalMinor <= maximumAmountMinor) return undefined;
    return `${method} takes ${minimum} to ${maximumAmountMinor} ${currency} (smallest unit), not ${totalMinor}.`;
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
        'attempts.status as attempt_status',
      )
      .first<
        (TryRow & { total_minor: number; currency: string; attempt_status: AttemptRow['status'] }) | undefined
      >();
    if (found === undefined || !isOpen(found.attempt_status)) return;
    const gateway = gatewayNamed(gateways, found.gateway);
    const opened = await gateway.open({
      bookingId,
      try: found.try,
      keyNumber: found.key_number,
      total: { amountMinor: found.total_minor, currency: found.currency },
    });
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
      if (attempt.expires_at !== null) {
        await trx('attempts').where({ booking_id: row.booking_id }).update({ failure });
        return;
      }
      await trx('attempts')
        .where({ booking_id: row.booking_id })
        .update({ status: 'failed', failure, ended_at: trx.fn.now() });
      metrics.attempts.inc({ outcome: 'failed' });
      metrics.failures.inc({ type: 'gateway-unavailable' });
    });
  }

  /**
   * No payment object could be made in time: the attempt ends. Nobody holds a secret to pay by, so no money can come.
   * Writes the attempt's row when even that is missing.
   */
  async function giveUpOpening(input: BookInput): Promise<Standing> {
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
    return readStanding(db, bookingId);
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
      gateway: attempt.method,
      status: 'opening',
    });
    return 'go on';
  }

  return { open, retry, giveUpOpening };
}

/** A start that has nothing to quote. */
function refused(type: FailureType, detail: string): Quote {
  return { items: [], totalMinor: 0, currency: noCurrency, refusal: { type, detail } };
}

function refuseItem(
  offering: OfferingRow & { free: number; started: boolean },
  seats: number,
): Quote['refusal'] {
  if (offering.status !== 'open' || offering.started) {
    return { type: 'offering-closed', detail: `“${offering.title}” cannot be booked any more.` };
  }
  if (offering.free >= seats) return undefined;
  const left = offering.free === 0 ? 'no seats left' : `only ${offering.free} of ${seats} seats left`;
  return { type: 'slot-unavailable', detail: `“${offering.title}” has ${left}.` };
}

/** The window counts from now, and so do the payment watch's looks: after opening, and anew after each accepted retry. */
async function startWindow(trx: Knex.Transaction, bookingId: string, gateway: Gateway): Promise<void> {
  await trx('attempts')
    .where({ booking_id: bookingId })
    .update({ expires_at: trx.raw('now() + make_interval(secs => window_seconds)') });
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
  const result = await trx.raw<{ rows: { open: boolean; enough: boolean }[] }>(
    `SELECT bool_and(o.status = 'open' AND o.starts_at > now()) AS open,
       bool_and((SELECT count(*) FROM seats WHERE offering_id = o.id AND booking_id IS NULL)
         >= (item ->> 'seats')::integer) AS enough
     FROM jsonb_array_elements(?::jsonb -> 'items') AS item JOIN offerings AS o ON o.id = item ->> 'offeringId'`,
    [JSON.stringify(attempt.quote)],
  );
  const row = result.rows[0];
  if (row?.open !== true) return 'offering-closed';
  return row.enough ? undefined : 'slot-unavailable';
}
