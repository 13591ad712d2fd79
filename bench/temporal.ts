/**
 * `npm run bench`: what Payfirst costs above Temporal itself. On one production Temporal server and one PostgreSQL, a whole
 * Payfirst (API, worker and sandboxes, each a process of its own) and the smallest workflow of the same shape take turns:
 * webhooks on a fixed timetable while many more attempts are open, a storm of webhooks, everything killed at once. A booking
 * counts when its transaction is committed, by the database's own stamp. `-- --open 10000` opens more attempts.
 */
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import type { Processes } from '../dev/processes';
import { busyShare } from './footprint';
import { groundPids, onGround, type Ground } from './ground';
import { runAsProgram, say } from './program';
import { timeRestart } from './restart';
import {
  openMany,
  payOnTimetable,
  perSecond,
  playRound,
  playStorm,
  runSeconds,
  type Seen,
  type Storm,
  type Turns,
} from './rounds';
import { startPayfirst, startSmallest, type Payfirst, type Side } from './sides';
import { reportRounds, reportStorms } from './temporal-report';

/** An odd number, for a median. */
const rounds = 3;
/** Paid before the first round, and not counted: caches, plans, compiled code. */
const warmUp = 100;
/** Webhooks of a storm: an hour's payments at one in two seconds, which a gateway kept. */
const stormWebhooks = 2_000;
const restarts = 10;
/** Share of the machine that others may have while we measure. */
const busyMost = 0.1;

/** Each side in turn, the other way round in every second round, while the other one rests. */
async function takeTurns(
  sides: readonly [Side, Side],
  shared: Readonly<Record<string, number>>,
  open: number,
) {
  const noneOpen: number[][] = [];
  for (const side of sides) {
    await payOnTimetable(side, await openMany(side, warmUp));
    noneOpen.push((await payOnTimetable(side, await openMany(side, perSecond * runSeconds))).toConfirmed);
    await openMany(side, open);
    side.rest(true);
  }
  const seen = new Map<Side, Seen[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
      side.rest(false);
      seen.get(side)?.push(await playRound(side, shared));
      side.rest(true);
    }
  }
  return sides.map((side, n) => ({ rounds: seen.get(side) ?? [], noneOpen: noneOpen[n] ?? [] })) as [
    Turns,
    Turns,
  ];
}

/** A storm for each side, while the other one rests. */
async function playStorms(sides: readonly [Side, Side]): Promise<[Storm, Storm]> {
  const storms: Storm[] = [];
  for (const side of sides) {
    side.rest(false);
    storms.push(await playStorm(side, stormWebhooks));
    side.rest(true);
  }
  return storms as [Storm, Storm];
}

/** Events of the history of an attempt that is over, and how many of them are completed workflow tasks. */
async function sizeOfHistory(address: string, workflowId: string): Promise<string> {
  const connection = await Connection.connect({ address });
  try {
    const { events } = await new Client({ connection }).workflow.getHandle(workflowId).fetchHistory();
    const done = temporal.api.enums.v1.EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED;
    const tasks = events?.filter(({ eventType }) => eventType === done) ?? [];
    return `${events?.length ?? 0} events, ${tasks.length} workflow tasks`;
  } finally {
    await connection.close();
  }
}

async function reportRestarts(payfirst: Payfirst, processes: Processes): Promise<void> {
  const seconds: number[] = [];
  for (let go = 0; go < restarts; go += 1) seconds.push((await timeRestart(payfirst, processes)) / 1000);
  const worst = Math.max(...seconds);
  say(
    `\nP8 from killing PostgreSQL, Temporal, API and worker to the first booking, ${restarts} goes, s: ` +
      `${seconds.map((one) => one.toFixed(1)).join(', ')}; target at most 10: ${worst <= 10 ? 'met' : 'missed'}`,
  );
}

async function measure(ground: Ground, open: number, busy: number): Promise<void> {
  const { processes, temporalAddress: address } = ground;
  const smallest = await startSmallest(ground);
  const payfirst = await startPayfirst(ground);
  try {
    const shared = groundPids(ground);
    const seen = await takeTurns([payfirst, smallest], shared, open);
    reportRounds(seen, open).forEach(say);
    const [ours, floor] = await Promise.all(
      seen.map(({ rounds: [first] }) => sizeOfHistory(address, first?.sample ?? '')),
    );
    say(`P7 an attempt: ${ours}; the smallest: ${floor}; target at most 18 events, 2 workflow tasks.`);
    reportStorms(await playStorms([payfirst, smallest]), stormWebhooks).forEach(say);
    payfirst.rest(false);
    await reportRestarts(payfirst, processes);
    if (busy > busyMost)
      say(
        `\nSomething else had ${(busy * 100).toFixed(0)} % of the machine before: read the times as ratios at most.`,
      );
  } finally {
    await payfirst.stop();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { open: { type: 'string', default: '1000' } } });
  const open = Number(values.open);
  if (!Number.isSafeInteger(open) || open < 0) throw new Error('--open is a number of attempts.');
  const busy = await busyShare();
  await onGround((ground) => measure(ground, open, busy));
}

runAsProgram(main);
