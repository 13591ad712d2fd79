/** Histories: replayed at once, and kept in `test/histories/` when told to. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import type { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { makeDataConverter } from '../src/payloads';
import type { World } from './world';

export type History = temporal.api.history.v1.IHistory;

/** Where they are kept. */
export const kept = join(__dirname, 'histories');
/** The workflows as built. */
export const bundle = { codePath: join(__dirname, '..', 'dist', 'workflow-bundle.js') };

/** Replays the history of this run at once, and keeps it when told to. */
export async function keepHistory(world: World, name: string, workflowId: string): Promise<History> {
  const history = await world.temporal.workflow.getHandle(workflowId).fetchHistory();
  expect(await misfits(bundle.codePath, [[name, history]])).toEqual([]);
  if (process.env['RECORD_HISTORIES'] === '1') {
    mkdirSync(kept, { recursive: true });
    // Who ran it is this machine's business; the worker's own queue bears its name, too.
    const text = historyToJSON(history)
      .replace(/"identity":\s*"[^"]*"/g, '"identity": "recorded"')
      .replace(/"[0-9]+@[^"]*"/g, '"recorded"');
    writeFileSync(join(kept, `${name}.json`), `${text}\n`);
  }
  return history;
}

/**
 * Replays histories against a bundle; gives the names of those that do not fit it.
 * @param keys those that sealed their payloads
 */
export async function misfits(
  codePath: string,
  histories: Iterable<[string, History]>,
  keys: string[] = [],
): Promise<string[]> {
  const list = [...histories].map(([workflowId, history]) => ({ workflowId, history }));
  const found: string[] = [];
  const dataConverter = makeDataConverter(keys);
  const results = Worker.runReplayHistories({ workflowBundle: { codePath }, dataConverter }, list);
  for await (const { workflowId, error } of results) if (error !== undefined) found.push(workflowId);
  return found;
}
