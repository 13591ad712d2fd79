import { z } from 'zod';
import { type Account, noOrigin } from './account';
import { createdSchema } from './created';
import { newId } from './ids';
import { failRefund } from './refunds';
import { type BalanceTransaction, type Charge, type Dispute, type DisputeStatus } from './wire';

/**
 * A dispute to be opened. `amount` in minor units: what is left of the charge unless told, and at most what was captured,
 * so that a payer can also dispute what was refunded already. `inquiry`: the bank only asks, and no money moves.
 */
export const disputeSchema = z.strictObject({
  amount: z.number().int().positive().optional(),
  reason: z.string().min(1).default('fraudulent'),
  inquiry: z.boolean().default(false),
  created: createdSchema,
});
export type DisputeSpec = z.input<typeof disputeSchema>;

/** Where a dispute that is open can go before it is closed. */
export const openStatusSchema = z.enum(['needs_response', 'under_review', 'warning_under_review']);
export type OpenStatus = z.output<typeof openStatusSchema>;

/** How a dispute can end: an inquiry only with `warning_closed`. */
export const disputeOutcomeSchema = z.enum(['won', 'lost', 'warning_closed']);
export type DisputeOutcome = z.output<typeof disputeOutcomeSchema>;

/** Evidence can be handed in for 7 to 21 days (docs.stripe.com/disputes/responding). */
const answerWithinSeconds = 7 * 24 * 3600;

/** Every field that evidence can fill (docs.stripe.com/api/disputes/evidence_object); nobody ever hands any in here. */
const noEvidence = {
  ...Object.fromEntries(
    (
      'access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal ' +
      'customer_communication customer_email_address customer_name customer_purchase_ip customer_signature ' +
      'duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt ' +
      'refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation ' +
      'shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number ' +
      'uncategorized_file uncategorized_text'
    )
      .split(' ')
      .map((field) => [field, null]),
  ),
  enhanced_evidence: {},
};

/** What an inquiry has not become yet: a dispute that withdrew money. */
const isInquiry = (status: DisputeStatus): boolean => status.startsWith('warning_');

const isOpen = (status: DisputeStatus): boolean =>
  !(['won', 'lost', 'warning_closed'] as DisputeStatus[]).includes(status);

/**
 * Minor units that this dispute holds back now. Disputes of more than the charge has left withdraw it all the same: the
 * bank decides, not what was refunded.
 */
export const withdrawnBy = (dispute: Dispute): number =>
  -dispute.balance_transactions.reduce((sum, { amount }) => sum + amount, 0);

/** The captured charge of an intent. Throws when there is none. */
export const capturedCharge = (account: Account, intentId: string): Charge => {
  const found = [...account.charges.values()].find(
    (charge) => charge.payment_intent === intentId && charge.captured,
  );
  if (found === undefined) throw new Error(`${intentId} has no captured charge`);
  return found;
};

/** The movement on the balance; dispute fees are not played. */
const move = (account: Account, dispute: Dispute, amount: number): void => {
  const isWithdrawal = amount < 0;
  const movement: BalanceTransaction = {
    id: newId('txn'),
    object: 'balance_transaction',
    amount,
    available_on: account.now(),
    balance_type: 'payments',
    created: account.now(),
    currency: dispute.currency,
    description: `Chargeback ${isWithdrawal ? 'withdrawal' : 'reversal'} for ${dispute.charge}`,
    exchange_rate: null,
    fee: 0,
    fee_details: [],
    net: amount,
    reporting_category: isWithdrawal ? 'dispute' : 'dispute_reversal',
    source: dispute.id,
    status: 'available',
    type: 'adjustment',
  };
  dispute.balance_transactions.push(movement);
};

/** A refund that has not arrived when the money is withdrawn fails, or the payer would have it twice (docs.stripe.com/refunds#failed-refunds). */
const failPendingRefunds = (account: Account, charge: Charge): void => {
  for (const refund of account.refunds.values())
    if (refund.charge === charge.id && refund.status === 'pending')
      failRefund(account, refund.id, 'charge_for_pending_refund_disputed');
};

