/**
 * The design that everyone starts with (`bench/in-memory.ts`), as its own process: it does what it promises while it lives,
 * at every gateway, and loses a payer when it is restarted between start and payment. A measurement beside a program that
 * is broken in other ways would prove nothing.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { knex, type Knex } from 'knex';
import { z } from 'zod';
import { freePorts } from '../dev/ports';
import { connectPostgres, runSql, type Postgres } from '../dev/postgres';
import { Processes } from '../dev/processes';
import { projectRoot } from '../dev/project';
import { makeToken } from '../dev/token';
import { startMailSink, type MailSink } from '../sandbox/mail/sink';
import { startStripeSandbox } from '../sandbox/stripe/sandbox';
import { bookingView } from '../src/api/booking-schemas';
import { offeringView } from '../src/api/offering-schemas';
import { entryView } from '../src/api/wallet-schemas';
import type { AtGateway } from './at-gateways';
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { atStripeSandbox } from './at-stripe';
import { eventually, type Json } from './world';

const secret = { AUTH_JWT_SECRET: 'a secret for tests only, long enough for HS256' };
const program = 'in-memory';

let folder: string;
let processes: Processes;
let postgres: Postgres;
let database: string;
let db: Knex;
let mail: MailSink;
let gateways: AtGateway[];
let port: number;
let api: string;

async function startGateways(): Promise<AtGateway[]> {
  const webhookSecret = 'whsec_tests_only';
  const stripe = await startStripeSandbox({ webhookSecret, webhookRetryGapsMs: [200, 500, 1000] });
  const env = {
    STRIPE_SECRET_KEY: 'sk_test_tests_only',
    STRIPE_WEBHOOK_SECRET: webhookSecret,
    STRIPE_API_BASE: stripe.url,
  };
  return [atStripeSandbox(stripe, env), await atRazorpay(), await atPhonepe()];
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'payfirst-in-memory-test-'));
  processes = new Processes(folder);
  postgres = await connectPostgres(process.env['TEST_DATABASE_URL'] ?? '');
  database = `in_memory_${randomBytes(6).toString('hex')}`;
  await postgres.createDatabase(database);
  db = knex({ client: 'pg', connection: postgres.url(database), pool: { min: 0, max: 2 } });
  mail = await startMailSink();
  gateways = await startGateways();
  [port = 0] = await freePorts(1);
  api = `http://127.0.0.1:${port}`;
  for (const at of gateways) await at.setWebhookUrl(`${api}/webhooks/${at.method}`);
  await run({});
});
afterAll(async () => {
  await processes.stopAll();
  await Promise.all(gateways.map((at) => at.close()));
  await mail.close();
  await db.destroy();
  await runSql(postgres.adminUrl, `DROP DATABASE ${database} WITH (FORCE)`);
  rmSync(folder, { recursive: true, force: true });
});

async function run(settings: Record<string, string>): Promise<void> {
  await processes.start({
    name: program,
    command: process.execPath,
    args: [join(projectRoot, 'dist', 'bench', 'in-memory.js')],
    env: {
      ...process.env,
      ...secret,
      ...Object.assign({}, ...gateways.map(({ env }) => env)),
      PORT: String(port),
      HOST: '127.0.0.1',
      DATABASE_URL: postgres.url(database),
      APP_SECRET: 'an application secret for tests only',
      SMTP_URL: mail.smtpUrl,
      ...settings,
    },
    ready: { url: `${api}/readyz` },
  });
}

/** Kills the process, and starts it anew. */
async function restart(settings: Record<string, string> = {}): Promise<void> {
  await processes.kill(program);
  await run(settings);
}

