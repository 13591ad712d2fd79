/**
 * The story of an attempt, as the worker's own bundle tells it on a real Temporal server, against a model of database and
 * gateway: random commands at random moments, activities that go ill, and a world that does as each list says. Temporal's
 * time-skipping server is not used: it comes by a download that not every network lets through, and skips for all workflows
 * at once. Windows last a second instead, and the two waits that are longer than any test are shortened in the bundle.
 */
import { planFromEnvironment, playMany } from './story-play-many';
import { openStage, type Stage } from './story-stage';
import { isLong } from './tiers';

/** Lists played: 200 take half a minute of two cores. STORY_RUNS asks for another number. */
const plan = planFromEnvironment(isLong ? 2_000 : 200);

let stage: Stage;
beforeAll(async () => (stage = await openStage()));
afterAll(() => stage.close());

test(
  'whatever is asked of it when, and however its activities go, the story ends as the money did, and everybody is told the truth',
  async () => {
    const failure = await playMany(stage, plan);
    if (failure !== undefined) throw new Error(failure.report);
  },
  // A second a list when a machine is slow, and as long as a search for a shorter list takes.
  300_000 + plan.runs * 1_000,
);
