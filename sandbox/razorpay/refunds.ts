import { type RefundMode } from '../gateway/switches';
import { type Account, newId } from './account';
import { amountOf, type Fields, notesIn, refuseUnknown, textOf } from './fields';
import { forbidden, invalid } from './refusals';
import { type Notes, type Payment, type Refund } from './wire';

/** Counts a refund's amount in what a payment gave back; a negative one counts it out again. */
export const countIn = (payment: Payment, amount: number): void => {
  payment.amount_refunded += amount;
  const isAll = payment.amount_refunded >= payment.amount;
  payment.refund_status = isAll ? 'full' : payment.amount_refunded > 0 ? 'partial' : null;
  if (payment.captured) payment.status = isAll ? 'refunded' : 'captured';
};

const checkAmount = (account: Account, payment: Payment, wanted: number | undefined): number => {
  if (!payment.captured) throw forbidden('The payment status should be captured for action to be taken');
  const left = payment.amount - payment.amount_refunded;
  if (left <= 0) throw forbidden('The payment has been fully refunded already');
  const amount = wanted ?? left;
  if (amount > payment.amount)
    throw invalid('The refund amount provided is greater than amount captured', 'amount');
  if (amount > left)
    throw invalid('The total refund amount is greater than the refund payment amount', 'amount');
  if (account.balance !== null && amount > account.balance)
    throw forbidden('Your account does not have enough balance to carry out the refund operation.');
  return amount;
};

const add = (
  account: Account,
  payment: Payment,
  of: { amount: number; status: Refund['status']; notes: Notes; created?: number | undefined },
): Refund => {
  const refund: Refund = {
    id: newId('rfnd'),
    entity: 'refund',
    amount: of.amount,
    currency: payment.currency,
    payment_id: payment.id,
    notes: of.notes,
    receipt: null,
    acquirer_data: { arn: null },
    created_at: of.created ?? account.now(),
    batch_id: null,
    status: of.status,
    speed_processed: 'normal',
    speed_requested: 'normal',
  };
  account.keep(refund);
  if (of.status !== 'failed') countIn(payment, of.amount);
  return refund;
};

const firstStatus = (mode: RefundMode): Refund['status'] => {
  if (mode.mode === 'failed') return mode.answer;
  return mode.mode === 'pending' ? 'pending' : 'processed';
};

/**
 * `POST /v1/payments/:id/refund`. The mode decides which status the answer shows; failures that come later are arranged
 * elsewhere. Throws 400 when the money is not there.
 */
export const createRefund = (
  account: Account,
  paymentId: string,
  fields: Fields,
  mode: RefundMode,
  created?: number,
): Refund => {
  refuseUnknown(fields, ['amount', 'notes', 'receipt', 'speed']);
  const wanted = amountOf(fields);
  const notes = notesIn(fields);
  const speed = fields['speed'] ?? 'normal';
  if (speed !== 'normal' && speed !== 'optimum') throw invalid('The speed is invalid.', 'speed');
  const receipt = textOf(fields, 'receipt', 40) ?? null;
  const payment = account.payment(paymentId);
  const amount = checkAmount(account, payment, wanted);
  const refund = add(account, payment, { amount, status: firstStatus(mode), notes, created });
  Object.assign(refund, { receipt, speed_requested: speed });
  if (account.balance !== null && refund.status !== 'failed') account.balance -= amount;
  account.tell('refund.created', refund, payment);
  if (refund.status === 'processed') account.tell('refund.processed', refund, payment);
  if (refund.status === 'failed' && mode.mode === 'failed') {
    account.failureReasons.set(refund.id, mode.failureReason);
    account.tell('refund.failed', refund, payment);
  }
  return refund;
};

/**
 * Razorpay gives back by itself what was authorized and never captured: the payment is `refunded` and keeps
 * `captured: false`, which tells it from any other (…/payments/refunds/auto-refunds). Throws unless it is authorized.
 */
export const autoRefund = (account: Account, payment: Payment): Refund => {
  if (payment.status !== 'authorized') throw new Error(`${payment.id} is ${payment.status}, not authorized`);
  const refund = add(account, payment, { amount: payment.amount, status: 'processed', notes: [] });
  account.automatic.add(refund.id);
  payment.status = 'refunded';
  account.tell('refund.created', refund, payment);
  account.tell('refund.processed', refund, payment);
  return refund;
};

/** A refund that was pending or processed fails for good: its amount can be refunded again. Throws when it has failed. */
export const failRefund = (account: Account, id: string, failureReason: string): void => {
  const refund = account.refund(id);
  if (refund.status === 'failed') throw new Error(`${id} has already failed`);
  const payment = account.payment(refund.payment_id);
  refund.status = 'failed';
  account.failureReasons.set(id, failureReason);
  if (account.balance !== null) account.balance += refund.amount;
  countIn(payment, -refund.amount);
  account.tell('refund.failed', refund, payment);
};

/** A pending refund reaches its end. Throws when it is not pending. */
export const settleRefund = (
  account: Account,
  id: string,
  outcome: 'succeeded' | 'failed',
  failureReason: string,
): void => {
  const refund = account.refund(id);
  if (refund.status !== 'pending') throw new Error(`${id} is ${refund.status}, not pending`);
  if (outcome === 'failed') return failRefund(account, id, failureReason);
  refund.status = 'processed';
  refund.acquirer_data = { arn: '74119663031031075351326' };
  account.tell('refund.processed', refund, account.payment(refund.payment_id));
};
