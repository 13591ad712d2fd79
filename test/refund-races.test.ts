/**
 * A refund's webhook against the payment watch: both find its news at the same instant, and so does an attempt that is rung
 * meanwhile. `refund-races-controls.test.ts` shows that the guards are needed.
 */
import type { Knex } from 'knex';
import { freshDatabase, type FreshDatabase } from './database';
import {
  addOwed,
  addUnderWay,
  leftOfRefund,
  openDesk,
  readBy,
  send,
  wordsCounted,
  type Desk,
  type Reader,
  type Word,
} from './refund-races-setup';
import { allAtOnce } from './settling-setup';
import { activityRounds } from './tiers';

const rounds = activityRounds;

/** What each last word of the gateway must lead to. */
const ends = {
  succeeded: { attempt: 'refunded', refund: 'succeeded', told: ['payment-refunded'], cases: [] },
  failed: { attempt: 'needs_attention', refund: 'failed', told: ['refund-failed'], cases: ['refund-failed'] },
};

const two: Reader[] = ['webhook', 'watch'];
const eight: Reader[] = ['webhook', 'watch', 'attempt', 'webhook', 'watch', 'attempt', 'webhook', 'watch'];

let database: FreshDatabase;
let db: Knex;
let desk: Desk;
beforeEach(async () => {
  database = await freshDatabase(12);
  db = database.db;
  desk = openDesk(db);
});
afterEach(() => database.close());

describe.each([
  ['two readers', two],
  ['eight readers', eight],
])('%s', (_, readers) => {
  test.each(['succeeded', 'failed'] as const)(
    'that find at once that a refund %s write it once',
    async (word) => {
      for (let round = 0; round < rounds; round += 1) {
        const underWay = await addUnderWay(desk);
        expect(await readBy(desk, underWay, readers, [word], 'at once')).toEqual([]);
        expect(await leftOfRefund(db, underWay)).toEqual(ends[word]);
      }
      expect(await wordsCounted(desk.deps)).toMatchObject({ [word]: rounds });
      expect(desk.sent.size).toBe(rounds);
    },
  );
});

describe.each(['at once', 'one by one'] as const)(
  'answers that were given at different times, written %s',
  (when) => {
    test.each<[early: Word, late: keyof typeof ends]>([
      ['pending', 'succeeded'],
      ['pending', 'failed'],
      ['succeeded', 'failed'],
    ])('%s and %s: the later word is the one that counts', async (early, late) => {
      for (let round = 0; round < rounds; round += 1) {
        const underWay = await addUnderWay(desk);
        const words = round % 2 === 0 ? [early, late] : [late, early];
        expect(await readBy(desk, underWay, two, words, when)).toEqual([]);
        const { told, ...left } = await leftOfRefund(db, underWay);
        const { told: mustTell, ...end } = ends[late];
        expect(left).toEqual(end);
        // Who was answered `succeeded` and wrote first has told so: it was true then.
        const stillTrue = (kind: string): boolean => early !== 'succeeded' || kind !== 'payment-refunded';
        expect(told.filter(stillTrue)).toEqual(mustTell);
      }
    });
  },
);

test('a refund that eight send at once is sent under one key', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const owed = await addOwed(desk.deps);
    const errors = await allAtOnce(
      db,
      Array.from({ length: 8 }, () => () => send(desk.deps, owed.refundId)),
    );
    expect(errors).toEqual([]);
    expect(desk.sent.size).toBe(round + 1);
    expect(await leftOfRefund(db, owed)).toMatchObject({
      attempt: 'refunding',
      refund: 'pending',
      cases: [],
    });
  }
});
