/**
 * `npm run bench`: what Payfirst costs above Temporal itself. On one production Temporal server and one PostgreSQL, a whole
 * Payfirst (API, worker and sandboxes, each a process of its own) and the smallest workflow of the same shape take turns:
 * webhooks on a fixed timetable with a thousand more attempts open. Every time is from the planned instant, so a stalled
 * server cannot hide; a booking counts when its transaction is committed, by the database's own stamp.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { startPostgres } from '../dev/postgres';
import { Processes, stopOnSignals } from '../dev/processes';
import { findProductionTemporal, startProductionTemporal } from '../dev/temporal-production';
import { cpuOf } from './cpu';
import { startPayfirst, startSmallest, type OpenAttempt, type Side } from './sides';

const perSecond = 25;
const runSeconds = 20;
const rounds = 3;
/** Attempts that are open all the time, and that nobody pays. */
const alwaysOpen = 1_000;
/** Paid before the first round, and not counted: caches, plans, compiled code. */
const warmUp = 100;
/** Customers who start at once. */
const openers = 8;
/** How long before its webhook a payment happens, in ms: the sandbox has done with it, and the payment watch hardly ever looked. */
const leadMs = 300;
/** What the last round left to do (mails, visibility), and who rested, come to themselves in this time. */
const settleMs = 5_000;
/** After this long without a booking it will not come. */
const lostMs = 60_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const now = (): number => performance.timeOrigin + performance.now();

/** What one round showed of one side; times in ms. */
interface Seen {
  openCpu: number;
  payCpu: number;
  toConfirmed: number[];
  toAcknowledged: number[];
  /** Booked before its webhook was sent: the payment watch was quicker. */
  foundBefore: number;
  /** The workflow of one of the attempts. */
  sample: string;
}

/** Starts so many attempts. */
async function openMany(side: Side, count: number): Promise<OpenAttempt[]> {
  const opened: OpenAttempt[] = [];
  let left = count;
  const opener = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      opened.push(await side.open());
    }
  };
  await Promise.all(Array.from({ length: openers }, opener));
  return opened;
}

/** Pays them on the timetable. @throws when a webhook is refused, or a booking is not there after a minute */
async function payOnTimetable(
  side: Side,
  attempts: readonly OpenAttempt[],
): Promise<Pick<Seen, 'toConfirmed' | 'toAcknowledged' | 'foundBefore'>> {
  const began = now() + 2 * leadMs;
  const plannedAt = new Map(attempts.map(({ id }, n) => [id, began + (n * 1000) / perSecond]));
  const toAcknowledged = await Promise.all(
    attempts.map(async (attempt) => {
      const planned = plannedAt.get(attempt.id) ?? 0;
      await pause(planned - leadMs - now());
      const [, acknowledged] = await Promise.all([
        attempt.pay(),
        pause(planned - now())
          .then(() => attempt.tell())
          .then(() => now() - planned),
      ]);
      return acknowledged;
    }),
  );
  const bookedAt = await allBooked(side, [...plannedAt.keys()]);
  const times = [...bookedAt].map(([id, at]) => at - (plannedAt.get(id) ?? 0));
  const toConfirmed = times.filter((ms) => ms > 0);
  return { toConfirmed, toAcknowledged, foundBefore: times.length - toConfirmed.length };
}

async function allBooked(side: Side, ids: readonly string[]): Promise<Map<string, number>> {
  const end = now() + lostMs;
  for (;;) {
    const booked = await side.bookedAt(ids);
    if (booked.size === ids.length) return booked;
    if (now() > end)
      throw new Error(`${side.name}: ${ids.length - booked.size} paid attempts have no booking`);
    await pause(100);
  }
}

/** One round of one side, while the other one rests. `shared` are the processes that both use. */
async function playRound(side: Side, shared: readonly number[]): Promise<Seen> {
  const count = perSecond * runSeconds;
  const pids = [...shared, ...side.pids()];
  const cpu = (): number => cpuOf(pids) ?? NaN;
  const began = cpu();
  const attempts = await openMany(side, count);
  const openCpu = (cpu() - began) / count;
  await pause(settleMs);
  const paying = cpu();
  const seen = await payOnTimetable(side, attempts);
  return { ...seen, openCpu, payCpu: (cpu() - paying) / count, sample: attempts[0]?.workflowId ?? '' };
}

function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Events of the history of an attempt that is over, and how many of them are completed workflow tasks. */
async function sizeOfHistory(client: Client, workflowId: string): Promise<string> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const done = temporal.api.enums.v1.EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED;
  const tasks = events?.filter(({ eventType }) => eventType === done) ?? [];
  return `${events?.length ?? 0} events, ${tasks.length} workflow tasks`;
}

