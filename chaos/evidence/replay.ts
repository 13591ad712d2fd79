/**
 * Process: replays the histories of all workflows with one build, and sends the outcome, a `Replay`, to its parent. Of its own, for
 * a replay keeps one core busy, and a run has two builds. REPLAY is a `ReplayOrder`.
 */
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { makeDataConverter } from '../../src/payloads';
import type { Replay } from './evidence';
import type { ReplayOrder } from './histories';

/** How many histories are fetched at once: enough to keep the replay fed. */
const fetchers = 8;

async function main(): Promise<void> {
  const { address, namespace, keys, build, bundle } = JSON.parse(process.env['REPLAY'] ?? '') as ReplayOrder;
  // A worker that replays tells of each of its states.
  Runtime.install({ logger: new DefaultLogger('WARN') });
  const dataConverter = makeDataConverter(keys);
  const connection = await Connection.connect({ address });
  const temporal = new Client({ connection, namespace, dataConverter });
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
  process.send?.(outcome, () => process.exit(0));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