async function call(
  method: string,
  path: string,
  options: { sub: string; scope?: string; body?: unknown; key?: string },
): Promise<{ status: number; body: Json }> {
  const token = await makeToken({ sub: options.sub, scope: options.scope ?? 'bookings' }, secret);
  const answer = await fetch(`${api}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(options.key === undefined ? {} : { 'idempotency-key': options.key }),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const body: Json = await answer.json();
  if (answer.ok) expect(shapeOf(path).safeParse(body).error).toBeUndefined();
  return { status: answer.status, body };
}

/** Payfirst's own shape of an answer. */
function shapeOf(path: string): z.ZodType {
  if (path.startsWith('/v1/bookings')) return z.strictObject(bookingView.shape);
  return z.strictObject(path.startsWith('/v1/wallets') ? entryView.shape : offeringView.shape);
}

async function publish(currency: string, capacity = 1): Promise<string> {
  const startsAt = new Date(Date.now() + 86_400_000).toISOString();
  const body = { kind: 'slot', title: 'Lesson', startsAt, capacity, price: { amountMinor: 700, currency } };
  const answer = await call('POST', '/v1/offerings', { sub: 'provider', scope: 'catalog', body });
  expect(answer).toMatchObject({ status: 201, body: { capacity, seatsAvailable: capacity } });
  return answer.body.id;
}

function wish(sub: string, offeringId: string, method: string): unknown {
  const customer = { name: sub, email: `${sub}@example.org` };
  return { items: [{ offeringId }], payment: { method }, customer };
}

async function start(sub: string, offeringId: string, { method }: { method: string }): Promise<Json> {
  const body = wish(sub, offeringId, method);
  const answer = await call('POST', '/v1/bookings', { sub, key: `${sub} once`, body });
  expect(answer).toMatchObject({ status: 201, body: { status: 'awaiting_payment' } });
  return answer.body;
}

const read = (sub: string, id: string) => call('GET', `/v1/bookings/${id}?wait=5&after=1`, { sub });
const become = (sub: string, id: string, status: string) =>
  eventually(`${status} of ${sub}`, async () => {
    const { body } = await read(sub, id);
    return body.status === status && body;
  });
const subjectsTo = async (sub: string) =>
  (await mail.messages()).filter(({ to }) => String(to).includes(sub)).map(({ subject }) => String(subject));

function gatewayOf(method: string): AtGateway {
  const at = gateways.find((one) => one.method === method);
  if (at === undefined) throw new Error(`Bug: no ${method}`);
  return at;
}

describe.each(['stripe', 'razorpay', 'phonepe'])('at %s', (method) => {
  let at: AtGateway;
  beforeAll(() => {
    at = gatewayOf(method);
  });

  test('a payer gets the seat, and one mail, however many webhooks come; a second payer of it the money back', async () => {
    const slot = await publish(at.currency);
    const [first, second] = [`first-${method}`, `second-${method}`];
    const [winner, loser] = [await start(first, slot, at), await start(second, slot, at)];
    expect(await at.pay(winner)).toBe(true);
    const booked = await become(first, winner.id, 'confirmed');
    expect(booked.reference).toMatch(/^BK-/);
    await at.copiesOfPaid(winner.payment.gatewayRef, 5);
    expect(await at.pay(loser)).toBe(true);
    const lost = await become(second, loser.id, 'refunded');
    expect(lost).toMatchObject({
      failure: { type: 'slot-unavailable' },
      refund: { status: 'succeeded', amountMinor: 700 },
    });
    expect(await at.ledgerOf(loser.id)).toMatchObject({ capturedMinor: 700, refundedMinor: 700 });
    expect(await at.ledgerOf(winner.id)).toMatchObject({ capturedMinor: 700, refundedMinor: 0 });
    const toldTo = (customer: typeof first) =>
      eventually('the mail', async () => {
        const subjects = await subjectsTo(customer);
        return subjects.length > 0 && subjects;
      });
    expect(await toldTo(first)).toEqual([expect.stringContaining('is confirmed')]);
    expect(await toldTo(second)).toEqual([expect.stringContaining('given back')]);
    expect(await db('bookings').whereIn('id', [winner.id, loser.id]).select('id')).toEqual([
      { id: winner.id },
    ]);
  });

  test('a declined payer pays at the second try', async () => {
    const slot = await publish(at.currency);
    const sub = `declined-${method}`;
    const attempt = await start(sub, slot, at);
    await at.pay(attempt, 'declined');
    await eventually('the decline', async () => (await read(sub, attempt.id)).body.failure);
    const again = await call('POST', `/v1/bookings/${attempt.id}/retry`, { sub, body: {} });
    expect(again).toMatchObject({ status: 200, body: { payment: { try: 2 }, retryable: false } });
    expect(again.body.failure).toBeUndefined();
    expect(await at.pay(again.body)).toBe(true);
    await become(sub, attempt.id, 'confirmed');
  });

  test('a customer cancels before paying, and another one after', async () => {
    const slot = await publish(at.currency);
    const [early, after] = [`early-${method}`, `after-${method}`];
    const open = await start(early, slot, at);
    const canceled = await call('POST', `/v1/bookings/${open.id}/cancel`, { sub: early, body: {} });
    expect(canceled).toMatchObject({ status: 200, body: { status: 'canceled' } });
    const attempt = await start(after, slot, at);
    await at.pay(attempt);
    await become(after, attempt.id, 'confirmed');
    expect(await call('POST', `/v1/bookings/${attempt.id}/cancel`, { sub: after, body: {} })).toMatchObject({
      status: 200,
    });
    await become(after, attempt.id, 'refunded');
    expect(await at.ledgerOf(attempt.id)).toMatchObject({ capturedMinor: 700, refundedMinor: 700 });
    expect(await db('seats').where({ offering_id: slot }).whereNotNull('booking_id')).toEqual([]);
  });
});

test('a payer is lost when the process was restarted between start and payment: neither booking nor refund', async () => {
  const started = await Promise.all(
    gateways.map(async (at) => {
      const sub = `forgotten-${at.method}`;
      return { at, sub, attempt: await start(sub, await publish(at.currency), at) };
    }),
  );
  await restart();
  for (const { at, sub, attempt } of started) {
    expect(await read(sub, attempt.id)).toMatchObject({ status: 404 });
    expect(await at.pay(attempt)).toBe(true);
  }
  // The last of the sandboxes' goes is 1.7 s after the first.
  await sleep(2_500);
  for (const { at, attempt } of started) {
    expect(await at.copiesOfPaid(attempt.payment.gatewayRef, 1)).toEqual([404]);
    expect(await at.ledgerOf(attempt.id)).toMatchObject({ capturedMinor: 700, refundedMinor: 0 });
    expect(await db('bookings').where({ id: attempt.id })).toEqual([]);
    expect(await db('payments').where({ booking_id: attempt.id })).toEqual([]);
  }
});

test('what nobody pays expires, and what comes after that goes back', async () => {
  await restart({ PAYMENT_WINDOW_SECONDS: '5' });
  const started = await Promise.all(
    gateways.map(async (at) => {
      const sub = `late-${at.method}`;
      return { at, sub, attempt: await start(sub, await publish(at.currency), at) };
    }),
  );
  for (const { at, sub, attempt } of started) {
    await become(sub, attempt.id, 'expired');
    const paid = await at.pay(attempt);
    expect(paid).toBe(!at.closes);
    if (paid)
      await eventually('the refund', async () => (await at.ledgerOf(attempt.id)).refundedMinor === 700);
    expect((await read(sub, attempt.id)).body.status).toBe('expired');
  }
  await restart();
});

test('a refund that the gateway does not take is not sent again', async () => {
  const at = gatewayOf('stripe');
  const slot = await publish(at.currency);
  const [winner, loser] = [await start('faster', slot, at), await start('owed', slot, at)];
  await at.pay(winner);
  await become('faster', winner.id, 'confirmed');
  await at.fault('status-500-undone', 'refund', loser.id, 1);
  await at.pay(loser);
  await become('owed', loser.id, 'refunding');
  await at.copiesOfPaid(loser.payment.gatewayRef, 3);
  expect(await at.ledgerOf(loser.id)).toMatchObject({ capturedMinor: 700, refundedMinor: 0 });
});

test('five customers pay for two seats at once: two bookings, three refunds, no seat sold twice', async () => {
  const at = gatewayOf('stripe');
  const slot = await publish(at.currency, 2);
  const attempts = await Promise.all([1, 2, 3, 4, 5].map((k) => start(`race${k}`, slot, at)));
  await Promise.all(attempts.map((attempt) => at.pay(attempt)));
  const ends = await eventually('five ends', async () => {
    const seen = await Promise.all(
      attempts.map(async ({ id }, k) => (await read(`race${k + 1}`, id)).body.status),
    );
    return seen.every((status) => ['confirmed', 'refunded'].includes(status)) && seen.sort();
  });
  expect(ends).toEqual(['confirmed', 'confirmed', 'refunded', 'refunded', 'refunded']);
  expect(await db('seats').where({ offering_id: slot }).whereNotNull('booking_id')).toHaveLength(2);
});

test('it lives on when its connection to the database is cut while it books, and books by a later go of the webhook', async () => {
  const at = gatewayOf('stripe');
  const slot = await publish(at.currency);
  const attempt = await start('patient', slot, at);
  await db.transaction(async (trx) => {
    await trx('offerings').where({ id: slot }).forUpdate().select('id');
    await at.pay(attempt);
    await eventually('the cut', async () => {
      const waiting = trx('pg_stat_activity').where({
        application_name: 'in-memory',
        wait_event_type: 'Lock',
      });
      const cut = await waiting.select(trx.raw('pg_terminate_backend(pid)'));
      return cut.length > 0;
    });
  });
  await become('patient', attempt.id, 'confirmed');
  const payments = db('payments').where({ booking_id: attempt.id });
  expect(await payments.select('disposition', 'amount_minor')).toEqual([
    { disposition: 'booked', amount_minor: 700 },
  ]);
});

test('a double click starts one attempt; a booking is remembered over a restart, a customer’s own alone', async () => {
  const at = gatewayOf('stripe');
  const slot = await publish(at.currency);
  const options = { sub: 'clicker', key: 'one wish', body: wish('clicker', slot, at.method) };
  const clicks = await Promise.all([1, 2, 3].map(() => call('POST', '/v1/bookings', options)));
  expect(clicks.map(({ status }) => status).sort()).toEqual([200, 200, 201]);
  expect(new Set(clicks.map(({ body }) => body.payment.gatewayRef)).size).toBe(1);
  const other = { ...options, body: wish('clicker', slot, 'razorpay') };
  expect(await call('POST', '/v1/bookings', other)).toMatchObject({ status: 422 });
  const attempt = clicks[0]?.body;
  await at.pay(attempt);
  const told = await become('clicker', attempt.id, 'confirmed');
  await restart();
  expect((await read('clicker', attempt.id)).body).toMatchObject({
    status: 'confirmed',
    reference: told.reference,
  });
  expect(await at.copiesOfPaid(attempt.payment.gatewayRef, 1)).toEqual([200]);
  expect(await read('somebody', attempt.id)).toMatchObject({ status: 404 });
});

test('a wallet pays and books in one, or does neither', async () => {
  const slot = await publish('EUR');
  const credit = {
    sub: 'operator',
    scope: 'ops',
    key: 'gift',
    body: { amountMinor: 2_000, currency: 'EUR' },
  };
  expect(await call('POST', '/v1/wallets/saver/credits', credit)).toMatchObject({ status: 201 });
  expect(await call('POST', '/v1/wallets/saver/credits', credit)).toMatchObject({ status: 200 });
  const pays = (sub: string, key: string) =>
    call('POST', '/v1/bookings', { sub, key, body: wish(sub, slot, 'wallet') });
  expect(await pays('poor', 'a')).toMatchObject({ status: 402 });
  const [one, other] = await Promise.all([pays('saver', 'a'), pays('saver', 'b')]);
  expect([one?.status, other?.status].sort()).toEqual([201, 409]);
  const balance = () => db('wallets').where({ customer_id: 'saver' }).first('balance_minor');
  expect(await balance()).toEqual({ balance_minor: 1_300 });
  const booked = [one, other].find((answer) => answer?.status === 201);
  const canceled = await call('POST', `/v1/bookings/${booked?.body.id}/cancel`, { sub: 'saver', body: {} });
  expect(canceled).toMatchObject({ status: 200, body: { status: 'refunded', refund: { amountMinor: 700 } } });
  expect(await balance()).toEqual({ balance_minor: 2_000 });
});

test('a webhook that the gateway did not sign, and a caller without a token, are refused', async () => {
  for (const { method } of gateways) {
    const forged = await fetch(`${api}/webhooks/${method}`, {
      method: 'POST',
      body: '{"type":"payment_intent.succeeded"}',
    });
    expect(forged.status).toBe(400);
  }
  expect((await fetch(`${api}/v1/bookings`, { method: 'POST' })).status).toBe(401);
});
