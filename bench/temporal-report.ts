/** The lines that `bench/temporal.ts` prints: Payfirst over the smallest workflow, against the targets P2 to P7. */
import { totalOf, type CpuTimes } from './footprint';
import { median, quantile } from './quantiles';
import { perSecond, runSeconds, type Seen, type Storm, type Turns } from './rounds';

/** Of both sides, Payfirst first. */
type Both<T> = readonly [T, T];

interface Target {
  /** Payfirst over the smallest workflow, at most; or, where more is better, at least. */
  ratio: number;
  /** At most, whatever the smallest does. */
  ms?: number;
}

function line(
  what: string,
  [ours, floor]: Both<readonly number[]>,
  target: Target,
  isMoreBetter = false,
): string {
  const shown = (values: readonly number[]): string => {
    const range =
      values.length > 1 ? ` (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})` : '';
    return `${median(values).toFixed(1)}${range}`;
  };
  const ratio = median(ours) / median(floor);
  const isRatioMet = isMoreBetter ? ratio >= target.ratio : ratio <= target.ratio;
  const isMet = isRatioMet && median(ours) <= (target.ms ?? Infinity);
  const wanted = `${isMoreBetter ? '≥' : '≤'} ${target.ratio.toFixed(1)}${target.ms === undefined ? '' : `, ≤ ${target.ms} ms`}`;
  return `| ${what} | ${shown(ours)} | ${shown(floor)} | ${ratio.toFixed(2)} | ${wanted} | ${isMet ? 'met' : 'missed'} |`;
}

const header = ['| | Payfirst | the smallest workflow | ratio | target | |', '|---|---|---|---|---|---|'];

/** P6: whether payers wait longer because many others have not paid. */
function besideOpen(turns: Both<Turns>, open: number): string {
  const look = ({ rounds, noneOpen }: Turns): { times: number; told: string } => {
    const beside = median(rounds.map((seen) => quantile(seen.toConfirmed, 0.99)));
    const alone = quantile(noneOpen, 0.99);
    const times = beside / alone;
    return { times, told: `${beside.toFixed(0)} ms after ${alone.toFixed(0)}, ${times.toFixed(2)} times` };
  };
  const [ours, floor] = [look(turns[0]), look(turns[1])];
  return (
    `P6 p99 to confirmed with ${open} open, after none open: ${ours.told}; the smallest ${floor.told}; ` +
    `target at most 1.5 times: ${ours.times <= 1.5 ? 'met' : 'missed'}`
  );
}

/** What the rounds showed. @param open attempts that were open all the time */
export function reportRounds(turns: Both<Turns>, open: number): string[] {
  const sides = [turns[0].rounds, turns[1].rounds] as const;
  const [ours] = sides;
  const row = (what: string, pick: (seen: Seen) => number, target: Target): string =>
    line(what, [sides[0].map(pick), sides[1].map(pick)], target);
  const at = (of: 'toConfirmed' | 'toAcknowledged', share: number) => (seen: Seen) =>
    quantile(seen[of], share);
  const parts = (of: (seen: Seen) => CpuTimes): string =>
    Object.keys(ours[0] === undefined ? {} : of(ours[0]))
      .map((name) => `${name} ${median(ours.map((seen) => of(seen)[name] ?? NaN)).toFixed(1)}`)
      .join(', ');
  return [
    `\n${perSecond} webhooks/s for ${runSeconds} s, ${open} more attempts open; medians of ${ours.length} rounds and their range\n`,
    ...header,
    row('P2 webhook to confirmed, p50 ms', at('toConfirmed', 0.5), { ratio: 1.3 }),
    row('P2 webhook to confirmed, p99 ms', at('toConfirmed', 0.99), { ratio: 1.3 }),
    row('P3 webhook acknowledged, p99 ms', at('toAcknowledged', 0.99), { ratio: 1.2, ms: 50 }),
    row(`P6 CPU while ${open} attempts wait, ms/s`, (seen) => totalOf(seen.idleCpu), { ratio: 1.5 }),
    row('P7 CPU of a start, ms', (seen) => totalOf(seen.startCpu), { ratio: 1.3 }),
    row('P7 CPU of a payment, ms', (seen) => totalOf(seen.payCpu), { ratio: 1.3 }),
    row('P7 CPU of both, ms', (seen) => totalOf(seen.startCpu) + totalOf(seen.payCpu), { ratio: 1.3 }),
    '',
    besideOpen(turns, open),
    `Payfirst's CPU when nothing happens: ${parts((seen) => seen.idleCpu)} ms/s`,
    `Payfirst's CPU of a start: ${parts((seen) => seen.startCpu)} ms`,
    `Payfirst's CPU of a payment: ${parts((seen) => seen.payCpu)} ms`,
    `Left out: ${ours.map(({ foundBefore }) => foundBefore).join(', ')} bookings that the payment watch made before their webhooks.`,
  ];
}

/** What the storms showed. */
export function reportStorms([ours, floor]: Both<Storm>, webhooks: number): string[] {
  return [
    `\n${webhooks} webhooks at once\n`,
    ...header,
    line('P4 bookings/s until all are booked', [[ours.perSecond], [floor.perSecond]], { ratio: 0.8 }, true),
    '',
    ...[ours, floor].map(
      ({ refused, acknowledged, drained }, n) =>
        `${n === 0 ? 'Payfirst' : 'The smallest'}: all acknowledged after ${(acknowledged / 1000).toFixed(1)} s, ` +
        `${refused} of them told to come again first; all booked after ${(drained / 1000).toFixed(1)} s.`,
    ),
  ];
}
