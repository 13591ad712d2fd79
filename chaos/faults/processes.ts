/** Faults of our own processes and of Temporal's: killed, frozen, replaced, with a wrong clock. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { projectRoot } from '../../dev/project';
import { oneOf, replacing, type Fault } from './fault';
import { logOffMs } from './log-clock';
import type { Ground } from '../stack/stack';

/** How long something that was killed stays away, in ms at most: a supervisor's restart, or a machine's. */
const downMs = 3_000;
/** An API that does not answer: shorter than a client's patience. */
const apiFrozenMs = 2_000;
/** Longer than a workflow task may take (10 s by default), so that Temporal hands it to the other worker. */
const workerFrozenMs = 12_000;
/** As long as a webhook's ring may take (`ringWithinMs` of src/api/webhooks.ts), so that some rings end without an answer. */
const temporalFrozenMs = 5_000;
/** How far a clock is off, in s, either way, and for how long, in ms. */
const clockOff = { seconds: 90, ms: 8_000 };

const killed = (stack: Ground, names: readonly string[], die: number): Promise<string | undefined> =>
  replacing(stack, names, () => stack.supervisor.kill(names, die * downMs));

async function frozen(stack: Ground, name: string, ms: number): Promise<string | undefined> {
  return (await stack.supervisor.freeze(name, ms)) ? `${name} stood still for ${ms} ms` : undefined;
}

/**
 * Restarted in order with its clock off, and after a while with the right one. What it logged meanwhile tells its time: more
 * than half of what was asked is off, since the newest line may be as old as the process.
 */
async function wrongClock(stack: Ground, dice: [number, number]): Promise<string | undefined> {
  const name = oneOf(stack.workers, dice[0]);
  const offMs = (dice[1] < 0.5 ? -1 : 1) * clockOff.seconds * 1000;
  const options = `--require ${join(projectRoot, 'dist', 'chaos', 'faults', 'wrong-clock.js')}`;
  try {
    await stack.supervisor.replace(stack.worker(name, { NODE_OPTIONS: options, CLOCK_OFF_MS: `${offMs}` }));
    await sleep(clockOff.ms);
    const seen = await logOffMs(join(stack.logFolder, `${name}.log`));
    return seen !== undefined && seen / offMs > 0.5
      ? `${name} logged ${Math.round(seen / 1000)} s off`
      : undefined;
  } finally {
    await stack.supervisor.replace(stack.worker(name));
  }
}

export const processFaults: readonly Fault[] = [
  {
    kind: 'api-killed',
    part: 'api',
    weight: 4,
    play: (stack, dice) => killed(stack, [oneOf(stack.apis, dice[0])], dice[1]),
  },
  { kind: 'apis-killed', part: 'api', weight: 2, play: (stack, dice) => killed(stack, stack.apis, dice[1]) },
  {
    kind: 'api-frozen',
    part: 'api',
    weight: 2,
    play: (stack, dice) => frozen(stack, oneOf(stack.apis, dice[0]), apiFrozenMs),
  },
  {
    kind: 'worker-killed',
    part: 'worker',
    weight: 6,
    play: (stack, dice) => killed(stack, [oneOf(stack.workers, dice[0])], dice[1]),
  },
  {
    kind: 'workers-killed',
    part: 'worker',
    weight: 4,
    play: (stack, dice) => killed(stack, stack.workers, dice[1]),
  },
  {
    kind: 'worker-frozen',
    part: 'worker',
    weight: 2,
    play: (stack, dice) => frozen(stack, oneOf(stack.workers, dice[0]), workerFrozenMs),
  },
  {
    kind: 'workers-replaced',
    part: 'worker',
    weight: 2,
    // A deployment: one after the other, each draining first.
    play: (stack) =>
      replacing(stack, stack.workers, async () => {
        for (const name of stack.workers) await stack.supervisor.replace(stack.worker(name));
      }),
  },
  { kind: 'worker-clock', part: 'worker', weight: 1, play: wrongClock },
  {
    kind: 'temporal-killed',
    part: 'temporal',
    weight: 4,
    play: (stack, dice) => killed(stack, ['temporal'], dice[1]),
  },
  {
    kind: 'temporal-frozen',
    part: 'temporal',
    weight: 2,
    play: (stack) => frozen(stack, 'temporal', temporalFrozenMs),
  },
];
