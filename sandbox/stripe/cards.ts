import { newId } from './ids';
import { missing } from './refusals';
import { type PaymentMethod } from './wire';

/** What becomes of a payment with a test payment method. */
export type Outcome =
  | { kind: 'succeeds' }
  | { kind: 'asks-the-payer' }
  | { kind: 'processes' }
  | { kind: 'declines'; code: string; declineCode?: string; message: string };

interface TestMethod {
  outcome: Outcome;
  brand: string;
  last4: string;
}

const visa = (last4: string, outcome: Outcome): TestMethod => ({ brand: 'visa', last4, outcome });
const declines = (code: string, message: string, declineCode?: string): Outcome => ({
  kind: 'declines',
  code,
  message,
  ...(declineCode === undefined ? {} : { declineCode }),
});

const plainDecline = 'Your card was declined.';
const insufficient = visa(
  '9995',
  declines('card_declined', 'Your card has insufficient funds.', 'insufficient_funds'),
);

/** The names, digits and outcomes of docs.stripe.com/testing, as far as this stand-in plays them. */
const testMethods = new Map<string, TestMethod>([
  ['pm_card_visa', visa('4242', { kind: 'succeeds' })],
  ['pm_card_visa_debit', visa('5556', { kind: 'succeeds' })],
  ['pm_card_mastercard', { brand: 'mastercard', last4: '4444', outcome: { kind: 'succeeds' } }],
  ['pm_card_amex', { brand: 'amex', last4: '8431', outcome: { kind: 'succeeds' } }],
  ['pm_card_chargeDeclined', visa('0002', declines('card_declined', plainDecline, 'generic_decline'))],
  ['pm_card_visa_chargeDeclined', visa('0002', declines('card_declined', plainDecline, 'generic_decline'))],
  ['pm_card_visa_chargeDeclinedInsufficientFunds', insufficient],
  ['pm_card_chargeDeclinedInsufficientFunds', insufficient],
  ['pm_card_visa_chargeDeclinedLostCard', visa('9987', declines('card_declined', plainDecline, 'lost_card'))],
  [
    'pm_card_visa_chargeDeclinedStolenCard',
    visa('9979', declines('card_declined', plainDecline, 'stolen_card')),
  ],
  ['pm_card_chargeDeclinedExpiredCard', visa('0069', declines('expired_card', 'Your card has expired.'))],
  [
    'pm_card_chargeDeclinedIncorrectCvc',
    visa('0127', declines('incorrect_cvc', "Your card's security code is incorrect.")),
  ],
  [
    'pm_card_chargeDeclinedProcessingError',
    visa(
      '0119',
      declines(
        'processing_error',
        'An error occurred while processing your card. Try again in a little bit.',
      ),
    ),
  ],
  ['pm_card_authenticationRequired', visa('3184', { kind: 'asks-the-payer' })],
  ['pm_card_threeDSecure2Required', visa('3220', { kind: 'asks-the-payer' })],
  ['pm_usBankAccount_processing', { brand: 'bank', last4: '6789', outcome: { kind: 'processes' } }],
]);

/**
 * A payment method object for a test name, and how paying with it ends.
 * Throws 400 `resource_missing` for any other name: this stand-in never sees card numbers.
 */
export const useTestMethod = (name: string): { method: PaymentMethod; outcome: Outcome } => {
  const found = testMethods.get(name);
  if (found === undefined) throw missing('PaymentMethod', name, 'payment_method', 400);
  const created = Math.floor(Date.now() / 1000);
  const method: PaymentMethod = {
    id: newId('pm'),
    object: 'payment_method',
    billing_details: { address: null, email: null, name: null, phone: null },
    created,
    customer: null,
    livemode: false,
    metadata: {},
    type: found.brand === 'bank' ? 'us_bank_account' : 'card',
    ...(found.brand === 'bank'
      ? { us_bank_account: { bank_name: 'STRIPE TEST BANK', last4: found.last4 } }
      : {
          card: {
            brand: found.brand,
            last4: found.last4,
            country: 'US',
            exp_month: 12,
            exp_year: new Date().getUTCFullYear() + 4,
            funding: 'credit',
          },
        }),
  };
  return { method, outcome: found.outcome };
};
