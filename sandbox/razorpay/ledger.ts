import { type Delivery, type Deliveries } from '../gateway/deliveries';
import { type RequestEntry } from '../gateway/front';
import { type Totals } from '../gateway/ledger';
import { type Account, type Event } from './account';
import {
  type DisputeStatus,
  type EventName,
  type Order,
  pairsOf,
  type PaymentStatus,
  type Refund,
} from './wire';

type Metadata = Record<string, string>;

/** Amounts are minor units of `currency`; times are ISO 8601 with milliseconds. */
export interface LedgerOrder {
  id: string;
  amount: number;
  amountPaid: number;
  currency: string;
  status: Order['status'];
  attempts: number;
  receipt: string | null;
  metadata: Metadata;
  at: string;
}

export interface LedgerPayment {
  id: string;
  /** '' for a payment that was made without one. */
  order: string;
  amount: number;
  captured: boolean;
  amountRefunded: number;
  currency: string;
  status: PaymentStatus;
  failureCode: string | null;
  lateAuthorized: boolean;
  /** The order's notes, and the payment's own over them. */
  metadata: Metadata;
  at: string;
}

export interface LedgerRefund {
  id: string;
  payment: string;
  order: string;
  amount: number;
  currency: string;
  status: Refund['status'];
  failureReason: string | null;
  metadata: Metadata;
  /** Whether somebody made it in the dashboard. */
  byHand: boolean;
  /** Whether Razorpay made it by itself, of money that was never captured. */
  automatic: boolean;
  at: string;
}

export interface LedgerDispute {
  id: string;
  payment: string;
  order: string;
  amount: number;
  /** What it holds back now: 0 until it is lost. */
  withdrawn: number;
  currency: string;
  status: DisputeStatus;
  reason: string;
  at: string;
}

export interface LedgerEvent {
  id: string;
  type: EventName;
  objectId: string;
  order: string;
  at: string;
  deliveries: Delivery[];
}

/** The sandbox's own account of the money, in the order it came to know of it. For tests and for whoever judges them, not for the app. */
export interface RazorpayLedger {
  orders: LedgerOrder[];
  payments: LedgerPayment[];
  refunds: LedgerRefund[];
  disputes: LedgerDispute[];
  /** By currency, lower case, as in every sandbox. */
  totals: Record<string, Totals>;
  events: LedgerEvent[];
  requests: RequestEntry[];
  /** Requests that the rate limit turned away. */
  refusedByRate: number;
}

/** What Razorpay gave back by itself was never captured and is in no sum; a dispute counts when it is lost. */
const totalsOf = (account: Account): Record<string, Totals> => {
  const totals: Record<string, Totals> = {};
  const of = (currency: string): Totals =>
    (totals[currency.toLowerCase()] ??= {
      captured: 0,
      refunded: 0,
      refundsPending: 0,
      disputed: 0,
      kept: 0,
    });
  for (const payment of account.payments.values())
    if (payment.captured) of(payment.currency).captured += payment.amount;
  for (const refund of account.refunds.values()) {
    if (account.automatic.has(refund.id)) continue;
    if (refund.status === 'processed') of(refund.currency).refunded += refund.amount;
    if (refund.status === 'pending') of(refund.currency).refundsPending += refund.amount;
  }
  for (const dispute of account.disputes.values()) of(dispute.currency).disputed += dispute.amount_deducted;
  for (const sum of Object.values(totals))
    sum.kept = sum.captured - sum.refunded - sum.refundsPending - sum.disputed;
  return totals;
};

/** A copy of everything that happened so far. */
export const ledgerOf = (
  account: Account,
  webhooks: Deliveries<Event>,
  requests: readonly RequestEntry[],
  refusedByRate: number,
): RazorpayLedger => {
  const at = (id: string): string => new Date(account.bornAt.get(id) ?? 0).toISOString();
  const orderNotes = (id: string): Metadata => pairsOf(account.orderBehind(id)?.notes ?? []);
  return structuredClone({
    orders: [...account.orders.values()].map((order) => ({
      id: order.id,
      amount: order.amount,
      amountPaid: order.amount_paid,
      currency: order.currency,
      status: order.status,
      attempts: order.attempts,
      receipt: order.receipt,
      metadata: pairsOf(order.notes),
      at: at(order.id),
    })),
    payments: [...account.payments.values()].map((payment) => ({
      id: payment.id,
      order: payment.order_id ?? '',
      amount: payment.amount,
      captured: payment.captured,
      amountRefunded: payment.amount_refunded,
      currency: payment.currency,
      status: payment.status,
      failureCode: payment.error_reason,
      lateAuthorized: payment.late_authorized ?? false,
      metadata: { ...orderNotes(payment.id), ...pairsOf(payment.notes) },
      at: at(payment.id),
    })),
    refunds: [...account.refunds.values()].map((refund) => ({
      id: refund.id,
      payment: refund.payment_id,
      order: account.orderBehind(refund.id)?.id ?? '',
      amount: refund.amount,
      currency: refund.currency,
      status: refund.status,
      failureReason: account.failureReasons.get(refund.id) ?? null,
      metadata: pairsOf(refund.notes),
      byHand: account.byHand.has(refund.id),
      automatic: account.automatic.has(refund.id),
      at: at(refund.id),
    })),
    disputes: [...account.disputes.values()].map((dispute) => ({
      id: dispute.id,
      payment: dispute.payment_id,
      order: account.orderBehind(dispute.id)?.id ?? '',
      amount: dispute.amount,
      withdrawn: dispute.amount_deducted,
      currency: dispute.currency,
      status: dispute.status,
      reason: dispute.reason_code,
      at: at(dispute.id),
    })),
    totals: totalsOf(account),
    events: account.events.map((event) => ({
      id: event.id,
      type: event.type,
      objectId: event.objectId,
      order: event.owner,
      at: at(event.id),
      deliveries: webhooks.log.get(event.id) ?? [],
    })),
    requests: [...requests],
    refusedByRate,
  });
};
