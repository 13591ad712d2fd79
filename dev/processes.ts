/**
 * Named child processes of the development stack: one log file each, waited for until ready, signalled by name, and
 * never left behind. Each runs under `keeper.mjs`, which ends it when this process is gone, even by SIGKILL.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { types } from 'node:util';

import { type Progress, projectRoot } from './project';
import { type Ready, tailOf, untilReady } from './readiness';

/** How to start one process. */
export interface Spec {
  /** Unique among its `Processes`; also the name of the log file. */
  name: string;
  command: string;
  args: string[];
  /** The whole environment of the child; this process's own if missing. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Without it the process counts as ready once it runs. */
  ready?: Ready;
  /** How long `ready` may take; 30 s if missing. */
  readyWithinMs?: number;
  /** What asks it to end; SIGTERM if missing. */
  stopSignal?: 'SIGTERM' | 'SIGINT';
  /** How long it may take to end before it is killed; 5 s if missing. */
  graceMs?: number;
  /** To run as somebody else; only root may. */
  user?: { uid: number; gid: number } | undefined;
  /** Folders that go with it: `stopAll` removes them, or its keeper where this process dies without having stopped it. */
  remove?: string[];
}

/** How a process ended: an exit code, or the signal that ended it. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process that is up. */
export interface Running {
  name: string;
  /** Of the process itself, not of its keeper. */
  pid: number;
  logFile: string;
  /** The line that showed it is ready, where a line was waited for; else empty. */
  readyLine: string;
  /** Resolves when it has ended, for whatever reason. */
  ended: Promise<Ended>;
}

interface Entry {
  spec: Spec;
  logFile: string;
  /** Byte of the log file at which this run began. */
  from: number;
  keeper: ChildProcess;
  pid: number;
  ended: Promise<Ended>;
  hasEnded: boolean;
  /** Whether we asked for the end: any other end is worth a line. */
  expected: boolean;
}

type KeeperMessage = { started: number } | { ended: Ended } | { failed: string };

const KEEPER = join(projectRoot, 'dev', 'keeper.mjs');
const DEFAULT_READY_MS = 30_000;
const DEFAULT_GRACE_MS = 5_000;

/** A sentence on how a process ended. */
function describe({ code, signal }: Ended): string {
  return signal === null ? `exit code ${code}` : `ended by ${signal}`;
}

/** A set of named child processes; see the file's head. */
export class Processes {
  /** In the order of their first start; an ended process stays, to be started again. */
  readonly #entries = new Map<string, Entry>();

  /**
   * @param logFolder made if missing; holds `<name>.log` of each process, appended to by every start
   * @param progress is told of each process that is ready, and of each that ended without being asked to
   */
  constructor(
    readonly logFolder: string,
    private readonly progress: Progress = () => undefined,
  ) {}

