/** A Razorpay sandbox for each test of a file, with calls in Razorpay's words, a webhook endpoint and the switches. */
import { createHmac } from 'node:crypto';
import { connectRazorpaySandbox, type RazorpayControl } from '../sandbox/razorpay/control';
import { type RazorpaySandbox, startRazorpaySandbox } from '../sandbox/razorpay/sandbox';
import type { Answer } from './sandbox-faults';
import { asTheyCame, Receiver } from './sandbox-receiver';

export const keyId = 'rzp_test_sandbox1';
export const keySecret = 'key_secret_of_the_test';
export const webhookSecret = 'webhook_secret_of_the_test';

export let sandbox: RazorpaySandbox;
export let receiver: Receiver;
/** The switches over HTTP. */
export let control: RazorpayControl;

/** Calls the API as the account. */
export const call = async (
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> => {
  const response = await fetch(`${sandbox.url}/v1${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${keyId}:${keySecret}`).toString('base64')}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json(), headers: response.headers };
};

/** An order over INR 250.00 that is captured automatically. */
export const order = async (more: object = {}): Promise<string> => {
  const { status, body } = await call('POST', '/orders', {
    amount: 25_000,
    currency: 'INR',
    notes: { bookingId: 'b1', try: '1' },
    payment: { capture: 'automatic' },
    ...more,
  });
  if (status !== 200) throw new Error(JSON.stringify(body));
  return String(body.id);
};

/** An order that is paid, and its payment. */
export const paid = async (more: object = {}): Promise<{ orderId: string; paymentId: string }> => {
  const orderId = await order(more);
  return { orderId, paymentId: (await control.pay(orderId, 'ok')).id };
};

export const hmac = (text: string, secret: string): string =>
  createHmac('sha256', secret).update(text).digest('hex');

/** Gives each test of a file a sandbox, a receiver and the switches of its own. */
export const useRazorpaySandbox = (): void => {
  beforeEach(async () => {
    sandbox = await startRazorpaySandbox({ keyId, keySecret, webhookSecret });
    control = connectRazorpaySandbox(sandbox.url);
    receiver = await Receiver.start(asTheyCame);
    await control.setWebhookUrl(receiver.url);
  });

  afterEach(async () => {
    await sandbox.close();
    await receiver.close();
  });
};
