import { at, callerOf, connectGateway, doerOf, type GatewayControl } from '../gateway/control';
import { type DisputeOutcome, type DisputeSpec, type OpenStatus } from './disputes';
import { type StripeLedger } from './ledger';
import { type Capture, type PaymentToPlant, type Planted, type RefundToPlant } from './planting';
import { type HandRefundSpec } from './refund-desk';
import { type FaultSpec, type GateSpec, type RefundModeSpec, type WebhookFaultSpec } from './switches';

/**
 * The switches of a Stripe sandbox, the same in process (`startStripeSandbox`) and over HTTP
 * (`connectStripeSandbox`). Every method rejects with an `Error` whose message says what was wrong with the call.
 */
export interface StripeControl extends GatewayControl<
  StripeLedger,
  FaultSpec,
  WebhookFaultSpec,
  GateSpec,
  RefundModeSpec
> {
  /** The payer passes or fails the bank's question of an intent in `requires_action`. */
  authenticate(intentId: string, outcome: 'succeeded' | 'failed'): Promise<void>;
  /** The bank decides on an intent in `processing` (paid with `pm_usBankAccount_processing`). */
  settleProcessing(intentId: string, outcome: 'succeeded' | 'failed'): Promise<void>;
  /** Money lands on a canceled intent. */
  payClosed(intentId: string): Promise<void>;
  /** The payer disputes a captured charge, or, with `inquiry`, the bank only asks. */
  dispute(intentId: string, spec?: DisputeSpec): Promise<{ id: string }>;
  /** An open dispute goes on; `needs_response` escalates an inquiry, which then withdraws its money. */
  updateDispute(disputeId: string, status: OpenStatus): Promise<void>;
  /** The bank decides; an inquiry can only end as `warning_closed`. */
  closeDispute(disputeId: string, outcome: DisputeOutcome): Promise<void>;
  /** Somebody refunds in the dashboard, as the refund modes say: no metadata, reason `requested_by_customer`. */
  refundByHand(intentId: string, spec?: HandRefundSpec): Promise<{ id: string }>;
  /** Puts a captured payment on the account, without any event. */
  plantPayment(payment: PaymentToPlant): Promise<Planted>;
  /** Puts a refund on a captured payment, without any event. */
  plantRefund(intentId: string, refund?: RefundToPlant): Promise<{ id: string }>;
  /** Changes what a payment captured, without any event. */
  recapture(intentId: string, capture: Capture): Promise<void>;
  /** Gives an object another `created`, in seconds since 1970; an intent takes its charges along. */
  backdate(id: string, created: number): Promise<void>;
  /** Removes a refund, or an intent with everything of it, as if it had never been. */
  forget(id: string): Promise<void>;
}

/** A sandbox that runs in another process, by its origin. Nothing is sent until a method is called. */
export const connectStripeSandbox = (url: string): StripeControl => {
  const origin = url.replace(/\/+$/, '');
  const call = callerOf(origin);
  const done = doerOf(call);
  return {
    ...connectGateway(origin, call),
    authenticate: (id, outcome) => done('POST', `/payment-intents/${at(id)}/authenticate`, { outcome }),
    settleProcessing: (id, outcome) => done('POST', `/payment-intents/${at(id)}/settle`, { outcome }),
    payClosed: (id) => done('POST', `/payment-intents/${at(id)}/pay-closed`, {}),
    dispute: (id, spec = {}) => call('POST', `/payment-intents/${at(id)}/dispute`, spec),
    updateDispute: (id, status) => done('POST', `/disputes/${at(id)}/update`, { status }),
    closeDispute: (id, outcome) => done('POST', `/disputes/${at(id)}/close`, { outcome }),
    refundByHand: (id, spec = {}) => call('POST', `/payment-intents/${at(id)}/refund-by-hand`, spec),
    plantPayment: (payment) => call('POST', '/plants', payment),
    plantRefund: (id, refund = {}) => call('POST', `/payment-intents/${at(id)}/plant-refund`, refund),
    recapture: (id, capture) => done('PUT', `/payment-intents/${at(id)}/capture`, capture),
    backdate: (id, created) => done('PUT', `/objects/${at(id)}/created`, { created }),
    forget: (id) => done('DELETE', `/objects/${at(id)}`),
  };
};
