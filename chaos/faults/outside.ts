/** Faults of those we depend on and do not run: the gateways and the mail server, by the sandboxes' own switches. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MailFault } from '../../sandbox/mail/inbox';
import type { FaultKind } from '../../sandbox/gateway/switches';
import { oneOf, type Fault } from './fault';
import type { Ground } from '../stack/stack';

/** How long a gateway misbehaves, in ms. */
const badMs = 5_000;
/** How long it is away altogether, in ms. */
const awayMs = 4_000;
/** Webhooks that are late come so much later, in ms: a gateway's hour, squeezed like its repeats. */
const lateMs = 15_000;
/** Refunds that fail, and mails that go wrong, each time. */
const strikes = 3;

/**
 * What the service calls at each gateway, by its sandbox's names: payers' own calls are left alone, for it is the service
 * that is judged.
 */
const operations = {
  stripe: [
    'payment_intents.create',
    'payment_intents.retrieve',
    'payment_intents.cancel',
    'refunds.create',
    'refunds.list',
  ],
  razorpay: ['orders.create', 'orders.payments', 'payments.refunds', 'refunds.create'],
  phonepe: ['oauth.token', 'orders.create', 'orders.status', 'refunds.create', 'refunds.status'],
} as const;
const names = ['stripe', 'razorpay', 'phonepe'] as const;

/** The switches that all three have, with their operations and events as mere text. */
interface Switches {
  fault(spec: { kind: FaultKind; operation: string; times: null }): Promise<void>;
  webhookFault(
    spec:
      | { kind: 'late'; ms: number; event: '*'; times: null }
      | { kind: 'reorder' | 'double'; event: '*'; times: null },
  ): Promise<void>;
  refundMode(spec: {
    mode: 'failed';
    answer: 'pending';
    times: number;
    failureReason: string;
  }): Promise<void>;
  setKeepAliveDown(down: boolean): Promise<void>;
  clearFaults(): Promise<void>;
  ledger(): Promise<{
    requests: { fault: string | null }[];
    events: { at: string }[];
    refunds: { status: string }[];
  }>;
}

const at = (stack: Ground, die: number): { name: (typeof names)[number]; gateway: Switches } => {
  const name = oneOf(names, die);
  return { name, gateway: stack.sandboxes[name] as Switches };
};

/** Lets every call of the service go wrong in one way for a while. */
const answering = (kind: FaultKind, weight: number): Fault => ({
  kind: `gateway-${kind}`,
  part: 'gateway',
  weight,
  play: async (stack, dice) => {
    const { name, gateway } = at(stack, dice[0]);
    const struck = async (): Promise<number> =>
      (await gateway.ledger()).requests.filter(({ fault }) => fault === kind).length;
    const before = await struck();
    for (const operation of operations[name]) await gateway.fault({ kind, operation, times: null });
    await sleep(badMs);
    await gateway.clearFaults();
    const hit = (await struck()) - before;
    return hit === 0 ? undefined : `${hit} calls of ${name}`;
  },
});

const away: Fault = {
  kind: 'gateway-away',
  part: 'gateway',
  weight: 3,
  play: async (stack, dice) => {
    const { name, gateway } = at(stack, dice[0]);
    await gateway.setKeepAliveDown(true);
    await sleep(awayMs);
    await gateway.setKeepAliveDown(false);
    return `${name} answered nothing for ${awayMs / 1000} s`;
  },
};

/** Refunds that were accepted come to nothing: only a person can settle those. */
const refundsFail: Fault = {
  kind: 'refunds-fail',
  part: 'gateway',
  weight: 2,
  play: async (stack, dice) => {
    const { name, gateway } = at(stack, dice[0]);
    const failed = async (): Promise<number> =>
      (await gateway.ledger()).refunds.filter(({ status }) => status.toLowerCase() === 'failed').length;
    const before = await failed();
    await gateway.refundMode({
      mode: 'failed',
      answer: 'pending',
      times: strikes,
      failureReason: 'declined',
    });
    await sleep(badMs);
    await gateway.clearFaults();
    const hit = (await failed()) - before;
    return hit === 0 ? undefined : `${hit} refunds of ${name}`;
  },
};

/** Webhooks late, out of order, or twice. */
const webhooks = (kind: string, spec: Parameters<Switches['webhookFault']>[0]): Fault => ({
  kind,
  part: 'gateway',
  weight: 2,
  play: async (stack, dice) => {
    const { name, gateway } = at(stack, dice[0]);
    const before = (await gateway.ledger()).events.length;
    await gateway.webhookFault(spec);
    await sleep(badMs);
    const events = (await gateway.ledger()).events.length - before;
    await gateway.clearFaults();
    return events === 0 ? undefined : `${events} events of ${name}`;
  },
});

/** The gateway signs with the other of the two secrets that the service believes from now on. */
const secretChanged: Fault = {
  kind: 'secret-changed',
  part: 'gateway',
  weight: 1,
  play: async ({ sandboxes: { razorpay, phonepe }, env }, dice) => {
    const of = (name: string): string => oneOf((env[name] ?? '').split(','), dice[1]);
    if (dice[0] < 0.5) await razorpay.setWebhookSecret(of('RAZORPAY_WEBHOOK_SECRET'));
    else
      await phonepe.setWebhookLogin({
        username: of('PHONEPE_WEBHOOK_USERNAME'),
        password: of('PHONEPE_WEBHOOK_PASSWORD'),
      });
    return `${dice[0] < 0.5 ? 'razorpay' : 'phonepe'} signs with secret ${dice[1] < 0.5 ? 1 : 2}`;
  },
};

export const gatewayFaults: readonly Fault[] = [
  answering('status-429', 3),
  answering('status-500-done', 3),
  answering('status-500-undone', 2),
  answering('hang-done', 3),
  answering('lost-done', 3),
  answering('malformed-done', 1),
  away,
  refundsFail,
  webhooks('webhooks-late', { kind: 'late', ms: lateMs, event: '*', times: null }),
  webhooks('webhooks-out-of-order', { kind: 'reorder', event: '*', times: null }),
  webhooks('webhooks-twice', { kind: 'double', event: '*', times: null }),
  secretChanged,
];

const mailing = (kind: MailFault['kind']): Fault => ({
  kind: `mail-${kind}`,
  part: 'mail',
  weight: 2,
  play: async ({ mail }) => {
    const before = (await mail.struck())[kind];
    await mail.fault(kind, strikes);
    await sleep(badMs);
    await mail.clearFaults();
    const hit = (await mail.struck())[kind] - before;
    return hit === 0 ? undefined : `${hit} mails`;
  },
});

export const mailFaults: readonly Fault[] = (['busy', 'refuse', 'lost-after-accept'] as const).map(mailing);
