/** The API alone, for its own tests: real PostgreSQL, real HTTP on port 0, and a Temporal client that answers as told. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { SignJWT } from 'jose';
import type { Knex } from 'knex';
import pino from 'pino';
import { createApp } from '../src/api/app';
import { ownerMark } from '../src/api/marks';
import { openListener } from '../src/api/listener';
import { readConfig, type Config } from '../src/config';
import { openDatabase } from '../src/database';
import { stripeGateway } from '../src/gateways/stripe';
import { sendBeat } from '../src/notices';
import { makePayloadCodec } from '../src/payloads';
import type { LookUp } from '../src/public-address';
import { makeMetrics, type Metrics } from '../src/telemetry';
import { searchAttributes } from '../src/workflows/messages';
import { freshDatabase, type FreshDatabase } from './database';
import type { Json } from './world';

export type { Json };

export interface Answer {
  status: number;
  headers: Headers;
  body: Json;
}

/** What Temporal does in these tests; each throws or answers as the test needs. */
export interface FakeTemporal {
  open: (input: Json, options: Json) => Promise<unknown>;
  /** Any other update, whether or not its workflow is started with it. */
  update: (workflowId: string, name: string, args: Json) => Promise<unknown>;
  signal: (workflowId: string, name: string, args: Json) => Promise<void>;
  signalWithStart: (options: Json) => Promise<void>;
  describe: (workflowId: string) => Promise<Json>;
  systemInfo: () => Promise<unknown>;
}

export interface ApiUnderTest {
  url: string;
  config: Config;
  database: FreshDatabase;
  db: Knex;
  /** The application's own, by the read-only role. */
  reading: Knex;
  metrics: Metrics;
  temporal: FakeTemporal;
  /** Lines logged so far. */
  logged: string[];
  /** Tells the application that its process ends. */
  endProcess(): void;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  token(sub: string, scope?: string, options?: { secret?: string; expiresIn?: string }): Promise<string>;
  stop(): Promise<void>;
}

export interface CallOptions {
  token?: string | undefined;
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Buffer;
  key?: string | undefined;
  headers?: Record<string, string>;
}

export const jwtSecret = 'a secret for tests only, long enough for HS256';
export const webhookSecret = 'whsec_tests_only';

/** What Temporal says of an attempt of this customer: `open` is under way, or another activity. */
export function describeAttempt(
  config: Config,
  customerId: string,
  { method = 'stripe', activity = 'open' }: { method?: string; activity?: string } = {},
): Json {
  return {
    memo: { owner: ownerMark(config.appSecret, customerId) },
    raw: { pendingActivities: [{ activityType: { name: activity } }] },
    typedSearchAttributes: new TypedSearchAttributes([{ key: searchAttributes.gateway, value: method }]),
  };
}

/** Temporal knows nothing and starts nothing. */
export function emptyTemporal(): FakeTemporal {
  const unknown = (id: string) => Promise.reject(new WorkflowNotFoundError('not found', id, undefined));
  return {
    open: () => Promise.reject(new Error('Bug: the test did not expect a start')),
    update: unknown,
    signal: unknown,
    signalWithStart: () => Promise.resolve(),
    describe: unknown,
    systemInfo: () => Promise.resolve({}),
  };
}

function clientOf(fake: FakeTemporal): Client {
  const workflow = {
    executeUpdateWithStart: ({ name }: { name: string }, options: Json) => {
      const { workflowId, args } = options.startWorkflowOperation.options;
      return name === 'open' ? fake.open(args[0], options) : fake.update(workflowId, name, options.args);
    },
    signalWithStart: (_type: string, options: Json) => fake.signalWithStart(options),
    getHandle: (workflowId: string) => ({
      executeUpdate: ({ name }: { name: string }, { args }: Json) => fake.update(workflowId, name, args),
      signal: ({ name }: { name: string }, ...args: unknown[]) => fake.signal(workflowId, name, args),
      describe: () => fake.describe(workflowId),
    }),
  };
  return {
    workflow,
    workflowService: { getSystemInfo: () => fake.systemInfo() },
    withDeadline: <T>(_deadline: number, run: () => Promise<T>) => run(),
  } as unknown as Client;
}

