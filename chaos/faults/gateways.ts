/** Faults of the gateways' APIs, which we depend on and do not run: by their sandboxes' switches. */
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayNames, type GatewayName } from '../../dev/gateways';
import type { FaultKind } from '../../sandbox/gateway/switches';
import { grownBy, type Fault, type Pass } from './fault';
import { operations, pickGateway, switchesOf, thenClear, type Ledger, type Switches } from './switches';

/** How long a gateway misbehaves, in ms: a little longer than one call may take (4 s), so that a retry meets it, too. */
const badMs = 5_000;
/** How long it is away altogether, in ms: a deployment of theirs, over which several retries fail. */
const awayMs = 4_000;
/** How long refunds go wrong, in ms: most payments need none, so that in `badMs` there may be none. */
const refundsMs = 15_000;
/** Refunds that fail at each gateway, each time: every one becomes a case, and a person has only so many hands. */
const refundStrikes = 1;

/** Calls of the service that a fault struck, by the sandbox's own log. */
async function callsStruck(gateway: Switches, name: GatewayName, kind: FaultKind | 'down'): Promise<number> {
  const { requests } = await gateway.ledger();
  return requests.filter(({ fault, operation }) => fault === kind && operations[name].includes(operation))
    .length;
}

/** Lets every call of the service go wrong in one way for a while. */
const answering = (kind: FaultKind, weight: number, pass: Pass): Fault => ({
  kind: `gateway-${kind}`,
  part: 'gateway',
  weight,
  play: async (stack, dice) => {
    const { name, gateway } = pickGateway(stack, dice[0]);
    return grownBy(
      () => callsStruck(gateway, name, kind),
      `calls of ${name}`,
      () =>
        thenClear(gateway, async () => {
          for (const operation of operations[name]) await gateway.fault({ kind, operation, times: null });
          await pass(badMs);
        }),
    );
  },
});

const away = (pass: Pass): Fault => ({
  kind: 'gateway-away',
  part: 'gateway',
  weight: 3,
  play: async (stack, dice) => {
    const { name, gateway } = pickGateway(stack, dice[0]);
    return grownBy(
      () => callsStruck(gateway, name, 'down'),
      `calls of ${name}`,
      () =>
        thenClear(gateway, async () => {
          await gateway.setKeepAliveDown(true);
          await pass(awayMs);
        }),
    );
  },
});

/**
 * What goes wrong with refunds alone, at all gateways at once: most payments need none, so that at one of them there may be none
 * in this time.
 */
const refunding = (
  kind: string,
  strike: (gateway: Switches) => Promise<void>,
  struck: (ledger: Ledger) => number,
  of: string,
  pass: Pass,
): Fault => ({
  kind,
  part: 'gateway',
  weight: 2,
  play: (stack) => {
    const all = gatewayNames.map((name) => switchesOf(stack, name));
    const count = async (): Promise<number> =>
      (await Promise.all(all.map(async (gateway) => struck(await gateway.ledger())))).reduce(
        (sum, one) => sum + one,
        0,
      );
    return grownBy(count, of, async () => {
      try {
        for (const gateway of all) await strike(gateway);
        await pass(refundsMs);
      } finally {
        await Promise.all(all.map((gateway) => gateway.clearFaults()));
      }
    });
  },
});

/** Refunds that were accepted come to nothing: only a person can settle those. */
const refundsFail = (pass: Pass): Fault =>
  refunding(
    'refunds-fail',
    (gateway) =>
      gateway.refundMode({
        mode: 'failed',
        answer: 'pending',
        times: refundStrikes,
        failureReason: 'declined',
      }),
    ({ refunds }) => refunds.filter(({ status }) => status.toLowerCase() === 'failed').length,
    'refunds',
    pass,
  );

/** Refunds are made, and nobody is told so, while everything else is answered. */
const refundsUnanswered = (pass: Pass): Fault =>
  refunding(
    'refunds-unanswered',
    (gateway) => gateway.fault({ kind: 'lost-done', operation: 'refunds.create', times: null }),
    ({ requests }) =>
      requests.filter(({ operation, fault }) => operation === 'refunds.create' && fault === 'lost-done')
        .length,
    'calls for refunds',
    pass,
  );

/** All of them. */
export const gatewayFaults = (pass: Pass = sleep): readonly Fault[] => [
  answering('status-429', 3, pass),
  answering('status-500-done', 3, pass),
  answering('status-500-undone', 2, pass),
  answering('hang-done', 3, pass),
  answering('lost-done', 3, pass),
  answering('malformed-done', 1, pass),
  away(pass),
  refundsFail(pass),
  refundsUnanswered(pass),
];
