import { type Account, type Origin } from './account';
import { decline, succeed } from './bank';
import { useTestMethod } from './cards';
import { checkChargeable, parseCurrency } from './currencies';
import { newId } from './ids';
import {
  choice,
  flag,
  group,
  integer,
  metadata,
  type Parameters,
  refuseUnknown,
  required,
  text,
  texts,
} from './parameters';
import { declined, invalidParameter, unexpectedState } from './refusals';
import { type PaymentIntent } from './wire';

const confirmParameters = [
  'amount_to_confirm',
  'capture_method',
  'client_secret',
  'error_on_requires_action',
  'expand',
  'mandate',
  'mandate_data',
  'off_session',
  'payment_method',
  'payment_method_options',
  'payment_method_types',
  'receipt_email',
  'return_url',
  'setup_future_usage',
  'shipping',
  'use_stripe_sdk',
];

const createParameters = [
  ...confirmParameters,
  'amount',
  'automatic_payment_methods',
  'confirm',
  'confirmation_method',
  'currency',
  'customer',
  'description',
  'metadata',
  'on_behalf_of',
  'payment_method_configuration',
  'statement_descriptor',
  'statement_descriptor_suffix',
  'transfer_group',
];

const cancellationReasons = ['duplicate', 'fraudulent', 'requested_by_customer', 'abandoned'] as const;

const automaticMethods = (parameters: Parameters): PaymentIntent['automatic_payment_methods'] => {
  const wanted = group(parameters, 'automatic_payment_methods');
  const named = parameters['payment_method_types'] !== undefined;
  if (wanted === undefined)
    // Since API version 2023-08-16 an intent that names no methods takes those enabled in the dashboard.
    return named ? null : { allow_redirects: 'always', enabled: true };
  if (flag(wanted, 'enabled') !== true) return null;
  if (named)
    throw invalidParameter(
      'You may only specify one of these parameters: automatic_payment_methods, payment_method_types.',
      'payment_method_types',
    );
  return {
    allow_redirects: choice(wanted, 'allow_redirects', ['always', 'never']) ?? 'always',
    enabled: true,
  };
};

const draft = (account: Account, parameters: Parameters): PaymentIntent => {
  const amount = required(integer(parameters, 'amount', 1), 'amount');
  const currency = parseCurrency(required(text(parameters, 'currency'), 'currency'));
  checkChargeable(amount, currency);
  const id = newId('pi');
  return {
    id,
    object: 'payment_intent',
    amount,
    amount_capturable: 0,
    amount_received: 0,
    application: null,
    application_fee_amount: null,
    automatic_payment_methods: automaticMethods(parameters),
    canceled_at: null,
    cancellation_reason: null,
    capture_method:
      choice(parameters, 'capture_method', ['automatic', 'automatic_async']) ?? 'automatic_async',
    client_secret: newId(`${id}_secret`),
    confirmation_method: choice(parameters, 'confirmation_method', ['automatic']) ?? 'automatic',
    created: account.now(),
    currency,
    customer: text(parameters, 'customer') ?? null,
    description: text(parameters, 'description') ?? null,
    last_payment_error: null,
    latest_charge: null,
    livemode: false,
    metadata: metadata(parameters),
    next_action: null,
    on_behalf_of: null,
    payment_method: null,
    payment_method_options: {},
    payment_method_types: texts(parameters, 'payment_method_types') ?? ['card'],
    processing: null,
    receipt_email: text(parameters, 'receipt_email') ?? null,
    review: null,
    setup_future_usage: null,
    shipping: null,
    source: null,
    statement_descriptor: text(parameters, 'statement_descriptor') ?? null,
    statement_descriptor_suffix: text(parameters, 'statement_descriptor_suffix') ?? null,
    status: 'requires_payment_method',
    transfer_group: text(parameters, 'transfer_group') ?? null,
  };
};

