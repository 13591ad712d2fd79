/**
 * What must be true of a shop after any list of commands, asked of the rows and of the gateway's own ledger; and the way
 * to rest: whatever is under way goes on until nothing is.
 */
import { actionsFor } from '../src/booking';
import { bookingWorkflowId } from '../src/workflows/messages';
import type { Shop } from './property-shop';

/** Each rule, and a query that finds what breaks it. */
const rules: Record<string, string> = {
  'a booking is of a confirmed attempt, and has its quote’s items and total': `
    SELECT a.booking_id || ' is ' || a.status AS found FROM attempts a LEFT JOIN bookings b ON b.id = a.booking_id
    WHERE a.booking_id = ANY (:attempts) AND (
      (b.id IS NOT NULL) <> (a.status = 'confirmed')
      OR (b.total_minor, b.currency, b.customer_id) <> (a.total_minor, a.currency, a.customer_id)
      OR b.id IS NOT NULL AND a.total_minor <> (
        SELECT sum((item ->> 'seats')::integer * (item ->> 'priceMinor')::integer)
        FROM jsonb_array_elements(a.quote -> 'items') AS item)
      OR b.id IS NOT NULL AND
        array(SELECT item ->> 'offeringId' || ' ' || (item ->> 'seats')
          FROM jsonb_array_elements(a.quote -> 'items') AS item ORDER BY 1)
        <> array(SELECT offering_id || ' ' || seats FROM booking_items AS i WHERE i.booking_id = a.booking_id ORDER BY 1))`,
  'a booking has the seats it bought': `
    SELECT i.booking_id || ' has ' || count(s.seat_no) || ' of ' || i.seats AS found
    FROM booking_items i JOIN offerings o ON o.id = i.offering_id LEFT JOIN seats s USING (booking_id, offering_id)
    WHERE i.booking_id = ANY (:attempts)
    GROUP BY i.booking_id, i.offering_id, i.seats, o.kind
    HAVING count(s.seat_no) <> CASE o.kind WHEN 'slot' THEN i.seats ELSE 0 END`,
  'a taken seat is one that a booking bought': `
    SELECT s.offering_id || '/' || s.seat_no AS found FROM seats s
    WHERE s.offering_id = ANY (:offerings) AND s.booking_id IS NOT NULL AND NOT EXISTS (
      SELECT FROM booking_items i WHERE (i.booking_id, i.offering_id) = (s.booking_id, s.offering_id))`,
  'a slot sells at most its capacity': `
    SELECT o.id || ' sold ' || sum(i.seats) || ' of ' || o.capacity AS found
    FROM booking_items i JOIN offerings o ON o.id = i.offering_id WHERE o.id = ANY (:offerings)
    GROUP BY o.id HAVING sum(i.seats) > o.capacity`,
  'a customer has at most as many seats as one may': `
    SELECT o.id || ' sold ' || sum(i.seats) || ' to ' || b.customer_id AS found
    FROM booking_items i JOIN offerings o ON o.id = i.offering_id JOIN bookings b ON b.id = i.booking_id
    WHERE o.id = ANY (:offerings) GROUP BY o.id, b.customer_id HAVING sum(i.seats) > o.seats_per_customer`,
  'a cart becomes one booking': `
    SELECT a.cart_id || ' is ' || count(*) || ' bookings' AS found
    FROM attempts a JOIN bookings b ON b.id = a.booking_id LEFT JOIN carts c ON c.id = a.cart_id
    WHERE a.booking_id = ANY (:attempts) AND a.cart_id IS NOT NULL
    GROUP BY a.cart_id HAVING count(*) > 1 OR bool_or(c.booking_id IS DISTINCT FROM b.id)`,
  'an attempt that is over holds nothing': `
    SELECT a.booking_id || ' is ' || a.status || ' and holds ' || s.offering_id || '/' || s.seat_no AS found
    FROM seats s JOIN attempts a ON a.booking_id = s.held_by
    WHERE s.offering_id = ANY (:offerings) AND s.held_until > now() AND a.status NOT IN ('awaiting_payment', 'processing')
    UNION ALL
    SELECT a.booking_id || ' is ' || a.status || ' and has a hold' FROM holds h JOIN attempts a USING (booking_id)
    WHERE h.offering_id = ANY (:offerings) AND h.held_until > now() AND a.status NOT IN ('awaiting_payment', 'processing')`,
  'a held seat is its holder’s, who has a hold there': `
    SELECT s.offering_id || '/' || s.seat_no || ' is held by ' || s.held_by AS found FROM seats s
    WHERE s.offering_id = ANY (:offerings) AND s.held_until > now() AND NOT EXISTS (
      SELECT FROM holds h WHERE (h.offering_id, h.booking_id, h.held_until) = (s.offering_id, s.held_by, s.held_until))`,
  'who booked is told once, and so is each address of a provider': `
    SELECT a.booking_id || ' has ' || count(m.kind) FILTER (WHERE m.kind = 'booking-confirmed') || ' and '
      || count(m.kind) FILTER (WHERE m.kind = 'provider-booked') AS found
    FROM attempts a LEFT JOIN messages m USING (booking_id) WHERE a.booking_id = ANY (:attempts)
    GROUP BY a.booking_id
    HAVING count(m.kind) FILTER (WHERE m.kind = 'booking-confirmed') <> CASE a.status WHEN 'confirmed' THEN 1 ELSE 0 END
      OR count(m.kind) FILTER (WHERE m.kind = 'provider-booked') <> (
        SELECT count(DISTINCT p.email) FROM booking_items i JOIN offerings o ON o.id = i.offering_id
        JOIN providers p ON p.id = o.provider_id WHERE i.booking_id = a.booking_id)`,
  'what costs something is bought by one payment of its price': `
    SELECT a.booking_id || ' is ' || a.status AS found FROM attempts a WHERE a.booking_id = ANY (:attempts)
    AND array(SELECT p.amount_minor || p.currency FROM payments p
        WHERE p.booking_id = a.booking_id AND p.disposition = 'booked')
      <> CASE WHEN a.status = 'confirmed' AND a.total_minor > 0
        THEN ARRAY[a.total_minor || a.currency] ELSE ARRAY[]::text[] END`,
  'captured money is kept, on its way, returned, or in an open case': `
    SELECT p.id || ' of ' || p.amount_minor AS found FROM payments p
    WHERE (p.booking_id = ANY (:attempts) OR p.gateway_ref = ANY (:refs)) AND p.amount_minor <>
      CASE p.disposition WHEN 'booked' THEN p.amount_minor ELSE 0 END
      + (SELECT coalesce(sum(r.amount_minor), 0) FROM refunds r WHERE r.payment_id = p.id AND r.status <> 'failed')
      + (SELECT coalesce(sum(c.amount_minor), 0) FROM cases c LEFT JOIN refunds r ON r.id = c.refund_id
        WHERE c.payment_id = p.id AND c.resolved_at IS NULL AND coalesce(r.status, 'failed') = 'failed')`,
  'a movement of wallet money sums to zero': `
    SELECT e.id AS found FROM wallet_entries e WHERE e.id IN (
      SELECT id FROM wallet_entries WHERE customer_id = ANY (:customers))
    GROUP BY e.id HAVING sum(amount_minor) <> 0 OR count(*) <> 2 OR count(DISTINCT currency) <> 1`,
  'a balance is the sum of its entries, and no debt': `
    SELECT w.customer_id || ' ' || w.currency AS found FROM wallets w WHERE w.customer_id = ANY (:customers)
    AND (w.balance_minor < 0 OR w.balance_minor <> (SELECT coalesce(sum(e.amount_minor), 0) FROM wallet_entries e
      WHERE (e.customer_id, e.currency) = (w.customer_id, w.currency)))`,
  'wallet money is taken for bookings, once each': `
    SELECT a.booking_id AS found FROM attempts a WHERE a.booking_id = ANY (:attempts) AND
      array(SELECT -e.amount_minor FROM wallet_entries e
        WHERE e.booking_id = a.booking_id AND e.account = 'customer' AND e.kind = 'payment')
      <> CASE WHEN a.status = 'confirmed' AND a.method = 'wallet' AND a.total_minor > 0
        THEN ARRAY[a.total_minor] ELSE ARRAY[]::integer[] END`,
};

