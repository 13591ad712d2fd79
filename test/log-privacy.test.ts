/** Errors are logged, and told to Temporal, without the values of the statement or the words of what an activity threw. */
import { describeError, describeTemporalLine } from '../src/telemetry';
import { freshDatabase } from './database';

const secret = 'wilhelmina.quisling@private.example';

test('a statement that fails does not quote its values', async () => {
  const database = await freshDatabase();
  try {
    const row = { booking_id: 'bkg_nobody', kind: 'booking-confirmed', recipient: secret };
    // Knex puts the statement before the server's words: with `$1` for each value, as long as nobody has it format them.
    await expect(database.db('messages').insert(row)).rejects.toThrow(
      /^insert into "messages" .* values \(\$1, \$2, \$3\) - /,
    );
  } finally {
    await database.close();
  }
});

test('what an activity threw is logged without its words, what the connection says with them', () => {
  const error = new Error(`could not write to ${secret}`, { cause: new TypeError('of the connection') });
  const ofActivity = describeTemporalLine('Activity failed', { error, activityId: '1', attempt: 2 });
  expect(ofActivity).toMatchObject({
    event: 'temporal',
    message: 'Activity failed',
    attempt: 2,
    error: { name: 'Error', cause: { name: 'TypeError' } },
  });
  expect(JSON.stringify(ofActivity)).not.toContain('private.example');
  expect(JSON.stringify(describeError(error))).not.toContain('private.example');
  const ofConnection = describeTemporalLine('Failed to poll', { error });
  expect(ofConnection).toMatchObject({ error: { message: `could not write to ${secret}` } });
});
