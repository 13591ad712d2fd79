/** One fault: what is broken, and what proves that it landed. */
import type { Ground } from '../stack/stack';

/** One row of the table. */
export interface Fault {
  kind: string;
  /** Two faults of one part are not played at once: each would blur the other's proof. */
  part: string;
  /** How often it is drawn, against the others. */
  weight: number;
  /**
   * Breaks it and mends it again.
   * @param dice 0 to 1 each: whom, and how hard
   * @returns what proves that it landed; undefined when nothing does
   */
  play(stack: Ground, dice: [number, number]): Promise<string | undefined>;
}

/** Whom a die picks. */
export function oneOf<T>(choices: readonly T[], die: number): T {
  const found = choices[Math.floor(die * choices.length)];
  if (found === undefined) throw new Error('Nothing to choose from');
  return found;
}
