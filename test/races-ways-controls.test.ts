/**
 * The controls of `races-ways.test.ts`, `races-holds.test.ts` and `races-wallet.test.ts`: each guard is switched off in a
 * database of its own, and then what it guards against is seen.
 */
import type { Knex } from 'knex';
import {
  addAttempts,
  addSlot,
  allAtOnce,
  auditBooks,
  nextId,
  priceMinor,
  rewrite,
  type Wanted,
} from './settling-setup';
import {
  addCart,
  balanceOf,
  endingsOf,
  endWhileLookedAt,
  fillWallets,
  openCounter,
  stillborn,
  tally,
  type Counter,
  type Payer,
} from './ways-setup';

/** Most rounds until the fault must have been seen. Most are seen in the first. */
const rounds = 60;
/** Longer than any test. */
const holdSeconds = 600;
/** A pause in which the others arrive: it widens the window, it does not make it. */
const pause = 'PERFORM pg_sleep(0.02);';

let counter: Counter;
let db: Knex;

beforeEach(async () => {
  counter = await openCounter(22);
  db = counter.db;
  // Deadlocks are looked for after this wait; a second each would be most of this file's time.
  await db.raw("ALTER DATABASE ?? SET deadlock_timeout = '50ms'", [
    new URL(counter.database.url).pathname.slice(1),
  ]);
});
afterEach(() => counter.database.close());

interface Seen {
  errors: string[];
  wrong: string[];
  /** How each attempt of the round ended, in the order of the round. */
  endings: string[];
  /** The attempts of the round. */
  ids: string[];
}

/** One thing of a round: an attempt and what is done about it. */
interface Move {
  id: string;
  run: () => Promise<unknown>;
}

const settling = (id: string): Move => ({ id, run: () => counter.settle(id) });
const coming = (payer: Payer): Move => {
  const id = nextId('bkg_');
  return { id, run: () => counter.open({ ...payer, bookingId: id }) };
};

/** Plays rounds until `red` sees the fault; returns what the last one showed. */
async function playUntil(red: (seen: Seen) => boolean, moves: () => Promise<Move[]>): Promise<Seen> {
  let seen: Seen = { errors: [], wrong: [], endings: [], ids: [] };
  for (let round = 0; round < rounds && !red(seen); round += 1) {
    const made = await moves();
    const errors = await allAtOnce(
      db,
      made.map(({ run }) => run),
    );
    const ids = made.map(({ id }) => id);
    seen = { errors, wrong: await auditBooks(db), endings: await endingsOf(db, ids), ids };
  }
  return seen;
}

const anyError = ({ errors }: Seen): boolean => errors.length > 0;
const anyWrong = ({ wrong }: Seen): boolean => wrong.length > 0;
const anyDeadlock = ({ errors }: Seen): boolean => errors.some((error) => error.startsWith('40P01'));

/** An attempt that holds its seats, one of each slot. */
async function hold(customerId: string, items: readonly Wanted[]): Promise<string> {
  return counter.open({ customerId, method: 'stub', items: [...items] });
}

describe('one cart, two payments', () => {
  const twoOfOneCart = async (): Promise<Move[]> => {
    const customerId = nextId('cus_');
    const items = [{ offeringId: await addSlot(db, 5), seats: 1 }];
    const cartId = await addCart(db, customerId, items);
    return (await addAttempts(db, [items, items], { customerId, cartId })).map(settling);
  };
  const noLock: [string, string] = ['PERFORM FROM carts AS c WHERE c.id = attempt.cart_id FOR UPDATE;', ''];
  const slowly: [string, string] = [
    'refusal := refusal_of(attempt);',
    `refusal := refusal_of(attempt); ${pause}`,
  ];
  const noQuestion: [RegExp, string] = [
    /WHEN EXISTS \(SELECT FROM carts [^)]*\) THEN 'cart-converted'/,
    "WHEN false THEN ''",
  ];

  test.each([
    ["the lock on the cart's row", 'book', [noLock, slowly]],
    ['the question whether the cart is booked', 'refusal_of', [noQuestion]],
  ] as const)('without %s the second ends in an error instead of a refund', async (_, name, changes) => {
    await rewrite(db, name, changes);
    const seen = await playUntil(anyError, twoOfOneCart);
    expect(seen.errors).toEqual([expect.stringContaining('a cart has room for one booking')]);
    expect(seen.wrong).toEqual([]);
  });

  test.each([
    ["the lock on the cart's row", 'book', [noLock, slowly]],
    ['the question whether the cart is booked', 'refusal_of', [noQuestion]],
  ] as const)('without %s and the trigger behind it, one cart is booked twice', async (_, name, changes) => {
    await rewrite(db, name, changes);
    await db.raw('DROP TRIGGER carts_convert_once ON carts');
    const seen = await playUntil(anyWrong, twoOfOneCart);
    expect(seen.wrong).toEqual([expect.stringContaining('a cart is booked once, by an attempt of its own')]);
  });
});