/** What may be under way, but not at rest. */
const rulesAtRest: Record<string, string> = {
  'no attempt is open, and none has money that bought nothing': `
    SELECT booking_id || ' is ' || status AS found FROM attempts
    WHERE booking_id = ANY (:attempts) AND status NOT IN ('confirmed', 'refunded', 'expired', 'canceled', 'failed')`,
  'no try is open': `
    SELECT booking_id || '/' || try || ' is ' || status AS found FROM payment_tries
    WHERE booking_id = ANY (:attempts) AND booking_id <> ALL (:late) AND status IN ('opening', 'open')`,
  'every refund has come back': `
    SELECT r.id || ' is ' || r.status AS found FROM refunds r JOIN payments p ON p.id = r.payment_id
    WHERE p.booking_id = ANY (:attempts) AND r.status <> 'succeeded'`,
  'every message is sent': `
    SELECT booking_id || ' ' || kind AS found FROM messages WHERE booking_id = ANY (:attempts) AND sent_at IS NULL`,
};

function bindings(shop: Shop) {
  return {
    attempts: shop.ids.attempts,
    offerings: shop.ids.offerings,
    customers: [0, 1, 2].map(shop.customerId),
    refs: shop.gateway.objects.map((object) => object.ref),
    late: paidLate(shop),
  };
}

