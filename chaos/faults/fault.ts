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
   * Breaks it and mends it again, also when a step fails.
   * @param dice 0 to 1 each: whom, and how hard
   * @returns what proves that it landed; undefined when nothing does
   */
  play(stack: Ground, dice: [number, number]): Promise<string | undefined>;
}

/** A fault that the service should have withstood by itself, and did not: the judge must hear of it. */
export class Harm extends Error {
  override readonly name = 'Harm';
}

/** Lets the time of a fault pass, in ms; a test does something meanwhile, and ends it. */
export type Pass = (ms: number) => Promise<unknown>;

/** Whom a die picks. */
export function oneOf<T>(choices: readonly T[], die: number): T {
  const found = choices[Math.floor(die * choices.length)];
  if (found === undefined) throw new Error('Nothing to choose from');
  return found;
}

/** A count as a proof: none is no proof. */
export function counted(count: number, of: string): string | undefined {
  return count === 0 ? undefined : `${count} ${of}`;
}

/** How much a count grew during a deed, as a proof. */
export async function grownBy(
  count: () => number | Promise<number>,
  of: string,
  deed: () => Promise<unknown>,
): Promise<string | undefined> {
  const before = await count();
  await deed();
  return counted((await count()) - before, of);
}

/**
 * Does what must leave other processes under the same names.
 * @returns their process ids before and after; undefined unless all are known and each is another
 */
export async function replacing(
  { supervisor }: { supervisor: Pick<Ground['supervisor'], 'pid'> },
  names: readonly string[],
  deed: () => Promise<void>,
): Promise<string | undefined> {
  const before = names.map((name) => supervisor.pid(name));
  await deed();
  const told = names.flatMap((name, n) => {
    const [was, is] = [before[n], supervisor.pid(name)];
    return was === undefined || is === undefined || was === is ? [] : [`${name} was ${was}, is ${is}`];
  });
  return told.length === names.length ? told.join('; ') : undefined;
}
