/** A courier whose worker goes, or that was taken for dead, begins no further mail: what it leaves, the next one sends. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { courierActivities } from '../src/activities/courier';
import type { Dependencies } from '../src/activities/dependencies';
import { freshDatabase, type FreshDatabase } from './database';
import { addAttempts, addSlot, payingDependencies } from './settling-setup';

const mails = 60;

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  const { db } = database;
  const slot = await addSlot(db, mails);
  const ids = await addAttempts(
    db,
    Array.from({ length: mails }, () => [{ offeringId: slot, seats: 1 }]),
  );
  await db('messages').insert(
    ids.map((booking_id) => ({
      booking_id,
      kind: 'payment-refunded',
      recipient: `${booking_id}@example.org`,
    })),
  );
});
afterAll(() => database.close());

test('with sixty mails due, only those under way are sent after the word to stop', async () => {
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  let sent = 0;
  const sendMail: NonNullable<Dependencies['sendMail']> = async () => {
    sent += 1;
    if (sent === 10) environment.cancel('WORKER_SHUTDOWN');
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const { carryMessages } = courierActivities({ ...payingDependencies(database.db), sendMail });
  await expect(environment.run(carryMessages)).rejects.toThrow('The worker shuts down');
  // Two batches of five, and not one more.
  expect(sent).toBe(10);
});
