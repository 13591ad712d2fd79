/**
 * What travels in PhonePe's API v2, in PhonePe's own field names. Amounts are whole paisa. Times of tokens are seconds,
 * those of orders milliseconds since 1970 (developer.phonepe.com …/standard-checkout/api-integration/api-reference,
 * read 2026-11).
 */

export type State = 'PENDING' | 'COMPLETED' | 'FAILED';

/** `udf1` to `udf15`: what the merchant wants to find again. */
export type MetaInfo = Record<string, string>;

/** One try of the customer to pay an order; an order carries several. */
export interface Attempt {
  transactionId: string;
  paymentMode: 'UPI_INTENT';
  timestamp: number;
  amount: number;
  state: State;
  errorCode?: string;
  detailedErrorCode?: string;
}

export interface Order {
  merchantOrderId: string;
  /** PhonePe's own. */
  orderId: string;
  amount: number;
  state: State;
  expireAt: number;
  metaInfo: MetaInfo;
  /** Where the browser goes after the page. */
  redirectUrl: string | null;
  /** Names the page to whoever has its address. */
  pageToken: string;
  disablePaymentRetry: boolean;
  errorCode?: string;
  detailedErrorCode?: string;
  attempts: Attempt[];
}

export type RefundState = 'PENDING' | 'CONFIRMED' | 'COMPLETED' | 'FAILED';

export interface Refund {
  merchantRefundId: string;
  /** PhonePe's own. */
  refundId: string;
  originalMerchantOrderId: string;
  amount: number;
  state: RefundState;
  timestamp: number;
  errorCode?: string;
  detailedErrorCode?: string;
}

/** …/api-reference/webhook and …/v1/reference/handling-webhooks-standard-checkout. */
export const eventNames = [
  'checkout.order.completed',
  'checkout.order.failed',
  'checkout.transaction.attempt.failed',
  'pg.refund.accepted',
  'pg.refund.completed',
  'pg.refund.failed',
] as const;
export type EventName = (typeof eventNames)[number];

const rail = { type: 'UPI', utr: '619122334455', upiTransactionId: 'YBL1234567890', vpa: 'p****@ybl' };
const instrument = { type: 'ACCOUNT', maskedAccountNumber: 'XXXXXX1234', accountType: 'SAVINGS' };

const detailOf = (attempt: Attempt): object => ({
  ...attempt,
  splitInstruments: [{ amount: attempt.amount, rail, instrument }],
});

/** What an order's status says: `paymentDetails` holds every try, or only the newest. */
export const orderStatus = (order: Order, isDetailed: boolean): object => {
  const { orderId, merchantOrderId, state, amount, expireAt, metaInfo, attempts } = order;
  return {
    orderId,
    merchantOrderId,
    state,
    amount,
    payableAmount: amount,
    feeAmount: 0,
    expireAt,
    ...(Object.keys(metaInfo).length === 0 ? {} : { metaInfo }),
    ...(order.errorCode === undefined
      ? {}
      : { errorCode: order.errorCode, detailedErrorCode: order.detailedErrorCode }),
    paymentDetails: attempts.slice(isDetailed ? 0 : -1).map(detailOf),
  };
};

/** What a refund's status says. */
export const refundStatus = (refund: Refund): object => ({
  ...refund,
  splitInstruments: [{ amount: refund.amount, rail, instrument }],
});
