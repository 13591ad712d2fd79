/**
 * The note a running stack leaves, so that `npm run pay` and `npm run token` in another terminal find it. It holds
 * secrets of that stack: readable by its owner only, gone when the stack stops.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { GatewayName } from './gateways';
import { projectRoot } from './project';

/** What another process needs to talk to a running stack. */
export interface StackState {
  /** Of the process that holds the stack. */
  pid: number;
  startedAt: string;
  urls: StackUrls;
  /** The settings of the API and the worker, secrets included. */
  env: Record<string, string>;
  logFolder: string;
}

/** Where the parts of a stack answer; undefined for a part it did not start. */
export interface StackUrls {
  api: string;
  temporalUi: string | undefined;
  /** Origins of the gateways' sandboxes, or whatever the environment names; undefined with a test account. */
  gateways: Record<GatewayName, string | undefined>;
  /** Where the mail sink shows what was sent. */
  mail: string | undefined;
  /** One `/metrics` address for each worker. */
  workerMetrics: string[];
}

const FOLDER = join(projectRoot, '.payfirst');
const NAME = /^stack(-\d+)?\.json$/;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function read(file: string): StackState | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as StackState;
  } catch {
    return undefined;
  }
}

/** The folder for this process's logs, made anew; those of stacks that no longer run are removed, but for the last. */
export function makeStackFolder(): string {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  const gone = readdirSync(FOLDER)
    .filter((name) => /^logs-\d+-\d+$/.test(name) && !isRunning(Number(name.split('-')[2])))
    .sort((a, b) => Number(a.split('-')[1]) - Number(b.split('-')[1]));
  for (const name of gone.slice(0, -1)) rmSync(join(FOLDER, name), { recursive: true, force: true });
  const folder = join(FOLDER, `logs-${Date.now()}-${process.pid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/**
 * Writes the note: to `stack.json`, or beside it under this process's id while another stack of this checkout runs.
 * @returns removes the note again
 */
export function writeStackState(state: StackState): () => void {
  const usual = join(FOLDER, 'stack.json');
  const other = existsSync(usual) ? read(usual) : undefined;
  const taken = other !== undefined && other.pid !== process.pid && isRunning(other.pid);
  const file = taken ? join(FOLDER, `stack-${process.pid}.json`) : usual;
  rmSync(file, { force: true });
  writeFileSync(file, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  return () => rmSync(file, { force: true });
}

/** The stack that was started last in this checkout and still runs; undefined when none does. */
export function readStackState(): StackState | undefined {
  if (!existsSync(FOLDER)) return undefined;
  return readdirSync(FOLDER)
    .filter((name) => NAME.test(name))
    .map((name) => read(join(FOLDER, name)))
    .filter((state) => state !== undefined && isRunning(state.pid))
    .sort((a, b) => (a && b ? a.startedAt.localeCompare(b.startedAt) : 0))
    .at(-1);
}
