import { z } from 'zod';
import { type RefundMode } from '../gateway/switches';
import { silently } from '../gateway/planting';
import { type Account, noOrigin } from './account';
import { createdSchema } from './created';
import { parseCurrency } from './currencies';
import { capturedCharge } from './disputes';
import { createIntent } from './intents';
import { countIn, createRefund } from './refunds';

const amountSchema = z.number().int().positive();

/** A captured payment by card that nobody heard of. `withoutIntent`: a bare charge, as old integrations make them. */
export const paymentToPlantSchema = z.strictObject({
  /** Minor units. */
  amount: amountSchema,
  currency: z.string(),
  metadata: z.record(z.string(), z.string()).default({}),
  created: createdSchema,
  withoutIntent: z.boolean().default(false),
});
export type PaymentToPlant = z.input<typeof paymentToPlantSchema>;

/** A refund that nobody heard of: all that is left of the charge unless `amount` says less. */
export const refundToPlantSchema = z.strictObject({
  amount: amountSchema.optional(),
  metadata: z.record(z.string(), z.string()).default({}),
  status: z.enum(['succeeded', 'pending', 'failed']).default('succeeded'),
  created: createdSchema,
});
export type RefundToPlant = z.input<typeof refundToPlantSchema>;

/** What a payment captured in truth. */
export const captureSchema = z.strictObject({ amount: amountSchema, currency: z.string().optional() });
export type Capture = z.input<typeof captureSchema>;

/** The ids of a planted payment; `paymentIntent` is null for a bare charge. */
export interface Planted {
  paymentIntent: string | null;
  charge: string;
}

/** Puts a captured payment on the account, without any event. Throws the refusal that the API would answer with. */
export const plantPayment = (account: Account, wanted: PaymentToPlant): Planted => {
  const { amount, currency, metadata, created, withoutIntent } = paymentToPlantSchema.parse(wanted);
  const parameters = {
    amount: String(amount),
    currency,
    metadata,
    confirm: 'true',
    payment_method: 'pm_card_visa',
    payment_method_types: ['card'],
  };
  const intent = silently(account.events, () => createIntent(account, parameters, noOrigin));
  const charge = capturedCharge(account, intent.id);
  if (created !== undefined) backdate(account, intent.id, created);
  if (!withoutIntent) return { paymentIntent: intent.id, charge: charge.id };
  account.intents.delete(intent.id);
  charge.payment_intent = null;
  return { paymentIntent: null, charge: charge.id };
};

/** Puts a refund on a captured payment, without any event. Throws the refusal that the API would answer with. */
export const plantRefund = (account: Account, intentId: string, wanted: RefundToPlant): string => {
  const { amount, metadata, status, created } = refundToPlantSchema.parse(wanted);
  const mode: RefundMode =
    status === 'failed'
      ? { mode: 'failed', answer: 'failed', failureReason: 'expired_or_canceled_card', times: null }
      : { mode: status, times: null };
  const parameters = {
    payment_intent: intentId,
    metadata,
    ...(amount === undefined ? {} : { amount: String(amount) }),
  };
  return silently(account.events, () => createRefund(account, parameters, noOrigin, mode, created)).id;
};

/** Gives an object another time of birth; an intent takes its charges along. Throws for an unknown id. */
export const backdate = (account: Account, id: string, created: number): void => {
  const charges = [...account.charges.values()].filter((one) => one.payment_intent === id || one.id === id);
  const others = [account.intents.get(id), account.refunds.get(id), account.disputes.get(id)];
  const found = [...charges, ...others].filter((one) => one !== undefined);
  if (found.length === 0) throw new Error(`there is no object ${id}`);
  for (const one of found) {
    one.created = created;
    account.bornAt.set(one.id, created * 1000);
  }
};

/** Changes what a payment captured, without any event. Throws when it captured nothing. */
export const recapture = (account: Account, intentId: string, wanted: Capture): void => {
  const capture = captureSchema.parse(wanted);
  const intent = account.intent(intentId);
  const charge = capturedCharge(account, intentId);
  const currency = capture.currency === undefined ? charge.currency : parseCurrency(capture.currency);
  Object.assign(intent, { amount: capture.amount, amount_received: capture.amount, currency });
  Object.assign(charge, { amount: capture.amount, amount_captured: capture.amount, currency });
};

/**
 * Removes a refund, or an intent with everything of it, as if it had never been; its events stay told.
 * Throws for an unknown id.
 */
export const forget = (account: Account, id: string): void => {
  const refund = account.refunds.get(id);
  if (refund !== undefined) {
    if (refund.status !== 'failed') countIn(account.charge(refund.charge), -refund.amount);
    account.refunds.delete(id);
    return;
  }
  account.intent(id);
  account.intents.delete(id);
  for (const kind of [account.charges, account.refunds, account.disputes])
    for (const one of kind.values()) if (one.payment_intent === id) kind.delete(one.id);
};
