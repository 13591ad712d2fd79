/** Where lists are played: a real worker on the run's Temporal server, whose activities are models. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { Activities } from '../src/activities';
import { makeWorker } from '../src/worker';
import { bundle, misfits, type History } from './histories-setup';
import { storyActivities } from './story-activities';
import { whatIsUntrue } from './story-invariants';
import type { List } from './story-lists';
import { Play } from './story-play';
import { quietRuntime } from './world';

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
  /** Does something while no worker runs. */
  withoutWorker(meanwhile: () => Promise<void>): Promise<void>;
  /** Replays histories; gives the names of those that do not fit the story that is told here. */
  misfits(histories: Iterable<[string, History]>): Promise<string[]>;
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
  const workflowBundle = { code: bundleWith([...hasty, ...changes]) };
  async function startWorker(): Promise<() => Promise<void>> {
    const worker = await makeWorker(
      native,
      { taskQueue: ground.taskQueue, payloadKeys: [], namespace: 'default' },
      activities as Activities,
      { workflowBundle, shutdownGraceTime: 100 },
    );
    const running = worker.run();
    return async () => {
      worker.shutdown();
      await running;
    };
  }
  let stopWorker = await startWorker();
  let lists = 0;
  return {
    play: async (list) => {
      lists += 1;
      const bookingId = `bkg_${run}_${lists}`;
      const play = new Play(ground, bookingId, list);
      plays.set(bookingId, play);
      await play.run();
      plays.delete(bookingId);
      return { untrue: whatIsUntrue(play), play };
    },
    misfits: (histories) => misfits(workflowBundle, histories),
    withoutWorker: async (meanwhile) => {
      await stopWorker();
      await meanwhile();
      stopWorker = await startWorker();
    },
    close: async () => {
      await stopWorker();
      await native.close();
      await connection.close();
    },
  };
}
