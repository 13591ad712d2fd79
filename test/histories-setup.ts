/** Histories as they are counted, replayed and kept in `test/histories/`. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils';
import type { temporal } from '@temporalio/proto';
import { Worker, type WorkflowBundleOption } from '@temporalio/worker';
import { makeDataConverter } from '../src/payloads';
import type { World } from './world';

export type History = temporal.api.history.v1.IHistory;

/** Where histories are kept. */
export const kept = join(__dirname, 'histories');

/** The bundle that the tests' workers run. */
export const bundle = { codePath: join(__dirname, '..', 'dist', 'workflow-bundle.js') };

/** The histories that this test file has made, in their order. */
const made: [string, History][] = [];

/** Remembers the history of a workflow for `expectReplay`, and keeps it when told to. */
export async function keepHistory(world: World, name: string, workflowId: string): Promise<History> {
  const history = await world.temporal.workflow.getHandle(workflowId).fetchHistory();
  made.push([name, history]);
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

/** Replays what this file has made. All at once: for each replay by itself the SDK starts a thread and reads the bundle. */
export async function expectReplay(): Promise<void> {
  expect(made).not.toEqual([]);
  expect(await misfits(bundle, made)).toEqual([]);
}

/** How many events a history has. */
export const events = (history: History): number => history.events?.length ?? 0;

/** How many of them are of one type. */
export function count(history: History, type: temporal.api.enums.v1.EventType): number {
  return (history.events ?? []).filter((event) => event.eventType === type).length;
}

/**
 * Replays histories against a bundle; gives the names of those that do not fit it.
 * @param keys those that sealed their payloads
 */
export async function misfits(
  workflowBundle: WorkflowBundleOption,
  histories: Iterable<[string, History]>,
  keys: string[] = [],
): Promise<string[]> {
  const list = [...histories].map(([workflowId, history]) => ({ workflowId, history }));
  const found: string[] = [];
  const dataConverter = makeDataConverter(keys);
  const results = Worker.runReplayHistories({ workflowBundle, dataConverter }, list);
  for await (const { workflowId, error } of results) if (error !== undefined) found.push(workflowId);
  return found;
}

/** The kept histories, by the names of their files. */
export function keptHistories(): [string, History][] {
  return readdirSync(kept)
    .filter((name) => name.endsWith('.json'))
    .map((name) => [name, historyFromJSON(JSON.parse(readFileSync(join(kept, name), 'utf8')))]);
}
