/**
 * The daily comparison: what the gateway says it took and gave back in an interval, held against our rows, and our rows held
 * against the gateway. It decides nothing: what settling can mend is rung for, and what remains is a case each.
 */
import { Context } from '@temporalio/activity';
import { isId } from '../booking';
import type { PaymentRow, RefundRow, TryRow } from '../database';
import { ring } from '../doorbell';
import type { Gateway, ListedPage, PaymentListed, RefundListed } from '../gateways/gateway';
import type { Ring } from '../workflows/messages';
import { unheardDisputes } from './compare-disputes';
import { gatewayNamed, readBackLater, type Dependencies } from './dependencies';
import { caseOf, type Difference } from './differences';
import { asSent, readOwed } from './refunds';

/**
 * How long what was heard is kept, in days: as long as a gateway's dashboard lets anybody replay an event, with room. What
 * was told by webhook is kept as long, to be looked at and repeated.
 */
const eventsKeptDays = 30;

/** Rows read at once when our side is held against the gateway. */
const rowsPerPage = 200;

/** An interval, half open: ISO 8601. */
export interface Interval {
  from: string;
  to: string;
}

/** What a comparison found at one gateway. */
export interface Compared {
  gateway: string;
  payments: number;
  refunds: number;
  /** Of another shop on the same account: counted, never a finding. */
  notOurs: number;
  /** Money, refunds or disputes that were unknown here, and rung for. */
  rung: number;
  /** Open cases about differences, each of which needs a keeper. */
  caseIds: string[];
}

