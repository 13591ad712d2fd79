/** The two sides of `bench/temporal.ts`: a whole Payfirst, and the smallest workflow. Both stand on one PostgreSQL and one Temporal. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'pg';
import { callApi, publishSlot, type Place } from '../dev/customer';
import { freePorts, LOOPBACK, portAnswers } from '../dev/ports';
import { runSql } from '../dev/postgres';
import { projectRoot } from '../dev/project';
import { startStack } from '../dev/stack';
import { connectStripeSandbox } from '../sandbox/stripe/control';
import type { AttemptStatus } from '../src/booking';
import { bookingWorkflowId } from '../src/workflows/messages';
import type { Ground } from './ground';
import { againMs, lostMs } from './rounds';
import { smallestSchema } from './smallest';

/** An attempt that waits for its money. */
export interface OpenAttempt {
  id: string;
  workflowId: string;
  /** The money is there from now on, and nobody has told. */
  pay(): Promise<void>;
  /** Tells; resolves when the webhook is acknowledged. @throws when it is not */
  tell(): Promise<void>;
}

/** What is measured. */
export interface Side {
  name: string;
  open(): Promise<OpenAttempt>;
  /** When the transactions that booked these were committed, in ms since 1970; those that were not are missing. */
  bookedAt(ids: readonly string[]): Promise<Map<string, number>>;
  /** Its own processes, by name. */
  pids(): Record<string, number>;
  /** Stops what would use the processor, or lets it go on. */
  rest(isResting: boolean): void;
}

/** The side that can be killed as a whole. */
export interface Payfirst extends Side {
  /** SIGKILL for the API and the worker. */
  kill(): Promise<void>;
  /** Both again. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

/** Reads the server's own stamps of commits, which are the same for both sides. */
async function commitsOf(pool: Pool, ids: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ id: string; at: string }>(
    'select id, extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000 as at from bookings where id = any($1)',
    [ids],
  );
  return new Map(rows.map(({ id, at }) => [id, Number(at)]));
}

function openPool(connectionString: string): Pool {
  const pool = new Pool({ connectionString, max: 1 });
  // A server that was killed is told by the next query.
  pool.on('error', () => undefined);
  return pool;
}

async function post(url: string, init: RequestInit = {}): Promise<void> {
  const response = await fetch(url, { method: 'POST', ...init });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
}

/** Starts the smallest workflow's process. */
export async function startSmallest({ processes, postgres, temporalAddress }: Ground): Promise<Side> {
  await postgres.createDatabase('smallest');
  const url = postgres.url('smallest');
  await runSql(url, smallestSchema);
  const [port = 0] = await freePorts(1);
  const name = 'smallest';
  const { pid } = await processes.start({
    name,
    command: process.execPath,
    args: [join(projectRoot, 'dist', 'bench', 'smallest.js')],
    env: { ...process.env, DATABASE_URL: url, TEMPORAL_ADDRESS: temporalAddress, PORT: `${port}` },
    ready: { probe: () => portAnswers(port) },
    // It bundles its workflow first.
    readyWithinMs: 60_000,
  });
  const pool = openPool(url);
  let next = 0;
  return {
    name: 'the smallest workflow',
    open: async () => {
      const id = `smallest-${next++}`;
      await post(`http://${LOOPBACK}:${port}/start/${id}`);
      return {
        id,
        workflowId: id,
        pay: () => Promise.resolve(),
        tell: () => post(`http://${LOOPBACK}:${port}/webhook/${id}`),
      };
    },
    bookedAt: (ids) => commitsOf(pool, ids),
    pids: () => ({ process: pid }),
    rest: (isResting) => processes.signal(name, isResting ? 'SIGSTOP' : 'SIGCONT'),
  };
}

/** A webhook as it came. */
interface Webhook {
  body: string;
  signature: string;
}

