/** Wallets, carts and holds for races, and attempts opened by the real activity, whichever way they pay. */
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { openActivities } from '../src/activities/open';
import { endActivities } from '../src/activities/end';
import { freshDatabase, type FreshDatabase } from './database';
import {
  addAttempts,
  addSlot,
  nextId,
  payingDependencies,
  settling,
  untilWaiting,
  type Wanted,
} from './settling-setup';

/** Who pays, how, and for what. */
export interface Payer {
  customerId: string;
  method: 'stub' | 'wallet';
  /** Either these or a cart. */
  items?: Wanted[];
  cartId?: string;
}

/** How a wallet attempt ended, in one word: confirmed, or why not. */
export type Ending = string;

/** A database with the activities that races run on it. */
export interface Counter {
  database: FreshDatabase;
  db: Knex;
  deps: Dependencies;
  /** Opens an attempt; a wallet pays at once. */
  open(payer: Payer & { bookingId?: string }): Promise<string>;
  /** Settles an attempt whose gateway says it is paid. */
  settle(bookingId: string): Promise<void>;
  /** Ends an attempt that nobody paid. */
  end(bookingId: string): Promise<void>;
}

/** A counter of its own. */
export async function openCounter(connections: number): Promise<Counter> {
  const database = await freshDatabase(connections);
  const { db } = database;
  const deps = payingDependencies(db);
  const activities = { ...openActivities(deps), ...endActivities(deps) };
  return {
    database,
    db,
    deps,
    open: async ({ bookingId = nextId('bkg_'), customerId, method, items, cartId }) => {
      await activities.open({
        bookingId,
        customerId,
        requestHash: 'hash',
        requestId: 'request',
        request: {
          ...(items === undefined ? {} : { items }),
          ...(cartId === undefined ? {} : { cartId }),
          payment: { method },
          customer: { name: 'A Payer', email: `${customerId}@example.org` },
        },
      });
      return bookingId;
    },
    settle: settling(deps),
    end: async (bookingId) => {
      await activities.end(bookingId, 'canceled', []);
    },
  };
}

/** Puts money into wallets, as an operator's credit does. */
export async function fillWallets(
  db: Knex,
  customers: readonly string[],
  amountMinor: number,
): Promise<void> {
  await db.raw(
    `SELECT move_wallet_money(? || customer, 'credit', customer, 'USD', ?, NULL, NULL, NULL) FROM unnest(?::text[]) AS customer`,
    [nextId('wen_'), amountMinor, [...customers]],
  );
}

/** What is left in a wallet. */
export async function balanceOf(db: Knex, customerId: string): Promise<number> {
  const row = await db('wallets')
    .where({ customer_id: customerId })
    .first<{ balance_minor: number } | undefined>();
  return row?.balance_minor ?? 0;
}

/** A cart with these items, put in this order. */
export async function addCart(db: Knex, customerId: string, items: readonly Wanted[]): Promise<string> {
  const id = nextId('crt_');
  await db('carts').insert({ id, customer_id: customerId });
  await db('cart_items').insert(
    items.map(({ offeringId, seats }, n) => ({
      cart_id: id,
      offering_id: offeringId,
      seats,
      added_at: db.raw('now() + make_interval(secs => ?)', [n]),
    })),
  );
  return id;
}

/** One word for each attempt, in the order asked: its status, or for what did not buy, the reason. */
export async function endingsOf(db: Knex, bookingIds: readonly string[]): Promise<Ending[]> {
  const rows = await db('attempts')
    .whereIn('booking_id', bookingIds)
    .select<{ booking_id: string; ending: string }[]>(
      'booking_id',
      db.raw("coalesce(failure ->> 'type', status) AS ending"),
    );
  const endings = new Map(rows.map((row) => [row.booking_id, row.ending]));
  return bookingIds.map((id) => endings.get(id) ?? 'no attempt');
}

/** How often each word is there. */
export function tally(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

/** Moves the end of an attempt's hold, in seconds from now; below zero it is over. */
export async function moveHoldEnd(db: Knex, bookingId: string, seconds: number): Promise<void> {
  await db.transaction(async (trx) => {
    const until = trx.raw('now() + make_interval(secs => ?)', [seconds]);
    await trx('seats').where({ held_by: bookingId }).update({ held_until: until });
    await trx('holds').where({ booking_id: bookingId }).update({ held_until: until });
    await trx('attempts').where({ booking_id: bookingId }).update({ hold_until: until });
  });
}

/** Attempts that wait for money although their window never opened or was over when it did. */
export async function stillborn(db: Knex): Promise<string[]> {
  const rows = await db('attempts')
    .where({ status: 'awaiting_payment' })
    .whereRaw('(expires_at IS NULL OR expires_at < now())')
    .select<{ booking_id: string }[]>('booking_id');
  return rows.map((row) => row.booking_id);
}

/** Ends an attempt while another one, which saw its seat free before it was held, keeps that seat locked. */
export async function endWhileLookedAt(counter: Counter, holdSeconds: number): Promise<void> {
  const { db } = counter;
  const offeringId = await addSlot(db, 2, { holdSeconds });
  const [held = ''] = await addAttempts(db, [[{ offeringId, seats: 1 }]], { customerId: nextId('cus_') });
  const [rival = ''] = await addAttempts(db, [[{ offeringId, seats: 2 }]], { customerId: 'rival' });
  const holding = await db.transaction();
  await holding.raw('SELECT hold_seats(?)', [held]);
  const elsewhere = await db.transaction();
  await elsewhere('seats').where({ offering_id: offeringId, seat_no: 2 }).forUpdate();
  // It sees both seats free and waits for the first; then it keeps that one locked, held or not, and waits for the second.
  const settled = counter.settle(rival);
  await untilWaiting(db, 1);
  await holding.commit();
  await untilWaiting(db, 1);
  let over = false;
  const ended = counter.end(held).then(() => (over = true));
  await untilWaiting(db, 2, () => over);
  await elsewhere.rollback();
  await Promise.all([settled, ended]);
}
