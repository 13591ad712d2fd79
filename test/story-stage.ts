/** Playing many random lists at once against a real worker and the run's Temporal server, and saying how to play one again. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import fc from 'fast-check';
import type { Activities } from '../src/activities';
import { makeWorker } from '../src/worker';
import { bundle } from './histories-setup';
import { storyActivities } from './story-activities';
import { whatIsUntrue } from './story-invariants';
import { anyList, type List } from './story-lists';
import { Play } from './story-play';
import { quietRuntime } from './world';

/** Lists that are under way at once: most of a list is waiting. */
const atOnce = 24;

/** Longest search for a shorter list that fails, in ms. */
const shrinkingMs = 120_000;

/** A text of the bundle, and what stands there instead. */
export type Change = readonly [from: string, to: string];

/** Waits that no test can wait for; nothing else of the story is changed. */
const hasty: readonly Change[] = [
  ["const processingLook = '1 hour';", "const processingLook = '300 milliseconds';"],
  ["const overdueAfter = '30 days';", "const overdueAfter = '1 second';"],
];

/** The bundle that production runs, with these texts changed. @throws when one is not there once */
function bundleWith(changes: readonly Change[]): string {
  let code = readFileSync(bundle.codePath, 'utf8');
  for (const [from, to] of changes) {
    const parts = code.split(from);
    if (parts.length !== 2) throw new Error(`The bundle has ${parts.length - 1} times: ${from}`);
    code = parts.join(to);
  }
  return code;
}

/** What came of a list: what is untrue of it, and what happened. */
export interface Played {
  untrue: string[];
  play: Play;
}

export interface Stage {
  /** Plays one list. */
  play(list: List): Promise<Played>;
  close(): Promise<void>;
}

/** Starts a worker of its own whose activities are models. */
export async function openStage(changes: readonly Change[] = []): Promise<Stage> {
  const address = process.env['TEST_TEMPORAL_ADDRESS'];
  if (address === undefined) throw new Error('TEST_TEMPORAL_ADDRESS is missing: run the tests by `npm test`');
  quietRuntime();
  const connection = await Connection.connect({ address });
  const native = await NativeConnection.connect({ address });
  const run = randomBytes(6).toString('hex');
  const ground = { temporal: new Client({ connection }), taskQueue: `story-${run}` };
  const plays = new Map<string, Play>();
  const activities = storyActivities((id) => {
    const play = plays.get(id.split('/')[0] ?? '');
    if (play === undefined) throw new Error(`Bug: nobody plays ${id}`);
    return play;
  });
  const worker = await makeWorker(
    native,
    { taskQueue: ground.taskQueue, payloadKeys: [], namespace: 'default' },
    activities as Activities,
    { workflowBundle: { code: bundleWith([...hasty, ...changes]) }, shutdownGraceTime: 100 },
  );
  const running = worker.run();
  let lists = 0;
  return {
    play: async (list) => {
      lists += 1;
      const bookingId = `bkg_${run}_${lists}`;
      const play = new Play(ground, bookingId, list);
      plays.set(bookingId, play);
      await play.run();
      return { untrue: whatIsUntrue(play), play };
    },
    close: async () => {
      worker.shutdown();
      await running;
      await native.close();
      await connection.close();
    },
  };
}

/** How many lists are played, and which: none named, and fast-check draws a new seed. */
export interface Plan {
  runs: number;
  seed?: number;
  /** Of a failure that is played again. */
  path?: string;
  /** false: the first failure is told as it came. */
  shrink?: boolean;
}

/** The plan that the environment asks for. */
export function planFromEnvironment(runs: number): Plan {
  const { STORY_RUNS: asked, STORY_SEED: seed, STORY_PATH: path } = process.env;
  return {
    runs: asked ? Number(asked) : runs,
    ...(seed && { seed: Number(seed) }),
    ...(path && { path }),
  };
}

/** A list that failed. */
export interface Failure {
  untrue: string;
  list: List;
  /** Plays this list alone. */
  again: Required<Plan>;
  /** What is untrue, the list, and the line that plays it again. */
  report: string;
}

/**
 * Plays lists, many at once, until one fails or all are played, and replays their histories.
 * @returns the first failure, as short as can be found in a while
 */
export async function playMany(stage: Stage, plan: Plan): Promise<Failure | undefined> {
  const seed = plan.seed ?? randomBytes(4).readInt32LE();
  if (plan.path !== undefined) return playAgain(stage, { seed, path: plan.path });
  const lists = fc.sample(anyList, { numRuns: plan.runs, seed });
  let failure: Failure | undefined;
  let next = 0;
  async function playSome(): Promise<void> {
    while (next < lists.length && failure === undefined) {
      const n = next;
      next += 1;
      const list = lists[n] as List;
      const { untrue } = await stage.play(list);
      if (untrue.length > 0) failure ??= failed(untrue.join('\n'), list, { seed, path: String(n) });
    }
  }
  await Promise.all(Array.from({ length: atOnce }, playSome));
  if (failure === undefined || plan.shrink === false) return failure;
  return (await playAgain(stage, failure.again)) ?? failure;
}

/** Plays the list at that path, and when it fails, shorter ones. */
async function playAgain(stage: Stage, { seed, path }: { seed: number; path: string }) {
  const property = fc.asyncProperty(anyList, async (list) => {
    const { untrue } = await stage.play(list);
    if (untrue.length > 0) throw new Error(untrue.join('\n'));
  });
  const details = await fc.check(property, { seed, path, numRuns: 1, interruptAfterTimeLimit: shrinkingMs });
  const [list] = details.counterexample ?? [];
  if (!details.failed || list === undefined) return undefined;
  const untrue = details.errorInstance instanceof Error ? details.errorInstance.message : 'unknown';
  return failed(untrue, list, { seed, path: details.counterexamplePath ?? path });
}

function failed(untrue: string, list: List, { seed, path }: { seed: number; path: string }): Failure {
  const line = `STORY_SEED=${seed} STORY_PATH='${path}' npm test -- story-model`;
  const report = `${untrue}\n\n${JSON.stringify(list, null, 1)}\n\nPlay it again: ${line}`;
  return { untrue, list, again: { runs: 1, seed, path, shrink: false }, report };
}
