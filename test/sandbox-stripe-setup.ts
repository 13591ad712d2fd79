/** A Stripe sandbox for each test of a file, with a client, a webhook endpoint and the switches. */
import type http from 'node:http';
import Stripe from 'stripe';
import { connectStripeSandbox, type StripeControl } from '../sandbox/stripe/control';
import { startStripeSandbox, type StripeSandbox } from '../sandbox/stripe/sandbox';
import { Receiver } from './sandbox-receiver';

const secretKey = 'sk_test_sandbox';
export const webhookSecret = 'whsec_test';
export const returnUrl = 'https://shop.example.test/return';

/** The official package's check of each delivery. */
const verified = {
  read: (raw: string, headers: http.IncomingHttpHeaders): Stripe.Event =>
    stripe.webhooks.constructEvent(raw, headers['stripe-signature'] ?? '', webhookSecret),
  typeOf: ({ type }: Stripe.Event): string => type,
};

export let sandbox: StripeSandbox;
export let receiver: Receiver<Stripe.Event>;
export let stripe: Stripe;
/** The switches over HTTP; the in-process ones are used where a test says so. */
export let control: StripeControl;

/** The official package, pointed at the sandbox. `timeout` is in milliseconds. */
export const client = (options: { timeout?: number; key?: string } = {}): Stripe =>
  new Stripe(options.key ?? secretKey, {
    host: '127.0.0.1',
    port: sandbox.port,
    protocol: 'http',
    maxNetworkRetries: 0,
    timeout: options.timeout ?? 5000,
    telemetry: false,
  });

/** A new intent over 15.00 EUR. */
export const open = (bookingId = 'b1', key?: string): Promise<Stripe.Response<Stripe.PaymentIntent>> =>
  stripe.paymentIntents.create(
    {
      amount: 1500,
      currency: 'eur',
      metadata: { bookingId, try: '1' },
      automatic_payment_methods: { enabled: true },
    },
    key === undefined ? {} : { idempotencyKey: key },
  );
/** Tries to pay an intent with a test card. */
export const pay = (id: string, card = 'pm_card_visa'): Promise<Stripe.Response<Stripe.PaymentIntent>> =>
  stripe.paymentIntents.confirm(id, { payment_method: card, return_url: returnUrl });
/** A new intent that is paid. */
export const paid = async (): Promise<Stripe.Response<Stripe.PaymentIntent>> => pay((await open()).id);

/** The error that a call ends with. */
export const refusal = async (call: Promise<unknown>): Promise<Stripe.errors.StripeError> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof Stripe.errors.StripeError) return error;
    throw error;
  }
  throw new Error('the call was not refused');
};

/** What the requests of one operation were answered, oldest first; null without an answer. */
export const statuses = async (operation: string): Promise<(number | null)[]> =>
  (await control.ledger()).requests.filter((one) => one.operation === operation).map((one) => one.status);

/** Gives each test of a file a sandbox, a client, a receiver and the switches of its own. */
export const useStripeSandbox = (): void => {
  beforeEach(async () => {
    sandbox = await startStripeSandbox({ secretKey, webhookSecret });
    stripe = client();
    control = connectStripeSandbox(sandbox.url);
    receiver = await Receiver.start(verified);
    await control.setWebhookUrl(receiver.url);
  });

  afterEach(async () => {
    await sandbox.close();
    await receiver.close();
  });
};
