/** What the judge says: one verdict for each invariant, with what it looked at and what it found broken. */
import type { Evidence } from '../evidence/evidence';
import type { Stories } from './story';

/** One thing that is not as it must be. */
export interface Finding {
  /** A sentence with figures. */
  text: string;
  bookingId?: string;
  gateway?: string;
}

/** What became of one invariant. */
export interface Verdict {
  /** `S1` to `S11` must hold at every moment, `L1` to `L9` once everything is quiet. */
  name: string;
  /** What must hold, in one sentence. */
  rule: string;
  /** How many things were looked at. With 0 nothing is proved, even though nothing is broken. */
  checked: number;
  broken: Finding[];
}

/** What one look at the evidence gave. */
export type Look = Pick<Verdict, 'checked' | 'broken'>;

/** One invariant: what must hold, and how to see it. */
export interface Rule {
  name: string;
  rule: string;
  look(evidence: Evidence, stories: Stories): Look;
}

/** Looks at each of some things, and counts them. */
export function lookAtEach<Thing>(things: readonly Thing[], find: (thing: Thing) => Finding[]): Look {
  return { checked: things.length, broken: things.flatMap(find) };
}

/** Several looks as one. */
export function together(...looks: readonly Look[]): Look {
  return {
    checked: looks.reduce((sum, { checked }) => sum + checked, 0),
    broken: looks.flatMap(({ broken }) => broken),
  };
}

/** A finding where something is not so, and none where it is. */
export function unless(holds: boolean, finding: () => Finding): Finding[] {
  return holds ? [] : [finding()];
}

/** Adds up. */
export function sumOf<Thing>(things: readonly Thing[], amount: (thing: Thing) => number): number {
  return things.reduce((sum, thing) => sum + amount(thing), 0);
}

/** Sorts things by what they belong to. */
export function groupBy<Thing>(
  things: readonly Thing[],
  keyOf: (thing: Thing) => string,
): Map<string, Thing[]> {
  const groups = new Map<string, Thing[]>();
  for (const thing of things) {
    const key = keyOf(thing);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [thing]);
    else group.push(thing);
  }
  return groups;
}
