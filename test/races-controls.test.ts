/**
 * The controls of `races-seats.test.ts`: each guard of settling is switched off in a database of its own, and then what
 * it guards against is seen. Without these, a green race could be a race that nobody ran.
 */
import type { Knex } from 'knex';
import { freshDatabase, type FreshDatabase } from './database';
import {
  addAttempts,
  addSlot,
  allAtOnce,
  auditBooks,
  needlessRefusals,
  payingDependencies,
  recordCharge,
  rewrite,
  settleInParts,
  settling,
  statusesOf,
  withoutUniqueKeys,
  type Wanted,
} from './settling-setup';

/** Most rounds until the fault must have been seen. Most are seen in the first. */
const rounds = 60;

let database: FreshDatabase;
let db: Knex;

beforeEach(async () => {
  database = await freshDatabase(20);
  db = database.db;
  // Deadlocks are looked for after this wait; a second each would be most of this file's time.
  await db.raw("ALTER DATABASE ?? SET deadlock_timeout = '50ms'", [new URL(database.url).pathname.slice(1)]);
});
afterEach(() => database.close());

/** Replaces `take_seats` by another way of taking seats. */
async function takeSeatsBy(body: string): Promise<void> {
  await db.raw(`
    CREATE OR REPLACE FUNCTION take_seats(in_booking_id text, in_items jsonb, in_own text[], in_hold_until timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
      wanted record;
      caught integer[];
      more integer[];
    BEGIN
      ${body}
    END $$`);
}

/** The items of a quote in lock order, each in `wanted`. */
const eachItem = (body: string, order = 'ORDER BY 1') => `
  FOR wanted IN
    SELECT item ->> 'offeringId' AS offering_id, (item ->> 'seats')::integer AS seats
    FROM jsonb_array_elements(in_items) AS item ${order}
  LOOP ${body} END LOOP;`;

/** Looks for free seats, with the lock named, and leaves them in `caught`. */
const look = (lock: string) => `
  SELECT array_agg(seat_no) INTO caught FROM (
    SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
    ORDER BY seat_no LIMIT wanted.seats ${lock}) AS free;
  IF coalesce(cardinality(caught), 0) < wanted.seats THEN
    RAISE EXCEPTION 'too few seats' USING ERRCODE = 'PF001';
  END IF;`;
const write = `
  UPDATE seats SET booking_id = in_booking_id WHERE offering_id = wanted.offering_id AND seat_no = ANY (caught);`;
/** A pause in which the others arrive: it widens the window, it does not make it. */
const pause = 'PERFORM pg_sleep(0.01);';

/** Refuses as `take_seats` does. */
const orRefuse = (body: string) => `
  BEGIN ${body} RETURN true;
  EXCEPTION WHEN SQLSTATE 'PF001' THEN RETURN false; END;`;

interface Seen {
  errors: string[];
  wrong: string[];
}

/** Plays rounds until `red` sees the fault; returns what the last one showed. */
async function playUntil(red: (seen: Seen) => boolean, wishes: () => Promise<Wanted[][]>): Promise<Seen> {
  const settle = settling(payingDependencies(db));
  let seen: Seen = { errors: [], wrong: [] };
  for (let round = 0; round < rounds && !red(seen); round += 1) {
    const ids = await addAttempts(db, await wishes());
    const errors = await allAtOnce(
      db,
      ids.map((id) => () => settle(id)),
    );
    seen = { errors, wrong: await auditBooks(db) };
  }
  return seen;
}

const twoForTheLastSeat = async (): Promise<Wanted[][]> => {
  const offeringId = await addSlot(db, 1);
  return [[{ offeringId, seats: 1 }], [{ offeringId, seats: 1 }]];
};

const manyForTwoSlots = async (): Promise<Wanted[][]> => {
  const [one, two] = [await addSlot(db, 12), await addSlot(db, 12)];
  return Array.from({ length: 16 }, (_, n) => {
    const items = [
      { offeringId: one, seats: 2 + (n % 4) },
      { offeringId: two, seats: 2 + ((n * 3) % 4) },
    ];
    return n % 2 === 0 ? items : items.reverse();
  });
};

describe('the lock on seats', () => {
  test('without it and the trigger behind it, one seat is sold twice', async () => {
    await takeSeatsBy(orRefuse(eachItem(look('') + pause + write)));
    await db.raw('DROP TRIGGER seats_one_booking ON seats');
    const seen = await playUntil(({ wrong }) => wrong.length > 0, twoForTheLastSeat);
    expect(seen.wrong).toContainEqual(expect.stringContaining('a slot sells at most its capacity'));
  });

  test('without it the trigger alone still refuses, as an error', async () => {
    await takeSeatsBy(orRefuse(eachItem(look('') + pause + write)));
    const seen = await playUntil(({ errors }) => errors.length > 0, twoForTheLastSeat);
    expect(seen.errors).toEqual([expect.stringContaining('a seat has room for one booking')]);
    expect(seen.wrong).toEqual([]);
  });
});

