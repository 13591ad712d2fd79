/** Plays the faults of a plan at their times, and writes down which landed. */
import type { Played } from '../evidence/evidence';
import { Harm, type Fault } from './fault';
import { faults } from './table';
import type { PlannedFault } from '../plan';
import type { Ground } from '../stack/stack';

/** As many at once: more would be another outage, not a worse one. */
const atOnce = 2;

/** Plays the planned faults at their times, at most two at once and one of a part; a fault that must wait comes later. */
export class Breaker {
  readonly played: Played[] = [];
  readonly #running = new Map<string, Promise<void>>();

  constructor(
    private readonly stack: Ground,
    private readonly progress: (line: string) => void,
  ) {}

  /** @param from milliseconds since 1970: when the load began */
  async playAll(plan: readonly PlannedFault[], from: number): Promise<void> {
    for (const planned of plan) {
      await until(from + planned.afterMs);
      const fault = faults.find(({ kind }) => kind === planned.kind);
      if (fault === undefined) throw new Error(`There is no fault ${planned.kind}`);
      while (this.#running.size >= atOnce || this.#running.has(fault.part))
        await Promise.race(this.#running.values());
      this.#running.set(
        fault.part,
        this.#play(fault, planned).finally(() => this.#running.delete(fault.part)),
      );
    }
    await Promise.all(this.#running.values());
  }

  async #play(fault: Fault, { kind, dice }: PlannedFault): Promise<void> {
    const entry: Played = { kind, from: Date.now(), to: 0 };
    this.played.push(entry);
    try {
      const proof = await fault.play(this.stack, dice);
      if (proof !== undefined) entry.proof = proof;
    } catch (error) {
      if (error instanceof Harm) entry.harm = error.message;
      // What another fault took away cannot be broken; the report says which did not land.
      this.progress(`${kind} did not land: ${error instanceof Error ? error.message : String(error)}`);
    }
    entry.to = Date.now();
    this.progress(`${kind}, ${((entry.to - entry.from) / 1000).toFixed(1)} s: ${entry.proof ?? 'no proof'}`);
  }
}

const until = (at: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, at - Date.now())));
