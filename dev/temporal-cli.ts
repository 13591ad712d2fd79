/**
 * Finds the Temporal CLI, whose development server the demo and the tests run. In this order: `TEMPORAL_CLI_PATH`,
 * `temporal` on the PATH, what an earlier run left in the cache, the SDK's own download, a build by Go. The download is
 * not reachable from every network, and no package registry carries the CLI as a program; Go's module proxy carries
 * its source.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { lock } from 'proper-lockfile';

import { Processes } from './processes';
import { cacheFolder, type Progress, projectRoot } from './project';

const run = promisify(execFile);

/** A CLI that has a development server. */
export interface TemporalCli {
  /** Absolute path of the program. */
  path: string;
  /** The flags its `server start-dev` knows, with their dashes. */
  flags: ReadonlySet<string>;
}

/** A way to put a CLI at `target`; throws, or leaves nothing there, when it cannot. */
export type Builder = (target: string, progress: Progress) => Promise<void>;

/** What a test replaces. */
export interface FindOptions {
  env?: NodeJS.ProcessEnv;
  download?: Builder;
  build?: Builder;
}

const MODULE = join(projectRoot, 'dev', 'temporal-cli');
const SAY_EVERY_MS = 10_000;
/** The download of some 40 MB may take long, but not without a byte arriving for this long. */
const DOWNLOAD_STALLS_MS = 20_000;
/** A holder of the lock touches it every 5 s; one that has not for 20 s is dead, or its machine is. */
const LOCK_STALE_MS = 20_000;

const NOTHING_THERE =
  'No Temporal CLI: it is not on the PATH, its download is out of reach from here, and there is no Go to build it with. ' +
  'Install the Temporal CLI (https://docs.temporal.io/cli) or Go (1.21 or newer), set TEMPORAL_CLI_PATH to a CLI, ' +
  'or set TEMPORAL_ADDRESS to a server that already runs.';

async function inspect(path: string): Promise<TemporalCli | undefined> {
  try {
    const { stdout } = await run(path, ['server', 'start-dev', '--help'], { timeout: 20_000 });
    const flags = new Set(stdout.match(/--[a-z][a-z-]*/g));
    // Some other program called temporal, or the CLI of before 2023, has no such server.
    return flags.has('--db-filename') ? { path, flags } : undefined;
  } catch {
    return undefined;
  }
}

function onPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  const { PATH: path = '' } = env;
  const names = process.platform === 'win32' ? [`${program}.exe`] : [program];
  return path
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
}

