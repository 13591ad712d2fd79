/**
 * `npm run chaos`: breaks everything under load and says whether anything was lost.
 *
 *   npm run chaos -- --tier smoke            600 attempts, 10 faults; the default
 *   npm run chaos -- --tier full             12,000 attempts, 150 faults
 *   npm run chaos -- --attempts 2000 --minutes 2 --start-value 7 --report folder
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stopOnSignals } from '../dev/processes';
import { projectRoot } from '../dev/project';
import { faults } from './faults';
import { judge } from './judge';
import { makePlan } from './plan';
import { run } from './run';
import { startChaosStack } from './stack';

/** Starts a second, what two cores carry beside the faults; and how many of each fault a tier makes sure of. */
const tiers = {
  smoke: { attempts: 600, perSecond: 20, faults: 10, atLeast: 0 },
  full: { attempts: 12_000, perSecond: 20, faults: 165, atLeast: 3 },
} as const;

interface Order {
  attempts: number;
  perSecond: number;
  faults: number;
  atLeast: number;
  startValue: number;
  report: string;
}

function orderFrom(args: readonly string[]): Order {
  const { values } = parseArgs({
    args: [...args],
    options: {
      tier: { type: 'string', default: 'smoke' },
      attempts: { type: 'string' },
      minutes: { type: 'string' },
      faults: { type: 'string' },
      'start-value': { type: 'string', default: '1' },
      report: { type: 'string', default: join(projectRoot, '.payfirst', 'chaos') },
    },
  });
  const tier = Object.entries(tiers).find(([name]) => name === values.tier)?.[1];
  if (tier === undefined)
    throw new Error(`--tier is ${values.tier}; there are ${Object.keys(tiers).join(' and ')}.`);
  const whole = (name: string, text: string | undefined, otherwise: number): number => {
    if (text === undefined) return otherwise;
    const number = Number(text);
    if (!Number.isInteger(number) || number < 0)
      throw new Error(`--${name} is ${text}; it wants a whole number.`);
    return number;
  };
  const attempts = Math.max(1, whole('attempts', values.attempts, tier.attempts));
  const minutes = whole('minutes', values.minutes, 0);
  return {
    ...tier,
    attempts,
    perSecond: minutes === 0 ? tier.perSecond : attempts / (minutes * 60),
    faults: whole('faults', values.faults, Math.max(1, Math.round((tier.faults * attempts) / tier.attempts))),
    startValue: whole('start-value', values['start-value'], 1),
    report: values.report,
  };
}

async function main(): Promise<void> {
  const order = orderFrom(process.argv.slice(2));
  const began = Date.now();
  const progress = (line: string): void =>
    console.error(`chaos ${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s: ${line}`);
  const plan = makePlan(order.startValue, order, {
    count: order.faults,
    atLeast: order.atLeast,
    kinds: faults,
  });
  const stack = await startChaosStack({ progress });
  const forget = stopOnSignals(() => stack.stop());
  try {
    const { evidence } = await run(stack, plan, order.startValue, progress);
    const verdicts = judge(evidence);
    mkdirSync(order.report, { recursive: true });
    writeFileSync(join(order.report, `evidence-${order.startValue}.json`), JSON.stringify(evidence));
    for (const { name, rule, checked, broken } of verdicts)
      console.log(
        `${broken.length === 0 ? 'holds ' : 'BROKEN'} ${name.padEnd(3)} ${checked} looked at: ${rule}${broken
          .slice(0, 5)
          .map(({ text }) => `\n         ${text}`)
          .join('')}`,
      );
    if (verdicts.some(({ broken }) => broken.length > 0)) process.exitCode = 1;
  } finally {
    forget();
    await stack.stop();
    progress(`logs: ${stack.logFolder}`);
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
