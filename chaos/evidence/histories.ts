/** What Temporal knows of a run: its workflows, and whether each of their histories replays. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../../dev/project';
import { isStanding, type Replay, type Workflow } from './evidence';

/** Every workflow that Temporal lists. */
async function listWorkflows(temporal: Client): Promise<Workflow[]> {
  const found: Workflow[] = [];
  for await (const { workflowId, type, status, historyLength } of temporal.workflow.list())
    found.push({ workflowId, type, status: status.name, history: historyLength });
  return found;
}

/** How long workflows may take to close after their rows are over, in ms: a workflow task, and Temporal's own listing of it. */
const closeWithinMs = 10_000;

/**
 * Lists them once all are there and those of attempts have closed, or when that takes too long.
 * @param expected ids of workflows that must be among them
 * @param mayRun ids of the cases' keepers; the standing workflows may run, too
 */
export async function listOnceClosed(
  temporal: Client,
  expected: readonly string[],
  mayRun: ReadonlySet<string>,
): Promise<Workflow[]> {
  const until = Date.now() + closeWithinMs;
  for (;;) {
    const found = await listWorkflows(temporal);
    const ids = new Set(found.map(({ workflowId }) => workflowId));
    const isOpen = found.some(
      ({ workflowId, status }) => status === 'RUNNING' && !isStanding(workflowId) && !mayRun.has(workflowId),
    );
    if ((!isOpen && expected.every((id) => ids.has(id))) || Date.now() > until) return found;
    await sleep(500);
  }
}

/** What stands in `dist`. */
export const thisBuild = { build: 'this build', bundle: join(projectRoot, 'dist', 'workflow-bundle.js') };

/** With which build, and where the histories are. */
export interface ReplayOrder {
  address: string;
  namespace: string;
  /** Histories are encrypted: `PAYLOAD_KEYS`. */
  keys: readonly string[];
  build: string;
  /** Path of a workflow bundle. */
  bundle: string;
}

/** How much of what a replay that broke off has said is told, in characters. */
const saidMost = 4_000;

/**
 * Replays the histories of all workflows in a process of its own.
 * @throws Error with what the process said last when it could not
 */
export async function replayAll(order: ReplayOrder): Promise<Replay> {
  const child = fork(join(__dirname, 'replay.js'), [], {
    execArgv: ['--enable-source-maps'],
    env: { ...process.env, REPLAY: JSON.stringify(order) },
    // The outcome comes as a message: the SDK writes of every history that is broken, wherever it likes.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text: Buffer) => (said = `${said}${text.toString()}`.slice(-saidMost)));
  let outcome: Replay | undefined;
  child.on('message', (message) => (outcome = message as Replay));
  await once(child, 'close');
  if (outcome === undefined) throw new Error(`The replay with ${order.build} broke off: ${said}`);
  return outcome;
}
