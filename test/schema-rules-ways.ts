/** The rules of the schema about consultations, holds, carts and wallets, as raw SQL that breaks them; see `schema-rules.ts`. */
import { dropConstraint, dropTrigger, type Rule } from './schema-rules';

const offering = (kind: string, columns: string, values: string, price = 100) =>
  `INSERT INTO offerings (id, provider_id, kind, title, price_minor, currency, ${columns})
    VALUES ('q', 'provider', '${kind}', 'An offering', ${price}, 'USD', ${values})`;
const slotColumns = 'starts_at, ends_at, time_zone, capacity';
const slotValues = `now() + interval '1 day', now() + interval '2 days', 'UTC', 1`;
const slot = (price: number, column: string, value: string) =>
  offering('slot', `${slotColumns}, ${column}`, `${slotValues}, ${value}`, price);

/** An attempt and a booking of somebody else than everybody in the scene. */
const stranger = `
  INSERT INTO attempts (booking_id, request_hash, customer_id, method, quote, total_minor, currency, contact, status, tries_max, window_seconds)
    VALUES ('z', 'hash', 'stranger', 'stub', '{"items": []}', 100, 'USD', '{}', 'confirmed', 5, 900);
  INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency)
    VALUES ('z', 'BK-Z', 'stranger', 'confirmed', 100, 'USD')`;
const hold = (by: string) =>
  `UPDATE seats SET held_by = '${by}', held_until = now() + interval '1 hour' WHERE offering_id = 'p'`;
const rememberHold = (by: string) =>
  `INSERT INTO holds (offering_id, customer_id, booking_id, held_until) VALUES ('p', 'customer', '${by}', now())`;

const cart = (id: string) => `INSERT INTO carts (id, customer_id) VALUES ('${id}', 'customer')`;
const convert = (id: string, bookingId: string) =>
  `UPDATE carts SET booking_id = '${bookingId}' WHERE id = '${id}'`;
const putIntoCart = (seats: number) =>
  `INSERT INTO cart_items (cart_id, offering_id, seats) VALUES ('one', 'o', ${seats})`;

/** One entry; those of the customer's account are in the wallet of `customer`. */
const entry = (id: string, account: string, amountMinor: number, currency = 'USD') =>
  `INSERT INTO wallet_entries (id, account, customer_id, currency, amount_minor, kind)
    VALUES ('${id}', '${account}', ${account === 'customer' ? "'customer'" : 'NULL'}, '${currency}', ${amountMinor}, 'credit')`;
/** A movement: both sides of it. */
const movement = (id: string, amountMinor: number) =>
  `${entry(id, 'customer', amountMinor)}; ${entry(id, 'issued', -amountMinor)}`;
const wallet = `INSERT INTO wallets (customer_id, currency) VALUES ('customer', 'USD')`;
const walletWithHundred = `${wallet}; ${movement('first', 100)}`;

