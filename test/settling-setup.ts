/** Offerings, attempts and paying gateways for races on the settling code, a barrier, and the books that must balance after each round. */
import type { Client } from '@temporalio/client';
import type { Knex } from 'knex';
import { recordPayment } from '../src/activities/charges';
import { settleActivities } from '../src/activities/settle';
import type { Dependencies } from '../src/activities/dependencies';
import type { Gateway } from '../src/gateways/gateway';
import { lookUp } from '../src/public-address';
import { makeLogger, makeMetrics } from '../src/telemetry';

/** What a payer wants of one slot. */
export interface Wanted {
  offeringId: string;
  seats: number;
  /** As a quote has it, for what is canceled later. */
  priceMinor?: number;
}

/** Price of every seat in these tests. */
export const priceMinor = 700;

/** What each attempt must pay, for the gateway to say: it must not read a table that the barrier holds. */
const totals = new Map<string, number>();

function totalOf(bookingId: string): { amountMinor: number; currency: string } {
  const amountMinor = totals.get(bookingId);
  if (amountMinor === undefined) throw new Error(`Nobody made the attempt ${bookingId}`);
  return { amountMinor, currency: 'USD' };
}

let made = 0;
/** An id that nobody has yet; ids rise. */
export function nextId(prefix: string): string {
  made += 1;
  return `${prefix}${String(made).padStart(6, '0')}`;
}

/** Rules a provider can put on a slot. */
export interface SlotRules {
  holdSeconds?: number;
  seatsPerCustomer?: number;
}

/** Publishes a slot for tomorrow. Ids rise, so that the later of two slots is also the later in lock order. */
export async function addSlot(db: Knex, capacity: number, rules: SlotRules = {}): Promise<string> {
  const id = nextId('off_');
  await db.raw(
    `INSERT INTO offerings (id, provider_id, kind, title, starts_at, ends_at, time_zone, capacity, price_minor, currency,
       hold_seconds, seats_per_customer)
     VALUES (?, 'provider', 'slot', 'A slot', now() + interval '1 day', now() + interval '25 hours', 'UTC', ?, ?, 'USD', ?, ?)`,
    [id, capacity, priceMinor, rules.holdSeconds ?? null, rules.seatsPerCustomer ?? null],
  );
  return id;
}

/**
 * Writes attempts as `open` leaves them, each with one payment object; returns their ids. None holds a seat, whatever its
 * offering asks for: like one that came in the pause after a hold.
 */
export async function addAttempts(
  db: Knex,
  wishes: readonly Wanted[][],
  by: { customerId?: string; cartId?: string } = {},
): Promise<string[]> {
  const attempts = wishes.map((items) => ({
    booking_id: nextId('bkg_'),
    request_hash: 'hash',
    customer_id: by.customerId ?? 'customer',
    cart_id: by.cartId ?? null,
    method: 'stub',
    quote: JSON.stringify({ items }),
    total_minor: items.reduce((sum, item) => sum + item.seats * priceMinor, 0),
    currency: 'USD',
    contact: JSON.stringify({ name: 'A Payer', email: 'payer@example.org' }),
    status: 'awaiting_payment',
    tries_max: 5,
    window_seconds: 900,
  }));
  for (const { booking_id, total_minor } of attempts) totals.set(booking_id, total_minor);
  await db('attempts').insert(attempts);
  await db('payment_tries').insert(
    attempts.map(({ booking_id }) => ({
      booking_id,
      try: 1,
      gateway: 'stub',
      gateway_ref: `pi_${booking_id}`,
      status: 'open',
    })),
  );
  return attempts.map(({ booking_id }) => booking_id);
}

/** What settling needs, with a gateway that has been paid whatever was asked. */
export function payingDependencies(db: Knex): Dependencies {
  const gateway: Pick<Gateway, 'name' | 'capabilities' | 'open' | 'read' | 'close'> = {
    name: 'stub',
    capabilities: {
      insideTransaction: false,
      closes: true,
      signedBody: true,
      lateForSeconds: 0,
      lookSchedule: [15, 60],
      looksPerSecond: 5,
      lists: false,
      minimumAmountMinor: null,
      maximumAmountMinor: 99_999_999,
    },
    open: async ({ bookingId, total }) => {
      totals.set(bookingId, total.amountMinor);
      return { status: 'opened', ref: `pi_${bookingId}`, howToPay: {} };
    },
    // Who is asked to close has not been paid: payments come through `read`.
    close: async () => ({ status: 'closed' }),
    read: async (ref) => {
      const bookingId = ref.slice('pi_'.length);
      return { status: 'paid', total: totalOf(bookingId), chargeRef: `ch_${bookingId}` };
    },
  };
  return {
    db,
    gateways: new Map([['stub', gateway as Gateway]]),
    // Settling speaks to no workflow.
    temporal: {} as Client,
    taskQueue: 'none',
    sendMail: undefined,
    webhooks: { appSecret: 'tests only', allowPrivate: false, lookUp, timeoutMs: 2_000 },
    payment: { windowSeconds: 900, triesMax: 5 },
    log: makeLogger('test', 'silent'),
    metrics: makeMetrics(),
  };
}

