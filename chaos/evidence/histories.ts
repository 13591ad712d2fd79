/** What Temporal knows of a run: its workflows, and whether each of their histories replays. */
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
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

/** How many histories are fetched at once: enough to keep the replay fed. */
const fetchers = 8;

/** What stands in `dist`. */
export const thisBuild = { build: 'this build', bundle: join(projectRoot, 'dist', 'workflow-bundle.js') };

/**
 * Replays the histories of all workflows.
 * @param dataConverter histories are encrypted
 * @param build.bundle path of a workflow bundle
 */
export async function replayAll(
  temporal: Client,
  dataConverter: DataConverter,
  { build, bundle }: { build: string; bundle: string },
): Promise<Replay> {
  const histories = temporal.workflow.list().intoHistories({ concurrency: fetchers });
  const outcome: Replay = { build, replayed: 0, broken: [] };
  const results = Worker.runReplayHistories(
    { workflowBundle: { codePath: bundle }, dataConverter },
    histories,
  );
  for await (const { workflowId, error } of results) {
    if (error === undefined) outcome.replayed += 1;
    else outcome.broken.push(`${workflowId}: ${error.message}`);
  }
  return outcome;
}
