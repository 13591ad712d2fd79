/** What the courier begins, and in which order, driven without a worker. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { courierActivities } from '../src/activities/courier';
import type { Mail } from '../src/activities/dependencies';
import { freshDatabase, type FreshDatabase } from './database';
import { addAttempts, addSlot, payingDependencies } from './settling-setup';

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterEach(() => database.db('messages').del());
afterAll(() => database.close());

async function attempts(count: number): Promise<string[]> {
  const slot = await addSlot(database.db, count);
  return addAttempts(
    database.db,
    Array.from({ length: count }, () => [{ offeringId: slot, seats: 1 }]),
  );
}

const recipientOf = (bookingId: string): string => `${bookingId}@example.org`;

/** Runs the courier until it is stopped. */
async function runUntilStopped(sendMail: (mail: Mail, stop: () => void) => Promise<void>): Promise<void> {
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const stop = () => environment.cancel('WORKER_SHUTDOWN');
  const { carryMessages } = courierActivities({
    ...payingDependencies(database.db),
    sendMail: (mail) => sendMail(mail, stop),
  });
  await expect(environment.run(carryMessages)).rejects.toThrow('The worker shuts down');
}

test('with sixty mails due, only those under way are sent after the word to stop', async () => {
  const rows = (await attempts(60)).map((booking_id) => ({
    booking_id,
    kind: 'payment-refunded',
    recipient: recipientOf(booking_id),
  }));
  await database.db('messages').insert(rows);
  let sent = 0;
  await runUntilStopped(async (_, stop) => {
    sent += 1;
    if (sent === 10) stop();
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  // Two batches of five, and not one more.
  expect(sent).toBe(10);
});

test('what one person is told of one booking goes in the order in which it happened, and waits for nobody else', async () => {
  const [one = '', other = ''] = await attempts(2);
  const row = (booking_id: string, kind: string, secondsAgo: number) => ({
    booking_id,
    kind,
    recipient: recipientOf(booking_id),
    queued_at: database.db.raw('now() - make_interval(secs => ?)', [secondsAgo]),
    next_send_at: database.db.raw('now() - make_interval(secs => ?)', [secondsAgo]),
  });
  await database
    .db('messages')
    .insert([
      row(one, 'booking-confirmed', 3),
      row(one, 'booking-canceled', 2),
      row(one, 'payment-refunded', 1),
      row(other, 'booking-confirmed', 0),
    ]);
  const told: string[] = [];
  let refused = false;
  await runUntilStopped(async ({ to, subject }, stop) => {
    const line = `${to === recipientOf(one) ? 'one' : 'other'}: ${subject}`;
    // The first is the slowest: were they under way together, it would come last.
    await new Promise((resolve) => setTimeout(resolve, /^one.*confirmed$/.test(line) ? 300 : 0));
    if (/^one.*confirmed$/.test(line) && !refused) {
      refused = true;
      throw new Error('450 busy');
    }
    told.push(line);
    if (told.length === 4) stop();
  });
  expect(told.filter((line) => line.startsWith('one'))).toEqual([
    expect.stringMatching(/is confirmed$/),
    expect.stringMatching(/is canceled$/),
    expect.stringMatching(/given back$/),
  ]);
  expect(told[0]).toMatch(/^other/);
});
