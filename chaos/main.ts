/**
 * `npm run chaos`: breaks everything under load and says whether anything was lost.
 *
 *   npm run chaos -- --tier smoke            600 attempts, 11 faults; the default
 *   npm run chaos -- --tier full             12,000 attempts, 180 faults
 *   npm run chaos -- --attempts 2000 --minutes 2 --start-value 7 --report folder
 *   npm run chaos -- --previous v1.2         replays every history with that build, too; else with the one before
 *   npm run chaos -- --control all           each safety switched off in turn: its invariant must break
 *   npm run chaos -- --design in-memory      the same against the design that everyone starts with: whom it loses
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { stopOnSignals } from '../dev/processes';
import { countPayers, runAgainst } from './against';
import { buildControl, controls, type Control } from './controls';
import type { Evidence } from './evidence/evidence';
import { thisBuild } from './evidence/histories';
import { faults } from './faults/table';
import { judge } from './judge/judge';
import type { Verdict } from './judge/verdict';
import { orderFrom, type Order } from './order';
import { makePlan } from './plan';
import { buildPrevious, type PreviousBuild } from './previous';
import { pageOf } from './report/page';
import { jsonOf, reportOf } from './report/report';
import { run } from './run';
import { startChaosStack, startInMemoryStack } from './stack/stack';

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

/** Starts a stack, breaks it, and takes it down again. */
async function playOn(order: Order, control?: Control): Promise<Evidence> {
  const kinds = faults.filter(({ kind }) => control?.faults?.includes(kind) ?? true);
  const plan = makePlan(order.startValue, order, { count: order.faults, atLeast: order.atLeast, kinds });
  const build = control === undefined ? undefined : buildControl(control.name, control.changes ?? []);
  const next = control?.replay === undefined ? undefined : buildControl(control.name, [control.replay]);
  const previous = control === undefined ? await previousOf(order) : undefined;
  try {
    const stack = await startChaosStack({
      progress,
      ...(build === undefined ? {} : { build: build.folder }),
      ...(control?.sql === undefined ? {} : { sql: control.sql }),
    });
    const forget = stopOnSignals(() => stack.stop());
    progress(`logs: ${stack.logFolder}`);
    try {
      return await run(stack, plan, order.startValue, progress, buildsToReplay({ build, next, previous }));
    } finally {
      forget();
      await stack.stop();
    }
  } finally {
    build?.remove();
    next?.remove();
    previous?.remove();
  }
}

const lineOf = ({ name, rule, checked, broken }: Verdict): string =>
  [
    `${broken.length === 0 ? 'holds ' : 'BROKEN'} ${name.padEnd(3)} ${String(checked).padStart(6)}  ${rule}`,
    ...broken.slice(0, 3).map(({ text }) => `              ${text}`),
    ...(broken.length > 3 ? [`              and ${broken.length - 3} more`] : []),
  ].join('\n');

/** One run, its report, and 1 as exit code when anything broke. */
async function chaos(order: Order): Promise<void> {
  const evidence = await playOn(order);
  const verdicts = judge(evidence);
  const report = reportOf(evidence, verdicts);
  mkdirSync(order.report, { recursive: true });
  const file = join(order.report, `chaos-${order.startValue}`);
  writeFileSync(`${file}.md`, pageOf(report));
  writeFileSync(`${file}.json`, jsonOf(report));
  writeFileSync(`${file}-evidence.json`, JSON.stringify(evidence));
  const landed = evidence.faults.filter(({ proof }) => proof !== undefined).length;
  console.log(verdicts.map(lineOf).join('\n'));
  const { charges, refunds, rows } = evidence;
  const payers = countPayers(
    charges.filter(({ gateway }) => gateway !== 'wallet'),
    refunds.filter(({ gateway }) => gateway !== 'wallet'),
    new Set(rows.bookings.filter(({ status }) => status === 'confirmed').map(({ id }) => id)),
    new Set(
      rows.cases.flatMap(({ booking_id, resolved_at }) =>
        resolved_at === null && booking_id ? [booking_id] : [],
      ),
    ),
  );
  console.log(
    `payfirst: ${payers.paid} paid at a gateway, ${payers.booked} booked, ${payers.refunded} refunded, ${payers.lost} lost`,
  );
  console.log(
    `${evidence.visits.length} customers, ${landed} of ${evidence.faults.length} faults landed. Report: ${file}.md`,
  );
  if (!report.passed) process.exitCode = 1;
}

/** Each control must break its invariant; 1 as exit code when one does not. */
async function provoke(order: Order, wanted: readonly Control[]): Promise<void> {
  for (const control of wanted) {
    progress(`control ${control.name}: ${control.off}`);
    const verdicts = judge(await playOn(order, control));
    const broken = verdicts.filter((verdict) => verdict.broken.length > 0);
    const found = broken.find(({ name }) => name === control.breaks);
    if (found === undefined) process.exitCode = 1;
    console.log(
      `${found === undefined ? 'BLIND' : 'red  '} ${control.name}: ${control.breaks} broke ${found?.broken.length ?? 0} times` +
        ` (all: ${broken.map(({ name, broken: list }) => `${name} ${list.length}`).join(', ') || 'none'})`,
    );
    for (const { text } of found?.broken.slice(0, 2) ?? []) console.log(`        ${text}`);
  }
}

/** The other design under the same plan. Its losses are the figure that is wanted: they are no failure of the run. */
async function compare(order: Order): Promise<void> {
  const plan = makePlan(order.startValue, order, {
    count: order.faults,
    atLeast: order.atLeast,
    kinds: faults,
  });
  const ground = await startInMemoryStack({ progress });
  const forget = stopOnSignals(() => ground.stop());
  progress(`logs: ${ground.logFolder}`);
  try {
    const { payers, faults: played } = await runAgainst(ground, plan, progress);
    const landed = played.filter(({ proof }) => proof !== undefined).length;
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
  } finally {
    forget();
    await ground.stop();
  }
}

async function main(): Promise<void> {
  const order = orderFrom(process.argv.slice(2));
  // A worker that replays tells of each of its states.
  Runtime.install({ logger: new DefaultLogger('WARN') });
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
  // Not left to Node's own clean-up: after replays it once waited for ever for a handle of the SDK's native part.
  .finally(() => process.exit());
