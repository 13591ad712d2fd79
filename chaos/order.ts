/** What is asked of `npm run chaos`. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../dev/project';

/** One run, or one for each control. */
export interface Order {
  attempts: number;
  /** Starts a second. */
  perSecond: number;
  faults: number;
  /** How often each kind of fault comes at least. */
  atLeast: number;
  startValue: number;
  /** Folder for the reports. */
  report: string;
  /** Name of a control to run instead; `all` of them. */
  control: string | undefined;
  /** Commit of the earlier build that histories are replayed with, too; found in git where missing. */
  previous: string | undefined;
  /** What is broken: Payfirst, or the design that everyone starts with. */
  design: 'payfirst' | 'in-memory';
}

/**
 * The smoke tier is a rush: fifteen starts a second for forty seconds are more than two cores carry, and must be over soon all the
 * same; after twenty a second that took 48 of the 60 s it may.
 * The full tier goes on at a rate that two cores carry beside its faults: five a second take half of them. With eight they had
 * nothing left to catch up with after a fault, and fell behind for good. It plans more faults than the 150 that must land, and
 * four of each kind, for some find nothing to strike; the rest by weight.
 */
const tiers: Readonly<Record<string, Pick<Order, 'attempts' | 'perSecond' | 'faults' | 'atLeast'>>> = {
  smoke: { attempts: 600, perSecond: 15, faults: 11, atLeast: 0 },
  full: { attempts: 12_000, perSecond: 5, faults: 200, atLeast: 4 },
};

function whole(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0)
    throw new Error(`--${name} is ${text}; it wants a whole number.`);
  return number;
}

/**
 * Reads the command line.
 * @throws Error in a sentence when it is not understood
 */
export function orderFrom(args: readonly string[]): Order {
  const { values } = parseArgs({
    args: [...args],
    options: {
      tier: { type: 'string', default: 'smoke' },
      attempts: { type: 'string' },
      minutes: { type: 'string' },
      faults: { type: 'string' },
      'start-value': { type: 'string', default: '1' },
      report: { type: 'string', default: join(projectRoot, '.payfirst', 'chaos') },
      control: { type: 'string' },
      previous: { type: 'string' },
      design: { type: 'string', default: 'payfirst' },
    },
  });
  const tier = tiers[values.tier];
  if (tier === undefined)
    throw new Error(`--tier is ${values.tier}; there are ${Object.keys(tiers).join(' and ')}.`);
  const { design } = values;
  if (design !== 'payfirst' && design !== 'in-memory')
    throw new Error(`--design is ${design}; there are payfirst and in-memory.`);
  const attempts =
    values.attempts === undefined ? tier.attempts : Math.max(1, whole('attempts', values.attempts));
  const perSecond =
    values.minutes === undefined
      ? tier.perSecond
      : attempts / (Math.max(1, whole('minutes', values.minutes)) * 60);
  // As often as the tier says, however long it lasts.
  const share = attempts / perSecond / (tier.attempts / tier.perSecond);
  return {
    ...tier,
    attempts,
    perSecond,
    faults:
      values.faults === undefined
        ? Math.max(1, Math.round(tier.faults * share))
        : whole('faults', values.faults),
    startValue: whole('start-value', values['start-value']),
    report: values.report,
    control: values.control,
    previous: values.previous,
    design,
  };
}
