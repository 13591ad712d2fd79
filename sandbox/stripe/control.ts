import { type DisputeOutcome, type DisputeSpec, type OpenStatus } from './disputes';
import { type GateState } from './gates';
import { type StripeLedger } from './ledger';
import { type Capture, type PaymentToPlant, type Planted, type RefundToPlant } from './planting';
import { type HandRefundSpec } from './refund-desk';
import { type FaultSpec, type GateSpec, type RefundModeSpec, type WebhookFaultSpec } from './switches';

/**
 * The switches of a Stripe sandbox, the same in process (`startStripeSandbox`) and over HTTP
 * (`connectStripeSandbox`). Every method rejects with an `Error` whose message says what was wrong with the call.
 */
export interface StripeControl {
  /** Origin, for example `http://127.0.0.1:4242`; the API's base address. */
  readonly url: string;
  /** Everything that happened so far; a copy. */
  ledger(): Promise<StripeLedger>;
  /** Makes requests go wrong. */
  fault(spec: FaultSpec): Promise<void>;
  /** Makes webhook deliveries go wrong. */
  webhookFault(spec: WebhookFaultSpec): Promise<void>;
  /** Stops requests or deliveries at a named point. */
  gate(spec: GateSpec): Promise<void>;
  gateState(name: string): Promise<GateState>;
  /** Resolves when `count` stand at the gate; rejects after `timeoutMs` (10 000). */
  waitForGate(name: string, count: number, timeoutMs?: number): Promise<GateState>;
  /** Lets everyone through; the gate stays open. */
  releaseGate(name: string): Promise<GateState>;
  /** What becomes of refunds made from now on. */
  refundMode(spec: RefundModeSpec): Promise<void>;
  /** Ends a pending refund. */
  settleRefund(refundId: string, outcome: 'succeeded' | 'failed', failureReason?: string): Promise<void>;
  /** Lets a refund fail for good, also after it succeeded. */
  failRefund(refundId: string, failureReason?: string): Promise<void>;
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
  /** More API requests than this in any second are answered 429; null ends it. The ledger counts them. */
  rateLimit(perSecond: number | null): Promise<void>;
  /** Sends copies of an event at once; the receiver's statuses, null without an answer. */
  resend(eventId: string, times: number): Promise<(number | null)[]>;
  /** Where webhooks go from now on, repeats of older events too; '' stops them. */
  setWebhookUrl(url: string): Promise<void>;
  /** True: every API connection is destroyed until false. Webhooks and these switches go on. */
  setKeepAliveDown(down: boolean): Promise<void>;
  /** Ends all faults, refund modes, the rate limit, held deliveries, gates and the outage; closes what hangs. */
  clearFaults(): Promise<void>;
}

/** A sandbox that runs in another process, by its origin. Nothing is sent until a method is called. */
export const connectStripeSandbox = (url: string): StripeControl => {
  const origin = url.replace(/\/+$/, '');
  const call = async <Result>(method: string, path: string, body?: object): Promise<Result> => {
    const response = await fetch(`${origin}/_sandbox${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`${method} /_sandbox${path}: ${JSON.stringify(answer)}`);
    // The sandbox is ours and of the same version: its answers are not validated again.
    return answer as Result;
  };
  const at = (id: string): string => encodeURIComponent(id);
  const done = async (method: string, path: string, body?: object): Promise<void> => {
    await call<unknown>(method, path, body);
  };
  return {
    url: origin,
    ledger: () => call('GET', '/ledger'),
    fault: (spec) => done('POST', '/faults', spec),
    webhookFault: (spec) => done('POST', '/webhook-faults', spec),
    gate: (spec) => done('POST', '/gates', spec),
    gateState: (name) => call('GET', `/gates/${at(name)}`),
    waitForGate: (name, count, timeoutMs) => call('POST', `/gates/${at(name)}/wait`, { count, timeoutMs }),
    releaseGate: (name) => call('POST', `/gates/${at(name)}/release`, {}),
    refundMode: (spec) => done('POST', '/refund-modes', spec),
    settleRefund: (id, outcome, failureReason) =>
      done('POST', `/refunds/${at(id)}/settle`, { outcome, failureReason }),
    failRefund: (id, failureReason) => done('POST', `/refunds/${at(id)}/fail`, { failureReason }),
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
    rateLimit: (perSecond) => done('PUT', '/rate-limit', { perSecond }),
    resend: (id, times) => call('POST', `/events/${at(id)}/resend`, { times }),
    setWebhookUrl: (webhookUrl) => done('PUT', '/webhook', { url: webhookUrl }),
    setKeepAliveDown: (down) => done('PUT', '/down', { down }),
    clearFaults: () => done('DELETE', '/faults'),
  };
};
