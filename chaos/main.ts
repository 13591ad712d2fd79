/**
 * `npm run chaos`: breaks everything under load and says whether anything was lost.
 *
 *   npm run chaos -- --tier smoke            600 attempts, 11 faults; the default
 *   npm run chaos -- --tier full             12,000 attempts, 200 faults
 *   npm run chaos -- --attempts 2000 --minutes 2 --start-value 7 --report folder
 *   npm run chaos -- --previous v1.2         replays every history with that build, too; else with the one before
 *   npm run chaos -- --control all           each safety switched off in turn: its invariant must break
 *   npm run chaos -- --design in-memory      the same against the design that everyone starts with: whom it loses
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stopOnSignals } from '../dev/processes';
import { runAgainst } from './against';
import { buildControl, buildPrevious, type PreviousBuild } from './builds';
import { controls, type Control } from './controls';
import type { Evidence } from './evidence/evidence';
import { thisBuild } from './evidence/histories';
import { faults } from './faults/table';
import { judge } from './judge/judge';
import type { Verdict } from './judge/verdict';
import { orderFrom, type Order } from './order';
import { makePlan } from './plan';
import { pageOf } from './report/page';
import { jsonOf, reportOf, type Report } from './report/report';
import { run } from './run';
import { startChaosStack, startInMemoryStack, type Ground } from './stack/stack';

const began = Date.now();
const progress = (line: string): void =>
  console.error(`chaos ${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s: ${line}`);

/** An earlier build to replay with. What was asked for by name must be there; otherwise a copy without history has none. */
async function previousOf({ previous }: Order): Promise<PreviousBuild | undefined> {
  try {
    return await buildPrevious(previous);
  } catch (error) {
    if (previous !== undefined) throw error;
    progress(`no earlier build to replay with: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** A control's histories replay with its own build, or with the next one where that is what is wrong. */
function buildsToReplay(of: {
  build: { folder: string } | undefined;
  next: { folder: string } | undefined;
  previous: PreviousBuild | undefined;
}): { build: string; bundle: string }[] {
  const other = of.next ?? of.build;
  if (other !== undefined)
    return [{ build: 'the build of this control', bundle: join(other.folder, 'workflow-bundle.js') }];
  return [thisBuild, ...(of.previous === undefined ? [] : [of.previous])];
}

/** What stands now. A signal that comes while something starts finds nothing here: then the keepers end it. */
let standing: Ground | undefined;

/** Starts a stack, uses it, and takes it down again. Its logs stay until somebody says that they are not needed. */
async function onStack<Stack extends Ground, T>(
  start: () => Promise<Stack>,
  use: (stack: Stack) => Promise<T>,
): Promise<T> {
  const stack = await start();
  standing = stack;
  try {
    return await use(stack);
  } finally {
    await stack.stop();
  }
}

/** Evidence, what is said of it, and the folder of the processes' logs. */
interface Judged {
  evidence: Evidence;
  verdicts: Verdict[];
  report: Report;
  logFolder: string;
}

/** Breaks a stack, and judges what that leaves. */
async function play(order: Order, control?: Control): Promise<Judged> {
  const kinds = faults.filter(({ kind }) => control?.faults?.includes(kind) ?? true);
  const plan = makePlan(order.startValue, order, { count: order.faults, atLeast: order.atLeast, kinds });
  const build = control?.changes && buildControl(control.name, control.changes);
  const next = control?.replay && buildControl(control.name, [control.replay]);
  const previous = control === undefined ? await previousOf(order) : undefined;
  const builds = buildsToReplay({ build, next, previous });
  const start = () =>
    startChaosStack({
      progress,
      ...(build === undefined ? {} : { build: build.folder }),
      ...(control?.sql === undefined ? {} : { sql: control.sql }),
    });
  const played = await onStack(start, async (stack) => ({
    evidence: await run(stack, plan, order.startValue, progress, builds),
    logFolder: stack.logFolder,
  }));
  for (const one of [build, next, previous]) one?.remove();
  const verdicts = judge(played.evidence);
  return { ...played, verdicts, report: reportOf(played.evidence, verdicts) };
}

/** Writes the page, its figures, and all evidence. @returns the page's path */
function write(order: Order, name: string, { evidence, report }: Judged): string {
  mkdirSync(order.report, { recursive: true });
  const file = join(order.report, `${name}-${order.startValue}`);
  writeFileSync(`${file}.md`, pageOf(report));
  writeFileSync(`${file}.json`, jsonOf(report));
  writeFileSync(`${file}-evidence.json`, JSON.stringify(evidence));
  return `${file}.md`;
}

/** Logs are tens of megabytes, and nobody reads them after a run that was as it should be. */
function forgetLogs(logFolder: string): void {
  rmSync(logFolder, { recursive: true, force: true });
}

const lineOf = ({ name, rule, checked, broken }: Verdict): string =>
  [
    `${broken.length === 0 ? 'holds ' : 'BROKEN'} ${name.padEnd(3)} ${String(checked).padStart(6)}  ${rule}`,
    ...broken.slice(0, 3).map(({ text }) => `              ${text}`),
    ...(broken.length > 3 ? [`              and ${broken.length - 3} more`] : []),
  ].join('\n');

const landedOf = (played: Evidence['faults']): number =>
  played.filter(({ proof }) => proof !== undefined).length;

/** One run, its report, and 1 as exit code when anything broke. */
async function chaos(order: Order): Promise<void> {
  const judged = await play(order);
  const { evidence, verdicts, report, logFolder } = judged;
  const page = write(order, 'chaos', judged);
  console.log([...verdicts.map(lineOf), ...report.unproved.map((one) => `UNPROVED ${one}`)].join('\n'));
  const { payers } = report;
  console.log(
    `payfirst: ${payers.paid} paid at a gateway, ${payers.booked} booked, ${payers.refunded} refunded, ` +
      `${payers.inCases} with a person, ${payers.lost} lost`,
  );
  console.log(
    `${evidence.visits.length} customers, ${landedOf(evidence.faults)} of ${evidence.faults.length} faults landed. Report: ${page}`,
  );
  if (report.passed) return forgetLogs(logFolder);
  process.exitCode = 1;
  console.log(`Logs: ${logFolder}`);
}

/** Plays one control. @returns whether its invariant broke, by what the control is for */
async function provokeOne(order: Order, control: Control): Promise<boolean> {
  const { name, breaks } = control;
  const judged = await play(order, control);
  const page = write(order, `control-${name}`, judged);
  const broken = judged.verdicts.filter((verdict) => verdict.broken.length > 0);
  const found = broken.find((verdict) => verdict.name === breaks);
  // Without one, whatever broke was broken by something else.
  const unstruck = control.faults !== undefined && landedOf(judged.evidence.faults) === 0;
  const isRed = found !== undefined && !unstruck;
  console.log(
    `${isRed ? 'red  ' : 'BLIND'} ${name}: ${unstruck ? 'no fault of its own landed; ' : ''}${breaks} broke ${found?.broken.length ?? 0} times` +
      ` (all: ${broken.map((verdict) => `${verdict.name} ${verdict.broken.length}`).join(', ') || 'none'})`,
  );
  for (const { text } of found?.broken.slice(0, 2) ?? []) console.log(`        ${text}`);
  if (isRed) forgetLogs(judged.logFolder);
  else console.log(`        Report: ${page}. Logs: ${judged.logFolder}`);
  return isRed;
}

/** Each control must break its invariant; 1 as exit code when one does not. */
async function provoke(order: Order, wanted: readonly Control[]): Promise<void> {
  for (const control of wanted) {
    progress(`control ${control.name}: ${control.off}`);
    try {
      if (!(await provokeOne(order, control))) process.exitCode = 1;
    } catch (error) {
      // The others can still be played.
      process.exitCode = 1;
      console.log(
        `BLIND ${control.name}: it was not played (${error instanceof Error ? error.message : String(error)})`,
      );
    }
  }
}

/** The other design under the same plan. Its losses are the figure that is wanted: they are no failure of the run. */
async function compare(order: Order): Promise<void> {
  const plan = makePlan(order.startValue, order, {
    count: order.faults,
    atLeast: order.atLeast,
    kinds: faults,
  });
  const { payers, played, logFolder } = await onStack(
    () => startInMemoryStack({ progress }),
    async (ground) => {
      const against = await runAgainst(ground, plan, progress);
      return { payers: against.payers, played: against.faults, logFolder: ground.logFolder };
    },
  );
  forgetLogs(logFolder);
  const landed = landedOf(played);
  mkdirSync(order.report, { recursive: true });
  const figures = { startValue: order.startValue, attempts: order.attempts, landed, ...payers };
  writeFileSync(
    join(order.report, `in-memory-${order.startValue}.json`),
    `${JSON.stringify(figures, null, 2)}\n`,
  );
  console.log(
    `in-memory: ${payers.paid} paid at a gateway, ${payers.booked} booked, ${payers.refunded} refunded, ` +
      `${payers.lost} lost (${((100 * payers.lost) / Math.max(1, payers.paid)).toFixed(1)} %); ` +
      `${landed} of ${played.length} faults landed`,
  );
}

async function main(): Promise<void> {
  const order = orderFrom(process.argv.slice(2));
  stopOnSignals(async () => standing?.stop());
  if (order.design === 'in-memory') return compare(order);
  if (order.control === undefined) return chaos(order);
  const wanted = controls.filter(({ name }) => order.control === 'all' || order.control === name);
  if (wanted.length === 0)
    throw new Error(
      `--control is ${order.control}; there are all, ${controls.map(({ name }) => name).join(', ')}.`,
    );
  return provoke(order, wanted);
}

main()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  })
  // What a run leaves open (a customer who still waits, sockets to processes that are gone) must not keep it.
  .finally(() => process.exit());
