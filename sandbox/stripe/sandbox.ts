import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { actOn } from '../gateway/act';
import { Deliveries } from '../gateway/deliveries';
import { Faults } from '../gateway/faults';
import { Gates } from '../gateway/gates';
import { RateLimit } from '../gateway/rate-limit';
import { RefundModes } from '../gateway/refund-modes';
import {
  close,
  deliveryOptions,
  listen,
  makeEnd,
  plainControl,
  type SandboxOptions,
} from '../gateway/server';
import { Account } from './account';
import { Api } from './api';
import { authenticate, payClosed, settleProcessing } from './bank';
import { handControl } from './by-hand';
import { type StripeControl } from './control';
import { controlRoutes } from './control-routes';
import { ledgerOf } from './ledger';
import { operations } from './operations';
import { RefundDesk } from './refund-desk';
import { unknownUrl } from './refusals';
import { failRefund, settleRefund } from './refunds';
import { faultSchema, gateSchema, refundModeSchema, webhookFaultSchema } from './switches';
import { stripeMail } from './webhooks';

export interface StripeSandboxOptions extends SandboxOptions {
  /** The only secret key let in; every `sk_test_…` when absent. */
  secretKey?: string | undefined;
  /** Signs webhooks; `whsec_sandbox` when absent. */
  webhookSecret?: string | undefined;
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
  for (const operation of operations)
    app[operation.method](operation.path, (request: Request, _response: Response, next: NextFunction) => {
      if (faults.down) api.turnAway(operation, request);
      next();
    });
  // Before any body is read: one that is away reads none.
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
  const end = makeEnd();
  const account = new Account();
  const faults = new Faults();
  const gates = new Gates(end.signal);
  const mail = stripeMail(account, options.webhookSecret ?? 'whsec_sandbox');
  const webhooks = new Deliveries(mail, faults, gates, deliveryOptions(options), end.signal);
  const act = actOn(account.events, webhooks);
  const refundModes = new RefundModes(end.signal);
  const refunds = new RefundDesk(account, refundModes, act);
  const rate = new RateLimit();
  const { secretKey } = options;
  const api = new Api({ account, faults, gates, webhooks, refunds, rate, secretKey, closing: end.signal });
  const { server, port, url } = await listen(options);

  const control: StripeControl = {
    ...plainControl({ faults, gates, rate, webhooks, refundModes, disconnect: () => api.disconnect() }),
    url,
    ledger: async () => ledgerOf(account, webhooks, api.log, rate.refused),
    fault: async (spec) => faults.add(faultSchema.parse(spec)),
    webhookFault: async (spec) => faults.addForWebhooks(webhookFaultSchema.parse(spec)),
    gate: async (spec) => gates.add(gateSchema.parse(spec)),
    refundMode: async (spec) => refundModes.add(refundModeSchema.parse(spec)),
    settleRefund: async (id, outcome, reason = defaultFailure) =>
      act(() => settleRefund(account, id, outcome, reason)),
    failRefund: async (id, reason = defaultFailure) => act(() => failRefund(account, id, reason)),
    authenticate: async (id, outcome) => act(() => authenticate(account, id, outcome)),
    settleProcessing: async (id, outcome) => act(() => settleProcessing(account, id, outcome)),
    payClosed: async (id) => act(() => payClosed(account, id)),
    ...handControl(account, refunds, act),
  };
  server.on('request', makeApp(api, faults, control));

  return { ...control, port, close: () => close(server, end) };
};
