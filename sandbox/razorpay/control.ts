import { at, callerOf, connectGateway, doerOf, type GatewayControl, type Outcome } from '../gateway/control';
import { type Readings } from './account';
import { type DisputeOutcome, type DisputeSpec } from './disputes';
import { type RazorpayLedger } from './ledger';
import { type How, type Late, type Paid, type PaySpec } from './payments';
import {
  type HandRefundSpec,
  type PaymentToPlant,
  type Planted,
  type Recapture,
  type RefundToPlant,
} from './planting';
import { type FaultSpec, type GateSpec, type RefundModeSpec, type WebhookFaultSpec } from './switches';

/**
 * The switches of a Razorpay sandbox, the same in process (`startRazorpaySandbox`) and over HTTP
 * (`connectRazorpaySandbox`). Every method rejects with an `Error` whose message says what was wrong with the call. Where a
 * payment is meant, its order's id does as well.
 */
export interface RazorpayControl extends GatewayControl<
  RazorpayLedger,
  FaultSpec,
  WebhookFaultSpec,
  GateSpec,
  RefundModeSpec
> {
  /** The customer pays an order on Razorpay's page, is declined, or leaves an authorized payment that nobody captures. */
  pay(orderId: string, how: How, spec?: PaySpec): Promise<Paid>;
  /** An authorized payment is captured, or goes back by itself because nobody captured it. */
  settleProcessing(id: string, outcome: Outcome): Promise<void>;
  /** The bank confirms a failed payment; it is captured unless `then` says otherwise. */
  authorizeLate(id: string, then?: Late): Promise<{ id: string }>;
  /** The payer disputes a captured payment. */
  dispute(id: string, spec?: DisputeSpec): Promise<{ id: string }>;
  /** The evidence against a dispute is in: `under_review`. */
  reviewDispute(disputeId: string): Promise<void>;
  /** The bank decides. */
  closeDispute(disputeId: string, outcome: DisputeOutcome): Promise<void>;
  /** Somebody refunds in the dashboard, as the refund modes say: no notes. */
  refundByHand(id: string, spec?: HandRefundSpec): Promise<{ id: string }>;
  /** Puts a captured payment on the account, without any event. */
  plantPayment(payment: PaymentToPlant): Promise<Planted>;
  /** Puts a refund on a captured payment, without any event. */
  plantRefund(id: string, refund?: RefundToPlant): Promise<{ id: string }>;
  /** Changes what a payment captured, without any event. */
  recapture(id: string, capture: Recapture): Promise<void>;
  /** Gives an object another `created_at`, in seconds since 1970; an order takes its payments along. */
  backdate(id: string, created: number): Promise<void>;
  /** Removes a refund, or an order with everything of it, as if it had never been. */
  forget(id: string): Promise<void>;
  /** Paise that refunds can be paid from; null: enough. */
  setBalance(paise: number | null): Promise<void>;
  /** Which of two readings of Razorpay's pages holds from now on. */
  setReadings(readings: Partial<Readings>): Promise<void>;
  /** Signs later deliveries; repeats of earlier ones too, unlike Razorpay, which keeps the old secret for those. */
  setWebhookSecret(secret: string): Promise<void>;
}

/** A sandbox that runs in another process, by its origin. Nothing is sent until a method is called. */
export const connectRazorpaySandbox = (url: string): RazorpayControl => {
  const origin = url.replace(/\/+$/, '');
  const call = callerOf(origin);
  const done = doerOf(call);
  return {
    ...connectGateway(origin, call),
    pay: (id, how, spec = {}) => call('POST', `/payables/${at(id)}/pay`, { how, ...spec }),
    settleProcessing: (id, outcome) => done('POST', `/payables/${at(id)}/settle`, { outcome }),
    authorizeLate: (id, then) => call('POST', `/payables/${at(id)}/authorize-late`, { then }),
    dispute: (id, spec = {}) => call('POST', `/payables/${at(id)}/dispute`, spec),
    reviewDispute: (id) => done('POST', `/disputes/${at(id)}/review`, {}),
    closeDispute: (id, outcome) => done('POST', `/disputes/${at(id)}/close`, { outcome }),
    refundByHand: (id, spec = {}) => call('POST', `/payables/${at(id)}/refund-by-hand`, spec),
    plantPayment: (payment) => call('POST', '/plants', payment),
    plantRefund: (id, refund = {}) => call('POST', `/payables/${at(id)}/plant-refund`, refund),
    recapture: (id, capture) => done('PUT', `/payables/${at(id)}/capture`, capture),
    backdate: (id, created) => done('PUT', `/objects/${at(id)}/created`, { created }),
    forget: (id) => done('DELETE', `/objects/${at(id)}`),
    setBalance: (paise) => done('PUT', '/balance', { paise }),
    setReadings: (readings) => done('PUT', '/readings', readings),
    setWebhookSecret: (secret) => done('PUT', '/webhook-secret', { secret }),
  };
};
