import { type Act, actOn } from '../gateway/act';
import { Deliveries } from '../gateway/deliveries';
import { Faults } from '../gateway/faults';
import { Front } from '../gateway/front';
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
import { checkoutRoutes } from './checkout';
import { type RazorpayControl } from './control';
import { controlRoutes } from './control-routes';
import { closeDispute, openDispute, reviewDispute } from './disputes';
import { ledgerOf } from './ledger';
import { manners, operations, subjectOf } from './operations';
import { authorizeLate, pay, settleProcessing } from './payments';
import { backdate, forget, handRefundSchema, plantPayment, plantRefund, recapture } from './planting';
import { createRefund, failRefund, settleRefund } from './refunds';
import { faultSchema, gateSchema, readingsSchema, refundModeSchema, webhookFaultSchema } from './switches';
import { razorpayMail } from './webhooks';

export interface RazorpaySandboxOptions extends SandboxOptions {
  /** The only key let in; `rzp_test_sandbox` and `razorpay_sandbox_secret` when absent. */
  keyId?: string | undefined;
  keySecret?: string | undefined;
  /** Signs webhooks; `razorpay_sandbox_webhook` when absent. Not the key's secret. */
  webhookSecret?: string | undefined;
}

/** A running sandbox, with its switches. */
export interface RazorpaySandbox extends RazorpayControl {
  readonly port: number;
  /** Ends every connection and every delivery; the account is forgotten. */
  close(): Promise<void>;
}

const defaultFailure = 'bank_refused';

/** What customers, banks and people in the dashboard do, and what was never so. */
const deeds = (account: Account, modes: RefundModes, act: Act, keySecret: string) =>
  ({
    pay: async (id, how, spec = {}) => act(() => pay(account, id, how, spec, keySecret)),
    settleProcessing: async (id, outcome) => act(() => settleProcessing(account, id, outcome)),
    authorizeLate: async (id, then = 'captured') => act(() => authorizeLate(account, id, then)),
    settleRefund: async (id, outcome, reason = defaultFailure) =>
      act(() => settleRefund(account, id, outcome, reason)),
    failRefund: async (id, reason = defaultFailure) => act(() => failRefund(account, id, reason)),
    dispute: async (id, spec = {}) => ({ id: act(() => openDispute(account, id, spec)).id }),
    reviewDispute: async (id) => act(() => reviewDispute(account, id)),
    closeDispute: async (id, outcome) => act(() => closeDispute(account, id, outcome)),
    refundByHand: async (id, spec = {}) => {
      const { amount, created } = handRefundSchema.parse(spec);
      const payment = account.capturedPayment(id);
      const fields = amount === undefined ? {} : { amount };
      const refund = act(() =>
        modes.apply(
          subjectOf(account, payment.id, fields),
          (mode) => {
            const made = createRefund(account, payment.id, fields, mode, created);
            account.byHand.add(made.id);
            return made;
          },
          ({ id: failing, status }, reason) => {
            if (status !== 'failed') act(() => failRefund(account, failing, reason));
          },
        ),
      );
      return { id: refund.id };
    },
    plantPayment: async (payment) => plantPayment(account, payment),
    plantRefund: async (id, refund = {}) => ({ id: plantRefund(account, id, refund) }),
    recapture: async (id, capture) => recapture(account, id, capture),
    backdate: async (id, created) => backdate(account, id, created),
    forget: async (id) => forget(account, id),
    setBalance: async (paise) => {
      account.balance = paise;
    },
    setReadings: async (readings) => {
      Object.assign(account.readings, readingsSchema.parse(readings));
    },
  }) satisfies Partial<RazorpayControl>;

/**
 * Starts a stand-in for Razorpay that keeps one test account in memory and speaks the real wire protocol on `/v1/…`; its
 * switches are the returned methods and the routes under `/_sandbox`, its checkout `/_sandbox/checkout/:order`.
 * Rejects when the port is taken.
 */
export const startRazorpaySandbox = async (
  options: RazorpaySandboxOptions = {},
): Promise<RazorpaySandbox> => {
  const { keyId = 'rzp_test_sandbox', keySecret = 'razorpay_sandbox_secret' } = options;
  let { webhookSecret = 'razorpay_sandbox_webhook' } = options;
  const end = makeEnd();
  const account = new Account();
  const faults = new Faults();
  const gates = new Gates(end.signal);
  const mail = razorpayMail(account, () => webhookSecret);
  const webhooks = new Deliveries(mail, faults, gates, deliveryOptions(options), end.signal);
  const act = actOn(account.events, webhooks);
  const refundModes = new RefundModes(end.signal);
  const rate = new RateLimit();
  const front = new Front({
    manners: manners(account, keyId, keySecret),
    events: account.events,
    webhooks,
    faults,
    gates,
    rate,
    closing: end.signal,
  });
  const { server, port, url } = await listen(options);

  const control: RazorpayControl = {
    ...plainControl({ faults, gates, rate, webhooks, refundModes, disconnect: () => front.disconnect() }),
    ...deeds(account, refundModes, act, keySecret),
    url,
    ledger: async () => ledgerOf(account, webhooks, front.log, rate.refused),
    fault: async (spec) => faults.add(faultSchema.parse(spec)),
    webhookFault: async (spec) => faults.addForWebhooks(webhookFaultSchema.parse(spec)),
    gate: async (spec) => gates.add(gateSchema.parse(spec)),
    refundMode: async (spec) => refundModes.add(refundModeSchema.parse(spec)),
    setWebhookSecret: async (secret) => {
      webhookSecret = secret;
    },
  };
  const app = front.app(operations(account, refundModes, act), (one) => {
    one.use('/_sandbox/checkout', checkoutRoutes(control));
    one.use('/_sandbox', controlRoutes(control));
  });
  server.on('request', app);

  return { ...control, port, close: () => close(server, end) };
};
