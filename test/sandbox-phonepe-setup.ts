/** A PhonePe sandbox for each test of a file, with calls in PhonePe's words, a webhook endpoint and the switches. */
import { createHash } from 'node:crypto';
import { connectPhonepeSandbox, type PhonepeControl } from '../sandbox/phonepe/control';
import {
  type PhonepeSandbox,
  type PhonepeSandboxOptions,
  startPhonepeSandbox,
} from '../sandbox/phonepe/sandbox';
import type { Answer } from './sandbox-faults';
import { asTheyCame, Receiver } from './sandbox-receiver';

export const client = {
  client_id: 'client_of_the_test',
  client_version: '1',
  client_secret: 'client_secret_of_the_test',
  grant_type: 'client_credentials',
};
export const options: PhonepeSandboxOptions = {
  clientId: client.client_id,
  clientSecret: client.client_secret,
  webhookUsername: 'hook_user',
  webhookPassword: 'hookPassword1',
};
/** What every webhook carries, whatever its body. */
export const constant = createHash('sha256').update('hook_user:hookPassword1').digest('hex');

/** The two layouts of the API. */
export const layouts = {
  production: { identity: '/apis/identity-manager', pg: '/apis/pg' },
  sandbox: { identity: '/apis/pg-sandbox', pg: '/apis/pg-sandbox' },
} as const;

export let sandbox: PhonepeSandbox;
export let receiver: Receiver;
/** The switches over HTTP. */
export let control: PhonepeControl;
let token: string;

const answerOf = async (response: Response): Promise<Answer> => ({
  status: response.status,
  body: await response.json(),
  headers: response.headers,
});

/** Asks for a token; `change` differs from the right form. */
export const askToken = async (
  change: Record<string, string> = {},
  folder: string = layouts.production.identity,
): Promise<Answer> =>
  answerOf(
    await fetch(`${sandbox.url}${folder}/v1/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ ...client, ...change }),
    }),
  );

/** Calls the API as the merchant. */
export const call = async (
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  by: { token?: string; folder?: string } = {},
): Promise<Answer> =>
  answerOf(
    await fetch(`${sandbox.url}${by.folder ?? layouts.production.pg}${path}`, {
      method,
      headers: {
        authorization: `O-Bearer ${by.token ?? token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
  );

/** The body of an order over INR 250.00. */
export const wanted = (more: object = {}): object => ({
  merchantOrderId: 'bkg_1_1',
  amount: 25_000,
  expireAfter: 900,
  metaInfo: { udf1: 'bkg_1', udf2: '1' },
  paymentFlow: { type: 'PG_CHECKOUT', merchantUrls: { redirectUrl: 'https://shop.example.test/return' } },
  ...more,
});

/** Makes an order; answers where its page is. */
export const open = async (more: object = {}): Promise<string> => {
  const { status, body } = await call('POST', '/checkout/v2/pay', wanted(more));
  if (status !== 200) throw new Error(JSON.stringify(body));
  return String(body.redirectUrl);
};

export const statusOf = async (id = 'bkg_1_1', query = ''): Promise<Answer> =>
  call('GET', `/checkout/v2/order/${id}/status${query}`);

/** Asks for a refund. */
export const refund = async (merchantRefundId: string, amount = 25_000, order = 'bkg_1_1'): Promise<Answer> =>
  call('POST', '/payments/v2/refund', { merchantRefundId, originalMerchantOrderId: order, amount });

export const refundStatus = async (id: string): Promise<Answer> =>
  call('GET', `/payments/v2/refund/${id}/status`);

/** Gives each test of a file a sandbox, a token, a receiver and the switches of its own. */
export const usePhonepeSandbox = (more: PhonepeSandboxOptions = {}): void => {
  beforeEach(async () => {
    sandbox = await startPhonepeSandbox({ ...options, ...more });
    control = connectPhonepeSandbox(sandbox.url);
    receiver = await Receiver.start(asTheyCame);
    await control.setWebhookUrl(receiver.url);
    token = String((await askToken()).body.access_token);
  });

  afterEach(async () => {
    await sandbox.close();
    await receiver.close();
  });
};
