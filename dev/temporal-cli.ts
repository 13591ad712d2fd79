/**
 * Finds the Temporal CLI, whose development server the demo and the tests run. In this order: `TEMPORAL_CLI_PATH`,
 * `temporal` on the PATH, what an earlier run left in the cache, the SDK's own download, a build by Go. The download is
 * not reachable from every network, and no package registry carries the CLI as a program; Go's module proxy carries
 * its source.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { promisify } from 'node:util';

import {
  buildByGo,
  type Builder,
  buildOnce,
  onPath,
  pinnedName,
  temporalCache,
  withProgress,
} from './go-build';
import { Processes } from './processes';
import type { Progress } from './project';

const run = promisify(execFile);

/** A CLI that has a development server. */
export interface TemporalCli {
  /** Absolute path of the program. */
  path: string;
  /** The flags its `server start-dev` knows, with their dashes. */
  flags: ReadonlySet<string>;
}

/** What a test replaces. */
export interface FindOptions {
  env?: NodeJS.ProcessEnv;
  download?: Builder;
  build?: Builder;
}

/** The download of some 40 MB may take long, but not without a byte arriving for this long. */
const DOWNLOAD_STALLS_MS = 20_000;
const BY_GO = {
  package: 'github.com/temporalio/cli/cmd/temporal',
  called: 'the Temporal CLI',
  takes: 'about 3 minutes on two cores',
};

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

/** Version of the SDK that is installed. */
function sdkVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(require.resolve('@temporalio/testing/package.json'), 'utf8'),
  );
  return (manifest as { version: string }).version;
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

  const suffix = process.platform === 'win32' ? '.exe' : '';
  const folder = temporalCache(env);
  const downloaded = join(folder, `temporal-sdk-typescript-${sdkVersion()}${suffix}`);
  const built = join(folder, `${pinnedName('temporal', 'github.com/temporalio/cli')}${suffix}`);
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
  const build = options.build ?? (go === undefined ? undefined : buildByGo(go, env, BY_GO));
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
