/**
 * The gateways' sandboxes as one: how a customer pays at each, and what its own ledger says of an attempt, in the same words.
 * So that one table of cases can be run for every gateway.
 */
import { startRazorpaySandbox, type RazorpaySandbox } from '../sandbox/razorpay/sandbox';
import type { StripeSandbox } from '../sandbox/stripe/sandbox';
import type { Json } from './world';

/** What the customer does on the gateway's page. `processing`: it is authorized, and nobody knows yet. */
export type How = 'ok' | 'declined' | 'processing';

/** What a gateway's ledger says of one attempt. */
export interface Ledger {
  /** Payment objects that were made. */
  objects: string[];
  /** Captured charges. */
  charges: number;
  capturedMinor: number;
  /** Refunds that reached the payer: ours and others'. */
  refunds: number;
  refundedMinor: number;
}

/** One gateway at work in a test. */
export interface AtGateway {
  readonly method: string;
  /** One it takes. */
  readonly currency: string;
  /** Settings that point Payfirst to its sandbox. */
  readonly env: Record<string, string>;
  /** The customer pays, is declined or leaves it to the bank, at the booking's newest payment object. */
  pay(booking: Json, how?: How): Promise<void>;
  ledgerOf(bookingId: string): Promise<Ledger>;
  /** No webhook of this gateway arrives any more. */
  silence(): Promise<void>;
  setWebhookUrl(url: string): Promise<void>;
  close(): Promise<void>;
}

const sum = (list: readonly { amount: number }[]) => list.reduce((total, { amount }) => total + amount, 0);
const refOf = (booking: Json) => String(booking.payment.gatewayRef);

/** Stripe's cards for each way. */
const cards = { ok: 'pm_card_visa', declined: 'pm_card_chargeDeclined', processing: 'pm_usBankAccount' };

export function atStripeSandbox(sandbox: StripeSandbox, env: Record<string, string>): AtGateway {
  return {
    method: 'stripe',
    currency: 'EUR',
    env,
    pay: async (booking, how = 'ok') => {
      await fetch(`${sandbox.url}/v1/payment_intents/${refOf(booking)}/confirm`, {
        method: 'POST',
        headers: { authorization: `Bearer ${env['STRIPE_SECRET_KEY']}` },
        body: new URLSearchParams({ payment_method: cards[how] }),
      });
    },
    ledgerOf: async (bookingId) => {
      const ledger = await sandbox.ledger();
      const intents = ledger.intents.filter((one) => one.metadata['bookingId'] === bookingId);
      const objects = intents.map(({ id }) => id);
      const of = (one: { paymentIntent: string; status: string }) =>
        objects.includes(one.paymentIntent) && one.status === 'succeeded';
      const charges = ledger.charges.filter(of);
      const refunds = ledger.refunds.filter(of);
      return {
        objects,
        charges: charges.length,
        capturedMinor: sum(charges),
        refunds: refunds.length,
        refundedMinor: sum(refunds),
      };
    },
    silence: () => sandbox.webhookFault({ kind: 'drop', event: '*', times: null }),
    setWebhookUrl: (url) => sandbox.setWebhookUrl(url),
    close: () => sandbox.close(),
  };
}

export interface AtRazorpay extends AtGateway {
  readonly sandbox: RazorpaySandbox;
}

export async function atRazorpay(): Promise<AtRazorpay> {
  const secrets = {
    keyId: 'rzp_test_tests_only',
    keySecret: 'a key secret for tests',
    webhookSecret: 'a webhook secret for tests',
  };
  const sandbox = await startRazorpaySandbox({ ...secrets, webhookRetryGapsMs: [200, 500, 1000] });
  return {
    sandbox,
    method: 'razorpay',
    currency: 'INR',
    env: {
      RAZORPAY_KEY_ID: secrets.keyId,
      RAZORPAY_KEY_SECRET: secrets.keySecret,
      RAZORPAY_WEBHOOK_SECRET: secrets.webhookSecret,
      RAZORPAY_API_BASE: sandbox.url,
    },
    pay: async (booking, how = 'ok') => {
      const notes = JSON.parse(String(booking.payment.parameters.notes)) as Record<string, string>;
      await sandbox.pay(refOf(booking), how, { notes });
    },
    ledgerOf: async (bookingId) => {
      const ledger = await sandbox.ledger();
      const orders = ledger.orders.filter((one) => one.metadata['bookingId'] === bookingId);
      const objects = orders.map(({ id }) => id);
      const charges = ledger.payments.filter((one) => one.captured && objects.includes(one.order));
      const paid = new Set(charges.map(({ id }) => id));
      const refunds = ledger.refunds.filter((one) => paid.has(one.payment) && one.status === 'processed');
      return {
        objects,
        charges: charges.length,
        capturedMinor: sum(charges),
        refunds: refunds.length,
        refundedMinor: sum(refunds),
      };
    },
    silence: () => sandbox.webhookFault({ kind: 'drop', event: '*', times: null }),
    setWebhookUrl: (url) => sandbox.setWebhookUrl(url),
    close: () => sandbox.close(),
  };
}