  /**
   * Starts a process and waits until it is ready.
   * @throws Error when it cannot be started, ends early, or is not ready in time; with its log's last lines
   */
  async start(spec: Spec): Promise<Running> {
    const earlier = this.#entries.get(spec.name);
    if (earlier && !earlier.hasEnded) throw new Error(`${spec.name} is already running.`);
    const began = Date.now();
    const entry = await this.#launch(spec);
    let readyLine = '';
    if (spec.ready) {
      const found = await untilReady(
        spec.ready,
        entry.logFile,
        entry.from,
        spec.readyWithinMs ?? DEFAULT_READY_MS,
        () => !entry.hasEnded,
      );
      if (found === undefined) throw await this.#notReady(entry, Date.now() - began);
      readyLine = found;
    }
    this.progress(`${spec.name} is up (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    return { name: spec.name, pid: entry.pid, logFile: entry.logFile, readyLine, ended: entry.ended };
  }

  /**
   * Runs a process to its end.
   * @throws Error with its log's last lines when it ends with anything but exit code 0
   */
  async run(spec: Omit<Spec, 'ready' | 'readyWithinMs'>): Promise<void> {
    const began = Date.now();
    const entry = await this.#launch(spec);
    entry.expected = true;
    const ended = await entry.ended;
    if (ended.code !== 0) {
      throw new Error(
        `${spec.name} failed (${describe(ended)}). Its last lines, from ${entry.logFile}:\n${await tailOf(entry.logFile, entry.from)}`,
      );
    }
    this.progress(`${spec.name} is done (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }

  /** Starts again what was started under this name before and has ended, in the same way. */
  async startAgain(name: string): Promise<Running> {
    return this.start(this.#entry(name).spec);
  }

  /** Sends a signal to the process itself (SIGSTOP and SIGCONT too), and does not wait. */
  signal(name: string, signal: NodeJS.Signals): void {
    const entry = this.#entry(name);
    if (entry.hasEnded) throw new Error(`${name} is not running.`);
    process.kill(entry.pid, signal);
  }

  /** Kills it with SIGKILL, or another signal that ends it, and waits until it is gone. Does nothing when it has ended already. */
  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const entry = this.#entry(name);
    entry.expected = true;
    if (!entry.hasEnded) {
      try {
        process.kill(entry.pid, signal);
      } catch (error) {
        // It has just ended by itself, and its keeper has not said so yet.
        if (!(types.isNativeError(error) && 'code' in error && error.code === 'ESRCH')) throw error;
      }
    }
    await entry.ended;
  }

  /** Asks it to end, kills it after its grace time, and waits until it is gone. */
  async stop(name: string): Promise<Ended> {
    const entry = this.#entry(name);
    entry.expected = true;
    if (!entry.hasEnded) entry.keeper.kill('SIGTERM');
    return entry.ended;
  }

  /** Stops it in order, then starts it in the same way. */
  async restart(name: string): Promise<Running> {
    await this.stop(name);
    return this.startAgain(name);
  }

  /** Stops everything that runs, the last started first, and removes what goes with it: nothing is started again. */
  async stopAll(): Promise<void> {
    for (const [name, { spec }] of [...this.#entries].reverse()) {
      await this.stop(name);
      for (const path of spec.remove ?? []) rmSync(path, { recursive: true, force: true });
    }
  }

  /** Process id of a running process; undefined when it has ended or was never started. */
  pid(name: string): number | undefined {
    const entry = this.#entries.get(name);
    return entry && !entry.hasEnded ? entry.pid : undefined;
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (!entry) throw new Error(`No process was started as ${name}.`);
    return entry;
  }

  async #launch(spec: Spec): Promise<Entry> {
    mkdirSync(this.logFolder, { recursive: true, mode: 0o700 });
    const logFile = join(this.logFolder, `${spec.name}.log`);
    const log = openSync(logFile, 'a', 0o600);
    const from = statSync(logFile).size;
    const order = {
      command: spec.command,
      args: spec.args,
      graceMs: spec.graceMs ?? DEFAULT_GRACE_MS,
      stopSignal: spec.stopSignal ?? 'SIGTERM',
      remove: spec.remove ?? [],
      ...spec.user,
    };
    const keeper = spawn(process.execPath, [KEEPER, JSON.stringify(order)], {
      env: spec.env ?? process.env,
      cwd: spec.cwd ?? projectRoot,
      stdio: ['ignore', log, log, 'ipc'],
      // A session of its own: Ctrl-C must reach this process only, which then stops everything in order.
      detached: true,
    });
    closeSync(log);

    const entry: Entry = {
      spec,
      logFile,
      from,
      keeper,
      pid: 0,
      ended: NEVER,
      hasEnded: false,
      expected: false,
    };
    entry.ended = endOf(keeper).then((ended) => {
      entry.hasEnded = true;
      if (!entry.expected) this.progress(`${spec.name} ended by itself (${describe(ended)}); see ${logFile}`);
      return ended;
    });
    entry.pid = await pidFrom(keeper, spec);
    // A later start keeps the place of the first one, and with it the order of stopping.
    this.#entries.set(spec.name, entry);
    return entry;
  }

  async #notReady(entry: Entry, afterMs: number): Promise<Error> {
    const { spec, logFile, from } = entry;
    entry.expected = true;
    const why = entry.hasEnded
      ? `${spec.name} ended before it was ready (${describe(await entry.ended)})`
      : `${spec.name} was not ready after ${Math.round(afterMs / 1000)} s`;
    if (!entry.hasEnded) await this.stop(spec.name);
    return new Error(`${why}. Its last lines, from ${logFile}:\n${await tailOf(logFile, from)}`);
  }
}

const NEVER = new Promise<Ended>(() => undefined);

/** What became of the kept process; if the keeper itself was killed, its child counts as ended with it. */
async function endOf(keeper: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    let ended: Ended | undefined;
    keeper.on('message', (message: KeeperMessage) => {
      if ('ended' in message) ended = message.ended;
    });
    // Only once the keeper has left is the whole group gone; and its last message can arrive after the news of its end.
    keeper.once('exit', (code, signal) => {
      const done = (): void => resolve(ended ?? { code, signal });
      if (keeper.connected) keeper.once('disconnect', done);
      else done();
    });
    keeper.once('error', () => resolve({ code: null, signal: null }));
  });
}

async function pidFrom(keeper: ChildProcess, spec: Spec): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void => reject(new Error(`${spec.name} could not be started: ${why}`));
    keeper.on('message', (message: KeeperMessage) => {
      if ('started' in message) resolve(message.started);
      if ('failed' in message) refuse(message.failed);
    });
    keeper.once('error', (error) => refuse(error.message));
    keeper.once('exit', () => refuse('its keeper ended at once'));
  });
}

/**
 * On Ctrl-C, SIGTERM or a closed terminal: runs `stop` and exits with 128 + the signal's number. A second signal exits
 * at once, and the keepers do the rest.
 * @returns a function that takes the listeners away again
 */
export function stopOnSignals(stop: () => Promise<void>): () => void {
  let stopping = false;
  const listener = (signal: NodeJS.Signals): void => {
    const code = 128 + constants.signals[signal];
    if (stopping) process.exit(code);
    stopping = true;
    // Whether or not stopping went well, there is nothing left to do but leave; the keepers see to the children.
    void stop().then(
      () => process.exit(code),
      (error: unknown) => {
        console.error(error);
        process.exit(code);
      },
    );
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}
