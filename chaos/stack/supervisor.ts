/** Starts again whatever ends, as the supervisor of any production does, and lets faults kill, stop and replace by name. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Processes, Spec } from '../../dev/processes';

/** How often it looks who has ended, in ms: soon enough that a restart's time is the program's own. */
const lookEveryMs = 100;

/** What a program that ended by itself waits for, in ms: systemd's default of RestartSec (systemd.service(5), read 2026-11). */
const restartAfterMs = 100;

/** How long a program may take to be up again, over all goes, in ms: its dependencies may be away as long. */
const upWithinMs = 60_000;

/** One process. */
interface Kept {
  /** How it is started from now on; undefined as long as that is how it was started first. */
  spec: Spec | undefined;
  /** How often it has come up again. */
  ups: number;
  /** How many hold it down: two faults may strike the same process. */
  holds: number;
  /** The one start that is under way; never rejects. */
  starting: Promise<void> | undefined;
}

/** The supervised processes of one run. One loop starts them, and nobody else does. */
export class Supervisor {
  readonly #kept = new Map<string, Kept>();
  #work: Promise<void> | undefined;
  #ending = false;

  /** @param withinMs how long a program may take to be up again */
  constructor(
    private readonly processes: Processes,
    private readonly withinMs = upWithinMs,
  ) {}

  /** Keeps these running from now on; they must have been started. */
  keep(names: readonly string[]): void {
    for (const name of names)
      this.#kept.set(name, { spec: undefined, ups: 0, holds: 0, starting: undefined });
    this.#work ??= this.#supervise();
  }

  pid(name: string): number | undefined {
    return this.processes.pid(name);
  }

  /** Kills these at once, and lets them start again after `downMs`; resolves when all are up. */
  async kill(names: readonly string[], downMs: number): Promise<void> {
    await this.#away(names, downMs, (name) => this.processes.kill(name));
  }

  /** Sends a signal that ends it in its own way, and lets it start again after `downMs`; resolves when it is up. */
  async crash(name: string, signal: NodeJS.Signals, downMs: number): Promise<void> {
    await this.#away([name], downMs, () => this.processes.kill(name, signal));
  }

  /** Stops it in order, and has it started as told: another build, another clock; resolves when it is up. */
  async replace(spec: Spec): Promise<void> {
    const kept = this.#of(spec.name);
    await this.#away([spec.name], 0, async (name) => {
      await this.processes.stop(name);
      kept.spec = spec;
    });
  }

  /** Stops a process in its tracks for a while. @returns whether the kernel showed it as stopped */
  async freeze(name: string, ms: number): Promise<boolean> {
    const pid = this.processes.pid(name);
    if (pid === undefined) return false;
    this.processes.signal(name, 'SIGSTOP');
    await sleep(ms);
    const stopped = isStopped(pid);
    if (this.processes.pid(name) === pid) this.processes.signal(name, 'SIGCONT');
    return stopped;
  }

  /** Starts nothing again any more; nothing is starting when it returns. */
  async end(): Promise<void> {
    this.#ending = true;
    await this.#work;
    const late = [...this.#kept].filter(([, { starting }]) => starting !== undefined);
    await Promise.all(late.map(([name]) => this.#down(name, () => this.processes.stop(name))));
  }

  #of(name: string): Kept {
    const kept = this.#kept.get(name);
    if (kept === undefined) throw new Error(`${name} is not supervised.`);
    return kept;
  }

  async #supervise(): Promise<void> {
    while (!this.#ending) {
      for (const [name, kept] of this.#kept) {
        if (kept.holds > 0 || kept.starting !== undefined || this.processes.pid(name) !== undefined) continue;
        kept.starting = this.#start(name, kept).finally(() => {
          kept.starting = undefined;
        });
      }
      await sleep(lookEveryMs);
    }
  }

  async #start(name: string, kept: Kept): Promise<void> {
    await sleep(restartAfterMs);
    if (kept.holds > 0 || this.#ending) return;
    try {
      await (kept.spec === undefined ? this.processes.startAgain(name) : this.processes.start(kept.spec));
      kept.ups += 1;
    } catch {
      // Its log says why. What it depends on may be away, too: the next look starts it once more.
    }
  }

  /** Holds these down from before they end until `downMs` later, and waits until they are up again. */
  async #away(
    names: readonly string[],
    downMs: number,
    end: (name: string) => Promise<unknown>,
  ): Promise<void> {
    const all = names.map((name) => this.#of(name));
    for (const kept of all) kept.holds += 1;
    let before: number[];
    try {
      await Promise.all([sleep(downMs), ...names.map((name) => this.#down(name, () => end(name)))]);
      before = all.map(({ ups }) => ups);
    } finally {
      for (const kept of all) kept.holds -= 1;
    }
    await this.#up(names, before);
  }

  /** Ends a process that nobody may start, and the start that was under way: it had perhaps nothing yet that could be ended. */
  async #down(name: string, end: () => Promise<unknown>): Promise<void> {
    await end();
    await this.#of(name).starting;
    if (this.processes.pid(name) !== undefined) await end();
  }

  async #up(names: readonly string[], before: readonly number[]): Promise<void> {
    const deadline = Date.now() + this.withinMs;
    while (!this.#ending && names.some((name, n) => this.#of(name).ups <= (before[n] ?? 0))) {
      if (Date.now() > deadline)
        throw new Error(`${names.join(', ')}: not up again after ${this.withinMs / 1000} s`);
      await sleep(lookEveryMs);
    }
  }
}

/** State T of /proc/<pid>/stat; the name before it is in parentheses and may hold spaces (proc_pid_stat(5), read 2026-11). */
function isStopped(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('T') ?? false;
  } catch {
    return false;
  }
}