describe('the waiting second look', () => {
  test('without it payers are refused a seat that a transaction gives back', async () => {
    await takeSeatsBy(orRefuse(eachItem(look('FOR UPDATE SKIP LOCKED') + write)));
    const settle = settling(payingDependencies(db));
    const offeringId = await addSlot(db, 1);
    const ids = await addAttempts(db, Array<Wanted[]>(4).fill([{ offeringId, seats: 1 }]));
    const doomed = await db.transaction();
    await doomed('seats').where({ offering_id: offeringId }).forUpdate();
    await Promise.all(ids.map((id) => settle(id)));
    await doomed.rollback();
    expect((await needlessRefusals(db)).sort()).toEqual(ids.sort());
  });
});

describe('the savepoint before waiting', () => {
  test('without it two who wait with a part of what they want deadlock', async () => {
    await takeSeatsBy(
      orRefuse(
        eachItem(`
          SELECT array_agg(seat_no) INTO caught FROM (
            SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
            ORDER BY seat_no LIMIT wanted.seats FOR UPDATE SKIP LOCKED) AS free;
          ${write}
          IF coalesce(cardinality(caught), 0) < wanted.seats THEN
            SELECT array_agg(seat_no) INTO more FROM (
              SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
              ORDER BY seat_no LIMIT wanted.seats - coalesce(cardinality(caught), 0) FOR UPDATE) AS free;
            caught := more;
            ${write}
          END IF;`),
      ),
    );
    const { errors } = await settleInParts(db, settling(payingDependencies(db)));
    expect(errors).toEqual([expect.stringContaining('40P01')]);
  });
});

describe('the one order of offerings', () => {
  test('without it two who take two slots from opposite ends deadlock', async () => {
    await takeSeatsBy(orRefuse(eachItem(look('FOR UPDATE') + write + pause, '')));
    const seen = await playUntil(({ errors }) => errors.some(isDeadlock), manyForTwoSlots);
    expect(seen.errors).toContainEqual(expect.stringContaining('40P01'));
  });
});

describe("the lock on the attempt's row", () => {
  const unlocked: [string, string] = [
    'WHERE a.booking_id = in_booking_id FOR UPDATE;',
    'WHERE a.booking_id = in_booking_id; PERFORM pg_sleep(0.3);',
  ];

  /** Plays attempts, each settled twice at once by the same payment or by two, until it goes wrong for one. */
  async function playTwice(second: 'the same payment' | 'another payment'): Promise<Seen & { id: string }> {
    const deps = payingDependencies(db);
    const settle = settling(deps);
    let seen = { id: '', errors: [] as string[], wrong: [] as string[] };
    // On a busy machine one may be through before the other has a connection.
    for (let round = 0; round < rounds && seen.errors.length + seen.wrong.length === 0; round += 1) {
      const [id = ''] = await addAttempts(db, [[{ offeringId: await addSlot(db, 3), seats: 1 }]]);
      const errors = await allAtOnce(db, [
        () => settle(id),
        () => (second === 'the same payment' ? settle(id) : recordCharge(deps, id, `${id}_2`)),
      ]);
      seen = { id, errors, wrong: await auditBooks(db) };
    }
    return seen;
  }

  test('without it settling the same payment twice ends in an error, and the keys hold', async () => {
    await rewrite(db, 'settle_payment', [unlocked]);
    const seen = await playTwice('the same payment');
    expect(seen.errors).toEqual([expect.stringContaining('23505')]);
    expect(seen.wrong).toEqual([]);
  });

  test('without it a second payment ends in an error instead of a refund', async () => {
    await rewrite(db, 'settle_payment', [unlocked]);
    const seen = await playTwice('another payment');
    expect(seen.errors).toEqual([expect.stringContaining('23505')]);
    expect(await statusesOf(db, [seen.id])).toEqual({ confirmed: 1 });
  });

  test.each(['the same payment', 'another payment'] as const)(
    'without it and the unique keys an attempt is booked twice, by %s',
    async (second) => {
      await rewrite(db, 'settle_payment', [
        unlocked,
        // Two bookings of one attempt: asking for the reference would be an error of its own.
        ['(SELECT b.reference FROM bookings AS b WHERE b.id = in_booking_id)', "'BK-'"],
      ]);
      await withoutUniqueKeys(db);
      const { wrong } = await playTwice(second);
      expect(wrong).toEqual(
        expect.arrayContaining([
          expect.stringContaining('an attempt has one booking, and it is bought by one payment'),
          expect.stringContaining('a booking is told of once'),
        ]),
      );
    },
  );
});

test('the books see a payment that nobody gives back', async () => {
  await rewrite(db, 'settle_payment', [[/INSERT INTO refunds [^;]*;/g, '']]);
  const seen = await playUntil(({ wrong }) => wrong.length > 0, twoForTheLastSeat);
  expect(seen.wrong).toContainEqual(expect.stringContaining('captured money is booked or on its way back'));
});

function isDeadlock(error: string): boolean {
  return error.startsWith('40P01');
}
