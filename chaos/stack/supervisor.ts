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

/** The supervised processes of one run. */
export class Supervisor {
  readonly #kept = new Map<string, { starts: number; heldUntil: number }>();
  #work: Promise<void> | undefined;
  #ending = false;

  constructor(private readonly processes: Processes) {}

  /** Keeps these running from now on; they must have been started. */
  keep(names: readonly string[]): void {
    for (const name of names) this.#kept.set(name, { starts: 0, heldUntil: 0 });
    this.#work ??= this.#supervise();
  }

  /** How often it has been started again. */
  starts(name: string): number {
    return this.#of(name).starts;
  }

  pid(name: string): number | undefined {
    return this.processes.pid(name);
  }

  /** Kills these at once, and lets them start again after `downMs`; resolves when all are up. */
  async kill(names: readonly string[], downMs: number): Promise<void> {
    for (const name of names) this.#of(name).heldUntil = Date.now() + downMs;
    const before = names.map((name) => this.starts(name));
    await Promise.all(names.map((name) => this.processes.kill(name)));
    await this.#up(names, before);
  }

  /** Sends a signal that ends it in its own way, and lets it start again after `downMs`. */
  async crash(name: string, signal: NodeJS.Signals, downMs: number): Promise<void> {
    this.#of(name).heldUntil = Date.now() + downMs;
    const before = this.starts(name);
    this.processes.signal(name, signal);
    await this.#up([name], [before]);
  }

  /** Stops it in order and starts it as told: another build, another clock. */
  async replace(spec: Spec): Promise<void> {
    const kept = this.#of(spec.name);
    kept.heldUntil = Infinity;
    try {
      await this.processes.stop(spec.name);
      await this.#startUntilUp(() => this.processes.start(spec));
      kept.starts += 1;
    } finally {
      kept.heldUntil = 0;
    }
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

  /** Starts nothing again any more. */
  async end(): Promise<void> {
    this.#ending = true;
    await this.#work;
  }

  #of(name: string): { starts: number; heldUntil: number } {
    const kept = this.#kept.get(name);
    if (kept === undefined) throw new Error(`${name} is not supervised.`);
    return kept;
  }

  async #supervise(): Promise<void> {
    const starting = new Map<string, Promise<void>>();
    while (!this.#ending) {
      for (const [name, kept] of this.#kept) {
        if (starting.has(name) || this.processes.pid(name) !== undefined || Date.now() < kept.heldUntil)
          continue;
        starting.set(
          name,
          this.#startUntilUp(async () => {
            await sleep(restartAfterMs);
            await this.processes.startAgain(name);
            kept.starts += 1;
          }).finally(() => starting.delete(name)),
        );
      }
      await sleep(lookEveryMs);
    }
    await Promise.allSettled(starting.values());
  }

  /** Its dependencies may be away, too: it is tried until they are back. */
  async #startUntilUp(start: () => Promise<unknown>): Promise<void> {
    while (!this.#ending) {
      try {
        await start();
        return;
      } catch {
        // Its log says why; the next go may find what was missing.
        await sleep(restartAfterMs);
      }
    }
  }

  async #up(names: readonly string[], before: readonly number[]): Promise<void> {
    const deadline = Date.now() + upWithinMs;
    while (names.some((name, n) => this.starts(name) <= (before[n] ?? 0))) {
      if (Date.now() > deadline)
        throw new Error(`${names.join(', ')}: not up again after ${upWithinMs / 1000} s`);
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