export const waysRules: Rule[] = [
  {
    rule: 'a slot has a time and a capacity, a consultation neither, nor rules about seats',
    tries: [
      offering('slot', 'starts_at, ends_at, time_zone', `now(), now() + interval '1 hour', 'UTC'`),
      offering('slot', 'capacity', '1'),
      offering('consultation', slotColumns, slotValues),
      offering('consultation', 'hold_seconds', '60'),
      offering('consultation', 'seats_per_customer', '1'),
    ],
    allowed: 0,
    guards: { offerings_shape: dropConstraint('offerings', 'offerings_shape') },
  },
  {
    rule: 'a price is not below zero, nor above what an attempt can hold',
    tries: [slot(-1, 'hold_seconds', 'NULL'), slot(100_000_000, 'hold_seconds', 'NULL')],
    allowed: 0,
    guards: { offerings_price_minor_check: dropConstraint('offerings', 'offerings_price_minor_check') },
  },
  {
    rule: 'a hold lasts for some seconds, and a day at most',
    tries: [slot(100, 'hold_seconds', '4'), slot(100, 'hold_seconds', '86401')],
    allowed: 0,
    guards: { offerings_hold_seconds_check: dropConstraint('offerings', 'offerings_hold_seconds_check') },
  },
  {
    rule: 'a limit of seats leaves one at least',
    tries: [slot(100, 'seats_per_customer', '0')],
    allowed: 0,
    guards: {
      offerings_seats_per_customer_check: dropConstraint('offerings', 'offerings_seats_per_customer_check'),
    },
  },
  {
    rule: 'a hold has a holder and an end',
    tries: [
      `UPDATE seats SET held_by = 'a' WHERE offering_id = 'o' AND seat_no = 1`,
      `UPDATE seats SET held_until = now() WHERE offering_id = 'o' AND seat_no = 2`,
    ],
    allowed: 0,
    guards: { seats_hold_whole: dropConstraint('seats', 'seats_hold_whole') },
  },
  {
    rule: 'a seat is held or sold, not both',
    tries: [`UPDATE seats SET booking_id = 'x', held_by = 'a', held_until = now() WHERE offering_id = 'p'`],
    allowed: 0,
    guards: { seats_hold_or_booking: dropConstraint('seats', 'seats_hold_or_booking') },
  },
  {
    rule: 'a seat is held by an attempt',
    tries: [hold('nobody')],
    allowed: 0,
    guards: { seats_held_by_fkey: dropConstraint('seats', 'seats_held_by_fkey') },
  },
  {
    rule: 'a held seat is neither sold to another customer nor held by one',
    before: `${stranger}; ${hold('a')}`,
    tries: [
      `UPDATE seats SET booking_id = 'z', held_by = NULL, held_until = NULL WHERE offering_id = 'p'`,
      hold('z'),
    ],
    allowed: 0,
    guards: { seats_live_hold: dropTrigger('seats', 'seats_live_hold') },
  },
  {
    rule: 'of two customers who hold a seat at once one does',
    before: stranger,
    tries: [hold('a'), hold('z')],
    allowed: 1,
    guards: { seats_live_hold: dropTrigger('seats', 'seats_live_hold') },
  },
  {
    rule: 'a customer has one hold at an offering',
    tries: [rememberHold('a'), rememberHold('b')],
    allowed: 1,
    guards: { holds_pkey: dropConstraint('holds', 'holds_pkey') },
  },
  {
    rule: 'a cart is booked once, also by two at once',
    before: cart('one'),
    tries: [convert('one', 'x'), convert('one', 'y')],
    allowed: 1,
    guards: { carts_convert_once: dropTrigger('carts', 'carts_convert_once') },
  },
  {
    rule: 'a booking comes from one cart',
    before: `${cart('one')}; ${cart('two')}`,
    tries: [convert('one', 'x'), convert('two', 'x')],
    allowed: 1,
    guards: { carts_booking_id_key: dropConstraint('carts', 'carts_booking_id_key') },
  },
  {
    rule: 'a cart is booked by a booking, not by an attempt without one',
    before: cart('one'),
    tries: [convert('one', 'a')],
    allowed: 0,
    guards: { carts_booking_id_fkey: dropConstraint('carts', 'carts_booking_id_fkey') },
  },
  {
    rule: 'an offering stands in a cart once',
    before: cart('one'),
    tries: [putIntoCart(1), putIntoCart(2)],
    allowed: 1,
    guards: { cart_items_pkey: dropConstraint('cart_items', 'cart_items_pkey') },
  },
  {
    rule: 'a cart holds whole seats',
    before: cart('one'),
    tries: [putIntoCart(0)],
    allowed: 0,
    guards: { cart_items_seats_check: dropConstraint('cart_items', 'cart_items_seats_check') },
  },
  {
    rule: 'an attempt stays with its cart',
    before: cart('one'),
    tries: [`UPDATE attempts SET cart_id = 'one' WHERE booking_id = 'a'`],
    allowed: 0,
    guards: { attempts_frozen_quote: dropTrigger('attempts', 'attempts_frozen_quote') },
  },
  {
    rule: 'two payments at once that a balance only covers singly do not both pass',
    before: walletWithHundred,
    tries: [movement('one', -60), movement('two', -60)],
    allowed: 1,
    guards: {
      wallets_never_negative: dropConstraint('wallets', 'wallets_never_negative'),
      // Its CHECK speaks; without this trigger it has nothing to speak about.
      wallet_entries_counted: dropTrigger('wallet_entries', 'wallet_entries_counted'),
    },
  },
  {
    rule: 'only entries change a balance',
    before: walletWithHundred,
    tries: [`UPDATE wallets SET balance_minor = 1000`],
    allowed: 0,
    guards: { wallets_count_by_entries: dropTrigger('wallets', 'wallets_count_by_entries') },
  },
  {
    rule: 'a wallet is made empty',
    tries: [`INSERT INTO wallets (customer_id, currency, balance_minor) VALUES ('customer', 'USD', 5)`],
    allowed: 0,
    guards: { wallets_begin_empty: dropTrigger('wallets', 'wallets_begin_empty') },
  },
  {
    rule: 'a customer has one wallet in a currency',
    tries: [wallet, wallet],
    allowed: 1,
    guards: { wallets_pkey: dropConstraint('wallets', 'wallets_pkey') },
  },
  {
    rule: 'a movement is made once',
    before: wallet,
    tries: [movement('one', 100), movement('one', 100)],
    allowed: 1,
    guards: { wallet_entries_pkey: dropConstraint('wallet_entries', 'wallet_entries_pkey') },
  },
  {
    rule: 'an entry is neither changed nor removed',
    before: walletWithHundred,
    tries: [
      `UPDATE wallet_entries SET amount_minor = 1000 WHERE account = 'customer'`,
      `DELETE FROM wallet_entries WHERE account = 'issued'`,
    ],
    allowed: 0,
    guards: { wallet_entries_stay: dropTrigger('wallet_entries', 'wallet_entries_stay') },
  },
  {
    rule: 'a movement has two sides that sum to zero, in one currency and one transaction',
    before: walletWithHundred,
    tries: [
      entry('one', 'customer', 100),
      `${entry('two', 'customer', 100)}; ${entry('two', 'issued', -10)}`,
      `${entry('three', 'customer', 100)}; ${entry('three', 'issued', -100, 'EUR')}`,
      entry('four', 'customer', 100),
      entry('four', 'issued', -100),
      entry('first', 'spent', 10),
    ],
    allowed: 0,
    guards: { wallet_entries_balanced: dropTrigger('wallet_entries', 'wallet_entries_balanced') },
  },
  {
    rule: 'an entry of a customer is in a wallet that is there',
    tries: [movement('one', 100)],
    allowed: 0,
    guards: {
      wallet_entries_customer_id_currency_fkey: dropConstraint(
        'wallet_entries',
        'wallet_entries_customer_id_currency_fkey',
      ),
    },
  },
  {
    rule: "an entry in our own account is no customer's, and one in a wallet is somebody's",
    before: wallet,
    tries: [
      `${entry('one', 'issued', 100).replace('NULL', "'customer'")}; ${entry('one', 'spent', -100)}`,
      `${entry('two', 'customer', 100).replace("'customer', 'USD'", "NULL, 'USD'")}; ${entry('two', 'issued', -100)}`,
    ],
    allowed: 0,
    guards: { wallet_entries_check: dropConstraint('wallet_entries', 'wallet_entries_check') },
  },
  {
    rule: 'an entry moves something',
    before: wallet,
    tries: [movement('one', 0)],
    allowed: 0,
    guards: {
      wallet_entries_amount_minor_check: dropConstraint(
        'wallet_entries',
        'wallet_entries_amount_minor_check',
      ),
    },
  },
];