/** Says every ten seconds how long `what` has taken, until `work` is done. */
async function withProgress<T>(
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

function pinned(): { version: string; hash: string; sdk: string } {
  const version = /temporalio\/cli (v\S+)/.exec(readFileSync(join(MODULE, 'go.mod'), 'utf8'))?.[1];
  if (version === undefined)
    throw new Error(`${MODULE}/go.mod does not name the version of the Temporal CLI.`);
  const hash = createHash('sha256')
    .update(readFileSync(join(MODULE, 'go.sum')))
    .digest('hex')
    .slice(0, 12);
  const manifest: unknown = JSON.parse(
    readFileSync(require.resolve('@temporalio/testing/package.json'), 'utf8'),
  );
  return { version, hash, sdk: (manifest as { version: string }).version };
}

/** Size of the largest of these files in bytes; 0 when there is none. Shows whether a download moves. */
function bytesAt(files: string[]): number {
  return Math.max(0, ...files.map((file) => (existsSync(file) ? statSync(file).size : 0)));
}

/**
 * The SDK's download. It has no call that only downloads, so a process of its own has it start a server for a moment:
 * Core runs the download in native code that cannot be canceled, and a process can be ended. The names of the files are
 * Core's (`ephemeral_server/mod.rs` in SDK 1.24).
 */
const downloadBySdk: Builder = async (target, progress) => {
  const folder = join(target, '..');
  const script =
    "require('@temporalio/testing').TestWorkflowEnvironment" +
    ".createLocal({server:{executable:{type:'cached-download',downloadDir:process.argv[1],ttl:'3650d'}}})" +
    '.then((environment)=>environment.teardown())' +
    '.catch((error)=>{console.error(error.message);process.exitCode=1})';
  const processes = new Processes(folder);
  const done = processes.run({ name: 'download', command: process.execPath, args: ['-e', script, folder] });
  let moved = { bytes: 0, at: Date.now() };
  const watch = setInterval(() => {
    const bytes = bytesAt([target, `${target}.downloading`]);
    if (bytes !== moved.bytes) moved = { bytes, at: Date.now() };
    if (Date.now() - moved.at > DOWNLOAD_STALLS_MS) void processes.kill('download');
  }, 500);
  try {
    await withProgress(done, progress, (seconds) => `still downloading the Temporal CLI, ${seconds} s`);
  } catch (error) {
    // The server may have been too slow to start within the SDK's five seconds: the program is there all the same.
    if (!existsSync(target)) throw error;
  } finally {
    clearInterval(watch);
  }
};

/** Go's build of the module in `dev/temporal-cli`, which pins the CLI and everything below it by `go.sum`. */
function buildByGo(go: string, env: NodeJS.ProcessEnv): Builder {
  return async (target, progress) => {
    progress('building the Temporal CLI with Go, once: about 3 minutes on two cores');
    const processes = new Processes(join(target, '..'));
    const half = `${target}.${process.pid}.half`;
    try {
      const building = processes.run({
        name: 'go-build',
        command: go,
        args: [
          'build',
          '-trimpath',
          '-ldflags',
          '-s -w',
          '-o',
          half,
          'github.com/temporalio/cli/cmd/temporal',
        ],
        cwd: MODULE,
        env: { ...env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' },
        remove: [half],
      });
      await withProgress(
        building,
        progress,
        (seconds) => `still building the Temporal CLI, ${seconds} s; about 3 minutes on two cores`,
      );
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
    (seconds) => `another process is making the Temporal CLI; waited ${seconds} s`,
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

async function setByHand(path: string): Promise<TemporalCli> {
  const cli = await inspect(isAbsolute(path) ? path : resolve(path));
  if (!cli) throw new Error(`TEMPORAL_CLI_PATH is set to ${path}, which has no \`server start-dev\`.`);
  return cli;
}

/**
 * A Temporal CLI with a development server; see the file's head for where it looks.
 * @param progress is told what takes long
 * @throws Error with what to install or set, when there is none and none can be made
 */
export async function findTemporalCli(progress: Progress, options: FindOptions = {}): Promise<TemporalCli> {
  const env = options.env ?? process.env;
  const { TEMPORAL_CLI_PATH: byHand } = env;
  if (byHand) return setByHand(byHand);
  const found = onPath('temporal', env);
  const cli = found && (await inspect(found));
  if (cli) return cli;

  const { version, hash, sdk } = pinned();
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const folder = join(cacheFolder(env), 'temporal-cli');
  const downloaded = join(folder, `temporal-sdk-typescript-${sdk}${suffix}`);
  const built = join(folder, `temporal-${version}-${hash}-${process.platform}-${process.arch}${suffix}`);
  for (const path of [built, downloaded]) {
    const cached = existsSync(path) ? await inspect(path) : undefined;
    if (cached) return cached;
    // Half a file, or one of another machine that shares this cache.
    rmSync(path, { force: true });
  }

  progress('no Temporal CLI on the PATH; trying the download that the Temporal SDK makes');
  const download = await attempt(downloaded, progress, options.download ?? downloadBySdk);
  if (typeof download === 'object') return download;
  const go = onPath('go', env);
  const build = options.build ?? (go === undefined ? undefined : buildByGo(go, env));
  if (!build) throw new Error(NOTHING_THERE);
  progress('that download is out of reach');
  const result = await attempt(built, progress, build);
  if (typeof result === 'object') return result;
  throw new Error(
    `${result}\n${NOTHING_THERE.replace('there is no Go to build it with', 'Go could not build it')}`,
  );
}

/** The program that `builder` put at `target`, or why there is none. */
async function attempt(target: string, progress: Progress, builder: Builder): Promise<TemporalCli | string> {
  try {
    await buildOnce(target, progress, builder);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return (await inspect(target)) ?? `${target} does not run`;
}
