import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { type Account, newId, notesOf } from './account';
import { amountOf, type Fields, refuseUnknown, required, textOf } from './fields';
import { forbidden, invalid } from './refusals';
import { autoRefund } from './refunds';
import { type Order, type Payment } from './wire';

/**
 * How a customer pays: the money is there, the bank declines, or it is `authorized` and nobody captures it yet. The same
 * three words in every sandbox.
 */
export const howSchema = z.enum(['ok', 'declined', 'processing']);
export type How = z.output<typeof howSchema>;

export const paySchema = z.strictObject({
  method: z.enum(['card', 'netbanking', 'upi', 'wallet']).default('upi'),
  /** What the page gave to Razorpay's checkout. */
  notes: z.record(z.string(), z.string()).default({}),
  /**
   * Pays although the order is paid, or has a payment that is authorized, as two windows at one instant can: both are
   * captured, or the second goes back by itself.
   */
  again: z.enum(['captured', 'auto-refunded']).optional(),
});
export type PaySpec = z.input<typeof paySchema>;

/** What happened, and what Razorpay's page hands the browser. */
export interface Paid {
  /** The payment. */
  id: string;
  handedBack: Record<string, string>;
}

/** What becomes of a payment that its bank confirms late: with `captured` and `refunded`, at once. */
export const lateSchema = z.enum(['captured', 'authorized', 'refunded']);
export type Late = z.output<typeof lateSchema>;

/** Fee and the tax in it: 2 % and 18 % of that, as test accounts show. */
const feeOf = (amount: number): { fee: number; tax: number } => {
  const plain = Math.round(amount * 0.02);
  const tax = Math.round(plain * 0.18);
  return { fee: plain + tax, tax };
};

const refusedByBank = {
  error_code: 'BAD_REQUEST_ERROR',
  error_description: 'The payment was declined by the bank.',
  error_source: 'bank',
  error_step: 'payment_authorization',
  error_reason: 'payment_failed',
};
const noError = {
  error_code: null,
  error_description: null,
  error_source: null,
  error_step: null,
  error_reason: null,
};

/** A new payment on an order, or, for a shop that makes no orders, without one. */
export const draft = (
  account: Account,
  of: { order: Order | null; amount: number; currency: string },
  spec: z.output<typeof paySchema>,
  created = account.now(),
): Payment => {
  const { method, notes } = spec;
  const isBare = account.readings.paymentNotes === 'order' && Object.keys(notes).length === 0;
  return {
    id: newId('pay'),
    entity: 'payment',
    amount: of.amount,
    currency: of.currency,
    status: 'created',
    order_id: of.order?.id ?? null,
    invoice_id: null,
    international: false,
    method,
    amount_refunded: 0,
    refund_status: null,
    captured: false,
    description: null,
    card_id: null,
    bank: method === 'netbanking' ? 'HDFC' : null,
    wallet: method === 'wallet' ? 'payzapp' : null,
    vpa: method === 'upi' ? 'payer@examplebank' : null,
    email: 'payer@example.com',
    contact: '+919000090000',
    notes: isBare ? (of.order?.notes ?? []) : notesOf(notes),
    fee: null,
    tax: null,
    ...noError,
    acquirer_data: { rrn: null },
    created_at: created,
  };
};

const fail = (account: Account, payment: Payment): void => {
  payment.status = 'failed';
  Object.assign(payment, refusedByBank);
  account.tell('payment.failed', payment);
};

const authorize = (account: Account, payment: Payment): void => {
  payment.status = 'authorized';
  Object.assign(payment, noError);
  account.tell('payment.authorized', payment);
};

/** Takes the money of an authorized payment, and by that pays its order. */
export const take = (account: Account, payment: Payment): void => {
  Object.assign(payment, { status: 'captured', captured: true, ...feeOf(payment.amount) });
  account.tell('payment.captured', payment);
  const order = payment.order_id === null ? undefined : account.order(payment.order_id);
  if (order === undefined || order.status === 'paid') return;
  Object.assign(order, { status: 'paid', amount_paid: payment.amount, amount_due: 0 });
  account.tell('order.paid', payment, order);
};

