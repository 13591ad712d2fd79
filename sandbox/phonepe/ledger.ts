import { type Deliveries, type Delivery } from '../gateway/deliveries';
import { type RequestEntry } from '../gateway/front';
import { type Totals } from '../gateway/ledger';
import { type Account, type Event } from './account';
import { type EventName, type MetaInfo, type RefundState, type State } from './wire';

/** Amounts are minor units of `currency`; times are ISO 8601 with milliseconds. */
export interface LedgerOrder {
  /** The merchant's. */
  id: string;
  orderId: string;
  amount: number;
  captured: boolean;
  amountRefunded: number;
  currency: 'INR';
  status: State;
  expireAt: string;
  metadata: MetaInfo;
  at: string;
}

/** A try of the customer to pay an order. */
export interface LedgerPayment {
  id: string;
  /** The merchant's. */
  order: string;
  amount: number;
  captured: boolean;
  currency: 'INR';
  status: State;
  failureCode: string | null;
  metadata: MetaInfo;
  at: string;
}

export interface LedgerRefund {
  /** The merchant's. */
  id: string;
  refundId: string;
  order: string;
  amount: number;
  currency: 'INR';
  status: RefundState;
  failureReason: string | null;
  /** The order's. */
  metadata: MetaInfo;
  at: string;
}

export interface LedgerEvent {
  id: string;
  type: EventName;
  order: string;
  at: string;
  deliveries: Delivery[];
}

/** The sandbox's own account of the money, in the order it came to know of it. For tests and for whoever judges them, not for the app. */
export interface PhonepeLedger {
  orders: LedgerOrder[];
  payments: LedgerPayment[];
  refunds: LedgerRefund[];
  /** By currency, lower case, as in every sandbox. */
  totals: Record<string, Totals>;
  events: LedgerEvent[];
  requests: RequestEntry[];
  /** Requests that the rate limit turned away. */
  refusedByRate: number;
}

/** PhonePe tells of no disputes. */
const totalsOf = (account: Account): Record<string, Totals> => {
  const sum = (amounts: { amount: number }[]): number =>
    amounts.reduce((total, { amount }) => total + amount, 0);
  const refunds = [...account.refunds.values()];
  const captured = sum([...account.orders.values()].filter(({ state }) => state === 'COMPLETED'));
  const refunded = sum(refunds.filter(({ state }) => state === 'COMPLETED'));
  const refundsPending = sum(refunds.filter(({ state }) => state === 'PENDING' || state === 'CONFIRMED'));
  if (captured === 0) return {};
  const kept = captured - refunded - refundsPending;
  return { inr: { captured, refunded, refundsPending, disputed: 0, kept } };
};

/** A copy of everything that happened so far. */
export const ledgerOf = (
  account: Account,
  webhooks: Deliveries<Event>,
  requests: readonly RequestEntry[],
  refusedByRate: number,
): PhonepeLedger => {
  const at = (id: string): string => new Date(account.bornAt.get(id) ?? 0).toISOString();
  const orders = [...account.orders.values()];
  return structuredClone({
    orders: orders.map((order) => ({
      id: order.merchantOrderId,
      orderId: order.orderId,
      amount: order.amount,
      captured: order.state === 'COMPLETED',
      amountRefunded: account.refundedOf(order.merchantOrderId),
      currency: 'INR' as const,
      status: order.state,
      expireAt: new Date(order.expireAt).toISOString(),
      metadata: order.metaInfo,
      at: at(order.orderId),
    })),
    payments: orders.flatMap((order) =>
      order.attempts.map((attempt) => ({
        id: attempt.transactionId,
        order: order.merchantOrderId,
        amount: attempt.amount,
        captured: attempt.state === 'COMPLETED',
        currency: 'INR' as const,
        status: attempt.state,
        failureCode: attempt.errorCode ?? null,
        metadata: order.metaInfo,
        at: new Date(attempt.timestamp).toISOString(),
      })),
    ),
    refunds: [...account.refunds.values()].map((refund) => ({
      id: refund.merchantRefundId,
      refundId: refund.refundId,
      order: refund.originalMerchantOrderId,
      amount: refund.amount,
      currency: 'INR' as const,
      status: refund.state,
      failureReason: refund.errorCode ?? null,
      metadata: account.orders.get(refund.originalMerchantOrderId)?.metaInfo ?? {},
      at: at(refund.refundId),
    })),
    totals: totalsOf(account),
    events: account.events.map((event) => ({
      id: event.id,
      type: event.type,
      order: event.merchantOrderId,
      at: at(event.id),
      deliveries: webhooks.log.get(event.id) ?? [],
    })),
    requests: [...requests],
    refusedByRate,
  });
};
