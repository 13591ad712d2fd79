import { at, callerOf, connectGateway, doerOf, type GatewayControl, type Outcome } from '../gateway/control';
import { type Readings } from './account';
import { type PhonepeLedger } from './ledger';
import { type How, type Paid } from './payments';
import { type FaultSpec, type GateSpec, type RefundModeSpec, type WebhookFaultSpec } from './switches';
import { type Login } from './webhooks';

/**
 * The switches of a PhonePe sandbox, the same in process (`startPhonepeSandbox`) and over HTTP (`connectPhonepeSandbox`).
 * Orders go by the merchant's id, refunds by the merchant's or PhonePe's. Every method rejects with an `Error` whose message
 * says what was wrong with the call.
 */
export interface PhonepeControl extends GatewayControl<
  PhonepeLedger,
  FaultSpec,
  WebhookFaultSpec,
  GateSpec,
  RefundModeSpec
> {
  /** The customer pays an order on PhonePe's page, is declined, or waits for the bank. */
  pay(merchantOrderId: string, how: How): Promise<Paid>;
  /** The bank answers the try that is under way. */
  settleProcessing(merchantOrderId: string, outcome: Outcome): Promise<void>;
  /** The order's time is over now. */
  expireOrder(merchantOrderId: string): Promise<void>;
  /** Money lands on an order that had failed or expired. */
  payClosed(merchantOrderId: string): Promise<void>;
  /** The bank accepts a pending refund, which is not over yet: `CONFIRMED`. */
  confirmRefund(refundId: string): Promise<void>;
  /** How long tokens given from now on live, in seconds. */
  setTokenLife(seconds: number): Promise<void>;
  /** Every token given so far is over. */
  expireTokens(): Promise<void>;
  /** Which of two readings of PhonePe's pages holds from now on. */
  setReadings(readings: Partial<Readings>): Promise<void>;
  /** What webhooks authenticate with from now on. */
  setWebhookLogin(login: Login): Promise<void>;
  /** Posts a body that nothing is behind, under the right header; the receiver's status, null without an answer. */
  forge(body: object): Promise<number | null>;
}

/** A sandbox that runs in another process, by its origin. Nothing is sent until a method is called. */
export const connectPhonepeSandbox = (url: string): PhonepeControl => {
  const origin = url.replace(/\/+$/, '');
  const call = callerOf(origin);
  const done = doerOf(call);
  return {
    ...connectGateway(origin, call),
    pay: (id, how) => call('POST', `/orders/${at(id)}/pay`, { how }),
    settleProcessing: (id, outcome) => done('POST', `/orders/${at(id)}/settle`, { outcome }),
    expireOrder: (id) => done('POST', `/orders/${at(id)}/expire`, {}),
    payClosed: (id) => done('POST', `/orders/${at(id)}/pay-closed`, {}),
    confirmRefund: (id) => done('POST', `/refunds/${at(id)}/confirm`, {}),
    setTokenLife: (seconds) => done('PUT', '/token-life', { seconds }),
    expireTokens: () => done('DELETE', '/tokens'),
    setReadings: (readings) => done('PUT', '/readings', readings),
    setWebhookLogin: (login) => done('PUT', '/webhook-login', login),
    forge: async (body) => (await call<{ status: number | null }>('POST', '/forge', body)).status,
  };
};