describe('the lock on a customer at an offering', () => {
  const unlocked: [RegExp, string] = [/PERFORM pg_advisory_xact_lock[^;]*;/, ''];
  const slowly: [string, string] = [
    'refusal := refusal_of(attempt);',
    `refusal := refusal_of(attempt); ${pause}`,
  ];

  const fiveSeats = async (): Promise<Move[]> => {
    const customerId = nextId('cus_');
    const items = [{ offeringId: await addSlot(db, 9, { seatsPerCustomer: 2 }), seats: 1 }];
    return (await addAttempts(db, Array<Wanted[]>(5).fill(items), { customerId })).map(settling);
  };

  test('without it a customer gets more seats than allowed', async () => {
    await rewrite(db, 'lock_customer', [unlocked]);
    await rewrite(db, 'book', [slowly]);
    const seen = await playUntil(anyWrong, fiveSeats);
    expect(seen.wrong).toEqual([
      expect.stringContaining('a customer has no more seats than the provider allows'),
    ]);
  });

  test('with it, but without the question how many there are, too', async () => {
    await rewrite(db, 'refusal_of', [
      [/WHEN bool_or\(o\.seats_per_customer.*\n.*\n.*\n\s*THEN 'seats-per-customer'/, ''],
    ]);
    const seen = await playUntil(anyWrong, fiveSeats);
    expect(seen.wrong).toEqual([
      expect.stringContaining('a customer has no more seats than the provider allows'),
    ]);
  });

  test('without it two new attempts of one customer hold seats at once', async () => {
    await rewrite(db, 'lock_customer', [unlocked]);
    const seen = await playUntil(anyWrong, async () => {
      const customerId = nextId('cus_');
      const items = [{ offeringId: await addSlot(db, 9, { holdSeconds }), seats: 1 }];
      return Array.from({ length: 4 }, () => coming({ customerId, method: 'stub', items }));
    });
    expect(seen.wrong).toContainEqual(expect.stringContaining('no customer by two attempts at once'));
  });

  test('without it who begins anew while the old payment settles loses the seat to nobody', async () => {
    await rewrite(db, 'lock_customer', [unlocked]);
    await rewrite(db, 'book', [slowly]);
    const seen = await playUntil(
      ({ endings }) => endings[0] === 'slot-unavailable',
      async () => {
        const customerId = nextId('cus_');
        const items = [{ offeringId: await addSlot(db, 1, { holdSeconds }), seats: 1 }];
        const held = await hold(customerId, items);
        return [settling(held), coming({ customerId, method: 'stub', items })];
      },
    );
    expect(seen.endings).toEqual(['slot-unavailable', 'awaiting_payment']);
  });

  test('without its one order two attempts that name slots from opposite ends deadlock', async () => {
    await rewrite(db, 'lock_customer', [
      [/ORDER BY 1/, "ORDER BY CASE WHEN in_items -> 0 ->> 'offeringId' = o.id THEN 0 ELSE 1 END"],
      [/(PERFORM pg_advisory_xact_lock[^;]*;)/, `$1 ${pause}`],
    ]);
    const seen = await playUntil(anyDeadlock, async () => {
      const items = [
        { offeringId: await addSlot(db, 9, { seatsPerCustomer: 9 }), seats: 1 },
        { offeringId: await addSlot(db, 9, { seatsPerCustomer: 9 }), seats: 1 },
      ];
      const customerId = nextId('cus_');
      return (await addAttempts(db, [items, [...items].reverse()], { customerId })).map(settling);
    });
    expect(seen.errors).toContainEqual(expect.stringContaining('40P01'));
  });

  test('without it in the end of an attempt, ending one and beginning another deadlock', async () => {
    await rewrite(db, 'end_hold', [
      [/PERFORM lock_customer[^;]*;/, ''],
      ["IF NEW.status <> 'confirmed'", `${pause} IF NEW.status <> 'confirmed'`],
    ]);
    const seen = await playUntil(anyDeadlock, async () => {
      const customerId = nextId('cus_');
      const items: Wanted[] = [];
      for (let n = 0; n < 4; n += 1)
        items.push({ offeringId: await addSlot(db, 1, { holdSeconds }), seats: 1 });
      const held = await hold(customerId, items);
      return [
        coming({ customerId, method: 'stub', items: items.reverse() }),
        { id: held, run: () => counter.end(held) },
      ];
    });
    expect(seen.errors).toContainEqual(expect.stringContaining('40P01'));
  });
});

describe('a held seat', () => {
  const blind: [string, string] = [
    'AND (held_until IS NULL OR held_until <= now() OR held_by = ANY (in_own))',
    '',
  ];
  const rivalAtHeldSeat = async (): Promise<Move[]> => {
    const items = [{ offeringId: await addSlot(db, 1, { holdSeconds }), seats: 1 }];
    const held = await hold(nextId('cus_'), items);
    const [rival = ''] = await addAttempts(db, [items], { customerId: 'rival' });
    return [settling(rival), settling(held)];
  };

  test('which nobody looks for is refused by the trigger alone, as an error', async () => {
    await rewrite(db, 'take_seats', [blind]);
    const seen = await playUntil(anyError, rivalAtHeldSeat);
    expect(seen.errors).toEqual([expect.stringContaining("a held seat is its holder's")]);
    expect(seen.wrong).toEqual([]);
  });

  test('is sold to a stranger without that trigger', async () => {
    await rewrite(db, 'take_seats', [blind]);
    await db.raw('DROP TRIGGER seats_live_hold ON seats');
    const seen = await playUntil(({ endings }) => endings[0] === 'confirmed', rivalAtHeldSeat);
    expect(seen.endings).toEqual(['confirmed', 'slot-unavailable']);
  });

  test("is not found by its owner's wallet where only the paying attempt's own holds count", async () => {
    await rewrite(db, 'book', [[/own := own \|\| array\([^;]*;/, '']]);
    const seen = await playUntil(
      ({ endings }) => endings.includes('slot-unavailable'),
      async () => {
        const customerId = nextId('cus_');
        await fillWallets(db, [customerId], priceMinor);
        const items = [{ offeringId: await addSlot(db, 1, { holdSeconds }), seats: 1 }];
        await hold(customerId, items);
        return [coming({ customerId, method: 'wallet', items })];
      },
    );
    expect(seen.endings).toEqual(['slot-unavailable']);
  });

  test('that ends, or is about to, is taken over by an attempt without a window where its last minute counts', async () => {
    await rewrite(db, 'hold_seats', [["now() + interval '60 seconds'", 'now()']]);
    let without: string[] = [];
    for (let round = 0; round < rounds && without.length === 0; round += 1) {
      const customerId = nextId('cus_');
      const items = [{ offeringId: await addSlot(db, 3, { holdSeconds }), seats: 1 }];
      const held = await hold(customerId, items);
      // The new one's transaction begins first, and comes to the hold when the old one has ended.
      await allAtOnce(db, [coming({ customerId, method: 'stub', items }).run, () => counter.end(held)]);
      without = await stillborn(db);
    }
    expect(without).not.toEqual([]);
  });

  test('stays held after its attempt without the trigger that ends holds', async () => {
    await db.raw('DROP TRIGGER attempts_end_hold ON attempts');
    const items = [{ offeringId: await addSlot(db, 1, { holdSeconds }), seats: 1 }];
    await counter.end(await hold(nextId('cus_'), items));
    expect(await auditBooks(db)).toEqual([expect.stringContaining('only an open attempt holds seats')]);
  });

  test('stays held after its attempt where the end does not wait for who looks at it', async () => {
    await rewrite(db, 'end_hold', [[/PERFORM FROM seats [^;]*;/, 'NULL;']]);
    let wrong: string[] = [];
    for (let round = 0; round < rounds && wrong.length === 0; round += 1) {
      await endWhileLookedAt(counter, holdSeconds);
      wrong = await auditBooks(db);
    }
    expect(wrong).toContainEqual(expect.stringContaining('only an open attempt holds seats'));
  });
});

describe('the money in one wallet', () => {
  const blind: [RegExp, string] = [/\n\s*AND w\.balance_minor >= attempt\.total_minor/, ''];
  const unlocked: [RegExp, string] = [
    /(AND w\.balance_minor >= attempt\.total_minor) FOR UPDATE;/,
    `$1; GET DIAGNOSTICS enough = ROW_COUNT; ${pause} PERFORM WHERE enough > 0;`,
  ];
  const counted: [string, string] = ['refusal text;', 'refusal text; enough integer;'];
  /** Ten payments from a balance for three, of ten slots, so that only the wallet keeps them in line. */
  const tenForThree = async (): Promise<Move[]> => {
    const customerId = nextId('cus_');
    await fillWallets(db, [customerId], 3 * priceMinor);
    const slots = await Promise.all(Array.from({ length: 10 }, () => addSlot(db, 1)));
    return slots.map((offeringId) =>
      coming({ customerId, method: 'wallet', items: [{ offeringId, seats: 1 }] }),
    );
  };

  test.each([
    ['the look at the balance', [blind]],
    ['the lock under that look', [counted, unlocked]],
  ] as const)('without %s the CHECK alone still refuses, as an error', async (_, changes) => {
    await rewrite(db, 'book', changes);
    const seen = await playUntil(anyError, tenForThree);
    expect(new Set(seen.errors)).toEqual(new Set([expect.stringContaining('wallets_never_negative')]));
    expect(seen.wrong).toEqual([]);
    expect(tally(seen.endings)['confirmed']).toBe(3);
  });

  test.each([
    ['the look at the balance', [blind]],
    ['the lock under that look', [counted, unlocked]],
  ] as const)('without %s and the CHECK more is spent than there is', async (_, changes) => {
    await rewrite(db, 'book', changes);
    await db.raw('ALTER TABLE wallets DROP CONSTRAINT wallets_never_negative');
    const seen = await playUntil(anyWrong, tenForThree);
    expect(seen.wrong).toEqual([expect.stringContaining('and never below zero')]);
  });

  /** The same credit, five times at once; returns the errors and what is in the wallet then. */
  async function creditFiveTimes(): Promise<{ errors: string[]; balanceMinor: number }> {
    const customerId = nextId('cus_');
    // A wallet that is only being made is a lock of its own.
    await fillWallets(db, [customerId], 1);
    const id = nextId('wen_');
    const credit = () =>
      db.raw(
        `SELECT move_wallet_money(?, 'credit', ?, 'USD', 500, NULL, NULL, NULL) FROM (SELECT count(*) FROM attempts) AS door`,
        [id, customerId],
      );
    const errors = await allAtOnce(
      db,
      Array<() => Promise<unknown>>(5).fill(async () => credit()),
    );
    return { errors, balanceMinor: await balanceOf(db, customerId) };
  }

  test('without the question whether a movement was made, its key alone still refuses, as an error', async () => {
    await rewrite(db, 'move_wallet_money', [[/IF EXISTS [^;]*;\s*END IF;/, '']]);
    const { errors, balanceMinor } = await creditFiveTimes();
    expect(errors).toEqual(Array(4).fill(expect.stringContaining('wallet_entries_pkey')));
    expect(balanceMinor).toBe(501);
  });

  test('without that question and the key the money moves five times', async () => {
    await rewrite(db, 'move_wallet_money', [[/IF EXISTS [^;]*;\s*END IF;/, '']]);
    await db.raw('ALTER TABLE wallet_entries DROP CONSTRAINT wallet_entries_pkey');
    expect(await creditFiveTimes()).toEqual({ errors: [], balanceMinor: 2501 });
  });

  test("without the lock on the wallet's row the question comes too early, and the key refuses, as an error", async () => {
    await rewrite(db, 'move_wallet_money', [
      [/PERFORM FROM wallets [^;]*FOR UPDATE;/, ''],
      ['INSERT INTO wallet_entries', `${pause} INSERT INTO wallet_entries`],
    ]);
    let errors: string[] = [];
    for (let round = 0; round < rounds && errors.length === 0; round += 1)
      errors = (await creditFiveTimes()).errors;
    expect(errors).toContainEqual(expect.stringContaining('wallet_entries_pkey'));
  });
});