/** Hex HMAC-SHA256 of `order|payment` under the key's secret: who sent it, not whether it is captured. */
const handedBack = (payment: Payment, keySecret: string): Record<string, string> => {
  const order = payment.order_id ?? '';
  return {
    razorpay_order_id: order,
    razorpay_payment_id: payment.id,
    razorpay_signature: createHmac('sha256', keySecret).update(`${order}|${payment.id}`).digest('hex'),
  };
};

/** What the page posts of a payment that failed; it is not signed. */
const errorBack = (payment: Payment): Record<string, string> => ({
  'error[code]': refusedByBank.error_code,
  'error[description]': refusedByBank.error_description,
  'error[metadata]': JSON.stringify({ payment_id: payment.id, order_id: payment.order_id }),
});

const begin = (account: Account, order: Order, spec: z.output<typeof paySchema>): Payment => {
  const isTaken =
    order.status === 'paid' || account.paymentsOf(order.id).some(({ status }) => status === 'authorized');
  if (isTaken && spec.again === undefined)
    throw forbidden('Your payment has been declined as the order is already paid.');
  if (order.status === 'created') order.status = 'attempted';
  order.attempts += 1;
  const payment = draft(account, { order, amount: order.amount, currency: order.currency }, spec);
  account.keep(payment);
  return payment;
};

/** The customer pays an order on Razorpay's page. Throws where the page would refuse. */
export const pay = (
  account: Account,
  orderId: string,
  how: How,
  wanted: PaySpec,
  keySecret: string,
): Paid => {
  const spec = paySchema.parse(wanted);
  const order = account.order(orderId);
  const payment = begin(account, order, spec);
  if (how === 'declined') {
    fail(account, payment);
    return { id: payment.id, handedBack: errorBack(payment) };
  }
  authorize(account, payment);
  if (spec.again === 'auto-refunded') autoRefund(account, payment);
  else if (how === 'ok' && (account.captures.get(orderId) === 'automatic' || spec.again === 'captured'))
    take(account, payment);
  return { id: payment.id, handedBack: handedBack(payment, keySecret) };
};

/**
 * The bank confirms a payment that had counted as failed (…/payments/payments/late-authorisation): the newest failed one
 * where an order is named. Throws when there is none.
 */
export const authorizeLate = (account: Account, id: string, then: Late): { id: string } => {
  const payment =
    account.payments.get(id) ?? account.paymentsOf(id).findLast(({ status }) => status === 'failed');
  if (payment?.status !== 'failed') throw new Error(`${id} is, or has, no failed payment`);
  payment.late_authorized = true;
  authorize(account, payment);
  if (then === 'captured') take(account, payment);
  if (then === 'refunded') autoRefund(account, payment);
  return { id: payment.id };
};

/** The authorized payment that an id means: itself, or an order's. */
const authorized = (account: Account, id: string): Payment => {
  const payment =
    account.payments.get(id) ?? account.paymentsOf(id).findLast(({ status }) => status === 'authorized');
  if (payment?.status !== 'authorized') throw new Error(`${id} is, or has, no authorized payment`);
  return payment;
};

/** An authorized payment is captured, or goes back by itself because nobody did. Throws when there is none. */
export const settleProcessing = (account: Account, id: string, outcome: 'succeeded' | 'failed'): void => {
  const payment = authorized(account, id);
  if (outcome === 'succeeded') take(account, payment);
  else autoRefund(account, payment);
};

/** `POST /v1/payments/:id/capture`: the amount must be the authorized one. */
export const capture = (account: Account, id: string, fields: Fields): Payment => {
  refuseUnknown(fields, ['amount', 'currency']);
  const amount = required(amountOf(fields), 'amount');
  const currency = required(textOf(fields, 'currency', 3), 'currency');
  const payment = account.payment(id);
  if (payment.captured) throw forbidden('This payment has already been captured');
  if (payment.status !== 'authorized')
    throw forbidden('Only payments which have been authorized and not yet captured can be captured');
  if (payment.amount !== amount || payment.currency !== currency)
    throw invalid('Capture amount must be equal to the amount authorized', 'amount');
  take(account, payment);
  return payment;
};
