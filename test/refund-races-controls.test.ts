/** The controls of `refund-races.test.ts`: each guard switched off, in a database of its own, and then its fault is seen. */
import type { Knex } from 'knex';
import { freshDatabase, type FreshDatabase } from './database';
import { addUnderWay, leftOfRefund, openDesk, readBy, type Desk, type Word } from './refund-races-setup';
import { withoutRowLocks } from './row-locks';

/** Most rounds until the fault must have been seen. Most are seen in the first. */
const rounds = 60;

let database: FreshDatabase;
let db: Knex;
beforeEach(async () => {
  database = await freshDatabase(12);
  db = database.db;
});
afterEach(async () => {
  jest.restoreAllMocks();
  await database.close();
});

type Left = Awaited<ReturnType<typeof leftOfRefund>> & { errors: string[] };

/** Plays rounds in which webhook and watch read a refund, until `red` sees the fault; gives what the last one left. */
async function playUntil(
  red: (left: Left) => boolean,
  desk: Desk,
  words: readonly Word[],
  when: 'at once' | 'one by one' = 'at once',
): Promise<Left> {
  let left: Left | undefined;
  for (let round = 0; round < rounds && (left === undefined || !red(left)); round += 1) {
    const underWay = await addUnderWay(desk);
    const errors = await readBy(desk, underWay, ['webhook', 'watch'], words, when);
    left = { ...(await leftOfRefund(db, underWay)), errors };
  }
  if (left === undefined) throw new Error('No round was played');
  return left;
}

/** The gateway's last word is that the refund failed, and this is what our rows say. */
const oldAnswerStands = { attempt: 'refunded', refund: 'succeeded' };
const undone = (left: Left): boolean => left.refund === 'succeeded';

describe('the locks on the attempt’s row and the refund’s', () => {
  beforeEach(() => withoutRowLocks(db));

  test('without them an old answer undoes a newer, which is written at the same instant', async () => {
    const left = await playUntil(undone, openDesk(db), ['failed', 'succeeded']);
    expect(left).toMatchObject(oldAnswerStands);
  });

  test('without them and the messages’ key the customer is told twice', async () => {
    await db.raw('ALTER TABLE messages DROP CONSTRAINT messages_pkey');
    const { told } = await playUntil((left) => left.told.length > 1, openDesk(db), ['succeeded']);
    expect(told).toEqual(['payment-refunded', 'payment-refunded']);
  });
});

test('the course of a refund: where it is not known for the same one, an old answer undoes a newer', async () => {
  let looks = 0;
  const desk = openDesk(db, (refundId) => `re_${refundId}_${(looks += 1)}`);
  expect(await playUntil(undone, desk, ['failed', 'succeeded'], 'one by one')).toMatchObject(oldAnswerStands);
});
