/**
 * The controls of `story-model.test.ts`: a story that was changed in one place is found out by random lists. Without these, a
 * model that is always content could be one that looks at nothing.
 */
import { playMany, type Failure, type Plan } from './story-play-many';
import { openStage, type Change, type Stage } from './story-stage';
import { isLong } from './tiers';

/** Most lists until the fault must have been found. Each is found within the first forty. */
const listsMax = 400;

/** Each fault, a start value that finds it soon, what is changed, and what is found then. `TEST_TIER=long` begins anywhere. */
const faults: [fault: string, seed: number, changes: Change[], found: RegExp][] = [
  [
    'the end of the window no longer closes the payment first',
    1,
    [
      [
        "const ended = await (0, steps_1.end)(bookingId, 'expired', inbox.takeRings());",
        "const ended = { ...standing, status: 'expired' };",
      ],
    ],
    /ended as expired, the attempt as (awaiting_payment|processing)/,
  ],
  [
    'rings that come while it settles are dropped',
    1,
    [
      [
        'else if (inbox.rang()) {\n            standing = await (0, steps_1.settle)(bookingId, inbox.takeRings());',
        'else if (inbox.rang()) {\n            standing = await (0, steps_1.settle)(bookingId, inbox.takeRings());\n            inbox.takeRings();',
      ],
    ],
    /rings that nobody heard/,
  ],
  [
    'a refund that failed is swallowed',
    1,
    [
      [
        "while (progress.status !== 'succeeded') {\n",
        "while (progress.status !== 'succeeded' && progress.status !== 'failed') {\n",
      ],
      [
        'givingBack = false;\n            standing = await (0, steps_1.lookUp)(bookingId);',
        'givingBack = false;\n            standing = { ...(await (0, steps_1.lookUp)(bookingId)), refundIds: [] };',
      ],
    ],
    /refund .* was left|case .* was left open/,
  ],
];

let stage: Stage | undefined;
afterEach(() => stage?.close());

test.each(faults)(
  'Control: %s, and random lists find it',
  async (_, seed, changes, found) => {
    const openedStage = await openStage(changes);
    stage = openedStage;
    let failure: Failure | undefined;
    // Where a changed story is found out by another of its consequences first, other lists are played.
    for (let more = 0; more < 5 && !found.test(failure?.untrue ?? ''); more += 1) {
      const plan = { runs: listsMax, shrink: false, ...(isLong ? {} : { seed: seed + more }) };
      failure = await playMany(openedStage, plan);
    }
    expect(failure?.untrue).toMatch(found);
    if (failure === undefined) return;
    const again: Plan = { runs: 1, seed: failure.seed, path: failure.path, shrink: false };
    expect(failure.report).toContain(`STORY_SEED=${again.seed} STORY_PATH='${again.path}'`);
    // Who is faster at the same moment no start value decides, so it is played as crowded as it was, and maybe several times.
    for (let go = 0; go < 5; go += 1) {
      const goes = await Promise.all(Array.from({ length: 8 }, () => playMany(openedStage, again)));
      if (goes.some((replayed) => replayed !== undefined && found.test(replayed.untrue))) return;
    }
    throw new Error(`It was not found again: ${failure.report}`);
  },
  300_000,
);
