/** Ending an attempt, from every status in which it may still be open. */
import type { Dependencies } from '../src/activities/dependencies';
import { endActivities } from '../src/activities/end';
import type { Gateway } from '../src/gateways/gateway';
import { freshDatabase, type FreshDatabase } from './database';
import { addAttempts, addSlot, payingDependencies } from './settling-setup';

let database: FreshDatabase;
beforeEach(async () => {
  database = await freshDatabase(4);
});
afterEach(() => database.close());

describe('When the gateway closes the payment of an attempt', () => {
  it.each([
    ['awaiting_payment', 'canceled'],
    ['awaiting_payment', 'expired'],
    ['processing', 'canceled'],
    ['processing', 'expired'],
  ] as const)('that is %s, it becomes %s', async (status, outcome) => {
    const closing = {
      name: 'stub',
      close: () => Promise.resolve({ status: 'closed' }),
    } as unknown as Gateway;
    const paying = payingDependencies(database.db);
    const deps: Dependencies = {
      ...paying,
      gateways: new Map([...paying.gateways.keys()].map((name) => [name, closing])),
    };
    const [id = ''] = await addAttempts(database.db, [
      [{ offeringId: await addSlot(database.db, 1), seats: 1 }],
    ]);
    await database.db('attempts').where({ booking_id: id }).update({ status });
    expect(await endActivities(deps).end(id, outcome, [])).toMatchObject({ status: outcome });
  });
});
