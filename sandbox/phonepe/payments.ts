import { z } from 'zod';
import { type Account, newId } from './account';
import { failOrder } from './orders';
import { type Attempt, type Order } from './wire';

/**
 * How a customer pays: the money is there; the bank declines and the customer gives up; the bank has not answered yet. The
 * same three words in every sandbox. PhonePe's own: `attempt-failed`, declined while the customer stays on the page.
 */
export const howSchema = z.enum(['ok', 'declined', 'processing', 'attempt-failed']);
export type How = z.output<typeof howSchema>;

/** What happened, and where the page sends the browser. */
export interface Paid {
  /** The transaction. */
  id: string;
  redirectUrl: string | null;
}

const declined = { errorCode: 'AUTHORIZATION_ERROR', detailedErrorCode: 'ZM' };

const begin = (order: Order): Attempt => {
  const attempt: Attempt = {
    transactionId: newId('OM'),
    paymentMode: 'UPI_INTENT',
    timestamp: Date.now(),
    amount: order.amount,
    state: 'PENDING',
  };
  order.attempts.push(attempt);
  return attempt;
};

const complete = (account: Account, order: Order, attempt: Attempt): void => {
  delete attempt.errorCode;
  delete attempt.detailedErrorCode;
  delete order.errorCode;
  delete order.detailedErrorCode;
  attempt.state = 'COMPLETED';
  order.state = 'COMPLETED';
  account.tellOrder('checkout.order.completed', order);
};

/** An intermediate event: its `payload.state` is the order's, which is still PENDING. */
const decline = (account: Account, order: Order, attempt: Attempt): void => {
  Object.assign(attempt, { state: 'FAILED', ...declined });
  account.tellOrder('checkout.transaction.attempt.failed', order);
};

/** The customer pays on PhonePe's page. Throws unless the order is pending and no other try is under way. */
export const pay = (account: Account, merchantOrderId: string, how: How): Paid => {
  const order = account.order(merchantOrderId);
  if (order.state !== 'PENDING') throw new Error(`${merchantOrderId} is ${order.state}`);
  if (order.attempts.some(({ state }) => state === 'PENDING'))
    throw new Error(`${merchantOrderId} has a payment under way`);
  const attempt = begin(order);
  const { transactionId: id } = attempt;
  const { redirectUrl } = order;
  if (how === 'ok') complete(account, order, attempt);
  if (how === 'declined' || how === 'attempt-failed') {
    decline(account, order, attempt);
    if (how === 'declined' || order.disablePaymentRetry)
      failOrder(account, order, declined.errorCode, declined.detailedErrorCode);
  }
  return { id, redirectUrl };
};

/** The bank answers the try that is under way. Throws when there is none. */
export const settleProcessing = (
  account: Account,
  merchantOrderId: string,
  outcome: 'succeeded' | 'failed',
): void => {
  const order = account.order(merchantOrderId);
  const attempt = order.attempts.find(({ state }) => state === 'PENDING');
  if (attempt === undefined) throw new Error(`${merchantOrderId} has no payment under way`);
  if (outcome === 'succeeded') return complete(account, order, attempt);
  decline(account, order, attempt);
  failOrder(account, order, declined.errorCode, declined.detailedErrorCode);
};

/**
 * Money lands on an order that had failed or expired. Whether that happens is on no page, so whoever relies on the end of an
 * order should be tried with it. Throws unless the order is FAILED.
 */
export const payClosed = (account: Account, merchantOrderId: string): void => {
  const order = account.order(merchantOrderId);
  if (order.state !== 'FAILED') throw new Error(`${merchantOrderId} is ${order.state}, not FAILED`);
  complete(account, order, begin(order));
};
