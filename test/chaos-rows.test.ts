/** What a chaos run reads from the database: each query is one that the schema takes, and each look finds what was planted for it. */
import type { Client } from 'pg';
import { countPending, countSessions, readRows } from '../chaos/evidence/rows';
import { sampleWith } from '../chaos/evidence/samples';
import { runSql, withClient } from '../dev/postgres';
import { freshDatabase, type FreshDatabase } from './database';
import { dropTrigger } from './schema-rules';

/**
 * Nothing wrong: slot `o` of three seats; `x` and `y` have paid for one each, `w` from the wallet is free again, and `a` waits
 * for money.
 */
const scene = `
  INSERT INTO offerings (id, provider_id, kind, title, starts_at, ends_at, time_zone, capacity, price_minor, currency)
    VALUES ('o', 'provider', 'slot', 'A slot', now() + interval '1 day', now() + interval '2 days', 'UTC', 3, 100, 'USD');
  INSERT INTO attempts (booking_id, request_hash, customer_id, method, quote, total_minor, currency, contact, status, tries_max, window_seconds)
    SELECT id, 'hash', 'customer', 'stub', '{"items": []}', 100, 'USD', '{}', status, 5, 900
    FROM (VALUES ('a', 'awaiting_payment'), ('x', 'confirmed'), ('y', 'confirmed'), ('w', 'refunded')) AS attempts (id, status);
  INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency, canceled_at)
    VALUES ('x', 'BK-X', 'customer', 'confirmed', 100, 'USD', NULL), ('y', 'BK-Y', 'customer', 'confirmed', 100, 'USD', NULL),
      ('w', 'BK-W', 'customer', 'canceled', 100, 'USD', now());
  INSERT INTO booking_items (booking_id, offering_id, seats) VALUES ('x', 'o', 1), ('y', 'o', 1), ('w', 'o', 1);
  UPDATE seats SET booking_id = 'x' WHERE seat_no = 1;
  UPDATE seats SET booking_id = 'y' WHERE seat_no = 2;
  INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    SELECT 'pay_' || id, id, gateway, 'pi_' || id, 'ch_' || id, 100, 'USD', 'captured', 'booked'
    FROM (VALUES ('x', 'stub'), ('y', 'stub'), ('w', 'wallet')) AS paid (id, gateway);
  INSERT INTO refunds (id, payment_id, amount_minor, status, reason)
    VALUES ('ref_w', 'pay_w', 100, 'succeeded', 'canceled-by-customer'), ('ref_x', 'pay_x', 40, 'pending', 'external');
  INSERT INTO wallets (customer_id, currency) VALUES ('customer', 'USD');
  INSERT INTO wallet_entries (id, account, customer_id, currency, amount_minor, kind, booking_id)
    VALUES ('in', 'customer', 'customer', 'USD', 500, 'credit', NULL), ('in', 'issued', NULL, 'USD', -500, 'credit', NULL),
      ('out', 'customer', 'customer', 'USD', -100, 'payment', 'w'), ('out', 'spent', NULL, 'USD', 100, 'payment', 'w'),
      ('back', 'customer', 'customer', 'USD', 100, 'refund', 'w'), ('back', 'spent', NULL, 'USD', -100, 'refund', 'w');
  INSERT INTO messages (booking_id, kind, recipient) VALUES ('x', 'booking-confirmed', 'payer@example.org');
  INSERT INTO cases (id, workflow_id, payment_id, kind, detail) VALUES ('cas', 'case/cas', 'pay_y', 'refund-failed', 'why');
  INSERT INTO payment_tries (booking_id, try, gateway, gateway_ref, status) VALUES ('a', 1, 'stub', 'pi_a', 'open');
  INSERT INTO gateway_events (gateway, event_id, type, heard_at) VALUES ('stub', 'evt', 'paid', now());`;

let database: FreshDatabase;

beforeAll(async () => {
  database = await freshDatabase(1);
  await runSql(database.url, scene);
});

afterAll(() => database.close());

test('everything is read, instants as milliseconds and money as numbers', async () => {
  const { rows, wallet } = await readRows(database.url);
  for (const [table, found] of Object.entries(rows)) expect([table, found.length]).not.toEqual([table, 0]);
  expect(rows.attempts).toHaveLength(4);
  const x = rows.bookings.find(({ id }) => id === 'x');
  expect(Math.abs(Date.now() - (x?.confirmed_at ?? 0))).toBeLessThan(3_600_000);
  expect(rows.wallets).toEqual([{ customer_id: 'customer', currency: 'USD', balance_minor: 500 }]);
  expect(rows.messages).toEqual([
    { booking_id: 'x', kind: 'booking-confirmed', recipient: 'payer@example.org', sent_at: null },
  ]);
  expect(wallet.map(({ id, kind, amount_minor }) => [id, kind, amount_minor])).toEqual([
    ['out', 'payment', -100],
    ['back', 'refund', 100],
  ]);
});

test('what is not over is counted: an attempt, a refund, a mail', async () => {
  expect(await countPending(database.url)).toMatchObject({ attempts: 1, refunds: 1, messages: 1 });
});

test('sessions are counted, without the one that counts', async () => {
  const before = await countSessions(database.url);
  await withClient(database.url, async () => {
    expect(await countSessions(database.url)).toBe(before + 1);
  });
});

/** Looks at the database as it would be after these statements, and leaves it as it was. */
const looked = (statements: readonly string[]): Promise<string[]> =>
  withClient(database.url, async (client: Client) => {
    await client.query('BEGIN');
    for (const sql of statements) await client.query(sql);
    const { broken } = await sampleWith(client);
    await client.query('ROLLBACK');
    return broken;
  });

test('where nothing is wrong, a look finds nothing', async () => {
  expect(await looked([])).toEqual([]);
});

const booked = (id: string, booking: string): string =>
  `INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    VALUES ('${id}', '${booking}', 'stub', 'pi_${id}', 'ch_${id}', 100, 'USD', 'captured', 'booked')`;

const refund = (amount: number): string =>
  `INSERT INTO refunds (id, payment_id, amount_minor, status, reason) VALUES ('ref_y', 'pay_y', ${amount}, 'succeeded', 'external')`;

/** What a look must say, and what was done, past the guard of the schema where there is one. */
const plants: [sentence: string, ...statements: string[]][] = [
  ['S1 o has 4 seats booked of 3', `UPDATE booking_items SET seats = 3 WHERE booking_id = 'x'`],
  ['S2 seat 3 of o belongs to w, which is no booking', `UPDATE seats SET booking_id = 'w' WHERE seat_no = 3`],
  ['S3 x was bought by 2 payments', 'DROP INDEX payments_one_booked', booked('again', 'x')],
  ['S4 pay_y gave back 150 of 100', dropTrigger('refunds', 'refunds_counted'), refund(150)],
  ['S5 y is booked and nothing was paid', `DELETE FROM cases`, `DELETE FROM payments WHERE id = 'pay_y'`],
  ['S7 y stands and all its money is back', refund(100)],
  [
    'S9 seat 3 of o is held by a, who asked for no hold',
    `UPDATE seats SET held_by = 'a', held_until = now() + interval '1 minute' WHERE seat_no = 3`,
  ],
];

test.each(plants)('%s', async (sentence, ...statements) => {
  expect(await looked(statements)).toEqual([sentence]);
});
