import { type Delivery } from '../gateway/deliveries';
import { type Account } from './account';
import { type RequestEntry } from './api';
import { type Totals } from '../gateway/ledger';
import { withdrawnBy } from './disputes';
import { type Webhooks } from './webhooks';
import {
  type DisputeStatus,
  type EventType,
  type IntentStatus,
  type Metadata,
  type RefundStatus,
} from './wire';

/** Amounts are minor units of `currency`; times are ISO 8601 with milliseconds. */
export interface LedgerIntent {
  id: string;
  amount: number;
  amountReceived: number;
  currency: string;
  status: IntentStatus;
  latestCharge: string | null;
  metadata: Metadata;
  at: string;
}

export interface LedgerCharge {
  id: string;
  /** '' for a charge that was made without one. */
  paymentIntent: string;
  amount: number;
  amountRefunded: number;
  disputed: boolean;
  currency: string;
  status: 'succeeded' | 'failed' | 'pending';
  failureCode: string | null;
  metadata: Metadata;
  at: string;
}

export interface LedgerRefund {
  id: string;
  charge: string;
  paymentIntent: string;
  amount: number;
  currency: string;
  status: RefundStatus;
  failureReason: string | null;
  metadata: Metadata;
  /** Whether somebody made it in the dashboard. */
  byHand: boolean;
  at: string;
}

export interface LedgerDispute {
  id: string;
  charge: string;
  paymentIntent: string;
  amount: number;
  /** What it holds back now: 0 while it is an inquiry, and once it is won. */
  withdrawn: number;
  currency: string;
  status: DisputeStatus;
  reason: string;
  at: string;
}

export interface LedgerEvent {
  id: string;
  type: EventType;
  objectId: string;
  paymentIntent: string | null;
  at: string;
  deliveries: Delivery[];
}

/** The sandbox's own account of the money, in the order it came to know of it. For tests and for whoever judges them, not for the app. */
export interface StripeLedger {
  intents: LedgerIntent[];
  charges: LedgerCharge[];
  refunds: LedgerRefund[];
  disputes: LedgerDispute[];
  /** By currency, lower case. */
  totals: Record<string, Totals>;
  events: LedgerEvent[];
  requests: RequestEntry[];
  /** Requests that the rate limit turned away. */
  refusedByRate: number;
}

/** What open and lost disputes withdrew counts as disputed. */
const totalsOf = (account: Account): Record<string, Totals> => {
  const totals: Record<string, Totals> = {};
  const of = (currency: string): Totals =>
    (totals[currency] ??= { captured: 0, refunded: 0, refundsPending: 0, disputed: 0, kept: 0 });
  for (const charge of account.charges.values())
    if (charge.status === 'succeeded') of(charge.currency).captured += charge.amount_captured;
  for (const refund of account.refunds.values()) {
    if (refund.status === 'succeeded') of(refund.currency).refunded += refund.amount;
    if (refund.status === 'pending') of(refund.currency).refundsPending += refund.amount;
  }
  for (const dispute of account.disputes.values()) of(dispute.currency).disputed += withdrawnBy(dispute);
  for (const sum of Object.values(totals))
    sum.kept = sum.captured - sum.refunded - sum.refundsPending - sum.disputed;
  return totals;
};

/** A copy of everything that happened so far. */
export const ledgerOf = (
  account: Account,
  webhooks: Webhooks,
  requests: readonly RequestEntry[],
  refusedByRate: number,
): StripeLedger => {
  const at = (id: string): string => new Date(account.bornAt.get(id) ?? 0).toISOString();
  return structuredClone({
    intents: [...account.intents.values()].map((intent) => ({
      id: intent.id,
      amount: intent.amount,
      amountReceived: intent.amount_received,
      currency: intent.currency,
      status: intent.status,
      latestCharge: intent.latest_charge,
      metadata: intent.metadata,
      at: at(intent.id),
    })),
    charges: [...account.charges.values()].map((charge) => ({
      id: charge.id,
      paymentIntent: charge.payment_intent ?? '',
      amount: charge.amount,
      amountRefunded: charge.amount_refunded,
      disputed: charge.disputed,
      currency: charge.currency,
      status: charge.status,
      failureCode: charge.failure_code,
      metadata: charge.metadata,
      at: at(charge.id),
    })),
    refunds: [...account.refunds.values()].map((refund) => ({
      id: refund.id,
      charge: refund.charge,
      paymentIntent: refund.payment_intent ?? '',
      amount: refund.amount,
      currency: refund.currency,
      status: refund.status,
      failureReason: refund.failure_reason ?? null,
      metadata: refund.metadata,
      byHand: account.refundedByHand.has(refund.id),
      at: at(refund.id),
    })),
    disputes: [...account.disputes.values()].map((dispute) => ({
      id: dispute.id,
      charge: dispute.charge,
      paymentIntent: dispute.payment_intent ?? '',
      amount: dispute.amount,
      withdrawn: withdrawnBy(dispute),
      currency: dispute.currency,
      status: dispute.status,
      reason: dispute.reason,
      at: at(dispute.id),
    })),
    totals: totalsOf(account),
    events: account.events.map((event) => ({
      id: event.id,
      type: event.type,
      objectId: event.data.object.id,
      paymentIntent: account.intentBehind(event.data.object.id)?.id ?? null,
      at: at(event.id),
      deliveries: webhooks.log.get(event.id) ?? [],
    })),
    requests: [...requests],
    refusedByRate,
  });
};
