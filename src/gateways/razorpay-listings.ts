/**
 * What Razorpay has on its books: the payments of an order, what took money back from them, and everything of an interval.
 * Facts: razorpay.com/docs/api/orders/fetch-payments, …/api/payments/fetch-all-payments, …/api/refunds/entity,
 * …/api/disputes/entity, …/payments/refunds/auto-refunds (read 2026-11).
 */
import type {
  DisputeListed,
  DisputeSeen,
  ListedPage,
  RefundListed,
  RefundSeen,
  Reversals,
  Unknown,
} from './gateway';
import {
  disputeShape,
  pageLimit,
  paymentShape,
  refundShape,
  type Dispute,
  type Outcome,
  type Payment,
  type RazorpayApi,
  type Refund,
} from './razorpay-api';
import { z } from 'zod';

/** A list answers as many when it is asked for none in particular: …/api/payments/fetch-all-payments. */
const defaultPage = 10;

/**
 * Every payment of an order, the oldest first. That list's page names no `count`, and Razorpay refuses fields it does not
 * know; others of its lists are cut at ten. So it is asked plainly, and page by page only where the answer may be cut. If
 * that is refused, the list knows no pages, and the plain answer was all of it.
 */
export async function paymentsOf(api: RazorpayApi, orderId: string): Promise<Outcome<Payment[]>> {
  const path = `/orders/${encodeURIComponent(orderId)}/payments`;
  const plain = await api.get(path, z.object({ items: z.array(paymentShape) }));
  if (plain.status !== 'ok') return plain;
  let { items } = plain.result;
  if (items.length >= defaultPage) {
    const every = await api.every(path, paymentShape);
    if (every.status === 'ok') items = every.result;
    else if (every.status !== 'refused') return every;
  }
  const inOrder = items.toSorted(
    (one, other) => one.created_at - other.created_at || (one.id < other.id ? -1 : 1),
  );
  return { status: 'ok', result: inOrder };
}

/**
 * Money, and not merely a promise of it. A payment that Razorpay gave back by itself, because it was not captured in time or
 * was the second on a paid order, is `refunded` too, and was never captured.
 */
export function isCaptured(payment: Payment): boolean {
  return payment.captured === true;
}

/** Every refund of a payment, whoever made it. */
export function refundsOf(api: RazorpayApi, paymentId: string): Promise<Outcome<Refund[]>> {
  return api.every(`/payments/${encodeURIComponent(paymentId)}/refunds`, refundShape);
}

/** Everything that took money back from the captured payments of an order. */
export async function reversalsOf(
  api: RazorpayApi,
  orderId: string,
): Promise<Reversals | { status: 'missing' } | Unknown> {
  const payments = await paymentsOf(api, orderId);
  if (payments.status !== 'ok') return missingOrUnknown(payments);
  const captured = payments.result.filter(isCaptured);
  const [oldest] = captured;
  if (oldest === undefined) return { status: 'known', refunds: [], disputes: [] };
  const refunds: RefundSeen[] = [];
  for (const { id } of captured) {
    const found = await refundsOf(api, id);
    if (found.status !== 'ok') return missingOrUnknown(found);
    refunds.push(...found.result.map(refundSeen));
  }
  // There is no list of one payment's disputes. No dispute is older than its payment, and an account has few.
  const disputes = await api.every('/disputes', disputeShape, { from: String(oldest.created_at) });
  if (disputes.status !== 'ok') return asUnknown(disputes);
  const ours = disputes.result.filter((dispute) => captured.some(({ id }) => id === dispute.payment_id));
  return { status: 'known', refunds, disputes: ours.flatMap((dispute) => disputeSeen(dispute) ?? []) };
}

/** A read that found nothing, or that is refused, which says nothing about the money. */
export function missingOrUnknown(
  answer: Exclude<Outcome<unknown>, { status: 'ok' }>,
): { status: 'missing' } | Unknown {
  return answer.status === 'missing' ? { status: 'missing' } : asUnknown(answer);
}

/** A refusal where the answer alone would have told something: no more is known than before. */
export function asUnknown(answer: Exclude<Outcome<unknown>, { status: 'ok' }>): Unknown {
  return answer.status === 'unknown' ? answer : { status: 'unknown', reason: answer.reason };
}

/** A refund as the story knows it. A status still to be invented counts as pending: it is looked at again. */
export function refundSeen(refund: Refund): RefundSeen {
  const seen = {
    refundRef: refund.id,
    chargeRef: refund.payment_id,
    refundId: refund.notes['refundId'] ?? null,
    amountMinor: refund.amount,
  };
  switch (refund.status) {
    case 'processed':
      return { ...seen, status: 'succeeded' };
    case 'failed':
      return { ...seen, status: 'failed' };
    default:
      return { ...seen, status: 'pending' };
  }
}

/** Phases in which the bank only asks. */
const inquiries = new Set(['fraud', 'retrieval']);

/**
 * Undefined for an inquiry that took no money. Razorpay deducts the money of a dispute when it is lost, but while a
 * chargeback is open nobody can count on keeping it: it is told from its beginning. `closed` is the end of an inquiry; what
 * was deducted then decides.
 */
