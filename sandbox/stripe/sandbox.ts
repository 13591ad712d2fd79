import { once, setMaxListeners } from 'node:events';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import express, { type Express, type Request, type Response } from 'express';
import { Account } from './account';
import { Api } from './api';
import { handControl } from './by-hand';
import { type StripeControl } from './control';
import { controlRoutes } from './control-routes';
import { Faults } from './faults';
import { Gates } from './gates';
import { authenticate, payClosed, settleProcessing } from './intents';
import { ledgerOf } from './ledger';
import { operations } from './operations';
import { RateLimit } from './rate-limit';
import { RefundDesk } from './refund-desk';
import { unknownUrl } from './refusals';
import { failRefund, settleRefund } from './refunds';
import { faultSchema, gateSchema, refundModeSchema, webhookFaultSchema } from './switches';
import { Webhooks } from './webhooks';

export interface StripeSandboxOptions {
  /** 0 (the default) takes a free port. */
  port?: number;
  /** Loopback unless told otherwise: the switches ask for no password. */
  host?: string;
  /** The only secret key let in; every `sk_test_…` when absent. */
  secretKey?: string | undefined;
  /** Signs webhooks; `whsec_sandbox` when absent. */
  webhookSecret?: string | undefined;
  /** Where webhooks go. Absent: nowhere yet; events still being repeated when an address is set reach it. */
  webhookUrl?: string | undefined;
  /** From the answer of an API call to the sending of its events; 5 ms. */
  webhookDelayMs?: number;
  /** Gaps before each repeat of a delivery, the last one for all that follow; Stripe's hours squeezed to seconds. */
  webhookRetryGapsMs?: readonly number[];
  /** How often a delivery is repeated; 40. */
  webhookRetriesMax?: number;
}

/** A running sandbox, with its switches. */
export interface StripeSandbox extends StripeControl {
  readonly port: number;
  /** Ends every connection and every delivery; the account is forgotten. */
  close(): Promise<void>;
}

const defaultFailure = 'expired_or_canceled_card';

const makeApp = (api: Api, faults: Faults, control: StripeControl): Express => {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // Stripe's lists take `created[gte]` and `expand[]`, which the simple query parser would not nest.
  app.set('query parser', 'extended');
  app.use('/_sandbox', controlRoutes(control));
  app.use((request, _response, next) => {
    if (faults.down) request.socket.destroy();
    else next();
  });
  app.use(express.urlencoded({ extended: true }));
  for (const operation of operations)
    app[operation.method](operation.path, (request: Request, response: Response) =>
      api.handle(operation, request, response),
    );
  app.use((request, response) => {
    const refusal = unknownUrl(request.method, request.path);
    response.status(refusal.status).json({ error: refusal.body });
  });
  return app;
};

/**
 * Starts a stand-in for Stripe that keeps one test account in memory and speaks the real wire protocol on
 * `POST /v1/…`; its switches are the returned methods and the routes under `/_sandbox`.
 * Rejects when the port is taken.
 */
export const startStripeSandbox = async (options: StripeSandboxOptions = {}): Promise<StripeSandbox> => {
  const end = new AbortController();
  // Each waiting delivery and delay listens to the one end.
  setMaxListeners(0, end.signal);
  const account = new Account();
  const faults = new Faults();
  const gates = new Gates(end.signal);
  const webhooks = new Webhooks(
    account,
    faults,
    gates,
    {
      url: options.webhookUrl === '' ? undefined : options.webhookUrl,
      secret: options.webhookSecret ?? 'whsec_sandbox',
      delayMs: options.webhookDelayMs ?? 5,
      retryGapsMs: options.webhookRetryGapsMs ?? [200, 500, 1000, 2000, 3000],
      retriesMax: options.webhookRetriesMax ?? 40,
    },
    end.signal,
  );
  const act = <Result>(deed: () => Result): Result => {
    const before = account.events.length;
    const result = deed();
    void webhooks.beforeAnswer(account.events.slice(before)).then((later) => webhooks.send(later));
    return result;
  };
  const refunds = new RefundDesk(account, act, end.signal);
  const rate = new RateLimit();
  const { secretKey } = options;
  const api = new Api({ account, faults, gates, webhooks, refunds, rate, secretKey, closing: end.signal });

  const server = http.createServer();
  const host = options.host ?? '127.0.0.1';
  server.listen(options.port ?? 0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

  const control: StripeControl = {
    url,
    ledger: async () => ledgerOf(account, webhooks, api.log, rate.refused),
    fault: async (spec) => faults.add(faultSchema.parse(spec)),
    webhookFault: async (spec) => faults.addForWebhooks(webhookFaultSchema.parse(spec)),
    gate: async (spec) => gates.add(gateSchema.parse(spec)),
    gateState: async (name) => gates.state(name),
    waitForGate: (name, count, timeoutMs = 10_000) => gates.wait(name, count, timeoutMs),
    releaseGate: async (name) => gates.release(name),
    refundMode: async (spec) => refunds.setMode(refundModeSchema.parse(spec)),
    settleRefund: async (id, outcome, reason = defaultFailure) =>
      act(() => settleRefund(account, id, outcome, reason)),
    failRefund: async (id, reason = defaultFailure) => act(() => failRefund(account, id, reason)),
    authenticate: async (id, outcome) => act(() => authenticate(account, id, outcome)),
    settleProcessing: async (id, outcome) => act(() => settleProcessing(account, id, outcome)),
    payClosed: async (id) => act(() => payClosed(account, id)),
    ...handControl(account, refunds, act),
    rateLimit: async (perSecond) => rate.set(perSecond),
    resend: async (id, times) => webhooks.resend(id, times),
    setWebhookUrl: async (webhookUrl) => webhooks.setUrl(webhookUrl),
    setKeepAliveDown: async (down) => {
      faults.down = down;
      if (down) api.disconnect();
    },
    clearFaults: async () => {
      faults.clear();
      refunds.clear();
      rate.set(null);
      webhooks.releaseHeld();
      gates.releaseAll();
    },
  };
  server.on('request', makeApp(api, faults, control));

  return {
    ...control,
    port,
    close: async () => {
      end.abort();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
};
