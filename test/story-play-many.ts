/** Playing many random lists at once, and saying how to play one again that failed. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { History } from './histories-setup';
import { anyList, type List } from './story-lists';
import type { Stage } from './story-stage';
import { isLong } from './tiers';

/** Lists that are under way at once: most of a list is waiting. */
const atOnce = 24;

/** Of so many histories one is replayed: a replay costs as much as playing does. */
const replayedOneIn = isLong ? 1 : 4;

/** Longest search for a shorter list that fails, in ms. */
const shrinkingMs = 120_000;

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
  seed: number;
  path: string;
  /** What is untrue, the list, what happened, and the line that plays it again. */
  report: string;
}

/**
 * Plays lists, many at once, until one fails or all are played, and replays their histories.
 * @returns the first failure, as short as can be found in a while
 */
export async function playMany(stage: Stage, plan: Plan): Promise<Failure | undefined> {
  const { seed = randomBytes(4).readInt32LE(), path, shrink = true } = plan;
  if (path !== undefined) return playAgain(stage, { seed, path, shrink });
  const failure = await playAll(stage, fc.sample(anyList, { numRuns: plan.runs, seed }), seed);
  if (failure === undefined || !shrink) return failure;
  return (await playAgain(stage, { seed, path: failure.path, shrink })) ?? failure;
}

async function playAll(stage: Stage, lists: readonly List[], seed: number): Promise<Failure | undefined> {
  const histories: [string, History][] = [];
  const coming = lists.entries();
  let failure: Failure | undefined;
  async function playSome(): Promise<void> {
    for (const [n, list] of coming) {
      const { untrue, play } = await stage.play(list);
      if (n % replayedOneIn === 0) histories.push([String(n), play.history]);
      if (untrue.length > 0) failure ??= failed(list, { untrue, told: play.told }, { seed, path: String(n) });
      if (failure !== undefined) return;
    }
  }
  await Promise.all(Array.from({ length: atOnce }, playSome));
  if (failure !== undefined) return failure;
  const [path = ''] = await stage.misfits(histories);
  const list = lists[Number(path)];
  if (path === '' || list === undefined) return undefined;
  return failed(list, { untrue: ['its history does not replay'], told: [] }, { seed, path });
}

/** Plays the list at that path, and when it fails, shorter ones. */
async function playAgain(
  stage: Stage,
  { seed, path, shrink }: { seed: number; path: string; shrink: boolean },
): Promise<Failure | undefined> {
  let last: { untrue: string[]; told: readonly string[] } = { untrue: [], told: [] };
  const property = fc.asyncProperty(anyList, async (list) => {
    const { untrue, play } = await stage.play(list);
    if (untrue.length === 0) return true;
    last = { untrue, told: play.told };
    return false;
  });
  const details = await fc.check(property, {
    seed,
    path,
    numRuns: 1,
    endOnFailure: !shrink,
    interruptAfterTimeLimit: shrinkingMs,
  });
  const [list] = details.counterexample ?? [];
  if (list === undefined) return undefined;
  return failed(list, last, { seed, path: details.counterexamplePath ?? path });
}

function failed(
  list: List,
  { untrue, told }: { untrue: readonly string[]; told: readonly string[] },
  { seed, path }: { seed: number; path: string },
): Failure {
  const lines = [...untrue, JSON.stringify(list), 'What happened:', ...told];
  const again = `STORY_SEED=${seed} STORY_PATH='${path}' npm test -- story-model`;
  return {
    untrue: untrue.join('\n'),
    seed,
    path,
    report: [...lines, `Play it again: ${again}`].join('\n'),
  };
}
