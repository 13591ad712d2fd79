import { type RefundMode } from '../gateway/switches';
import { type Account, noOrigin, type Origin } from './account';
import { written } from './currencies';
import { newId } from './ids';
import { choice, integer, metadata, type Parameters, refuseUnknown, text } from './parameters';
import { chargeDisputed, invalidParameter, notRefundable } from './refusals';
import { type Charge, type Refund } from './wire';

const known = [
  'amount',
  'charge',
  'currency',
  'expand',
  'metadata',
  'payment_intent',
  'reason',
  'refund_application_fee',
  'reverse_transfer',
];

const reasons = ['duplicate', 'fraudulent', 'requested_by_customer'] as const;

const paidCharge = (account: Account, parameters: Parameters): Charge => {
  const chargeId = text(parameters, 'charge');
  const intentId = text(parameters, 'payment_intent');
  if (chargeId === undefined && intentId === undefined)
    throw invalidParameter(
      'One of the following params should be provided for this request: payment_intent or charge.',
      'payment_intent',
      'parameter_missing',
    );
  const intent = intentId === undefined ? undefined : account.intent(intentId, 'payment_intent');
  const charge =
    chargeId === undefined
      ? [...account.charges.values()].find((one) => one.payment_intent === intentId && one.paid)
      : account.charge(chargeId, 'charge');
  if (charge === undefined || !charge.paid)
    throw notRefundable(
      intent === undefined
        ? `Charge ${charge?.id ?? ''} was not paid and cannot be refunded.`
        : `This PaymentIntent (${intent.id}) does not have a successful charge to refund.`,
    );
  if (intent !== undefined && charge.payment_intent !== intent.id)
    throw invalidParameter('The charge does not belong to the payment_intent.', 'charge');
  return charge;
};

const checkAmount = (charge: Charge, wanted: number | undefined): number => {
  const left = charge.amount_captured - charge.amount_refunded;
  if (left <= 0)
    throw notRefundable(`Charge ${charge.id} has already been refunded.`, 'charge_already_refunded');
  const amount = wanted ?? left;
  // Stripe gives this refusal a `param` but no `code` (seen in public issue threads that quote it).
  if (amount > left)
    throw notRefundable(
      `Refund amount (${written(amount, charge.currency)}) is greater than ${
        charge.amount_refunded > 0 ? 'unrefunded amount on charge' : 'charge amount'
      } (${written(left, charge.currency)})`,
      undefined,
      'amount',
    );
  return amount;
};

/** Counts a refund's amount in what a charge gave back; a negative one counts it out again. */
export const countIn = (charge: Charge, amount: number): void => {
  charge.amount_refunded += amount;
  charge.refunded = charge.amount_refunded >= charge.amount_captured;
};

const firstStatus = (mode: RefundMode): Refund['status'] => {
  if (mode.mode === 'failed') return mode.answer;
  return mode.mode === 'pending' ? 'pending' : 'succeeded';
};

/**
 * `POST /v1/refunds`. The mode decides which status the answer shows; `RefundDesk` arranges what follows.
 * Throws 400 when the money is not there or a bank has it, 404 for unknown ids.
 */
export const createRefund = (
  account: Account,
  parameters: Parameters,
  origin: Origin,
  mode: RefundMode,
  created = account.now(),
): Refund => {
  refuseUnknown(parameters, known);
  const reason = choice(parameters, 'reason', reasons) ?? null;
  const wanted = integer(parameters, 'amount', 1);
  const notes = metadata(parameters);
  const charge = paidCharge(account, parameters);
  if (account.isChargedBack(charge.id)) throw chargeDisputed(charge.id);
  const amount = checkAmount(charge, wanted);
  const status = firstStatus(mode);
  const refund: Refund = {
    id: newId('re'),
    object: 'refund',
    amount,
    balance_transaction: status === 'succeeded' ? newId('txn') : null,
    charge: charge.id,
    created,
    currency: charge.currency,
    destination_details: {
      card: { reference_status: 'pending', reference_type: 'acquirer_reference_number', type: 'refund' },
      type: 'card',
    },
    metadata: notes,
    payment_intent: charge.payment_intent,
    reason,
    receipt_number: null,
    source_transfer_reversal: null,
    status,
    transfer_reversal: null,
    ...(status === 'pending' ? { pending_reason: 'processing' } : {}),
  };
  account.keep(refund);
  if (status === 'failed' && mode.mode === 'failed') {
    refund.failure_reason = mode.failureReason;
    account.tell('refund.created', refund, origin);
    account.tell('refund.failed', refund, origin);
    return refund;
  }
  countIn(charge, amount);
  account.tell('refund.created', refund, origin);
  account.tell('charge.refunded', charge, origin);
  return refund;
};

/**
 * The bank gives a succeeded refund its number, by which the payer can ask for it: `refund.updated`, and
 * `charge.refund.updated`, which only says the same again. At the real Stripe that is days later.
 */
export const giveReference = (account: Account, refund: Refund): void => {
  refund.destination_details = {
    card: {
      reference: '123456789012',
      reference_status: 'available',
      reference_type: 'acquirer_reference_number',
      type: 'refund',
    },
    type: 'card',
  };
  account.tell('refund.updated', refund, noOrigin);
  account.tell('charge.refund.updated', refund, noOrigin);
};

/**
 * A refund that was pending or had succeeded fails for good: its amount can be refunded again, and `refund.updated`
 * and `refund.failed` are sent (docs.stripe.com/refunds#failed-refunds). Throws when it has already failed.
 */
export const failRefund = (account: Account, id: string, failureReason: string): void => {
  const refund = account.refund(id);
  if (refund.status === 'failed') throw new Error(`${id} has already failed`);
  if (refund.status === 'succeeded') refund.failure_balance_transaction = newId('txn');
  refund.status = 'failed';
  refund.failure_reason = failureReason;
  delete refund.pending_reason;
  countIn(account.charge(refund.charge), -refund.amount);
  account.tell('refund.updated', refund, noOrigin);
  account.tell('refund.failed', refund, noOrigin);
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
  refund.status = 'succeeded';
  refund.balance_transaction = newId('txn');
  delete refund.pending_reason;
  account.tell('refund.updated', refund, noOrigin);
};