export function compareActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /** Names of the gateways that can be compared here. */
  async function gatewaysToCompare(): Promise<string[]> {
    return Promise.resolve([...gateways.keys()]);
  }

  /**
   * Compares one gateway with our rows. Run again for the same interval it finds the same, and opens nothing twice.
   * @throws `gateway-unavailable` (retried) when the gateway gave no usable answer
   */
  async function compare(name: string, { from, to }: Interval): Promise<Compared> {
    const gateway = gatewayNamed(gateways, name);
    const found: Compared = { gateway: name, payments: 0, refunds: 0, notOurs: 0, rung: 0, caseIds: [] };
    const seen = gateway.list === undefined ? undefined : new Set<string>();
    if (seen !== undefined) await compareLists(gateway, { from, to }, found, seen);
    await compareOurs(gateway, { from, to }, found, seen);
    log.info({ event: 'comparison.done', ...found, caseIds: found.caseIds.length });
    return found;
  }

  /** The gateway's side: page by page, one call at a time. */
  async function compareLists(
    gateway: Gateway,
    { from, to }: Interval,
    found: Compared,
    seen: Set<string>,
  ): Promise<void> {
    let cursor: string | undefined;
    do {
      Context.current().heartbeat();
      const page = await gateway.list?.(new Date(from), new Date(to), cursor);
      if (page === undefined) return;
      if (page.status === 'unknown') throw readBackLater(gateway, page);
      await comparePage(gateway, page, found);
      for (const { chargeRef } of page.payments) seen.add(chargeRef);
      for (const { refundRef } of page.refunds) seen.add(refundRef);
      cursor = page.next;
    } while (cursor !== undefined);
  }

  async function comparePage(gateway: Gateway, page: ListedPage, found: Compared): Promise<void> {
    found.payments += page.payments.length;
    found.refunds += page.refunds.length;
    const charges = page.payments.map(({ chargeRef }) => chargeRef);
    const known = await db<PaymentRow>('payments')
      .where({ gateway: gateway.name })
      .whereIn('gateway_payment_id', charges);
    const byCharge = new Map(known.map((row) => [row.gateway_payment_id, row]));
    const refs = [...page.payments, ...page.refunds].map(({ ref }) => ref);
    const tries = await db<TryRow>('payment_tries')
      .where({ gateway: gateway.name })
      .whereIn('gateway_ref', refs)
      .select('gateway_ref');
    const opened = new Set(tries.map((row) => row.gateway_ref));
    for (const listed of page.payments) {
      const row = byCharge.get(listed.chargeRef);
      if (row !== undefined) await compareAmount(row, listed.total, found);
      else if (opened.has(listed.ref) || isOurs(listed)) await ringFor(gateway, listed, found);
      else {
        found.notOurs += 1;
        metrics.notOurs.inc({ gateway: gateway.name });
      }
    }
    await compareRefunds(gateway, page.refunds, found);
    for (const { ref } of await unheardDisputes(db, gateway.name, page.disputes ?? [])) {
      await ringFor(gateway, { ref, reversal: true }, found);
    }
  }

  async function compareRefunds(
    gateway: Gateway,
    listed: readonly RefundListed[],
    found: Compared,
  ): Promise<void> {
    const ours = await db('refunds')
      .join('payments', 'payments.id', 'refunds.payment_id')
      .where({ 'payments.gateway': gateway.name })
      .whereIn(
        'refunds.gateway_refund_id',
        listed.map(({ refundRef }) => refundRef),
      )
      .select<(RefundRow & { booking_id: string | null; currency: string })[]>(
        'refunds.*',
        'payments.booking_id',
        'payments.currency',
      );
    const byRef = new Map(ours.map((row) => [row.gateway_refund_id, row]));
    for (const refund of listed) {
      const row = byRef.get(refund.refundRef);
      if (row === undefined) await ringForRefund(gateway, refund, found);
      // The bad news, or the good, never reached us.
      else if (row.status !== refund.status && row.reason !== 'external') {
        await ringFor(gateway, { ref: refund.ref }, found);
      } else if (row.reason === 'external' && refund.status === 'failed') {
        await ringFor(gateway, { ref: refund.ref, reversal: true }, found);
      } else if (row.reason !== 'external' && row.amount_minor !== refund.amountMinor) {
        await openCase(
          {
            cause: ['refund-amount', refund.refundRef],
            paymentId: row.payment_id,
            bookingId: row.booking_id,
            amountMinor: Math.abs(row.amount_minor - refund.amountMinor),
            currency: row.currency,
            detail: `Refund ${row.id} is ${row.amount_minor} ${row.currency} here and ${refund.amountMinor} at ${gateway.name}.`,
          },
          found,
        );
      }
    }
  }

  /** A refund that no row of ours names: made by hand, or ours and never written down. The payment is looked at anew. */
  async function ringForRefund(gateway: Gateway, refund: RefundListed, found: Compared): Promise<void> {
    const payment = await db<PaymentRow>('payments')
      .where({ gateway: gateway.name, gateway_ref: refund.ref })
      .first();
    if (payment === undefined) {
      if (refund.refundId === null) found.notOurs += 1;
      return;
    }
    if (refund.status === 'failed') return;
    await ringFor(gateway, { ref: refund.ref, reversal: true }, found);
  }

  async function compareAmount(
    row: PaymentRow,
    total: PaymentListed['total'],
    found: Compared,
  ): Promise<void> {
    if (row.amount_minor === total.amountMinor && row.currency === total.currency) return;
    await openCase(
      {
        cause: ['payment-amount', row.gateway_payment_id],
        paymentId: row.id,
        bookingId: row.booking_id,
        amountMinor: Math.abs(row.amount_minor - total.amountMinor),
        currency: row.currency,
        detail: `Payment ${row.gateway_payment_id} is ${row.amount_minor} ${row.currency} here and ${total.amountMinor} ${total.currency} at ${row.gateway}.`,
      },
      found,
    );
  }

  /** Our side: what we have of the interval, and the gateway did not list, is read there one by one. */
  async function compareOurs(
    gateway: Gateway,
    { from, to }: Interval,
    found: Compared,
    seen: ReadonlySet<string> | undefined,
  ): Promise<void> {
    for (let after = ''; ;) {
      Context.current().heartbeat();
      const rows = await db<PaymentRow>('payments')
        .where({ gateway: gateway.name })
        .where('recorded_at', '>=', from)
        .where('recorded_at', '<', to)
        .where('id', '>', after)
        .orderBy('id')
        .limit(rowsPerPage);
      for (const row of rows) {
        if (seen?.has(row.gateway_payment_id) !== true) await readPayment(gateway, row, found);
        if (seen === undefined) found.payments += 1;
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.id;
    }
    await compareOurRefunds(gateway, { from, to }, found, seen);
    if (seen === undefined) await readTries(gateway, { from, to }, found);
  }

  async function readPayment(gateway: Gateway, row: PaymentRow, found: Compared): Promise<void> {
    Context.current().heartbeat();
    const state = await gateway.read(row.gateway_ref);
    if (state.status === 'unknown') throw readBackLater(gateway, state);
    const charges = state.status === 'paid' ? [state, ...(state.others ?? [])] : [];
    const charge = charges.find(({ chargeRef }) => chargeRef === row.gateway_payment_id);
    if (charge !== undefined) return compareAmount(row, charge.total, found);
    await openCase(
      {
        cause: ['payment-missing', row.gateway_payment_id],
        paymentId: row.id,
        bookingId: row.booking_id,
        amountMinor: row.amount_minor,
        currency: row.currency,
        detail: `Payment ${row.gateway_payment_id} of ${row.amount_minor} ${row.currency} is captured here and ${charges.length > 0 ? 'missing' : state.status} at ${gateway.name}.`,
      },
      found,
    );
  }

  async function compareOurRefunds(
    gateway: Gateway,
    { from, to }: Interval,
    found: Compared,
    seen: ReadonlySet<string> | undefined,
  ): Promise<void> {
    const rows = await db('refunds')
      .join('payments', 'payments.id', 'refunds.payment_id')
      .where({ 'payments.gateway': gateway.name, 'refunds.status': 'succeeded' })
      .whereNot({ 'refunds.reason': 'external' })
      .whereNotNull('refunds.gateway_refund_id')
      .where('refunds.settled_at', '>=', from)
      .where('refunds.settled_at', '<', to)
      .orderBy('refunds.id')
      .select<{ id: string; gateway_refund_id: string }[]>('refunds.id', 'refunds.gateway_refund_id');
    for (const { id, gateway_refund_id: ref } of rows) {
      if (seen === undefined) found.refunds += 1;
      if (seen?.has(ref) === true) continue;
      Context.current().heartbeat();
      const refund = await readOwed(db, id);
      const state = await gateway.readRefund(asSent(refund));
      if (state.status === 'unknown') throw readBackLater(gateway, state);
      if (state.status === 'succeeded' || state.status === 'pending') continue;
      await openCase(
        {
          cause: ['refund-missing', ref],
          paymentId: refund.payment_id,
          bookingId: refund.booking_id,
          amountMinor: refund.amount_minor,
          currency: refund.currency,
          detail: `Refund ${id} of ${refund.amount_minor} ${refund.currency} is done here and ${state.status} at ${gateway.name}.`,
        },
        found,
      );
    }
  }

  /** A gateway that cannot list: each try of the interval that is not known to be paid is looked at. */
  async function readTries(gateway: Gateway, { from, to }: Interval, found: Compared): Promise<void> {
    const rows = await db<TryRow>('payment_tries')
      .where({ gateway: gateway.name })
      .whereNotNull('gateway_ref')
      .whereNot({ status: 'paid' })
      .where('opened_at', '>=', from)
      .where('opened_at', '<', to)
      .orderBy(['booking_id', 'try']);
    for (const row of rows) {
      if (row.gateway_ref === null) continue;
      Context.current().heartbeat();
      const state = await gateway.read(row.gateway_ref);
      if (state.status === 'unknown') throw readBackLater(gateway, state);
      if (state.status === 'paid') await ringFor(gateway, { ref: row.gateway_ref }, found);
    }
  }

  async function ringFor(
    gateway: Gateway,
    at: { ref: string; bookingId?: string | null; reversal?: true },
    found: Compared,
  ): Promise<void> {
    found.rung += 1;
    const rung: Ring = {
      by: 'watch',
      gateway: gateway.name,
      ref: at.ref,
      ...(at.reversal === true ? { reversal: true as const } : {}),
      at: new Date().toISOString(),
    };
    await ring(deps.temporal, deps.taskQueue, { bookingId: null, gateway: gateway.name, ref: at.ref }, rung);
  }

  async function openCase(difference: Difference, found: Compared): Promise<void> {
    const caseId = await caseOf(deps, found.gateway, difference);
    if (caseId !== undefined) found.caseIds.push(caseId);
  }

  /** Drops what was heard, and told, longer ago than anybody asks. */
  async function forgetOldEvents(): Promise<number> {
    await db('webhook_deliveries')
      .whereNull('next_try_at')
      .where('occurred_at', '<', db.raw('now() - make_interval(days => ?)', [eventsKeptDays]))
      .delete();
    return db('gateway_events')
      .where('heard_at', '<', db.raw('now() - make_interval(days => ?)', [eventsKeptDays]))
      .delete();
  }

  return { gatewaysToCompare, compare, forgetOldEvents };
}

/** Whether listed money bears an id that could be ours. */
function isOurs(listed: PaymentListed): boolean {
  return listed.bookingId !== null && isId('booking', listed.bookingId);
}