const attempt = (account: Account, intent: PaymentIntent, parameters: Parameters, origin: Origin): void => {
  const name = text(parameters, 'payment_method');
  if (name === undefined)
    throw unexpectedState(
      intent,
      "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method.",
    );
  const returnUrl = text(parameters, 'return_url');
  // Without this rule a caller that forgets the address would pass here and fail at the real Stripe.
  if (intent.automatic_payment_methods?.allow_redirects === 'always' && returnUrl === undefined)
    throw invalidParameter(
      "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating PaymentIntents.",
      'return_url',
    );
  const { method, outcome } = useTestMethod(name);
  account.methods.set(method.id, method);
  if (outcome.kind === 'succeeds') return succeed(account, intent, method, origin);
  if (outcome.kind === 'declines') throw declined(decline(account, intent, method, outcome, origin), intent);
  intent.payment_method = method.id;
  intent.last_payment_error = null;
  if (outcome.kind === 'processes') {
    intent.status = 'processing';
    intent.next_action = null;
    account.tell('payment_intent.processing', intent, origin);
    return;
  }
  intent.status = 'requires_action';
  intent.next_action =
    returnUrl === undefined
      ? { type: 'use_stripe_sdk', use_stripe_sdk: { type: 'three_d_secure_redirect' } }
      : { type: 'redirect_to_url', redirect_to_url: { return_url: returnUrl, url: returnUrl } };
  account.tell('payment_intent.requires_action', intent, origin);
};

/** The test name behind a method that was attached at creation and waits for its confirmation. */
const attachedNames = new WeakMap<PaymentIntent, string>();

/** `POST /v1/payment_intents`; with `confirm=true` it also tries to pay (402 leaves the new intent payable). */
export const createIntent = (account: Account, parameters: Parameters, origin: Origin): PaymentIntent => {
  refuseUnknown(parameters, createParameters);
  const confirm = flag(parameters, 'confirm') === true;
  const methodName = text(parameters, 'payment_method');
  const intent = draft(account, parameters);
  // The name is judged before anything is kept: a request that fails validation leaves no trace.
  const attachedMethod = methodName === undefined ? undefined : useTestMethod(methodName).method;
  if (methodName !== undefined && attachedMethod !== undefined && !confirm) {
    account.methods.set(attachedMethod.id, attachedMethod);
    intent.payment_method = attachedMethod.id;
    intent.status = 'requires_confirmation';
    attachedNames.set(intent, methodName);
  }
  if (confirm) required(methodName, 'payment_method');
  const eventsBefore = account.events.length;
  account.keep(intent);
  account.tell('payment_intent.created', intent, origin);
  if (!confirm) return intent;
  try {
    attempt(account, intent, parameters, origin);
  } catch (error) {
    if (intent.latest_charge === null) {
      account.intents.delete(intent.id);
      account.events.length = eventsBefore;
    }
    throw error;
  }
  return intent;
};

/** `POST /v1/payment_intents/:id/confirm`. Throws 402 when declined, 400 when the intent is closed. */
export const confirmIntent = (
  account: Account,
  id: string,
  parameters: Parameters,
  origin: Origin,
): PaymentIntent => {
  refuseUnknown(parameters, confirmParameters);
  const intent = account.intent(id);
  if (intent.status === 'succeeded')
    throw unexpectedState(
      intent,
      'You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.',
    );
  if (intent.status === 'canceled' || intent.status === 'processing')
    throw unexpectedState(
      intent,
      `You cannot confirm this PaymentIntent because it has a status of ${intent.status}. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action, requires_payment_method.`,
    );
  const attached = intent.status === 'requires_confirmation' ? attachedNames.get(intent) : undefined;
  const name = text(parameters, 'payment_method') ?? attached;
  attempt(account, intent, name === undefined ? parameters : { ...parameters, payment_method: name }, origin);
  return intent;
};

/** `POST /v1/payment_intents/:id/cancel`. Throws 400 when the intent is closed or its money is on the way. */
export const cancelIntent = (
  account: Account,
  id: string,
  parameters: Parameters,
  origin: Origin,
): PaymentIntent => {
  refuseUnknown(parameters, ['cancellation_reason', 'expand']);
  const reason = choice(parameters, 'cancellation_reason', cancellationReasons);
  const intent = account.intent(id);
  // Stripe lets a processing intent be canceled only in rare cases (docs.stripe.com/api/payment_intents/cancel).
  if (intent.status === 'succeeded' || intent.status === 'canceled' || intent.status === 'processing')
    throw unexpectedState(
      intent,
      `You cannot cancel this PaymentIntent because it has a status of ${intent.status}. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.`,
    );
  intent.status = 'canceled';
  intent.canceled_at = account.now();
  intent.cancellation_reason = reason ?? null;
  intent.next_action = null;
  account.tell('payment_intent.canceled', intent, origin);
  return intent;
};