/** The activity `settle` for one attempt, whose gateway says it is paid. */
export function settling(deps: Dependencies): (bookingId: string) => Promise<void> {
  const { settle } = settleActivities(deps);
  return async (bookingId) => {
    await settle(bookingId, []);
  };
}

/** Records one more payment of an attempt, as `settle` does once it has read it. */
export async function recordCharge(deps: Dependencies, bookingId: string, charge: string): Promise<void> {
  await recordPayment(
    deps,
    {
      bookingId,
      gateway: 'stub',
      ref: `pi_${charge}`,
      paid: {
        status: 'paid',
        total: totalOf(bookingId),
        chargeRef: charge,
      },
    },
    [],
  );
}

/** How long a barrier waits for everybody to arrive; far more than a busy machine needs. */
const arrivalMs = 8_000;

/**
 * Runs all calls at once: a table is locked until each call's transaction stands at its door, and then all go in the same
 * instant. Returns the errors, each as SQLSTATE and message.
 * @param door the table: the first that settling comes to, unless told
 */
export async function allAtOnce(
  db: Knex,
  calls: readonly (() => Promise<unknown>)[],
  door: 'attempts' | 'carts' = 'attempts',
): Promise<string[]> {
  const gate = await db.transaction();
  const failed: string[] = [];
  let ended = 0;
  await gate.raw('LOCK TABLE ?? IN ACCESS EXCLUSIVE MODE', [door]);
  const running = calls.map((call) =>
    call()
      .catch((error: unknown) => failed.push(describe(error)))
      .finally(() => (ended += 1)),
  );
  const until = Date.now() + arrivalMs;
  for (;;) {
    const { rows } = await gate.raw<{ rows: { waiting: number }[] }>(
      // Other databases, copies of one template, have tables of the same number.
      `SELECT count(*) AS waiting FROM pg_locks WHERE relation = ?::regclass AND NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [door],
    );
    if ((rows[0]?.waiting ?? 0) + ended >= calls.length) break;
    if (Date.now() > until) {
      await gate.rollback();
      throw new Error(`Only ${rows[0]?.waiting} of ${calls.length} came to the barrier`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await gate.commit();
  await Promise.all(running);
  return failed;
}

/** Waits until that many sessions of this database wait for a lock, or until there is no need to; throws when they do not come. */
export async function untilWaiting(db: Knex, count: number, needless = () => false): Promise<void> {
  const until = Date.now() + arrivalMs;
  while (!needless()) {
    const { rows } = await db.raw<{ rows: { waiting: number }[] }>(
      "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    if ((rows[0]?.waiting ?? 0) >= count) return;
    if (Date.now() > until) throw new Error(`${rows[0]?.waiting} of ${count} wait for a lock`);
  }
}

/**
 * Settles two attempts at seats of one slot, each of whom finds a part of what it wants while others hold the rest, one of
 * whom lets go and one of whom buys. Who kept its part while it waits would wait for the other's, and the other for its.
 * Returns the errors, as `allAtOnce` does, and the ids of the two: three seats of four are wanted, and then two.
 */
export async function settleInParts(
  db: Knex,
  settle: (bookingId: string) => Promise<void>,
): Promise<{ errors: string[]; ids: string[] }> {
  const offeringId = await addSlot(db, 4);
  const [three = '', two = ''] = await addAttempts(
    db,
    [3, 2].map((seats) => [{ offeringId, seats }]),
  );
  const [buyer = ''] = await addAttempts(db, [[{ offeringId: await addSlot(db, 1), seats: 1 }]]);
  await settle(buyer);
  const errors: string[] = [];
  const start = (id: string): Promise<unknown> =>
    settle(id).catch((error: unknown) => errors.push(describe(error)));
  const [buying, leaving] = [await db.transaction(), await db.transaction()];
  try {
    await buying('seats').where({ offering_id: offeringId, seat_no: 3 }).forUpdate();
    await leaving('seats').where({ offering_id: offeringId, seat_no: 4 }).forUpdate();
    const first = start(three);
    await untilWaiting(db, 1);
    await leaving.rollback();
    const second = start(two);
    await untilWaiting(db, 2);
    await buying('seats').where({ offering_id: offeringId, seat_no: 3 }).update({ booking_id: buyer });
    await buying.commit();
    await Promise.all([first, second]);
  } finally {
    for (const one of [buying, leaving]) if (!one.isCompleted()) await one.rollback();
  }
  return { errors, ids: [three, two] };
}

/** Rewrites a function of the database: each text must be there, or the control would test nothing. */
export async function rewrite(
  db: Knex,
  name: string,
  changes: readonly [from: string | RegExp, to: string][],
): Promise<void> {
  const { rows } = await db.raw<{ rows: { source: string }[] }>(
    'SELECT pg_get_functiondef(oid) AS source FROM pg_proc WHERE proname = ?',
    [name],
  );
  let source = rows[0]?.source ?? '';
  for (const [from, to] of changes) {
    const changed = source.replaceAll(typeof from === 'string' ? from : new RegExp(from, 'g'), to);
    if (changed === source) throw new Error(`${name} has no ${String(from)}`);
    source = changed;
  }
  await db.raw(source.replaceAll('?', '\\?'));
}

/** Takes away every unique key and rule that keeps an attempt from being booked twice. */
export async function withoutUniqueKeys(db: Knex): Promise<void> {
  await db.raw(`
    ALTER TABLE bookings DROP CONSTRAINT bookings_pkey CASCADE, DROP CONSTRAINT bookings_reference_key;
    ALTER TABLE booking_items DROP CONSTRAINT booking_items_pkey;
    ALTER TABLE payments DROP CONSTRAINT payments_pkey CASCADE;
    ALTER TABLE payments DROP CONSTRAINT payments_gateway_gateway_payment_id_key;
    ALTER TABLE messages DROP CONSTRAINT messages_pkey;
    DROP INDEX payments_one_booked;
    DROP TRIGGER attempts_legal_transition ON attempts`);
}

/** SQLSTATE and message of an error. */
export function describe(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
  return `${code}: ${error instanceof Error ? error.message : String(error)}`;
}

/** Each rule of the books, and a query that finds what breaks it. */
const books: Record<string, string> = {
  'a booking holds as many seats as it bought': `
    SELECT i.booking_id || ' has ' || count(s.seat_no) || ' of ' || i.seats AS found
    FROM booking_items AS i JOIN offerings AS o ON o.id = i.offering_id AND o.kind = 'slot'
    LEFT JOIN seats AS s ON (s.booking_id, s.offering_id) = (i.booking_id, i.offering_id)
    GROUP BY i.booking_id, i.offering_id, i.seats HAVING count(s.seat_no) <> i.seats`,
  'a slot sells at most its capacity': `
    SELECT o.id || ' sold ' || sum(i.seats) || ' of ' || o.capacity AS found
    FROM booking_items AS i JOIN offerings AS o ON o.id = i.offering_id
    GROUP BY o.id HAVING sum(i.seats) > o.capacity`,
  'a seat belongs to a booking that bought it': `
    SELECT s.offering_id || '/' || s.seat_no AS found FROM seats AS s
    WHERE s.booking_id IS NOT NULL AND NOT EXISTS (
      SELECT FROM booking_items AS i WHERE (i.booking_id, i.offering_id) = (s.booking_id, s.offering_id))`,
  'captured money is booked or on its way back, per currency': `
    SELECT currency || ' ' || sum(amount_minor) || ' captured, ' || sum(accounted) || ' accounted for' AS found FROM (
      SELECT p.currency, p.amount_minor, CASE WHEN p.disposition = 'booked' THEN p.amount_minor ELSE 0 END
        + coalesce((SELECT sum(r.amount_minor) FROM refunds AS r WHERE r.payment_id = p.id), 0) AS accounted
      FROM payments AS p) AS money
    GROUP BY currency HAVING sum(amount_minor) <> sum(accounted)`,
  'a payment is booked or given back, not both': `
    SELECT p.id AS found FROM payments AS p LEFT JOIN refunds AS r ON r.payment_id = p.id
    WHERE (p.disposition = 'booked') = (r.id IS NOT NULL)`,
  'an attempt has one booking, and it is bought by one payment, unless it is free': `
    SELECT a.booking_id || ' is ' || a.status AS found FROM attempts AS a
    WHERE ARRAY[(SELECT count(*) FROM bookings AS b WHERE b.id = a.booking_id),
      (SELECT count(*) FROM payments AS p WHERE p.booking_id = a.booking_id AND p.disposition = 'booked')]
      <> CASE a.status WHEN 'confirmed' THEN ARRAY[1::bigint, CASE a.total_minor WHEN 0 THEN 0 ELSE 1 END] ELSE ARRAY[0::bigint, 0] END`,
  'a charge is one payment': `
    SELECT gateway_payment_id AS found FROM payments GROUP BY gateway, gateway_payment_id HAVING count(*) > 1`,
  'a booking is told of once': `
    SELECT b.id || ' has ' || count(m.kind) || ' messages' AS found
    FROM (SELECT DISTINCT id FROM bookings) AS b
    LEFT JOIN messages AS m ON m.booking_id = b.id AND m.kind = 'booking-confirmed'
    GROUP BY b.id HAVING count(m.kind) <> 1`,
  'the entries of a movement sum to zero': `
    SELECT id || ' sums to ' || sum(amount_minor) AS found FROM wallet_entries GROUP BY id, currency HAVING sum(amount_minor) <> 0`,
  'a balance is the sum of its entries, and never below zero': `
    SELECT w.customer_id || ' has ' || w.balance_minor || ', entries ' || coalesce(sum(e.amount_minor), 0) AS found
    FROM wallets AS w LEFT JOIN wallet_entries AS e USING (customer_id, currency)
    GROUP BY w.customer_id, w.currency HAVING w.balance_minor <> coalesce(sum(e.amount_minor), 0) OR w.balance_minor < 0`,
  'a wallet pays for its bookings, once each, and for nothing else': `
    SELECT a.booking_id || ' is ' || a.status || ', moved ' || coalesce(sum(e.amount_minor), 0) AS found
    FROM attempts AS a LEFT JOIN wallet_entries AS e
      ON e.booking_id = a.booking_id AND e.account = 'customer' AND e.kind = 'payment'
    GROUP BY a.booking_id HAVING count(e.id) > 1
      OR coalesce(sum(e.amount_minor), 0) <> -CASE WHEN a.status = 'confirmed' AND a.method = 'wallet' THEN a.total_minor ELSE 0 END`,
  'a cart is booked once, by an attempt of its own': `
    SELECT a.cart_id || ' has ' || count(b.id) || ' bookings' AS found
    FROM attempts AS a JOIN carts AS c ON c.id = a.cart_id LEFT JOIN bookings AS b ON b.id = a.booking_id
    GROUP BY a.cart_id, c.booking_id HAVING count(b.id) > 1 OR max(b.id) IS DISTINCT FROM c.booking_id`,
  'a customer has no more seats than the provider allows': `
    SELECT b.customer_id || ' has ' || count(*) || ' of ' || o.id AS found
    FROM seats AS s JOIN bookings AS b ON b.id = s.booking_id JOIN offerings AS o ON o.id = s.offering_id
    GROUP BY b.customer_id, o.id HAVING count(*) > o.seats_per_customer`,
  'only an open attempt holds seats, and no customer by two attempts at once': `
    SELECT min(s.offering_id) || ' is held by ' || string_agg(s.held_by || ', ' || a.status, '; ') AS found
    FROM seats AS s JOIN attempts AS a ON a.booking_id = s.held_by
    WHERE s.held_until > now() GROUP BY s.offering_id, a.customer_id
    HAVING count(DISTINCT s.held_by) > 1 OR bool_or(a.status NOT IN ('awaiting_payment', 'processing'))`,
  'who holds a seat is remembered': `
    SELECT s.offering_id || '/' || s.seat_no AS found FROM seats AS s
    WHERE s.held_until > now() AND NOT EXISTS (SELECT FROM holds AS h
      WHERE h.offering_id = s.offering_id AND h.booking_id = s.held_by AND h.held_until = s.held_until)`,
  'a settled attempt waits for no payment': `
    SELECT a.booking_id AS found FROM attempts AS a JOIN payment_tries AS t USING (booking_id)
    WHERE a.status IN ('confirmed', 'refunding') AND t.status <> 'paid'`,
};

/** What is wrong in the books: rule and finding, empty when they balance. */
export async function auditBooks(db: Knex): Promise<string[]> {
  const wrong: string[] = [];
  for (const [rule, query] of Object.entries(books)) {
    const { rows } = await db.raw<{ rows: { found: string }[] }>(query);
    wrong.push(...rows.map(({ found }) => `${rule}: ${found}`));
  }
  return wrong;
}

/**
 * Refusals that lost a seat: an attempt refused for want of seats, although each of its slots still has what it wanted
 * after everybody is done.
 */
export async function needlessRefusals(db: Knex): Promise<string[]> {
  const { rows } = await db.raw<{ rows: { booking_id: string }[] }>(`
    SELECT a.booking_id FROM attempts AS a
    WHERE a.failure ->> 'type' = 'slot-unavailable' AND NOT EXISTS (
      SELECT FROM jsonb_array_elements(a.quote -> 'items') AS item
      WHERE (item ->> 'seats')::integer > (
        SELECT count(*) FROM seats AS s WHERE s.offering_id = item ->> 'offeringId' AND s.booking_id IS NULL))`);
  return rows.map((row) => row.booking_id);
}

/** How many attempts stand in each status, of those given. */
export async function statusesOf(db: Knex, bookingIds: readonly string[]): Promise<Record<string, number>> {
  const rows = await db('attempts')
    .whereIn('booking_id', bookingIds)
    .groupBy('status')
    .select<{ status: string; n: number }[]>('status', db.raw('count(*) AS n'));
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}
