import http from 'node:http';
import { type AddressInfo } from 'node:net';
import Stripe from 'stripe';
import { connectStripeSandbox, type StripeControl } from '../sandbox/stripe/control';
import { startStripeSandbox, type StripeSandbox } from '../sandbox/stripe/sandbox';

const secretKey = 'sk_test_sandbox';
export const webhookSecret = 'whsec_test';
export const returnUrl = 'https://shop.example.test/return';

/** A webhook endpoint that verifies each delivery with the official package; `answers` are used up, then 200. */
class Receiver {
  readonly heard: Stripe.Event[] = [];
  answers: number[] = [];
  private constructor(
    private readonly server: http.Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Receiver> {
    const server = http.createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const receiver = new Receiver(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`);
    server.on('request', (request, response) => void receiver.take(request, response));
    return receiver;
  }

  private async take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const header = request.headers['stripe-signature'] ?? '';
    this.heard.push(stripe.webhooks.constructEvent(body, header, webhookSecret));
    response.writeHead(this.answers.shift() ?? 200).end();
  }

  of(type: string): Stripe.Event[] {
    return this.heard.filter((event) => event.type === type);
  }

  types(): string[] {
    return this.heard.map((event) => event.type);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

export let sandbox: StripeSandbox;
export let receiver: Receiver;
export let stripe: Stripe;
/** The switches over HTTP; the in-process ones are used where a test says so. */
export let control: StripeControl;

/** Looks every few milliseconds until it is so; throws when it is not so in time. */
export const until = async (isTrue: () => boolean | Promise<boolean>, withinMs = 5000): Promise<void> => {
  const end = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

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
    receiver = await Receiver.start();
    await control.setWebhookUrl(receiver.url);
  });

  afterEach(async () => {
    await sandbox.close();
    await receiver.close();
  });
};