/** A line of the report: medians of the rounds, their range, and Payfirst over the smallest against the target. */
function line(
  what: string,
  [ours, floor]: readonly [readonly Seen[], readonly Seen[]],
  pick: (seen: Seen) => number,
  target: { ratio: number; ms?: number },
): string {
  const shown = (rows: readonly Seen[]): string => {
    const values = rows.map(pick);
    return `${quantile(values, 0.5).toFixed(1)} (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})`;
  };
  const ms = quantile(ours.map(pick), 0.5);
  const ratio = ms / quantile(floor.map(pick), 0.5);
  const isMet = ratio <= target.ratio && ms <= (target.ms ?? Infinity);
  const wanted = `${target.ratio.toFixed(1)}${target.ms === undefined ? '' : `, ${target.ms} ms`}`;
  return `| ${what} | ${shown(ours)} | ${shown(floor)} | ${ratio.toFixed(2)} | ${wanted} | ${isMet ? 'met' : 'missed'} |`;
}

function report(sides: readonly [readonly Seen[], readonly Seen[]]): void {
  const p = (of: 'toConfirmed' | 'toAcknowledged', share: number) => (seen: Seen) =>
    quantile(seen[of], share);
  say(
    `\n${perSecond} webhooks/s for ${runSeconds} s, ${alwaysOpen} more attempts open; medians of ${rounds} rounds and their range\n`,
  );
  say('| | Payfirst | the smallest workflow | ratio | target | |');
  say('|---|---|---|---|---|---|');
  say(line('P2 webhook to confirmed, p50 ms', sides, p('toConfirmed', 0.5), { ratio: 1.3 }));
  say(line('P2 webhook to confirmed, p99 ms', sides, p('toConfirmed', 0.99), { ratio: 1.3 }));
  say(line('P3 webhook acknowledged, p99 ms', sides, p('toAcknowledged', 0.99), { ratio: 1.2, ms: 50 }));
  say(line('P7 CPU of a start, ms', sides, (seen) => seen.openCpu, { ratio: 1.3 }));
  say(line('P7 CPU of a payment, ms', sides, (seen) => seen.payCpu, { ratio: 1.3 }));
  say(line('P7 CPU of both, ms', sides, (seen) => seen.openCpu + seen.payCpu, { ratio: 1.3 }));
  const before = sides[0].map(({ foundBefore }) => foundBefore).join(', ');
  say(
    `\nLeft out: ${before} bookings of Payfirst that its payment watch made before their webhooks were sent.`,
  );
}

async function measure(processes: Processes): Promise<void> {
  const programs = await findProductionTemporal(say);
  // The stamps of commits are what both sides are timed by.
  const postgres = await startPostgres(processes, { settings: ['track_commit_timestamp=on'] });
  const { address } = await startProductionTemporal(processes, programs, postgres);
  const ground = { processes, postgres, temporalAddress: address };
  const smallest = await startSmallest(ground);
  const payfirst = await startPayfirst(ground);
  try {
    const sides = [payfirst, smallest] as const;
    const shared = [processes.pid('postgres') ?? 0, processes.pid('temporal') ?? 0];
    for (const side of sides) {
      await payOnTimetable(side, await openMany(side, warmUp));
      await openMany(side, alwaysOpen);
      side.rest(true);
    }
    const seen = new Map<Side, Seen[]>(sides.map((side) => [side, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
        side.rest(false);
        await pause(settleMs);
        seen.get(side)?.push(await playRound(side, shared));
        side.rest(true);
      }
    }
    report([seen.get(payfirst) ?? [], seen.get(smallest) ?? []]);
    const connection = await Connection.connect({ address });
    const client = new Client({ connection });
    for (const side of sides) {
      say(`A whole attempt, ${side.name}: ${await sizeOfHistory(client, seen.get(side)?.[0]?.sample ?? '')}`);
    }
    say('(P7: at most 18 events and 2 workflow tasks.)');
    await connection.close();
  } finally {
    await payfirst.stop();
  }
}

async function main(): Promise<void> {
  const logs = mkdtempSync(join(tmpdir(), 'payfirst-bench-logs-'));
  const processes = new Processes(logs);
  const forget = stopOnSignals(() => processes.stopAll());
  try {
    await measure(processes);
  } finally {
    await processes.stopAll();
    forget();
    rmSync(logs, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(
    `The bench failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exit(1);
});