/**
 * Attempts that were paid by an object which was closed already. A later object of theirs may stay open: only a gateway
 * that cannot close has such payments, and what comes by the other object is given back as a second payment.
 */
function paidLate({ gateway }: Shop): string[] {
  return gateway.objects.filter((object) => object.charge?.late === true).map((object) => object.bookingId);
}

async function broken(shop: Shop, asked: Record<string, string>): Promise<string[]> {
  const all = Object.entries(asked).map(
    ([rule, query]) => `SELECT '${rule}: ' || found AS wrong FROM (${query}) AS q`,
  );
  const { rows } = await shop.db.raw<{ rows: { wrong: string }[] }>(
    all.join('\nUNION ALL\n'),
    bindings(shop),
  );
  return rows.map(({ wrong }) => wrong);
}

interface Account {
  gateway_payment_id: string;
  amount_minor: number;
  currency: string;
  booking_id: string | null;
  disposition: string;
  by_hand_minor: number;
}

/** What the gateway's ledger says that our rows do not, or the other way round. */
async function ledgerBroken(shop: Shop, atRest: boolean): Promise<string[]> {
  const { rows } = await shop.db.raw<{ rows: Account[] }>(
    `SELECT p.*, (SELECT coalesce(sum(c.amount_minor), 0) FROM cases c
       WHERE c.payment_id = p.id AND c.resolution = 'mark-settled' AND c.resolved_by <> 'payfirst') AS by_hand_minor
     FROM payments p WHERE gateway = 'stub' AND gateway_ref = ANY (?)`,
    [shop.gateway.objects.map((object) => object.ref)],
  );
  const wrong: string[] = [];
  const paid = shop.gateway.objects.flatMap(({ ref, bookingId, charge }) =>
    charge === undefined ? [] : [{ ref, bookingId, charge }],
  );
  for (const row of rows) {
    if (!paid.some(({ charge }) => charge.id === row.gateway_payment_id))
      wrong.push(`nobody paid ${row.gateway_payment_id}`);
  }
  for (const { ref, bookingId, charge } of paid) {
    const row = rows.find((one) => one.gateway_payment_id === charge.id);
    const made = shop.gateway.refunds.filter((refund) => refund.ref === ref);
    const sum = (...of: string[]) =>
      made.filter((one) => of.includes(one.status)).reduce((total, one) => total + one.amountMinor, 0);
    if (sum('pending', 'succeeded') > charge.total.amountMinor)
      wrong.push(`${charge.id} is given back twice`);
    if (row === undefined) {
      if (atRest || made.length > 0) wrong.push(`${charge.id} is in no row`);
      continue;
    }
    const { amountMinor, currency } = charge.total;
    if (row.amount_minor !== amountMinor || row.currency !== currency)
      wrong.push(`${charge.id} is another sum`);
    if (row.booking_id !== null && row.booking_id !== bookingId) wrong.push(`${charge.id} is another’s`);
    const kept = row.disposition === 'booked' ? amountMinor : 0;
    if (atRest && amountMinor !== kept + sum('succeeded') + row.by_hand_minor) {
      wrong.push(
        `of ${amountMinor} by ${charge.id} ${kept} is kept, ${sum('succeeded')} returned, ${row.by_hand_minor} by hand`,
      );
    }
  }
  return wrong;
}

