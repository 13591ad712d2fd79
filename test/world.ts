/**
 * A whole Payfirst in one test process: a fresh database, the Stripe sandbox and the mail sink, a real worker and the real
 * API on port 0, against the run's Temporal server under a task queue of its own.
 */
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, type Worker } from '@temporalio/worker';
import express, { type RequestHandler } from 'express';
import { SignJWT } from 'jose';
import type { Knex } from 'knex';
import { startMailSink, type MailSink } from '../sandbox/mail/sink';
import { startStripeSandbox, type StripeSandbox } from '../sandbox/stripe/sandbox';
import { createActivities, type Activities } from '../src/activities';
import type { Dependencies } from '../src/activities/dependencies';
import { createApp } from '../src/api/app';
import { openListener } from '../src/api/listener';
import { readConfig, type Config } from '../src/config';
import { openDatabase } from '../src/database';
import type { Gateway } from '../src/gateways/gateway';
import { configuredGateways } from '../src/gateways/configured';
import { lookUp, type LookUp } from '../src/public-address';
import { sendBeat } from '../src/notices';
import { makeDataConverter, makePayloadCodec } from '../src/payloads';
import { makeLogger, makeMetrics, type Logger } from '../src/telemetry';
import { makeMailer, makeWorker } from '../src/worker';
import type { AtGateway } from './at-gateways';
import { atStripeSandbox } from './at-stripe';
import { bePatient, freshDatabase } from './database';
import { countPendingCalls } from './pending-calls';

/** JSON as a test reads it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers are checked by the expectations themselves
export type Json = any;

export interface Answer {
  status: number;
  headers: Headers;
  body: Json;
}

export interface World {
  api: string;
  config: Config;
  db: Knex;
  sandbox: StripeSandbox;
  /** Every gateway that this world has, Stripe first. */
  gateways: ReadonlyMap<string, AtGateway>;
  mail: MailSink;
  temporal: Client;
  taskQueue: string;
  dependencies: Dependencies;
  /** Starts another worker on the same queue. */
  startWorker(activities?: Activities): Promise<RunningWorker>;
  call(
    method: string,
    path: string,
    options?: { token?: string; body?: unknown; key?: string },
  ): Promise<Answer>;
  token(sub: string, scope?: string): Promise<string>;
  stop(): Promise<void>;
}

export interface RunningWorker {
  worker: Worker;
  stop(): Promise<void>;
}

export interface WorldOptions {
  windowSeconds?: number;
  /** Gateways beside Stripe, started already; the world ends them. */
  gateways?: readonly AtGateway[];
  /** false: no worker runs until the test starts one. */
  worker?: boolean;
  /** The payment watch and the courier, as activities driven by the test's worker. */
  standing?: boolean;
  wrapGateway?(gateway: Gateway): Gateway;
  wrapActivities?(activities: Activities): Activities;
  env?: Record<string, string>;
  /** Stands before everything that the API does with a request. */
  meddle?: RequestHandler;
  /** How the API finds the hosts of webhook endpoints; without it, as the machine does. */
  lookUp?: LookUp;
  /** Takes the lines that worker and API log; without it they are not written at all. */
  log?: Logger;
  /** Another Temporal server than the run's own: one that the test may kill. */
  temporalAddress?: string;
}

const jwtSecret = 'a secret for tests only, long enough for HS256';

let runtimeInstalled = false;
/** Keeps the SDK from writing what tests cause on purpose. */
export function quietRuntime(): void {
  if (runtimeInstalled) return;
  runtimeInstalled = true;
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    shutdownSignals: [],
    // Tests make failures on purpose; the SDK's warnings about them say nothing new.
    telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
  });
}

