import { z } from 'zod';
import { type Account, newId } from './account';
import { type Dispute } from './wire';

/** `amount` in paise: the whole payment unless told. `phase` retrieval and fraud only ask; no money moves for them. */
export const disputeSchema = z.strictObject({
  amount: z.number().int().positive().optional(),
  reason: z.string().min(1).default('goods_or_services_not_received_or_partially_received'),
  phase: z.enum(['chargeback', 'fraud', 'retrieval', 'pre_arbitration', 'arbitration']).default('chargeback'),
});
export type DisputeSpec = z.input<typeof disputeSchema>;

/** How a dispute can end (…/api/disputes/entity). */
export const disputeOutcomeSchema = z.enum(['won', 'lost', 'closed']);
export type DisputeOutcome = z.output<typeof disputeOutcomeSchema>;

/** Evidence can be handed in for some days; the day is each dispute's own. */
const answerWithinSeconds = 7 * 24 * 3600;

/** The payer disputes a captured payment. Throws when there is none, or less was captured. */
export const openDispute = (account: Account, paymentOrOrder: string, wanted: DisputeSpec): Dispute => {
  const spec = disputeSchema.parse(wanted);
  const payment = account.capturedPayment(paymentOrOrder);
  if (!payment.captured || (spec.amount ?? 0) > payment.amount)
    throw new Error(`${payment.id} captured ${payment.captured ? payment.amount : 0}`);
  const dispute: Dispute = {
    id: newId('disp'),
    entity: 'dispute',
    payment_id: payment.id,
    amount: spec.amount ?? payment.amount,
    currency: payment.currency,
    amount_deducted: 0,
    reason_code: spec.reason,
    reason_description: spec.reason.replaceAll('_', ' '),
    respond_by: account.now() + answerWithinSeconds,
    status: 'open',
    phase: spec.phase,
    created_at: account.now(),
    evidence: { amount: spec.amount ?? payment.amount, submitted_at: null },
  };
  account.keep(dispute);
  account.tell('payment.dispute.created', dispute, payment);
  return dispute;
};

const isOpen = ({ status }: Dispute): boolean => status === 'open' || status === 'under_review';

/** The evidence is in. Throws unless the dispute is open. */
export const reviewDispute = (account: Account, id: string): void => {
  const dispute = account.dispute(id);
  if (dispute.status !== 'open') throw new Error(`${id} is ${dispute.status}`);
  dispute.status = 'under_review';
  account.tell('payment.dispute.under_review', dispute, account.payment(dispute.payment_id));
};

/** The bank decides; only what is lost is deducted (…/api/disputes/entity). Throws when it is decided already. */
export const closeDispute = (account: Account, id: string, outcome: DisputeOutcome): void => {
  const dispute = account.dispute(id);
  if (!isOpen(dispute)) throw new Error(`${id} is closed already: ${dispute.status}`);
  dispute.status = outcome;
  if (outcome === 'lost') dispute.amount_deducted = dispute.amount;
  account.tell(`payment.dispute.${outcome}`, dispute, account.payment(dispute.payment_id));
};
