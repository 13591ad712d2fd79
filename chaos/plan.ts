/**
 * What a run will do, drawn from its start value alone: the same number gives the same customers at the same times and the
 * same faults. What becomes of them depends on the machine, too.
 */
import fc from 'fast-check';
import type { Behaviour, Method } from './evidence/evidence';

/** One customer to come. */
export interface Wish {
  n: number;
  /** Milliseconds after the load began: the timetable keeps to it whether or not anything answers. */
  afterMs: number;
  behaviour: Behaviour;
  method: Method;
  /** Whether it is one of the few seats that everybody wants. */
  hot: boolean;
  /** Which of the offerings that are to be had then; 0 to 1. */
  pick: number;
  /** How long the customer looks at the pay page, in ms. */
  thinkMs: number;
  /** Whether the browser comes back after paying. */
  comesBack: boolean;
}

/** One fault to come. `dice`, each 0 to 1, say whom it strikes and how hard. */
export interface PlannedFault {
  kind: string;
  afterMs: number;
  dice: [number, number];
}

/** Everything that a run will do, and what it must have done to prove anything. */
export interface Plan {
  wishes: Wish[];
  faults: PlannedFault[];
  mustLand: { all: number; each: number };
}

/** Share of the faults that must land: some find nothing to strike, but 150 of the full tier's 200 must. */
const mustLandShare = 3 / 4;
/** Times that each kind must land where it comes more often (reliability plan). */
const mustLandEach = 2;

/**
 * How people behave, in per cent. From the plan of reliability: 15 abandon, 10 pay late, 10 are declined and retry, 5
 * cancel, 5 click twice.
 */
const behaviours: readonly { weight: number; behaviour: Behaviour }[] = [
  { weight: 55, behaviour: 'pay' },
  { weight: 15, behaviour: 'abandon' },
  { weight: 10, behaviour: 'pay-late' },
  { weight: 10, behaviour: 'decline-then-retry' },
  { weight: 2, behaviour: 'cancel-open' },
  { weight: 3, behaviour: 'cancel-booked' },
  { weight: 5, behaviour: 'double-click' },
];

/** Ways to pay, in per cent: every gateway often enough to meet every fault. */
const methods: readonly { weight: number; method: Method }[] = [
  { weight: 40, method: 'stripe' },
  { weight: 25, method: 'razorpay' },
  { weight: 20, method: 'phonepe' },
  { weight: 15, method: 'wallet' },
];

/** Share that wants a hot seat, in per cent. */
export const hotShare = 20;

/** The page is looked at for so long, in ms: long enough that several attempts for one seat stand open at once. */
const think = { min: 200, max: 3_000 };

/** A number of 0 to 1, even: fast-check's own favour the ends. */
const die = fc.noBias(fc.integer({ min: 0, max: 999 })).map((value) => value / 1000);

const pickOf = <T>(choices: readonly (T & { weight: number })[]): fc.Arbitrary<T> => {
  const all = choices.flatMap((choice) => Array.from({ length: choice.weight }, () => choice));
  return fc.noBias(fc.integer({ min: 0, max: all.length - 1 })).map((index) => all[index] as T);
};

const wishes = fc.record({
  behaviour: pickOf(behaviours).map(({ behaviour }) => behaviour),
  method: pickOf(methods).map(({ method }) => method),
  hot: fc.noBias(fc.integer({ min: 0, max: 99 })).map((value) => value < hotShare),
  pick: die,
  thinkMs: fc.noBias(fc.integer(think)),
  comesBack: fc.noBias(fc.integer({ min: 0, max: 1 })).map((value) => value === 1),
});

/** A wallet cannot be declined on a page, nor be paid late: what is there is taken at once. */
const fitting = (behaviour: Behaviour, method: Method): Behaviour =>
  method === 'wallet' && !['double-click', 'cancel-booked'].includes(behaviour) ? 'pay' : behaviour;

/**
 * Draws a plan.
 * @param load.perSecond the timetable of starts
 * @param faults.count how many; each of `faults.kinds` comes as often as `faults.atLeast` says, the rest by weight
 */
export function makePlan(
  startValue: number,
  load: { attempts: number; perSecond: number },
  faults: { count: number; atLeast: number; kinds: readonly { kind: string; weight: number }[] },
): Plan {
  const { attempts, perSecond } = load;
  const drawn = fc.sample(wishes, { seed: startValue, numRuns: attempts });
  const lastsMs = (attempts / perSecond) * 1000;
  return {
    wishes: drawn.map((wish, n) => ({
      ...wish,
      n,
      behaviour: fitting(wish.behaviour, wish.method),
      afterMs: (n * 1000) / perSecond,
    })),
    faults: drawFaults(startValue, faults, lastsMs),
    mustLand: {
      all: Math.floor(faults.count * mustLandShare),
      each: Math.min(
        mustLandEach,
        Math.floor(Math.min(faults.atLeast, faults.count / faults.kinds.length) / 2),
      ),
    },
  };
}

function drawFaults(
  startValue: number,
  {
    count,
    atLeast,
    kinds,
  }: { count: number; atLeast: number; kinds: readonly { kind: string; weight: number }[] },
  lastsMs: number,
): PlannedFault[] {
  // In turns: a shorter run has less of each, not fewer kinds.
  const certain = Array.from({ length: atLeast }, () => kinds.map(({ kind }) => kind))
    .flat()
    .slice(0, count);
  const one = fc.record({ kind: pickOf(kinds), first: die, second: die, order: die });
  // Another stream than the customers': more of them must not change the faults.
  return fc
    .sample(one, { seed: startValue + 1, numRuns: count })
    .map((drawn, n) => ({ ...drawn, kind: certain[n] ?? drawn.kind.kind }))
    .sort((a, b) => a.order - b.order)
    .map(({ kind, first, second }, n) => ({
      kind,
      // Evenly over the load, with a moment before the first so that there is something to break.
      afterMs: ((n + 0.5) * lastsMs) / count,
      dice: [first, second],
    }));
}