/** A client of a server that is not there. */
export function clientOfNobody(): { client: Client; close(): Promise<void> } {
  const connection = Connection.lazy({ address: '127.0.0.1:1' });
  return { client: new Client({ connection }), close: () => connection.close() };
}

/** Starts the API. Stop it in `afterAll`. */
export async function startApi(
  options: {
    env?: Record<string, string>;
    client?: Client;
    databaseUrl?: string;
    readonlyUrl?: string;
    lookUp?: LookUp;
    /** Where it listens for notices; `nowhere`: it does not. */
    listenUrl?: string;
    beatEveryMs?: number;
    /** Another process on that database; whoever made it closes it. */
    beside?: FreshDatabase;
  } = {},
): Promise<ApiUnderTest> {
  const database = options.beside ?? (await freshDatabase(4));
  const config = readConfig({
    DATABASE_URL: options.databaseUrl ?? database.url,
    DATABASE_READONLY_URL: options.readonlyUrl ?? database.readonlyUrl,
    AUTH_JWT_SECRET: jwtSecret,
    APP_SECRET: 'an application secret for tests only',
    STRIPE_SECRET_KEY: 'sk_test_tests_only',
    STRIPE_WEBHOOK_SECRET: webhookSecret,
    RATE_ANONYMOUS_PER_MINUTE: '100000',
    RATE_STARTS_PER_MINUTE: '100000',
    RATE_RETRIES_PER_MINUTE: '100000',
    WEB_ORIGINS: 'https://shop.example',
    ...options.env,
  });
  const logged: string[] = [];
  const log = pino(
    { level: 'info', messageKey: 'event' },
    { write: (text: string) => void logged.push(text) },
  );
  if (config.stripe === undefined) throw new Error('Bug: no Stripe settings');
  const temporal = emptyTemporal();
  const metrics = makeMetrics();
  const db = openDatabase(config.database.url, { poolMax: 4, name: 'test-api' });
  const reading = openDatabase(config.database.readonlyUrl ?? config.database.url, {
    poolMax: 4,
    readonly: true,
    name: 'test-api-reading',
  });
  const listener = openListener({
    url: options.listenUrl ?? config.database.url,
    sendBeat: (id) => sendBeat(db, id),
    log,
    ...(options.beatEveryMs === undefined ? {} : { beatEveryMs: options.beatEveryMs }),
  });
  const stopping = new AbortController();
  const app = createApp({
    config,
    db,
    reading,
    temporal: options.client ?? clientOf(temporal),
    codec: makePayloadCodec(config.payloadKeys),
    gateways: new Map([['stripe', stripeGateway(config.stripe)]]),
    ...(options.lookUp === undefined ? {} : { lookUp: options.lookUp }),
    log,
    metrics,
    stopping: stopping.signal,
    ...(options.listenUrl === 'nowhere' ? {} : { listener }),
  });
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = app.listen(0, '127.0.0.1', () => resolve(listening));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    config,
    database,
    db: database.db,
    reading,
    metrics,
    temporal,
    logged,
    endProcess: () => stopping.abort(),
    call: (method, path, given) => call(url, method, path, given),
    token,
    stop: async () => {
      stopping.abort();
      listener.close();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await Promise.all([db.destroy(), reading.destroy()]);
      if (options.beside === undefined) await database.close();
    },
  };
}

async function call(url: string, method: string, path: string, given: CallOptions = {}): Promise<Answer> {
  const { token: bearer, body, raw, key, headers } = given;
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: typeof sent === 'string' ? sent : new Uint8Array(sent) }),
  });
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

async function token(
  sub: string,
  scope = 'bookings',
  { secret = jwtSecret, expiresIn = '1h' }: { secret?: string; expiresIn?: string } = {},
): Promise<string> {
  return new SignJWT({ scope })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(expiresIn)
    .sign(new TextEncoder().encode(secret));
}

