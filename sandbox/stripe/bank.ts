import { type Account, noOrigin, type Origin } from './account';
import { type Outcome, useTestMethod } from './cards';
import { makeCharge } from './charges';
import { type PaymentError, type PaymentIntent, type PaymentMethod } from './wire';

/** The money is there: a charge, and the intent has succeeded. */
export const succeed = (
  account: Account,
  intent: PaymentIntent,
  method: PaymentMethod,
  origin: Origin,
): void => {
  const charge = makeCharge(account, intent, method);
  intent.status = 'succeeded';
  intent.amount_received = intent.amount;
  intent.latest_charge = charge.id;
  intent.payment_method = method.id;
  intent.last_payment_error = null;
  intent.next_action = null;
  intent.processing = null;
  account.tell('charge.succeeded', charge, origin);
  account.tell('payment_intent.succeeded', intent, origin);
};

const fail = (account: Account, intent: PaymentIntent, error: PaymentError, origin: Origin): void => {
  intent.status = 'requires_payment_method';
  intent.payment_method = null;
  intent.next_action = null;
  intent.processing = null;
  intent.last_payment_error = error;
  account.tell('payment_intent.payment_failed', intent, origin);
};

/** The bank declines: a failed charge, and the intent can be paid again. Answers what the API says of it. */
export const decline = (
  account: Account,
  intent: PaymentIntent,
  method: PaymentMethod,
  outcome: Extract<Outcome, { kind: 'declines' }>,
  origin: Origin,
): PaymentError => {
  const charge = makeCharge(account, intent, method, outcome);
  intent.latest_charge = charge.id;
  const error: PaymentError = {
    type: 'card_error',
    code: outcome.code,
    ...(outcome.declineCode === undefined ? {} : { decline_code: outcome.declineCode }),
    message: outcome.message,
    charge: charge.id,
    doc_url: `https://docs.stripe.com/error-codes/${outcome.code.replaceAll('_', '-')}`,
    payment_method: method,
  };
  account.tell('charge.failed', charge, origin);
  fail(account, intent, error, origin);
  return error;
};

const methodOf = (account: Account, intent: PaymentIntent): PaymentMethod => {
  const method = intent.payment_method === null ? undefined : account.methods.get(intent.payment_method);
  return method ?? useTestMethod('pm_card_visa').method;
};

/** The payer answers the bank's question of an intent in `requires_action`. Throws in any other status. */
export const authenticate = (account: Account, id: string, outcome: 'succeeded' | 'failed'): void => {
  const intent = account.intent(id);
  if (intent.status !== 'requires_action') throw new Error(`${id} is ${intent.status}, not requires_action`);
  const method = methodOf(account, intent);
  if (outcome === 'succeeded') return succeed(account, intent, method, noOrigin);
  fail(
    account,
    intent,
    {
      type: 'invalid_request_error',
      code: 'payment_intent_authentication_failure',
      message:
        'The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again.',
      doc_url: 'https://docs.stripe.com/error-codes/payment-intent-authentication-failure',
      payment_method: method,
    },
    noOrigin,
  );
};

/** The bank decides on an intent in `processing`. Throws in any other status. */
export const settleProcessing = (account: Account, id: string, outcome: 'succeeded' | 'failed'): void => {
  const intent = account.intent(id);
  if (intent.status !== 'processing') throw new Error(`${id} is ${intent.status}, not processing`);
  const method = methodOf(account, intent);
  if (outcome === 'succeeded') return succeed(account, intent, method, noOrigin);
  const refusal = {
    kind: 'declines',
    code: 'payment_method_provider_decline',
    message: 'The bank declined.',
  } as const;
  decline(account, intent, method, refusal, noOrigin);
};

/**
 * Money lands on a canceled intent: a charge succeeds and the intent turns `succeeded`. The real Stripe promises
 * that this never happens; a caller should survive it all the same.
 */
export const payClosed = (account: Account, id: string): void => {
  const intent = account.intent(id);
  if (intent.status !== 'canceled') throw new Error(`${id} is ${intent.status}, not canceled`);
  const { method } = useTestMethod('pm_card_visa');
  account.methods.set(method.id, method);
  succeed(account, intent, method, noOrigin);
};
