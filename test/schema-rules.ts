/**
 * The rules of the schema as raw SQL that breaks them: what is tried, how many of the tries may succeed, and how each guard
 * is switched off. `schema.test.ts` tries them with the guard and without.
 */

/** One rule; every try is one transaction, and all of them run at once. */
export interface Rule {
  rule: string;
  tries: string[];
  /** How many of the tries may succeed. */
  allowed: 0 | 1;
  /** Constraint, index or trigger that refuses, each with the SQL that switches it off. */
  guards: Record<string, string>;
  /** SQL that runs before the tries. */
  before?: string;
}

/**
 * What every rule starts from: slot `o` of 3 seats and slot `p` of 1; attempts `a`, `b` and `d` that wait for money, `c` that
 * is expired; bookings of `x` and `y`; a payment of 100 for `a` and one for `b`.
 */
export const scene = `
  INSERT INTO offerings (id, provider_id, kind, title, starts_at, ends_at, time_zone, capacity, price_minor, currency)
    SELECT id, 'provider', 'slot', 'A slot', now() + interval '1 day', now() + interval '2 days', 'UTC', n, 100, 'USD'
    FROM (VALUES ('o', 3), ('p', 1)) AS slots (id, n);
  INSERT INTO attempts (booking_id, request_hash, customer_id, method, quote, total_minor, currency, contact, status, tries_max, window_seconds)
    SELECT id, 'hash', 'customer', 'stub', '{"items": []}', 100, 'USD', '{}', status, 5, 900
    FROM (VALUES ('a', 'awaiting_payment'), ('b', 'awaiting_payment'), ('c', 'expired'), ('d', 'awaiting_payment'),
      ('x', 'confirmed'), ('y', 'confirmed')) AS attempts (id, status);
  INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency)
    VALUES ('x', 'BK-X', 'customer', 'confirmed', 100, 'USD'), ('y', 'BK-Y', 'customer', 'confirmed', 100, 'USD');
  INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    VALUES ('pay_a', 'a', 'stub', 'pi_a', 'ch_a', 100, 'USD', 'captured', 'returned'),
      ('pay_b', 'b', 'stub', 'pi_b', 'ch_b', 100, 'USD', 'captured', 'returned')`;

const booking = (id: string, reference: string) =>
  `INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency)
    VALUES ('${id}', '${reference}', 'customer', 'confirmed', 100, 'USD')`;
const payment = (id: string, charge: string, disposition = 'returned') =>
  `INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    VALUES ('${id}', 'd', 'stub', 'pi_d', '${charge}', 100, 'USD', 'captured', '${disposition}')`;
const refund = (id: string, amount: number, reason: string) =>
  `INSERT INTO refunds (id, payment_id, amount_minor, status, reason)
    VALUES ('${id}', 'pay_a', ${amount}, 'unsent', '${reason}')`;
const message = `INSERT INTO messages (booking_id, kind, recipient) VALUES ('x', 'booking-confirmed', 'payer@example.org')`;
const openCase = (id: string) =>
  `INSERT INTO cases (id, workflow_id, payment_id, kind, detail) VALUES ('${id}', 'case/${id}', 'pay_a', 'refund-failed', 'why')`;
const resolve = (by: string) =>
  `UPDATE cases SET resolved_at = now(), resolved_by = '${by}', resolution = 'retry-refund' WHERE id = 'one'`;

/** Switches a constraint off, with what depends on it. */
export const dropConstraint = (table: string, name: string) =>
  `ALTER TABLE ${table} DROP CONSTRAINT ${name} CASCADE`;
/** Switches a trigger off. */
export const dropTrigger = (table: string, name: string) => `DROP TRIGGER ${name} ON ${table}`;