/** Rows in every table, to show that nothing was written. */
export async function countRows(db: Knex): Promise<Record<string, number>> {
  const { rows: tables } = await db.raw<{ rows: { tablename: string }[] }>(
    `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'knex%' ORDER BY 1`,
  );
  const counts: Record<string, number> = {};
  for (const { tablename } of tables) {
    const row = await db(tablename).count<{ n: number }[]>('* as n').first();
    counts[tablename] = Number(row?.n);
  }
  return counts;
}

/** Body of a slot that can be published. */
export function slot(more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    kind: 'slot',
    title: 'Check-up',
    startsAt: new Date(Date.now() + 86_400_000).toISOString(),
    price: { amountMinor: 2500, currency: 'EUR' },
    ...more,
  };
}

/** Body of a booking that can be started. */
export function booking(offeringId: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    items: [{ offeringId }],
    payment: { method: 'stripe' },
    customer: { name: 'Ada', email: 'ada@example.org' },
    ...more,
  };
}

/** Publishes an offering as `provider`; the answer's body. */
export async function publish(
  api: ApiUnderTest,
  provider: string,
  body: Record<string, unknown> = slot(),
): Promise<Json> {
  const token = await api.token(provider, 'catalog');
  const made = await api.call('POST', '/v1/offerings', { token, body });
  if (made.status !== 201) throw new Error(`Publishing was answered ${made.status}`);
  return made.body;
}

/** Every page of a list, one after the other; `path` names a limit. */
export async function pagesOf(api: ApiUnderTest, path: string, token?: string): Promise<Json[][]> {
  const pages: Json[][] = [];
  let cursor: string | undefined;
  do {
    const at = cursor === undefined ? path : `${path}&cursor=${cursor}`;
    const { body } = await api.call('GET', at, { token });
    const page = body.entries ?? body;
    pages.push(page.items as Json[]);
    cursor = page.nextCursor as string | undefined;
  } while (cursor !== undefined);
  return pages;
}

/** Settles an attempt's payment as its activity would. */
export async function settle(db: Knex, bookingId: string): Promise<void> {
  const attempt = await db('attempts').where({ booking_id: bookingId }).first<Json>();
  await db.raw('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
    bookingId,
    'stripe',
    `pi_${bookingId}`,
    `ch_${bookingId}`,
    attempt.total_minor,
    attempt.currency,
    `pay_${bookingId}`,
    `ref_${bookingId}`,
    [`BK-${bookingId.slice(-10).toUpperCase()}`],
  ]);
}

let lastAttempt = 0;

/** An offering as an attempt quotes it: one seat. */
export function quoted(offering: Json, more: Record<string, unknown> = {}): Json {
  const { id, kind, title, startsAt, endsAt, timeZone, price } = offering;
  return {
    offeringId: id,
    kind,
    title,
    seats: 1,
    priceMinor: price.amountMinor,
    ...(kind === 'slot' ? { startsAt, endsAt, timeZone } : {}),
    details: { allergy: 'nuts' },
    ...more,
  };
}

/** Writes an attempt's rows as its activities would: for one seat of an offering, or for these items. */
export async function writeAttempt(
  db: Knex,
  wanted: Json,
  more: Record<string, unknown> = {},
): Promise<string> {
  lastAttempt += 1;
  const bookingId = `bkg_${String(lastAttempt).padStart(24, '0')}`;
  const items: Json[] = Array.isArray(wanted) ? wanted : [quoted(wanted)];
  await db('attempts').insert({
    booking_id: bookingId,
    request_hash: 'hash',
    customer_id: 'ada',
    method: 'stripe',
    quote: JSON.stringify({ items }),
    total_minor: items.reduce((sum, item) => sum + Number(item.priceMinor) * Number(item.seats), 0),
    currency: 'EUR',
    contact: JSON.stringify({ name: 'Ada', email: 'ada@example.org' }),
    status: 'awaiting_payment',
    tries_max: 5,
    window_seconds: 900,
    expires_at: new Date(Date.now() + 900_000),
    ...more,
  });
  await db('payment_tries').insert({
    booking_id: bookingId,
    try: 1,
    gateway: 'stripe',
    gateway_ref: `pi_${bookingId}`,
    how_to_pay: JSON.stringify({ clientSecret: `${bookingId}_secret` }),
    status: 'open',
  });
  return bookingId;
}