function disputeSeen(dispute: Dispute): DisputeSeen | undefined {
  const deducted = dispute.amount_deducted ?? 0;
  const status = disputeStatus(dispute.status, deducted);
  if (inquiries.has(dispute.phase ?? '') && status !== 'lost') return undefined;
  return {
    disputeRef: dispute.id,
    chargeRef: dispute.payment_id,
    status,
    amountMinor: status === 'lost' && deducted > 0 ? deducted : dispute.amount,
    currency: dispute.currency.toUpperCase(),
    reason: dispute.reason_code ?? 'unknown',
  };
}

function disputeStatus(status: string, deducted: number): DisputeSeen['status'] {
  switch (status) {
    case 'won':
      return 'won';
    case 'lost':
      return 'lost';
    case 'closed':
      return deducted > 0 ? 'lost' : 'won';
    default:
      return 'open';
  }
}

/** Refunds or disputes on a page: each may cost a call more, and a page is read at one go. */
const reversalsPerPage = 25;

/**
 * One page of the captured payments begun in an interval; after the last of those, one of its refunds, then one of its
 * disputes. The cursor names the list and how many to skip. A payment is listed under its beginning, and Razorpay tells no
 * time of capture: one that a bank confirmed days late is under the day it was begun, and only the payment watch meets it in
 * time.
 */
export async function listed(
  api: RazorpayApi,
  from: Date,
  to: Date,
  cursor = 'payments:0',
): Promise<ListedPage | Unknown> {
  const [kind, skipped] = cursor.split(':');
  const skip = Number(skipped);
  const [first, end] = [toSecond(from), toSecond(to)];
  const count = kind === 'payments' ? pageLimit : reversalsPerPage;
  const wanted = { from: String(first), to: String(end), count: String(count), skip: String(skip) };
  // Whether `to` itself belongs to the list is not told.
  const inside = (one: { created_at: number }): boolean => one.created_at >= first && one.created_at < end;
  if (kind === 'payments') {
    const page = await api.page('/payments', paymentShape, wanted);
    if (page.status !== 'ok') return asUnknown(page);
    const next = page.result.length < count ? 'refunds:0' : `payments:${skip + count}`;
    const payments = page.result.filter((payment) => isCaptured(payment) && inside(payment));
    return { status: 'known', payments: payments.map(paymentListed), refunds: [], next };
  }
  if (kind === 'refunds') {
    const page = await api.page('/refunds', refundShape, wanted);
    if (page.status !== 'ok') return asUnknown(page);
    const next = page.result.length < count ? 'disputes:0' : `refunds:${skip + count}`;
    const refunds = await refundsListed(api, page.result.filter(inside));
    return Array.isArray(refunds) ? { status: 'known', payments: [], refunds, next } : refunds;
  }
  const page = await api.page('/disputes', disputeShape, wanted);
  if (page.status !== 'ok') return asUnknown(page);
  const disputes = await disputesListed(api, page.result.filter(inside));
  if (!Array.isArray(disputes)) return disputes;
  const next = page.result.length < count ? {} : { next: `disputes:${skip + count}` };
  return { status: 'known', payments: [], refunds: [], disputes, ...next };
}

/** Razorpay's times are whole seconds; rounding both bounds up the same way keeps neighbouring intervals apart. */
function toSecond(date: Date): number {
  return Math.ceil(date.getTime() / 1000);
}

function paymentListed(payment: Payment): ListedPage['payments'][number] {
  return {
    ref: payment.order_id ?? payment.id,
    chargeRef: payment.id,
    total: { amountMinor: payment.amount, currency: payment.currency.toUpperCase() },
    bookingId: payment.notes['bookingId'] ?? null,
    capturedAt: new Date(payment.created_at * 1000),
  };
}

/**
 * A refund does not name its order. Ours bear it in their notes; for any other its payment is read, which also tells the
 * refunds of money that was never captured: those are none of anybody's.
 */
async function refundsListed(
  api: RazorpayApi,
  refunds: readonly Refund[],
): Promise<RefundListed[] | Unknown> {
  const all: RefundListed[] = [];
  for (const refund of refunds) {
    let ref = refund.notes['orderId'];
    if (ref === undefined) {
      const payment = await api.get(`/payments/${encodeURIComponent(refund.payment_id)}`, paymentShape);
      if (payment.status !== 'ok') return asUnknown(payment);
      if (!isCaptured(payment.result)) continue;
      ref = payment.result.order_id ?? payment.result.id;
    }
    all.push({
      ...refundSeen(refund),
      ref,
      currency: refund.currency.toUpperCase(),
      createdAt: new Date(refund.created_at * 1000),
    });
  }
  return all;
}

/** A dispute names its payment, and only that names its order. */
async function disputesListed(
  api: RazorpayApi,
  disputes: readonly Dispute[],
): Promise<DisputeListed[] | Unknown> {
  const all: DisputeListed[] = [];
  for (const dispute of disputes) {
    const seen = disputeSeen(dispute);
    if (seen === undefined) continue;
    const payment = await api.get(`/payments/${encodeURIComponent(dispute.payment_id)}`, paymentShape);
    if (payment.status !== 'ok') return asUnknown(payment);
    all.push({ ...seen, ref: payment.result.order_id ?? payment.result.id });
  }
  return all;
}