/** Takes the sandbox's webhooks, so that they reach Payfirst when the timetable says. */
async function startPostOffice(): Promise<{ url: string; of(intent: string): Promise<Webhook> }> {
  const come = new Map<string, Webhook>();
  const awaited = new Map<string, (webhook: Webhook) => void>();
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const event = JSON.parse(body) as { type: string; data: { object: { id: string } } };
      const { id } = event.data.object;
      if (event.type === 'payment_intent.succeeded') {
        const webhook = { body, signature: String(request.headers['stripe-signature']) };
        come.set(id, webhook);
        awaited.get(id)?.(webhook);
      }
      response.end();
    });
  });
  server.listen(0, LOOPBACK);
  await once(server, 'listening');
  server.unref();
  return {
    url: `http://${LOOPBACK}:${(server.address() as AddressInfo).port}`,
    of: async (intent) => come.get(intent) ?? new Promise<Webhook>((resolve) => awaited.set(intent, resolve)),
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/**
 * Starts as the documents tell a client to: while there is no pay page yet (202) or nothing could be started (503), the same
 * request again, which means the same attempt. Only a machine that has more to do than it can ever needs that.
 * @throws Error when the attempt is over before it could be paid, or nobody can pay it after minutes
 */
async function startUntilPayable(
  place: Place,
  n: number,
  offeringId: string,
): Promise<{ id: string; intent: string }> {
  const end = performance.now() + lostMs;
  while (performance.now() < end) {
    const { id, status, payment } = await callApi<{
      id?: string;
      status: AttemptStatus | 503;
      payment?: { gatewayRef?: string };
    }>(
      place,
      { sub: `payer-${n}`, scope: 'bookings' },
      {
        method: 'POST',
        path: '/v1/bookings',
        key: 'bench',
        expected: [200, 201, 202, 503],
        body: {
          items: [{ offeringId }],
          payment: { method: 'stripe' },
          customer: { name: 'A Payer', email: `payer-${n}@example.org` },
        },
      },
    );
    if (status !== 'awaiting_payment' && status !== 503)
      throw new Error(`${id} was ${status} before it could be paid`);
    if (id !== undefined && payment?.gatewayRef !== undefined) return { id, intent: payment.gatewayRef };
    await pause(againMs);
  }
  throw new Error(`payer-${n} was told to come again until they gave up`);
}

/** Slots whose seats are booked, one after the other: as many as the smallest workflow has. */
const slotCount = 20;

/** Starts Payfirst: API, one worker, the gateways' sandboxes and a mail sink, each a process of its own. */
export async function startPayfirst(
  { postgres, temporalAddress }: Ground,
  { windowSeconds = 3_600 }: { windowSeconds?: number } = {},
): Promise<Payfirst> {
  await postgres.createDatabase('payfirst');
  const url = postgres.url('payfirst');
  const stack = await startStack({
    // Nothing of the caller's: with their SMTP_URL, thousands of mails would go to real people.
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      DATABASE_URL: url,
      TEMPORAL_ADDRESS: temporalAddress,
    },
    settings: { PAYMENT_WINDOW_SECONDS: String(windowSeconds) },
    stopOnSignals: false,
  });
  const place = { api: stack.urls.api, env: stack.env };
  const sandbox = stack.urls.gateways.stripe ?? '';
  const office = await startPostOffice();
  await connectStripeSandbox(sandbox).setWebhookUrl(office.url);
  const slots: string[] = [];
  for (let n = 0; n < slotCount; n += 1) {
    slots.push((await publishSlot(place, { title: `Slot ${n}`, hour: n, capacity: 10_000 })).id);
  }
  const pool = openPool(url);
  const pay = (intent: string): Promise<void> =>
    post(`${sandbox}/v1/payment_intents/${intent}/confirm`, {
      headers: { authorization: `Bearer ${stack.env['STRIPE_SECRET_KEY']}` },
      body: new URLSearchParams({ payment_method: 'pm_card_visa' }),
    });
  const tell = async (intent: string): Promise<void> => {
    const { body, signature } = await office.of(intent);
    const headers = { 'content-type': 'application/json', 'stripe-signature': signature };
    await post(`${stack.urls.api}/webhooks/stripe`, { body, headers });
  };
  let next = 0;
  return {
    name: 'Payfirst',
    open: async () => {
      const n = next++;
      const { id, intent } = await startUntilPayable(place, n, slots[n % slotCount] ?? '');
      return { id, workflowId: bookingWorkflowId(id), pay: () => pay(intent), tell: () => tell(intent) };
    },
    bookedAt: (ids) => commitsOf(pool, ids),
    pids: () => ({ api: stack.pid('api') ?? 0, worker: stack.pid('worker') ?? 0 }),
    rest: (isResting) => stack.signal('worker', isResting ? 'SIGSTOP' : 'SIGCONT'),
    kill: async () => void (await Promise.all(['api', 'worker'].map((name) => stack.kill(name)))),
    startAgain: async () => void (await Promise.all(['api', 'worker'].map((name) => stack.start(name)))),
    stop: async () => {
      await pool.end();
      await stack.stop();
    },
  };
}
