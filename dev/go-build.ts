/**
 * Programs that Go builds from the module in `dev/temporal-cli`, which pins the Temporal CLI, the Temporal server and
 * everything below them by `go.sum`. Each is built once per user and kept in the cache.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock } from 'proper-lockfile';

import { Processes } from './processes';
import { cacheFolder, type Progress, projectRoot } from './project';

/** A way to put a program at `target`; throws, or leaves nothing there, when it cannot. */
export type Builder = (target: string, progress: Progress) => Promise<void>;

const MODULE = join(projectRoot, 'dev', 'temporal-cli');
const SAY_EVERY_MS = 10_000;
/** A holder of the lock touches it every 5 s; one that has not for 20 s is dead, or its machine is. */
const LOCK_STALE_MS = 20_000;

/** Where Temporal's programs are kept. Not made by this function. */
export function temporalCache(env: NodeJS.ProcessEnv): string {
  return join(cacheFolder(env), 'temporal-cli');
}

/** Absolute path of a program on the PATH; undefined when there is none. */
export function onPath(program: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const { PATH: path = '' } = env;
  const names = process.platform === 'win32' ? [`${program}.exe`] : [program];
  return path
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
}

/**
 * What is built of `required` on this kind of machine: a name with its version, and with everything below it.
 * @param required path of a module that `go.mod` requires
 */
export function pinnedName(name: string, required: string): string {
  const words = readFileSync(join(MODULE, 'go.mod'), 'utf8').split(/\s+/);
  const at = words.indexOf(required);
  if (at < 0) throw new Error(`${MODULE}/go.mod does not require ${required}.`);
  const hash = createHash('sha256').update(readFileSync(join(MODULE, 'go.sum')));
  return [name, words[at + 1], hash.digest('hex').slice(0, 12), process.platform, process.arch].join('-');
}

/** Says every ten seconds how long `what` has taken, until `work` is done. */
export async function withProgress<T>(
  work: Promise<T>,
  progress: Progress,
  what: (seconds: number) => string,
): Promise<T> {
  const began = Date.now();
  const timer = setInterval(() => progress(what(Math.round((Date.now() - began) / 1000))), SAY_EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

/** What Go builds. */
export interface GoProgram {
  /** Import path of its main package. */
  package: string;
  /** What people call it. */
  called: string;
  /** How long it takes, in words. */
  takes: string;
}

/** Go's build of a program of the module. */
export function buildByGo(go: string, env: NodeJS.ProcessEnv, program: GoProgram): Builder {
  return async (target, progress) => {
    const { called, takes } = program;
    progress(`building ${called} with Go, once: ${takes}`);
    const processes = new Processes(join(target, '..'));
    const half = `${target}.${process.pid}.half`;
    try {
      const building = processes.run({
        name: 'go-build',
        command: go,
        args: ['build', '-trimpath', '-ldflags', '-s -w', '-o', half, program.package],
        cwd: MODULE,
        env: { ...env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' },
        remove: [half],
      });
      await withProgress(building, progress, (seconds) => `still building ${called}, ${seconds} s; ${takes}`);
      // Whoever finds the name finds a whole program.
      renameSync(half, target);
    } finally {
      rmSync(half, { force: true });
    }
  };
}

/**
 * Runs `builder` unless `target` is there, while no other process does the same: the second waits for the first and
 * finds its work done. A holder that died is noticed after 20 s.
 */
export async function buildOnce(target: string, progress: Progress, builder: Builder): Promise<void> {
  mkdirSync(join(target, '..'), { recursive: true });
  const waiting = takeLock(target);
  const release = await withProgress(
    waiting,
    progress,
    (seconds) => `another process is making ${target}; waited ${seconds} s`,
  );
  try {
    if (!existsSync(target)) await builder(target, progress);
  } finally {
    await release();
  }
}

async function takeLock(target: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      return await lock(target, { realpath: false, stale: LOCK_STALE_MS, update: LOCK_STALE_MS / 4 });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ELOCKED')) throw error;
      await sleep(500);
    }
  }
}
