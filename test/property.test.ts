/**
 * Random lists of what customers, operators, time and bad luck do, played against the real workflows and activities on a
 * real database: whatever happens, no seat is sold twice and no money is lost. PROPERTY_RUNS plays more lists.
 */
import { freshDatabase, type FreshDatabase } from './database';
import { commitHastily, planFromEnvironment, play } from './property-play';

jest.mock('@temporalio/workflow', () => ({
  ...jest.requireActual<object>('@temporalio/workflow'),
  ...jest.requireActual<typeof import('./property-workflow')>('./property-workflow').workflowStandIns,
}));

/** Lists played by `npm test`: about half a minute on two cores. */
const listsUsually = 100;

const plan = planFromEnvironment(listsUsually);

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  await commitHastily(database);
});
afterAll(() => database.close());

test(
  'whatever customers, operators, time and bad luck do, every seat and every cent is accounted for',
  async () => {
    const failure = await play(database.db, plan);
    if (failure !== undefined) throw new Error(failure.report);
  },
  // Half a second a list, and as long again for a failure to shrink.
  300_000 + plan.runs * 1_000,
);
