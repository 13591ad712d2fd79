import { type Act, actOn } from '../gateway/act';
import { Deliveries } from '../gateway/deliveries';
import { Faults } from '../gateway/faults';
import { Front } from '../gateway/front';
import { Gates } from '../gateway/gates';
import { pause } from '../gateway/pause';
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
import { checkoutRoutes } from './checkout';
import { type PhonepeControl } from './control';
import { controlRoutes } from './control-routes';
import { ledgerOf } from './ledger';
import { manners, operations } from './operations';
import { expireOrder } from './orders';
import { pay, payClosed, settleProcessing } from './payments';
import { RefundDesk } from './refund-desk';
import { confirmRefund, failRefund, settleRefund } from './refunds';
import { faultSchema, gateSchema, readingsSchema, refundModeSchema, webhookFaultSchema } from './switches';
import { Tokens } from './tokens';
import { letterOf, type Login, phonepeMail } from './webhooks';
import { type Order } from './wire';

export interface PhonepeSandboxOptions extends SandboxOptions {
  /** The only client that is given tokens; `phonepe_sandbox_client`, `1` and `phonepe_sandbox_secret` when absent. */
  clientId?: string | undefined;
  clientVersion?: string | undefined;
  clientSecret?: string | undefined;
  /** What webhooks authenticate with; `sandbox_user` and `sandboxPass1` when absent. */
  webhookUsername?: string | undefined;
  webhookPassword?: string | undefined;
  /** Origin under which browsers reach the page that pays; where the API was called, when absent. */
  publicUrl?: string | undefined;
  /** How long a second of an order's `expireAfter` lasts; 1000 ms. */
  expirySecondMs?: number;
}

/** A running sandbox, with its switches. */
export interface PhonepeSandbox extends PhonepeControl {
  readonly port: number;
  /** Ends every connection and every delivery; the account is forgotten. */
  close(): Promise<void>;
}

const defaultFailure = 'REFUND_DECLINED';

/** What customers and banks do. */
const deeds = (account: Account, tokens: Tokens, act: Act) =>
  ({
    pay: async (id, how) => act(() => pay(account, id, how)),
    settleProcessing: async (id, outcome) => act(() => settleProcessing(account, id, outcome)),
    expireOrder: async (id) => act(() => expireOrder(account, id)),
    payClosed: async (id) => act(() => payClosed(account, id)),
    confirmRefund: async (id) => act(() => confirmRefund(account, id)),
    settleRefund: async (id, outcome, reason = defaultFailure) =>
      act(() => settleRefund(account, id, outcome, reason)),
    failRefund: async (id, reason = defaultFailure) => act(() => failRefund(account, id, reason)),
    setTokenLife: async (seconds) => {
      tokens.life = seconds;
    },
    expireTokens: async () => tokens.expireAll(),
    setReadings: async (readings) => {
      Object.assign(account.readings, readingsSchema.parse(readings));
    },
  }) satisfies Partial<PhonepeControl>;

/**
 * Starts a stand-in for PhonePe v2 that keeps one merchant in memory and speaks the real wire protocol under `/apis`, in the
 * layout of production and in that of PhonePe's own sandbox; its switches are the returned methods and the routes under
 * `/_sandbox`, its page `/_sandbox/pay/:token`. Rejects when the port is taken.
 */
export const startPhonepeSandbox = async (options: PhonepeSandboxOptions = {}): Promise<PhonepeSandbox> => {
  const {
    clientId = 'phonepe_sandbox_client',
    clientVersion = '1',
    clientSecret = 'phonepe_sandbox_secret',
    webhookUsername: username = 'sandbox_user',
    webhookPassword: password = 'sandboxPass1',
  } = options;
  let login: Login = { username, password };
  const end = makeEnd();
  const account = new Account();
  const faults = new Faults();
  const gates = new Gates(end.signal);
  const webhooks = new Deliveries(
    phonepeMail(account, () => login),
    faults,
    gates,
    deliveryOptions(options),
    end.signal,
  );
  const act = actOn(account.events, webhooks);
  const expireInTime = ({ merchantOrderId, expireAt }: Order): void => {
    void pause(expireAt - Date.now(), end.signal).then((isTime) => {
      if (isTime && account.orders.get(merchantOrderId)?.state === 'PENDING')
        act(() => expireOrder(account, merchantOrderId));
    });
  };
  const tokens = new Tokens({ clientId, clientVersion, clientSecret });
  const refundModes = new RefundModes(end.signal);
  const rate = new RateLimit();
  const front = new Front({
    manners: manners(account, tokens),
    events: account.events,
    webhooks,
    faults,
    gates,
    rate,
    closing: end.signal,
  });
  const { server, port, url } = await listen(options);

  const control: PhonepeControl = {
    ...plainControl({ faults, gates, rate, webhooks, refundModes, disconnect: () => front.disconnect() }),
    ...deeds(account, tokens, act),
    url,
    ledger: async () => ledgerOf(account, webhooks, front.log, rate.refused),
    fault: async (spec) => faults.add(faultSchema.parse(spec)),
    webhookFault: async (spec) => faults.addForWebhooks(webhookFaultSchema.parse(spec)),
    gate: async (spec) => gates.add(gateSchema.parse(spec)),
    refundMode: async (spec) => refundModes.add(refundModeSchema.parse(spec)),
    setWebhookLogin: async (next) => {
      login = next;
    },
    forge: (body) => webhooks.slip(letterOf(JSON.stringify(body), login)),
  };
  const desk = new RefundDesk(account, refundModes, act, end.signal);
  const app = front.app(
    operations(account, tokens, desk, {
      secondMs: options.expirySecondMs ?? 1000,
      pageOf: ({ pageToken }, { request }) =>
        `${options.publicUrl ?? `http://${request.get('host') ?? ''}`}/_sandbox/pay/${pageToken}`,
      onOrder: expireInTime,
    }),
    (one) => {
      one.use('/_sandbox/pay', checkoutRoutes(account, control));
      one.use('/_sandbox', controlRoutes(control));
    },
  );
  server.on('request', app);

  return { ...control, port, close: () => close(server, end) };
};
