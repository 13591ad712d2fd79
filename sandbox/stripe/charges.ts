import { type Account } from './account';
import { type Outcome } from './cards';
import { newId } from './ids';
import { type Charge, type PaymentIntent, type PaymentMethod } from './wire';

type Decline = Extract<Outcome, { kind: 'declines' }>;

const outcomeOf = (decline: Decline | undefined): object =>
  decline === undefined
    ? {
        advice_code: null,
        network_advice_code: null,
        network_decline_code: null,
        network_status: 'approved_by_network',
        reason: null,
        risk_level: 'normal',
        risk_score: 12,
        seller_message: 'Payment complete.',
        type: 'authorized',
      }
    : {
        advice_code: 'try_again_later',
        network_advice_code: null,
        network_decline_code: '01',
        network_status: 'declined_by_network',
        reason: decline.declineCode ?? decline.code,
        risk_level: 'normal',
        risk_score: 12,
        seller_message: 'The bank did not return any further details with this decline.',
        type: 'issuer_declined',
      };

/**
 * Makes the charge of one attempt to pay an intent and keeps it; every attempt has its own.
 * Without `decline` the money is captured at once.
 */
export const makeCharge = (
  account: Account,
  intent: PaymentIntent,
  method: PaymentMethod,
  decline?: Decline,
): Charge => {
  const paid = decline === undefined;
  const charge: Charge = {
    id: newId('ch'),
    object: 'charge',
    amount: intent.amount,
    amount_captured: paid ? intent.amount : 0,
    amount_refunded: 0,
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: paid ? newId('txn') : null,
    billing_details: method.billing_details,
    calculated_statement_descriptor: 'SANDBOX',
    captured: paid,
    created: account.now(),
    currency: intent.currency,
    customer: intent.customer,
    description: intent.description,
    disputed: false,
    failure_balance_transaction: null,
    failure_code: decline?.code ?? null,
    failure_message: decline?.message ?? null,
    fraud_details: {},
    livemode: false,
    metadata: { ...intent.metadata },
    on_behalf_of: null,
    outcome: outcomeOf(decline),
    paid,
    payment_intent: intent.id,
    payment_method: method.id,
    payment_method_details: { type: method.type, [method.type]: method.card ?? method.us_bank_account },
    receipt_email: null,
    receipt_number: null,
    receipt_url: null,
    refunded: false,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: paid ? 'succeeded' : 'failed',
    transfer_data: null,
    transfer_group: null,
  };
  account.keep(charge);
  return charge;
};
