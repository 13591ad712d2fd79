/** Faults of the gateways' webhooks: late, out of order, twice, too early, signed with another secret. */
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayNames, type GatewayName } from '../../dev/gateways';
import { counted, oneOf, type Fault, type Pass } from './fault';
import {
  pickGateway,
  switchesOf,
  thenClear,
  type Switches,
  type Told,
  type WebhookTrouble,
} from './switches';
import type { Ground } from '../stack/stack';

/** How long webhooks misbehave, in ms: at a payment or two a second and gateway, some are struck each time. */
const badMs = 5_000;
/** Webhooks that are late come so much later, in ms: a gateway's hour, squeezed like its repeats. */
const lateMs = 15_000;
/** An event that was not sent after so long is late, in ms: as a rule it leaves after 5 ms, behind others after 250. */
const overdueMs = 1_000;

const isTaken = (status: number | null): boolean => status !== null && status >= 200 && status < 300;

/** Events made while something was broken. */
async function newsSince(gateway: Switches, before: number): Promise<Told[]> {
  return (await gateway.ledger()).events.slice(before);
}

/** Plays a fault of webhooks at one gateway, and counts the events of its time that were struck. */
const troubled = (
  { kind, pass, among = gatewayNames }: { kind: string; pass: Pass; among?: readonly GatewayName[] },
  trouble: WebhookTrouble,
  strikes: (name: GatewayName) => readonly string[],
  struck: (news: readonly Told[]) => number,
): Fault => ({
  kind,
  part: 'gateway',
  weight: 2,
  play: async (stack, dice) => {
    const { name, gateway } = pickGateway(stack, dice[0], among);
    const before = (await gateway.ledger()).events.length;
    return thenClear(gateway, async () => {
      for (const event of strikes(name)) await gateway.webhookFault({ ...trouble, event, times: null });
      await pass(badMs);
      // Before the end lets go what is held, which then proves nothing.
      return counted(struck(await newsSince(gateway, before)), `events of ${name}`);
    });
  },
});

const everything = (): readonly string[] => ['*'];

const late = (pass: Pass): Fault =>
  troubled(
    { kind: 'webhooks-late', pass },
    { kind: 'late', ms: lateMs },
    everything,
    (news) =>
      news.filter(({ at, deliveries }) => deliveries.length === 0 && Date.now() - Date.parse(at) > overdueMs)
        .length,
  );

/**
 * Events that others of the same payment follow, and that are held until one of those was taken. If all were held, none
 * would be taken. PhonePe has no more than one for most payments.
 */
const followed: Readonly<Partial<Record<GatewayName, readonly string[]>>> = {
  stripe: ['payment_intent.created', 'payment_intent.payment_failed', 'charge.succeeded', 'refund.created'],
  razorpay: ['payment.authorized', 'payment.captured', 'payment.failed', 'refund.created'],
};

/** Whether an event set out for the first time only after a later one of its payment had. */
function isOvertaken(event: Told, index: number, news: readonly Told[]): boolean {
  const [first] = event.deliveries;
  const owner = event.paymentIntent ?? event.order;
  if (first === undefined || owner === undefined) return false;
  return news
    .slice(index + 1)
    .filter((later) => (later.paymentIntent ?? later.order) === owner)
    .some(({ deliveries }) => deliveries.some(({ at, status }) => isTaken(status) && at < first.at));
}

const outOfOrder = (pass: Pass): Fault =>
  troubled(
    { kind: 'webhooks-out-of-order', pass, among: ['stripe', 'razorpay'] },
    { kind: 'reorder' },
    (name) => followed[name] ?? [],
    (news) => news.filter(isOvertaken).length,
  );

const twice = (pass: Pass): Fault =>
  troubled(
    { kind: 'webhooks-twice', pass },
    { kind: 'double' },
    everything,
    // Two copies that both reached somebody.
    (news) =>
      news.filter(({ deliveries }) =>
        [true, false].every((copy) =>
          deliveries.some(({ duplicate, status }) => duplicate === copy && status !== null),
        ),
      ).length,
  );

