import { type GateState } from './gates';

/** The switches that every gateway's sandbox has; the specs are each one's own, for they name its operations and events. */
export interface GatewayControl<Ledger, FaultSpec, WebhookFaultSpec, GateSpec, RefundModeSpec> {
  /** Origin, for example `http://127.0.0.1:4242`; the API's base address, or the first part of it. */
  readonly url: string;
  /** Everything that happened so far; a copy. */
  ledger(): Promise<Ledger>;
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
  settleRefund(refundId: string, outcome: Outcome, failureReason?: string): Promise<void>;
  /** Lets a refund fail for good, also after it succeeded. */
  failRefund(refundId: string, failureReason?: string): Promise<void>;
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

export type Outcome = 'succeeded' | 'failed';

/** Calls a route under `/_sandbox` of a sandbox in another process. Rejects with what it said against the call. */
export type Call = <Result>(method: string, path: string, body?: object) => Promise<Result>;

/** An id as a part of a path. */
export const at = (id: string): string => encodeURIComponent(id);

/** The way to a sandbox in another process, by its origin. Nothing is sent until it is used. */
export const callerOf =
  (origin: string): Call =>
  async <Result>(method: string, path: string, body?: object): Promise<Result> => {
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

/** The same for a call that answers nothing. */
export const doerOf =
  (call: Call) =>
  async (method: string, path: string, body?: object): Promise<void> => {
    await call<unknown>(method, path, body);
  };

/** The switches of a sandbox in another process. */
export const connectGateway = <
  Ledger,
  FaultSpec extends object,
  WebhookFaultSpec extends object,
  GateSpec extends object,
  RefundModeSpec extends object,
>(
  origin: string,
  call: Call,
): GatewayControl<Ledger, FaultSpec, WebhookFaultSpec, GateSpec, RefundModeSpec> => {
  const done = doerOf(call);
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
    rateLimit: (perSecond) => done('PUT', '/rate-limit', { perSecond }),
    resend: (id, times) => call('POST', `/events/${at(id)}/resend`, { times }),
    setWebhookUrl: (webhookUrl) => done('PUT', '/webhook', { url: webhookUrl }),
    setKeepAliveDown: (down) => done('PUT', '/down', { down }),
    clearFaults: () => done('DELETE', '/faults'),
  };
};
