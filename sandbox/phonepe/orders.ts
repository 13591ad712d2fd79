import { randomBytes } from 'node:crypto';
import { type Account, newId } from './account';
import { duplicate, invalid } from './refusals';
import { type MetaInfo, type Order } from './wire';

type Fields = Record<string, unknown>;

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Bounds and default of `expireAfter`, in seconds (…/create-payment/initiate-payment). */
const expiry = { least: 300, most: 3600, plain: 1200 };

/** An id of the merchant's: at most 63 letters, digits, `_` and `-`. */
export const idIn = (fields: Fields, name: string): string => {
  const id = fields[name];
  if (typeof id !== 'string' || !/^[A-Za-z0-9_-]{1,63}$/.test(id)) throw invalid(`${name} is invalid`);
  return id;
};

/** A whole number of paisa, at least 100. */
export const amountIn = (fields: Fields): number => {
  const { amount } = fields;
  if (typeof amount !== 'number' || !Number.isInteger(amount) || amount < 100)
    throw invalid('amount should be at least 100');
  return amount;
};

/** Up to `udf10` 256 characters; from there 50 of letters, digits, spaces and `_ - + @ .`. */
const metaInfoIn = (fields: Fields): MetaInfo => {
  const { metaInfo = {} } = fields;
  if (!isRecord(metaInfo)) throw invalid('metaInfo is invalid');
  return Object.fromEntries(
    Object.entries(metaInfo).map(([name, value]) => {
      const number = Number(/^udf([1-9]\d?)$/.exec(name)?.[1] ?? 16);
      if (number > 15 || typeof value !== 'string') throw invalid(`metaInfo.${name} is invalid`);
      const isRight = number <= 10 ? value.length <= 256 : /^[\w\-+@. ]{0,50}$/.test(value);
      if (!isRight) throw invalid(`metaInfo.${name} is invalid`);
      return [name, value];
    }),
  );
};

const expireAfterIn = (fields: Fields): number => {
  const { expireAfter = expiry.plain } = fields;
  if (typeof expireAfter !== 'number' || !Number.isInteger(expireAfter))
    throw invalid('expireAfter is invalid');
  if (expireAfter < expiry.least || expireAfter > expiry.most)
    throw invalid(`expireAfter should be between ${expiry.least} and ${expiry.most}`);
  return expireAfter;
};

const redirectIn = (fields: Fields): string | null => {
  const { paymentFlow } = fields;
  if (!isRecord(paymentFlow) || paymentFlow['type'] !== 'PG_CHECKOUT')
    throw invalid('paymentFlow.type is invalid');
  const { merchantUrls } = paymentFlow;
  if (merchantUrls === undefined) return null;
  const url = isRecord(merchantUrls) ? merchantUrls['redirectUrl'] : undefined;
  if (typeof url !== 'string' || !/^https?:/.test(url) || !URL.canParse(url))
    throw invalid('paymentFlow.merchantUrls.redirectUrl is invalid');
  return url;
};

/**
 * `POST …/checkout/v2/pay`.
 * @param secondMs how long a second of `expireAfter` lasts
 * @returns the order, and whether it is a new one
 */
export const createOrder = (
  account: Account,
  fields: Fields,
  secondMs: number,
): { order: Order; isNew: boolean } => {
  const merchantOrderId = idIn(fields, 'merchantOrderId');
  const order: Order = {
    merchantOrderId,
    orderId: newId('OMO'),
    amount: amountIn(fields),
    state: 'PENDING',
    expireAt: Date.now() + expireAfterIn(fields) * secondMs,
    metaInfo: metaInfoIn(fields),
    redirectUrl: redirectIn(fields),
    pageToken: randomBytes(18).toString('base64url'),
    disablePaymentRetry: fields['disablePaymentRetry'] === true,
    attempts: [],
  };
  const before = account.orders.get(merchantOrderId);
  if (before !== undefined) {
    if (account.readings.orders === 'refused' || before.amount !== order.amount)
      throw duplicate('merchantOrderId');
    return { order: before, isNew: false };
  }
  account.orders.set(merchantOrderId, order);
  account.bornAt.set(order.orderId, Date.now());
  return { order, isNew: true };
};

/** Ends an order without money, and whatever try is still under way. */
export const failOrder = (account: Account, order: Order, errorCode: string, detail: string): void => {
  for (const attempt of order.attempts)
    if (attempt.state === 'PENDING')
      Object.assign(attempt, { state: 'FAILED', errorCode, detailedErrorCode: detail });
  Object.assign(order, { state: 'FAILED', errorCode, detailedErrorCode: detail });
  account.tellOrder('checkout.order.failed', order);
};

/** The order's time is over. Throws unless it is pending. */
export const expireOrder = (account: Account, merchantOrderId: string): void => {
  const order = account.order(merchantOrderId);
  if (order.state !== 'PENDING') throw new Error(`${merchantOrderId} is ${order.state}`);
  order.expireAt = Math.min(order.expireAt, Date.now());
  // The words are the sandbox's: PhonePe's pages show none for this.
  failOrder(account, order, 'TXN_NOT_COMPLETED', 'ORDER_EXPIRED');
};