const draft = (account: Account, charge: Charge, spec: z.output<typeof disputeSchema>): Dispute => {
  const left = charge.amount_captured - charge.amount_refunded;
  const amount = spec.amount ?? left;
  if (amount <= 0) throw new Error(`${charge.id} has nothing left to dispute; name an amount`);
  const created = spec.created ?? account.now();
  return {
    id: newId('du'),
    object: 'dispute',
    amount,
    balance_transactions: [],
    charge: charge.id,
    created,
    currency: charge.currency,
    enhanced_eligibility_types: [],
    evidence: noEvidence,
    evidence_details: {
      due_by: created + answerWithinSeconds,
      enhanced_eligibility: {},
      has_evidence: false,
      past_due: false,
      submission_count: 0,
    },
    is_charge_refundable: spec.inquiry,
    livemode: false,
    metadata: {},
    payment_intent: charge.payment_intent,
    payment_method_details: {
      card: {
        brand: 'visa',
        case_type: spec.inquiry ? 'inquiry' : 'chargeback',
        network: 'visa',
        network_reason_code: '10.4',
      },
      type: 'card',
    },
    reason: spec.reason,
    status: spec.inquiry ? 'warning_needs_response' : 'needs_response',
  };
};

/**
 * The payer disputes a captured charge: `charge.dispute.created`, and `charge.dispute.funds_withdrawn` unless it is an
 * inquiry. Throws when there is no captured charge, or not so much money on it.
 */
export const openDispute = (account: Account, intentId: string, wanted: DisputeSpec): Dispute => {
  const spec = disputeSchema.parse(wanted);
  const charge = capturedCharge(account, intentId);
  if ((spec.amount ?? 0) > charge.amount_captured)
    throw new Error(`${charge.id} captured only ${charge.amount_captured}`);
  if (!spec.inquiry) failPendingRefunds(account, charge);
  const dispute = draft(account, charge, spec);
  account.keep(dispute);
  charge.disputed = true;
  if (!spec.inquiry) move(account, dispute, -dispute.amount);
  account.tell('charge.dispute.created', dispute, noOrigin);
  if (!spec.inquiry) account.tell('charge.dispute.funds_withdrawn', dispute, noOrigin);
  return dispute;
};

/**
 * An open dispute goes on: `charge.dispute.updated`. An inquiry that becomes `needs_response` is escalated, and withdraws
 * what is left of the charge: after a full refund that is nothing. Throws when it is closed, or would go back.
 */
export const updateDispute = (account: Account, id: string, status: OpenStatus): void => {
  const dispute = account.dispute(id);
  const { status: before } = dispute;
  const escalates = isInquiry(before) && status === 'needs_response';
  if (!isOpen(before) || before === status || (isInquiry(before) !== isInquiry(status) && !escalates))
    throw new Error(`${id} is ${before} and cannot become ${status}`);
  dispute.status = status;
  if (!escalates) {
    dispute.evidence_details.has_evidence = true;
    dispute.evidence_details.submission_count += 1;
    account.tell('charge.dispute.updated', dispute, noOrigin);
    return;
  }
  const charge = account.charge(dispute.charge);
  failPendingRefunds(account, charge);
  dispute.is_charge_refundable = false;
  const amount = Math.min(dispute.amount, charge.amount_captured - charge.amount_refunded);
  if (amount > 0) move(account, dispute, -amount);
  account.tell('charge.dispute.updated', dispute, noOrigin);
  if (amount > 0) account.tell('charge.dispute.funds_withdrawn', dispute, noOrigin);
};

/**
 * The bank decides: `charge.dispute.closed`, and `charge.dispute.funds_reinstated` before it when the money comes back.
 * A charge stays `disputed` for good (docs.stripe.com/api/charges/object). Throws when the dispute is closed already, or
 * the outcome is not one for it.
 */
export const closeDispute = (account: Account, id: string, outcome: DisputeOutcome): void => {
  const dispute = account.dispute(id);
  if (!isOpen(dispute.status)) throw new Error(`${id} is closed already: ${dispute.status}`);
  if (isInquiry(dispute.status) !== isInquiry(outcome))
    throw new Error(`${id} is ${dispute.status} and cannot end as ${outcome}`);
  const withdrawn = withdrawnBy(dispute);
  dispute.status = outcome;
  if (outcome === 'won') {
    dispute.is_charge_refundable = true;
    if (withdrawn > 0) {
      move(account, dispute, withdrawn);
      account.tell('charge.dispute.funds_reinstated', dispute, noOrigin);
    }
  }
  account.tell('charge.dispute.closed', dispute, noOrigin);
};