/** Gateways whose API calls cause events at once: PhonePe tells of a refund only a moment after its answer. */
const tellBeforeAnswer: readonly GatewayName[] = ['stripe', 'razorpay'];

/** Events that a call caused, and that were taken before it was answered. */
const early = (news: readonly Told[]): number =>
  news.filter(({ deliveries }) => deliveries.some((one) => one.beforeAnswer === true && isTaken(one.status)))
    .length;

/** The news of a call is there before its answer: of both gateways at once, for Razorpay's are only those of refunds. */
const beforeAnswer = (pass: Pass): Fault => ({
  kind: 'webhooks-before-answer',
  part: 'gateway',
  weight: 2,
  play: async (stack) => {
    const gateways = await Promise.all(
      tellBeforeAnswer.map(async (name) => {
        const gateway = switchesOf(stack, name);
        return { name, gateway, before: (await gateway.ledger()).events.length };
      }),
    );
    try {
      for (const { gateway } of gateways)
        await gateway.webhookFault({ kind: 'before-answer', event: '*', times: null });
      await pass(badMs);
    } finally {
      await Promise.all(gateways.map(({ gateway }) => gateway.clearFaults()));
    }
    const told = await Promise.all(
      gateways.map(async ({ name, gateway, before }) =>
        counted(early(await newsSince(gateway, before)), `events of ${name}`),
      ),
    );
    const proofs = told.filter((one) => one !== undefined);
    return proofs.length === 0 ? undefined : proofs.join(', ');
  },
});

/** Two secrets in force: the one that signs from the start, and the next. */
function twoOf({ env }: Pick<Ground, 'env'>, name: string): [string, string] {
  const [first, next] = (env[name] ?? '').split(',');
  if (first === undefined || next === undefined || first === next)
    throw new Error(`${name} holds no two secrets`);
  return [first, next];
}

/** Lets a gateway sign with either secret. */
function signerOf(
  stack: Ground,
  name: 'razorpay' | 'phonepe',
): Record<'first' | 'next', () => Promise<void>> {
  const { razorpay, phonepe } = stack.sandboxes;
  if (name === 'razorpay') {
    const [first, next] = twoOf(stack, 'RAZORPAY_WEBHOOK_SECRET');
    return { first: () => razorpay.setWebhookSecret(first), next: () => razorpay.setWebhookSecret(next) };
  }
  const usernames = twoOf(stack, 'PHONEPE_WEBHOOK_USERNAME');
  const passwords = twoOf(stack, 'PHONEPE_WEBHOOK_PASSWORD');
  const login = (n: 0 | 1): Promise<void> =>
    phonepe.setWebhookLogin({ username: usernames[n], password: passwords[n] });
  return { first: () => login(0), next: () => login(1) };
}

/** The gateway signs with the other of the two secrets that the service believes, and then again with the first. */
const secretChanged = (pass: Pass): Fault => ({
  kind: 'secret-changed',
  part: 'gateway',
  weight: 1,
  play: async (stack, dice) => {
    const name = oneOf(['razorpay', 'phonepe'] as const, dice[0]);
    const gateway = switchesOf(stack, name);
    const signs = signerOf(stack, name);
    try {
      await signs.next();
      const before = (await gateway.ledger()).events.length;
      await pass(badMs);
      // All that these were sent was signed by the second: the first does not sign again before this is read.
      const believed = (await newsSince(gateway, before)).filter(({ deliveries }) =>
        deliveries.some(({ status }) => isTaken(status)),
      );
      return counted(believed.length, `events of ${name}, signed with the second secret, were believed`);
    } finally {
      await signs.first();
    }
  },
});

/** All of them but forgeries. */
export const webhookFaults = (pass: Pass = sleep): readonly Fault[] => [
  late(pass),
  outOfOrder(pass),
  twice(pass),
  beforeAnswer(pass),
  secretChanged(pass),
];