export const rules: Rule[] = [
  {
    rule: 'no seat beyond the capacity is added',
    tries: [`INSERT INTO seats (offering_id, seat_no, capacity) VALUES ('o', 4, 3)`],
    allowed: 0,
    guards: { seats_check: dropConstraint('seats', 'seats_check') },
  },
  {
    rule: 'no seat is added by claiming another capacity, and no capacity changes under its seats',
    tries: [
      `INSERT INTO seats (offering_id, seat_no, capacity) VALUES ('o', 4, 4)`,
      `UPDATE offerings SET capacity = 2 WHERE id = 'p'`,
    ],
    allowed: 0,
    guards: { seats_offering_id_capacity_fkey: dropConstraint('seats', 'seats_offering_id_capacity_fkey') },
  },
  {
    rule: 'no seat stands twice',
    tries: [
      `INSERT INTO seats (offering_id, seat_no, capacity) VALUES ('o', 3, 3)`,
      `UPDATE seats SET seat_no = 2 WHERE offering_id = 'o' AND seat_no = 1`,
    ],
    allowed: 0,
    guards: { seats_pkey: dropConstraint('seats', 'seats_pkey') },
  },
  {
    rule: 'no seat is removed',
    tries: [`DELETE FROM seats WHERE offering_id = 'o' AND seat_no = 3`],
    allowed: 0,
    guards: { seats_stay: dropTrigger('seats', 'seats_stay') },
  },
  {
    rule: 'a seat is sold once, also by two at once',
    tries: ['x', 'y'].map((id) => `UPDATE seats SET booking_id = '${id}' WHERE offering_id = 'p'`),
    allowed: 1,
    guards: { seats_one_booking: dropTrigger('seats', 'seats_one_booking') },
  },
  {
    rule: 'a seat belongs to a booking, not to an attempt without one',
    tries: [`UPDATE seats SET booking_id = 'a' WHERE offering_id = 'p'`],
    allowed: 0,
    guards: { seats_booking_id_fkey: dropConstraint('seats', 'seats_booking_id_fkey') },
  },
  {
    rule: 'an attempt has one booking',
    tries: [booking('a', 'BK-1'), booking('a', 'BK-2')],
    allowed: 1,
    guards: { bookings_pkey: dropConstraint('bookings', 'bookings_pkey') },
  },
  {
    rule: 'there is no booking without an attempt',
    tries: [booking('nobody', 'BK-1')],
    allowed: 0,
    guards: { bookings_id_fkey: dropConstraint('bookings', 'bookings_id_fkey') },
  },
  {
    rule: 'a reference names one booking',
    tries: [booking('a', 'BK-1'), booking('b', 'BK-1')],
    allowed: 1,
    guards: { bookings_reference_key: dropConstraint('bookings', 'bookings_reference_key') },
  },
  {
    rule: 'a payment of a gateway is one row',
    tries: [payment('pay_1', 'ch_1'), payment('pay_2', 'ch_1')],
    allowed: 1,
    guards: {
      payments_gateway_gateway_payment_id_key: dropConstraint(
        'payments',
        'payments_gateway_gateway_payment_id_key',
      ),
    },
  },
  {
    rule: 'a booking is bought by one payment',
    tries: [payment('pay_1', 'ch_1', 'booked'), payment('pay_2', 'ch_2', 'booked')],
    allowed: 1,
    guards: { payments_one_booked: 'DROP INDEX payments_one_booked' },
  },
  {
    rule: 'what a gateway captured does not change',
    tries: [
      `UPDATE payments SET amount_minor = 1000 WHERE id = 'pay_a'`,
      `UPDATE payments SET currency = 'EUR' WHERE id = 'pay_b'`,
    ],
    allowed: 0,
    guards: { payments_keep_facts: dropTrigger('payments', 'payments_keep_facts') },
  },
  {
    rule: 'two refunds at once that only fit singly do not both pass',
    tries: [refund('one', 60, 'late-payment'), refund('two', 60, 'external')],
    allowed: 1,
    guards: {
      payments_refunds_within: dropConstraint('payments', 'payments_refunds_within'),
      // Its CHECK speaks; without this trigger it has nothing to speak about.
      refunds_counted: dropTrigger('refunds', 'refunds_counted'),
    },
  },
  {
    rule: 'two refunds raised at once stay within their payment',
    before: `${refund('one', 40, 'late-payment')}; ${refund('two', 40, 'external')}`,
    tries: ['one', 'two'].map((id) => `UPDATE refunds SET amount_minor = 60 WHERE id = '${id}'`),
    allowed: 1,
    guards: {
      payments_refunds_within: dropConstraint('payments', 'payments_refunds_within'),
      refunds_counted: dropTrigger('refunds', 'refunds_counted'),
    },
  },
  {
    rule: 'only refund rows change the running total of refunds',
    before: refund('one', 60, 'late-payment'),
    tries: [`UPDATE payments SET refunded_minor = 0 WHERE id = 'pay_a'`],
    allowed: 0,
    guards: { payments_count_by_refunds: dropTrigger('payments', 'payments_count_by_refunds') },
  },
  {
    rule: 'a payment is refunded once per reason',
    tries: [refund('one', 10, 'late-payment'), refund('two', 10, 'late-payment')],
    allowed: 1,
    guards: { refunds_once_per_reason: 'DROP INDEX refunds_once_per_reason' },
  },
  {
    rule: 'a called-off offering stays so',
    before: `UPDATE offerings SET status = 'canceled' WHERE id = 'o'`,
    tries: ['open', 'closed'].map((status) => `UPDATE offerings SET status = '${status}' WHERE id = 'o'`),
    allowed: 0,
    guards: { offerings_stay_canceled: dropTrigger('offerings', 'offerings_stay_canceled') },
  },
  {
    rule: 'a booking is canceled at an instant, and only then',
    tries: [
      `UPDATE bookings SET status = 'canceled' WHERE id = 'x'`,
      `UPDATE bookings SET canceled_at = now() WHERE id = 'y'`,
    ],
    allowed: 0,
    guards: { bookings_canceled_once: dropConstraint('bookings', 'bookings_canceled_once') },
  },
  {
    rule: 'a refund stays with its payment',
    before: refund('one', 10, 'late-payment'),
    tries: [`UPDATE refunds SET payment_id = 'pay_b' WHERE id = 'one'`],
    allowed: 0,
    guards: { refunds_stay_with_payment: dropTrigger('refunds', 'refunds_stay_with_payment') },
  },
  {
    rule: 'a quote is frozen',
    tries: [
      `UPDATE attempts SET quote = '{"items": [1]}' WHERE booking_id = 'a'`,
      `UPDATE attempts SET total_minor = 1 WHERE booking_id = 'b'`,
      `UPDATE attempts SET currency = 'EUR' WHERE booking_id = 'c'`,
      `UPDATE attempts SET customer_id = 'another' WHERE booking_id = 'x'`,
      `UPDATE attempts SET request_hash = 'another' WHERE booking_id = 'y'`,
    ],
    allowed: 0,
    guards: { attempts_frozen_quote: dropTrigger('attempts', 'attempts_frozen_quote') },
  },
  {
    rule: 'an attempt that is over is not confirmed',
    tries: [`UPDATE attempts SET status = 'confirmed' WHERE booking_id = 'c'`],
    allowed: 0,
    guards: { attempts_legal_transition: dropTrigger('attempts', 'attempts_legal_transition') },
  },
  {
    rule: 'an attempt that ends in two ways at once ends in one',
    tries: ['expired', 'confirmed'].map(
      (status) => `UPDATE attempts SET status = '${status}' WHERE booking_id = 'a'`,
    ),
    allowed: 1,
    guards: { attempts_legal_transition: dropTrigger('attempts', 'attempts_legal_transition') },
  },
  {
    rule: 'a payment is in one open case of a kind',
    tries: [openCase('one'), openCase('two')],
    allowed: 1,
    guards: { cases_one_open_per_payment: 'DROP INDEX cases_one_open_per_payment' },
  },
  {
    rule: 'a case is resolved once',
    before: openCase('one'),
    tries: [resolve('ann'), resolve('bob')],
    allowed: 1,
    guards: { cases_resolved_once: dropTrigger('cases', 'cases_resolved_once') },
  },
  {
    rule: 'a booking, kind and recipient have one message',
    tries: [message, message],
    allowed: 1,
    guards: { messages_pkey: dropConstraint('messages', 'messages_pkey') },
  },
  {
    rule: 'an endpoint is told of an event once',
    before: `DELETE FROM webhook_endpoints;
      INSERT INTO webhook_endpoints (id, url, events, secret) VALUES ('e', 'https://shop.example', '{case.opened}', 's')`,
    tries: ['one', 'two'].map(
      (id) =>
        `INSERT INTO webhook_deliveries (id, endpoint_id, type, subject, data) VALUES ('${id}', 'e', 'booking.confirmed', 'x', '{}')`,
    ),
    allowed: 1,
    guards: { webhook_deliveries_once: dropConstraint('webhook_deliveries', 'webhook_deliveries_once') },
  },
  {
    rule: 'an event is heard once',
    tries: Array<string>(2).fill(
      `INSERT INTO gateway_events (gateway, event_id, type, heard_at) VALUES ('stub', 'evt_1', 'paid', now())`,
    ),
    allowed: 1,
    guards: { gateway_events_pkey: dropConstraint('gateway_events', 'gateway_events_pkey') },
  },
  {
    rule: 'a payment object belongs to one try',
    tries: ['a', 'b'].map(
      (id) =>
        `INSERT INTO payment_tries (booking_id, try, gateway, gateway_ref, status) VALUES ('${id}', 1, 'stub', 'pi_1', 'open')`,
    ),
    allowed: 1,
    guards: {
      payment_tries_gateway_gateway_ref_key: dropConstraint(
        'payment_tries',
        'payment_tries_gateway_gateway_ref_key',
      ),
    },
  },
];