/** Starts a world. Stop it in `afterAll`. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const address = options.temporalAddress ?? process.env['TEST_TEMPORAL_ADDRESS'];
  if (address === undefined) throw new Error('TEST_TEMPORAL_ADDRESS is missing: run the tests by `npm test`');
  quietRuntime();
  const database = await freshDatabase();
  const webhookSecret = 'whsec_tests_only';
  const sandbox = await startStripeSandbox({ webhookSecret, webhookRetryGapsMs: [200, 500, 1000] });
  const mail = await startMailSink();
  const taskQueue = `test-${randomBytes(6).toString('hex')}`;
  const stripeEnv = {
    STRIPE_SECRET_KEY: 'sk_test_tests_only',
    STRIPE_WEBHOOK_SECRET: webhookSecret,
    STRIPE_API_BASE: sandbox.url,
  };
  const atGateways = [atStripeSandbox(sandbox, stripeEnv), ...(options.gateways ?? [])];
  const config = readConfig({
    DATABASE_URL: database.url,
    DATABASE_READONLY_URL: database.readonlyUrl,
    TEMPORAL_TASK_QUEUE: taskQueue,
    PAYMENT_WINDOW_SECONDS: String(options.windowSeconds ?? 900),
    AUTH_JWT_SECRET: jwtSecret,
    APP_SECRET: 'an application secret for tests only',
    ...Object.assign({}, ...atGateways.map(({ env }) => env)),
    SMTP_URL: mail.smtpUrl,
    PAYLOAD_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    RATE_STARTS_PER_MINUTE: '100000',
    RATE_RETRIES_PER_MINUTE: '100000',
    RATE_ANONYMOUS_PER_MINUTE: '100000',
    LOG_LEVEL: 'silent',
    ...options.env,
  });
  const pending = countPendingCalls();
  const connection = await Connection.connect({ address, interceptors: pending.interceptors });
  const native = await NativeConnection.connect({ address });
  const temporal = new Client({ connection, dataConverter: makeDataConverter(config.payloadKeys) });
  const log = options.log ?? makeLogger('test', config.logLevel);
  const gateways = new Map(
    [...configuredGateways(config).values()].map((gateway) => [
      gateway.name,
      options.wrapGateway?.(gateway) ?? gateway,
    ]),
  );
  const dependencies: Dependencies = {
    db: database.db,
    gateways,
    temporal,
    taskQueue,
    sendMail: makeMailer(mail.smtpUrl, config.mail.from),
    webhooks: { ...config.webhooks, appSecret: config.appSecret, lookUp, timeoutMs: 2_000 },
    payment: config.payment,
    log,
    metrics: makeMetrics(),
  };
  const reading = openDatabase(database.readonlyUrl, { poolMax: 8, readonly: true, name: 'test-reading' });
  bePatient(reading);
  const listener = openListener({ url: database.url, sendBeat: (id) => sendBeat(database.db, id), log });
  const app = createApp({
    config,
    db: database.db,
    reading,
    temporal,
    codec: makePayloadCodec(config.payloadKeys),
    gateways,
    log,
    metrics: makeMetrics(),
    listener,
    ...(options.lookUp === undefined ? {} : { lookUp: options.lookUp }),
  });
  const served = options.meddle === undefined ? app : express().use(options.meddle, app);
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = served.listen(0, '127.0.0.1', () => resolve(listening));
  });
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const at of atGateways) await at.setWebhookUrl(`${api}/webhooks/${at.method}`);

  const workers = new Set<RunningWorker>();
  async function startWorker(activities?: Activities): Promise<RunningWorker> {
    const own = createActivities(dependencies);
    const worker = await makeWorker(
      native,
      { ...config, namespace: 'default' },
      activities ?? options.wrapActivities?.(own) ?? own,
      {
        workflowBundle: { codePath: join(__dirname, '..', 'dist', 'workflow-bundle.js') },
        shutdownGraceTime: 100,
        // A call to a gateway that is under way comes to its end first; machines are slow at times.
        shutdownForceTime: 20_000,
      },
    );
    const run = worker.run();
    const running: RunningWorker = {
      worker,
      stop: async () => {
        if (!workers.delete(running)) return;
        worker.shutdown();
        // Now and then the SDK cannot free a worker that has stopped ("Worker still in use. Expected 1 reference, but got
        // 2"): its last poll has told us of its end and not let go yet. Nothing runs any more.
        await run.catch((error: unknown) => {
          if (worker.getState() !== 'STOPPED') throw error;
        });
      },
    };
    workers.add(running);
    return running;
  }
  const standingIds: string[] = [];
  if (options.worker !== false) await startWorker();
  if (options.standing !== false) {
    for (const type of ['paymentWatch', 'courier']) {
      const workflowId = `${type}-${taskQueue}`;
      await temporal.workflow.start(type, { workflowId, taskQueue });
      standingIds.push(workflowId);
    }
  }

  async function token(sub: string, scope = 'bookings'): Promise<string> {
    return new SignJWT({ scope })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(sub)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(new TextEncoder().encode(jwtSecret));
  }

  const call: World['call'] = async (method, path, { token: bearer, body, key } = {}) => {
    const response = await fetch(`${api}${path}`, {
      method,
      headers: {
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
  };

  return {
    api,
    config,
    db: database.db,
    sandbox,
    gateways: new Map(atGateways.map((at) => [at.method, at])),
    mail,
    temporal,
    taskQueue,
    dependencies,
    startWorker,
    call,
    token,
    stop: async () => {
      for (const workflowId of standingIds) {
        await temporal.workflow
          .getHandle(workflowId)
          .terminate('the test file ends')
          .catch(() => undefined);
      }
      await Promise.all([...workers].map((running) => running.stop()));
      // No more webhooks, then every request to its end: a call that still retries when the connection to Temporal is
      // closed under it throws from a timer, which fails the file. Deadlines are 8 s at most.
      await Promise.all(atGateways.map((at) => at.close()));
      const impatient = setTimeout(() => server.closeAllConnections(), 15_000);
      await new Promise((resolve) => server.close(resolve));
      clearTimeout(impatient);
      await mail.close();
      listener.close();
      await reading.destroy();
      await native.close();
      await eventually('the last call to Temporal', async () => pending.count() === 0, 60_000);
      await connection.close();
      await database.close();
    },
  };
}

/** A booking as any two answers tell it: the ticket in `links.events` is another one every ten minutes (`src/api/tickets.ts`). */
export function withoutTicket(booking: Json): Json {
  const events: string | undefined = booking.links.events;
  return { ...booking, links: { ...booking.links, events: events?.replace(/\?.*$/, '') } };
}

/** Waits until `look` gives something, or fails with what it was waiting for. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  ms = 60_000,
): Promise<T> {
  const until = Date.now() + ms;
  // What did not happen at once is looked for less often, at about a seventh of the time waited so far: many who wait take the
  // machine from what they wait for. Without it (never longer than 100 ms) six files together lasted a tenth longer.
  for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 1.15, 500)) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (Date.now() > until) throw new Error(`${what} did not happen within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
