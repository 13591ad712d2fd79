/**
 * The controls of `property.test.ts`: each guard is switched off in a database of its own, and random lists find what it
 * guards against. Without these, a property that is always green could be one that looks at nothing.
 */
import type { Knex } from 'knex';
import { freshDatabase, type FreshDatabase } from './database';
import { commitHastily, play } from './property-play';
import { rewrite } from './settling-setup';
import { isLong } from './tiers';

jest.mock('@temporalio/workflow', () => ({
  ...jest.requireActual<object>('@temporalio/workflow'),
  ...jest.requireActual<typeof import('./property-workflow')>('./property-workflow').workflowStandIns,
}));

/** Most lists until the fault must have been found. Most are found within the first twenty. */
const listsMax = 400;

/**
 * Each guard, a start value that finds it soon, how it is switched off, and what is found then. `TEST_TIER=long` begins
 * anywhere instead. Who is faster at the same moment no start value decides, so the search goes on where one has not found it.
 */
const guards: [guard: string, seed: number, off: (db: Knex) => Promise<void>, found: RegExp][] = [
  [
    'a cart becomes one booking',
    35,
    async (db) => {
      await rewrite(db, 'refusal_of', [['c.booking_id IS NOT NULL', 'false']]);
      await db.raw('DROP TRIGGER carts_convert_once ON carts');
    },
    /a cart becomes one booking|in spite of cart-converted/,
  ],
  [
    'a held seat is its holder’s',
    16,
    async (db) => {
      await rewrite(db, 'take_seats', [['held_by = ANY (in_own)', 'true']]);
      await rewrite(db, 'seats_free', [['s.held_until IS NULL', 'true']]);
      await db.raw('DROP TRIGGER seats_live_hold ON seats');
    },
    /only this speaks against it|has a hold there|in spite of slot-unavailable/,
  ],
  [
    'seats are locked, and sold once',
    18,
    async (db) => {
      await rewrite(db, 'take_seats', [
        [/FOR UPDATE( SKIP LOCKED)?/, ''],
        // A pause in which the other payer arrives: it widens the window, it does not make it.
        ['UPDATE seats SET', 'PERFORM pg_sleep(0.01); UPDATE seats SET'],
      ]);
      await db.raw('DROP TRIGGER seats_one_booking ON seats');
      await db.raw('DROP TRIGGER seats_live_hold ON seats');
    },
    /a booking has the seats it bought|sells at most its capacity|has a hold there|in spite of slot-unavailable/,
  ],
  [
    'a customer has at most as many seats as one may',
    241,
    (db) => rewrite(db, 'refusal_of', [['o.seats_per_customer <', 'false AND o.seats_per_customer <']]),
    /as many seats as one may|in spite of seats-per-customer/,
  ],
  [
    'a wallet pays what it has',
    2,
    async (db) => {
      await rewrite(db, 'book', [['w.balance_minor >= attempt.total_minor', 'true']]);
      await db.raw('ALTER TABLE wallets DROP CONSTRAINT wallets_never_negative');
    },
    /in spite of insufficient-funds|and no debt/,
  ],
  [
    'what is over holds nothing',
    34,
    async (db) => {
      await db.raw('DROP TRIGGER attempts_end_hold ON attempts');
    },
    /an attempt that is over holds nothing|only this speaks against it/,
  ],
  [
    'all that came goes back',
    38,
    (db) =>
      rewrite(db, 'settle_payment', [
        ["in_payment_id, in_amount_minor, 'unsent'", "in_payment_id, in_amount_minor - 1, 'unsent'"],
      ]),
    /captured money is kept/,
  ],
];

let database: FreshDatabase;
beforeEach(async () => {
  database = await freshDatabase();
  await commitHastily(database);
});
afterEach(() => database.close());

test.each(guards)(
  '%s: without its guard a random list finds it broken, and the line that is printed finds it again',
  async (_, seed, off, found) => {
    await off(database.db);
    const failure = await play(database.db, { runs: listsMax, shrink: false, ...(isLong ? {} : { seed }) });
    expect(failure?.report).toMatch(found);
    if (failure === undefined) return;
    const { path, replayPath } = failure.again;
    expect(failure.report).toContain(
      `PROPERTY_SEED=${failure.again.seed} PROPERTY_PATH='${path}' PROPERTY_REPLAY='${replayPath}'`,
    );
    // A fault that needs two at once may need several goes.
    for (let go = 0; go < 20; go += 1) {
      const replayed = await play(database.db, failure.again);
      if (replayed !== undefined) return expect(replayed.report).toMatch(found);
    }
    throw new Error(`It was not found again: ${failure.report}`);
  },
  300_000,
);
