/** Faults of the gateways' APIs, which we depend on and do not run: by their sandboxes' switches. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayName } from '../../dev/gateways';
import type { FaultKind } from '../../sandbox/gateway/switches';
import { counted, type Fault, type Pass } from './fault';
import { operations, pickGateway, thenClear, type Switches } from './switches';

/** How long a gateway misbehaves, in ms: a little longer than one call may take (4 s), so that a retry meets it, too. */
const badMs = 5_000;
/** How long it is away altogether, in ms: a deployment of theirs, over which several retries fail. */
const awayMs = 4_000;
/** How long refunds fail, in ms: most payments need none, so that in `badMs` there may be none. */
const refundsFailMs = 15_000;
/** Refunds that fail, each time: every one becomes a case, and a person has only so many hands. */
const refundStrikes = 3;

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
    const before = await callsStruck(gateway, name, kind);
    await thenClear(gateway, async () => {
      for (const operation of operations[name]) await gateway.fault({ kind, operation, times: null });
      await pass(badMs);
    });
    return counted((await callsStruck(gateway, name, kind)) - before, `calls of ${name}`);
  },
});

const away = (pass: Pass): Fault => ({
  kind: 'gateway-away',
  part: 'gateway',
  weight: 3,
  play: async (stack, dice) => {
    const { name, gateway } = pickGateway(stack, dice[0]);
    const before = await callsStruck(gateway, name, 'down');
    await thenClear(gateway, async () => {
      await gateway.setKeepAliveDown(true);
      await pass(awayMs);
    });
    return counted((await callsStruck(gateway, name, 'down')) - before, `calls of ${name}`);
  },
});

/** Refunds that were accepted come to nothing: only a person can settle those. */
const refundsFail = (pass: Pass): Fault => ({
  kind: 'refunds-fail',
  part: 'gateway',
  weight: 2,
  play: async (stack, dice) => {
    const { name, gateway } = pickGateway(stack, dice[0]);
    const failed = async (): Promise<number> =>
      (await gateway.ledger()).refunds.filter(({ status }) => status.toLowerCase() === 'failed').length;
    const before = await failed();
    await thenClear(gateway, async () => {
      await gateway.refundMode({
        mode: 'failed',
        answer: 'pending',
        times: refundStrikes,
        failureReason: 'declined',
      });
      await pass(refundsFailMs);
    });
    return counted((await failed()) - before, `refunds of ${name}`);
  },
});

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
];
