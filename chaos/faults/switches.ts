/** The gateways as the faults see them: the switches that all their sandboxes have, and what the service calls there. */
import { gatewayNames, type GatewayName } from '../../dev/gateways';
import type { Delivery } from '../../sandbox/gateway/deliveries';
import type { FaultKind } from '../../sandbox/gateway/switches';
import { oneOf } from './fault';
import type { Ground } from '../stack/stack';

/** An event in a sandbox's ledger, which lists them in the order they were made. */
export interface Told {
  id: string;
  type: string;
  at: string;
  deliveries: readonly Delivery[];
  /** The payment object that it is about, at Stripe; elsewhere `order`. */
  paymentIntent?: string | null;
  order?: string;
}

/** What can be wrong about webhooks. */
export type WebhookTrouble = { kind: 'late'; ms: number } | { kind: 'reorder' | 'double' | 'before-answer' };

/** What a sandbox remembers. */
export interface Ledger {
  requests: readonly { operation: string; fault: string | null }[];
  events: readonly Told[];
  refunds: readonly { status: string }[];
}

/** The switches that all three have, with their operations and events as mere text. */
export interface Switches {
  fault(spec: { kind: FaultKind; operation: string; times: null }): Promise<void>;
  webhookFault(spec: WebhookTrouble & { event: string; times: null }): Promise<void>;
  refundMode(spec: {
    mode: 'failed';
    answer: 'pending';
    times: number;
    failureReason: string;
  }): Promise<void>;
  setKeepAliveDown(down: boolean): Promise<void>;
  clearFaults(): Promise<void>;
  ledger(): Promise<Ledger>;
}

/**
 * What the service calls at each gateway, by its sandbox's names: payers' own calls are left alone, for it is the service
 * that is judged.
 */
export const operations: Readonly<Record<GatewayName, readonly string[]>> = {
  stripe: [
    'payment_intents.create',
    'payment_intents.retrieve',
    'payment_intents.cancel',
    'refunds.create',
    'refunds.list',
  ],
  razorpay: ['orders.create', 'orders.payments', 'payments.refunds', 'refunds.create'],
  phonepe: ['oauth.token', 'orders.create', 'orders.status', 'refunds.create', 'refunds.status'],
};

/** One gateway of a stack. */
export const switchesOf = ({ sandboxes }: Pick<Ground, 'sandboxes'>, name: GatewayName): Switches =>
  sandboxes[name] as Switches;

/** The gateway that a die picks, of all or of some. */
export function pickGateway(
  stack: Pick<Ground, 'sandboxes'>,
  die: number,
  among: readonly GatewayName[] = gatewayNames,
): { name: GatewayName; gateway: Switches } {
  const name = oneOf(among, die);
  return { name, gateway: switchesOf(stack, name) };
}

/** Breaks something, and clears every fault of the gateway afterwards, also when a step fails. */
export async function thenClear<T>(
  gateway: Pick<Switches, 'clearFaults'>,
  breaking: () => Promise<T>,
): Promise<T> {
  try {
    return await breaking();
  } finally {
    await gateway.clearFaults();
  }
}