/** Throws what is wrong while things may still be under way. */
export async function expectSound(shop: Shop): Promise<void> {
  expect([...(await broken(shop, rules)), ...(await ledgerBroken(shop, false))]).toEqual([]);
}

/** Throws what is wrong when nothing is under way any more. */
export async function expectSoundAtRest(shop: Shop): Promise<void> {
  const wrong = [
    ...(await broken(shop, { ...rules, ...rulesAtRest })),
    ...(await ledgerBroken(shop, true)),
    ...(await storiesBroken(shop)),
    ...mailsTwice(shop),
    ...shop.gateway.objects
      .filter((object) => object.handedOut && ['unpaid', 'processing'].includes(object.status))
      .filter((object) => !paidLate(shop).includes(object.bookingId))
      .map((object) => `${object.ref} can still be paid`),
  ];
  expect(wrong).toEqual([]);
}

async function storiesBroken({ db, ids, temporal }: Shop): Promise<string[]> {
  const rows = await db('attempts')
    .whereIn('booking_id', ids.attempts)
    .select<{ booking_id: string; status: string }[]>('booking_id', 'status');
  return rows.flatMap(({ booking_id: id, status }) => {
    const outcome = temporal.resultOf(bookingWorkflowId(id));
    return outcome === status ? [] : [`${id} is ${status}, and its story ended as ${String(outcome)}`];
  });
}

function mailsTwice({ mails }: Shop): string[] {
  return mails.filter((id, n) => mails.indexOf(id) !== n).map((id) => `mail ${id} went out twice`);
}

/** Rounds until everything must have come to rest: a chain of refund, case and retry takes a few. */
const roundsToRest = 12;

/**
 * Lets everything come to its end: gateways answer again, time passes, operators decide. First without any webhook, for
 * they may never come; then each late ring comes, too.
 */
export async function comeToRest(shop: Shop): Promise<void> {
  shop.gateway.ahead.length = 0;
  shop.gateway.refundsBecome.length = 0;
  shop.temporal.ahead.length = 0;
  shop.mailServer.down = 0;
  await untilOver(shop);
  for (const object of shop.gateway.objects) await shop.ringFor(object.ref, object.bookingId);
  await untilOver(shop);
}

async function untilOver(shop: Shop): Promise<void> {
  const { gateway, temporal } = shop;
  for (let round = 0; round < roundsToRest; round += 1) {
    for (const refund of gateway.refunds) if (refund.status === 'pending') refund.status = 'succeeded';
    for (const object of gateway.objects) {
      if (object.status !== 'processing') continue;
      object.status = 'unpaid';
      object.declines += 1;
    }
    await temporal.quiet();
    await shop.pass(4_000, true);
    await temporal.quiet();
    await temporal.oneRound('watchPayments');
    await temporal.oneRound('carryMessages');
    await temporal.quiet();
    const cases = await shop.openCases();
    for (const found of cases) await shop.resolveCase(found, actionsFor[found.kind][0] ?? 'mark-settled');
    await temporal.quiet();
    expect(temporal.faults).toEqual([]);
    if (cases.length === 0 && temporal.open().length === 0 && !(await anyMail(shop))) return;
  }
  throw new Error(`Still waiting after everything was answered: ${temporal.open().join(', ')}`);
}

async function anyMail({ db, ids }: Shop): Promise<boolean> {
  const found = await db('messages')
    .whereIn('booking_id', ids.attempts)
    .whereNull('sent_at')
    .first<unknown>();
  return found !== undefined;
}
