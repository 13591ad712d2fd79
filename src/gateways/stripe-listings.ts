/**
 * What Stripe has on its books: the refunds and disputes of one payment, and everything of an interval. Facts:
 * docs.stripe.com/api/refunds/list, …/api/disputes/object, …/api/charges/list, …/api/pagination,
 * …/disputes/how-disputes-work (read 2026-11).
 */
import type Stripe from 'stripe';
import type {
  DisputeListed,
  DisputeSeen,
  ListedPage,
  PaymentListed,
  RefundListed,
  RefundSeen,
  Reversals,
  Unknown,
} from './gateway';
import { isMissing, unknown } from './stripe-errors';

/** Most objects on a page. Source: docs.stripe.com/api/pagination. */
const limit = 100;

/** Every refund and every dispute of a payment intent, all pages. */
export async function reversalsOf(
  stripe: Stripe,
  ref: string,
): Promise<Reversals | { status: 'missing' } | Unknown> {
  try {
    const [refunds, disputes] = await Promise.all([
      every(stripe.refunds.list({ payment_intent: ref, limit })),
      every(stripe.disputes.list({ payment_intent: ref, limit })),
    ]);
    // An empty list is also what an unknown intent may have, so only a read of the intent tells the two apart.
    if (refunds.length === 0 && disputes.length === 0) await stripe.paymentIntents.retrieve(ref);
    return {
      status: 'known',
      refunds: refunds.map(refundSeen),
      disputes: disputes.flatMap((dispute) => disputeSeen(dispute) ?? []),
    };
  } catch (error) {
    return isMissing(error) ? { status: 'missing' } : unknown(error);
  }
}

/** Not the package's own `autoPagingToArray`, whose limit would cut the list in silence. */
async function every<Item>(pages: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of pages) items.push(item);
  return items;
}

/** A refund as the story knows it. `canceled` counts as failed, `requires_action` as pending: docs.stripe.com/refunds. */
export function refundSeen(refund: Stripe.Refund): RefundSeen {
  const seen = {
    refundRef: refund.id,
    refundId: refund.metadata?.['refundId'] ?? null,
    amountMinor: refund.amount,
  };
  switch (refund.status) {
    case 'succeeded':
      return { ...seen, status: 'succeeded' };
    case 'failed':
    case 'canceled':
      return { ...seen, status: 'failed', code: refund.failure_reason ?? refund.status };
    default:
      return { ...seen, status: 'pending' };
  }
}

function disputeSeen(dispute: Stripe.Dispute): DisputeSeen | undefined {
  const status = disputeStatus(dispute);
  if (status === undefined) return undefined;
  return {
    disputeRef: dispute.id,
    status,
    amountMinor: dispute.amount,
    currency: dispute.currency.toUpperCase(),
    reason: dispute.reason,
  };
}

/**
 * Undefined for what moved no money: an inquiry (`warning_…`), which keeps its id and turns `needs_response` when the
 * bank escalates it, and a dispute that was prevented, or ended, by a refund, which is in the list of refunds. For those,
 * and for a status still to be invented, Stripe's own movements on the balance decide, so that withdrawn money is
 * never overlooked.
 */
function disputeStatus(dispute: Stripe.Dispute): DisputeSeen['status'] | undefined {
  switch (dispute.status) {
    case 'needs_response':
    case 'under_review':
      return 'open';
    case 'won':
      return 'won';
    case 'lost':
      return 'lost';
    default: {
      const moved = dispute.balance_transactions.reduce((sum, { amount }) => sum + amount, 0);
      if (moved >= 0) return undefined;
      return dispute.status === 'prevented' ? 'lost' : 'open';
    }
  }
}

/**
 * One page of the charges captured in an interval; after the last of those, of its refunds; then of the disputes opened in
 * it (docs.stripe.com/api/disputes/list). The cursor names the list and the object to go on after. Charges and not intents,
 * because an intent is as old as its opening, and its money may come on the next day; a charge carries a copy of the intent's
 * metadata (docs.stripe.com/metadata). Cards are captured as their charge is made; a delayed method's charge would be listed
 * under the day it was begun.
 */
export async function listed(
  stripe: Stripe,
  from: Date,
  to: Date,
  cursor = 'charges:',
): Promise<ListedPage | Unknown> {
  const [kind, after] = cursor.split(':');
  const wanted = {
    created: { gte: toSecond(from), lt: toSecond(to) },
    limit,
    ...(after ? { starting_after: after } : {}),
  };
  try {
    if (kind === 'charges') {
      const { data, has_more: hasMore } = await stripe.charges.list(wanted);
      const next = hasMore ? `charges:${data.at(-1)?.id ?? ''}` : 'refunds:';
      return { status: 'known', payments: data.filter(isCaptured).map(paymentListed), refunds: [], next };
    }
    if (kind === 'refunds') {
      const { data, has_more: hasMore } = await stripe.refunds.list(wanted);
      const next = hasMore ? `refunds:${data.at(-1)?.id ?? ''}` : 'disputes:';
      return { status: 'known', payments: [], refunds: data.map(refundListed), next };
    }
    const { data, has_more: hasMore } = await stripe.disputes.list(wanted);
    const next = hasMore ? { next: `disputes:${data.at(-1)?.id ?? ''}` } : {};
    return { status: 'known', payments: [], refunds: [], disputes: data.flatMap(disputeListed), ...next };
  } catch (error) {
    return unknown(error);
  }
}

/** Stripe's times are whole seconds; rounding both bounds up the same way keeps neighbouring intervals apart. */
function toSecond(date: Date): number {
  return Math.ceil(date.getTime() / 1000);
}

function isCaptured(charge: Stripe.Charge): boolean {
  return charge.captured && charge.status === 'succeeded';
}

function paymentListed(charge: Stripe.Charge): PaymentListed {
  return {
    ref: idOf(charge.payment_intent) ?? charge.id,
    chargeRef: charge.id,
    total: { amountMinor: charge.amount_captured, currency: charge.currency.toUpperCase() },
    bookingId: charge.metadata['bookingId'] ?? null,
    capturedAt: new Date(charge.created * 1000),
  };
}

function refundListed(refund: Stripe.Refund): RefundListed {
  return {
    ...refundSeen(refund),
    ref: idOf(refund.payment_intent) ?? idOf(refund.charge) ?? refund.id,
    currency: refund.currency.toUpperCase(),
    createdAt: new Date(refund.created * 1000),
  };
}

/** None for what moved no money. */
function disputeListed(dispute: Stripe.Dispute): DisputeListed[] {
  const seen = disputeSeen(dispute);
  const ref = idOf(dispute.payment_intent) ?? idOf(dispute.charge) ?? dispute.id;
  return seen === undefined ? [] : [{ ...seen, ref }];
}

function idOf(object: string | { id: string } | null): string | undefined {
  return typeof object === 'object' ? object?.id : object;
}
