/**
 * Process: an ordinary worker that kills itself with SIGKILL at one named point. Translated and started by
 * `crashes-setup.ts`; it uses the built tree, as production does.
 */
import { writeSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import type { Knex } from 'knex';
import { createActivities } from '../src/activities';
import { openDatabase } from '../src/database';
import type { Gateway } from '../src/gateways/gateway';
import { stripeGateway } from '../src/gateways/stripe';
import { makeDataConverter } from '../src/payloads';
import { lookUp } from '../src/public-address';
import { makeLogger, makeMetrics } from '../src/telemetry';
import { makeWorker } from '../src/worker';

/** Where to die. */
export type CrashPoint =
  /** At a call to the gateway: before it leaves, or when its answer has come and nobody has seen it. */
  | { call: 'open' | 'read' | 'close' | 'refund' | 'readRefund'; when: 'before' | 'after' }
  /** At the commit of the transaction in which this statement (a regular expression) ran. `during`: while it runs. */
  | { commitOf: string; when: 'before' | 'during' | 'after' }
  /** At a statement that is a transaction of its own. `during`: the server has it, and no answer has come. */
  | { statement: string; when: 'before' | 'during' | 'after' };

/** What the parent passes in `CRASH_SETTINGS`. */
export interface CrashSettings {
  point: CrashPoint;
  temporalAddress: string;
  databaseUrl: string;
  taskQueue: string;
  payloadKeys: string[];
  stripe: { secretKey: string; webhookSecrets: string[]; apiBase: string };
  payment: { windowSeconds: number; triesMax: number };
  webhooks: { appSecret: string; allowPrivate: boolean };
}

/** From sending a statement to dying, in ms: long enough to reach a server on the same machine. */
const onItsWayMs = 300;

function die(): void {
  writeSync(process.stdout.fd, 'dying\n');
  process.kill(process.pid, 'SIGKILL');
}

function dyingGateway(gateway: Gateway, point: CrashPoint): Gateway {
  if (!('call' in point)) return gateway;
  const { call, when } = point;
  return new Proxy(gateway, {
    get: (target, name, receiver) => {
      const method: unknown = Reflect.get(target, name, receiver);
      if (name !== call || typeof method !== 'function') return method;
      return async (...args: unknown[]): Promise<unknown> => {
        if (when === 'before') die();
        const answer: unknown = await Reflect.apply(method, target, args);
        die();
        return answer;
      };
    },
  });
}

function dyingDatabase(db: Knex, point: CrashPoint): Knex {
  if ('call' in point) return db;
  const transaction = async (work: (trx: Knex.Transaction) => Promise<unknown>): Promise<unknown> => {
    const statements: string[] = [];
    const isMeant = () =>
      'commitOf' in point && statements.some((statement) => new RegExp(point.commitOf).test(statement));
    const result = await db.transaction(async (trx) => {
      trx.on('query', (query: { sql: string }) => {
        statements.push(query.sql);
        if (isMeant() && point.when === 'during') setTimeout(die, onItsWayMs);
      });
      const done = await work(trx);
      if (isMeant() && point.when === 'before') die();
      return done;
    });
    if (isMeant()) die();
    return result;
  };
  const raw = async (sql: string, bindings: Knex.RawBinding[]): Promise<unknown> => {
    const isMeant = 'statement' in point && new RegExp(point.statement).test(sql);
    if (isMeant && point.when === 'before') die();
    if (isMeant && point.when === 'during') setTimeout(die, onItsWayMs);
    const result: unknown = await db.raw(sql, bindings);
    if (isMeant) die();
    return result;
  };
  return new Proxy(db, {
    get: (target, name, receiver) => {
      // Only a raw statement that is awaited at once is meant; those inside other statements are left alone.
      if (name === 'raw' && 'statement' in point) return raw;
      return name === 'transaction' ? transaction : (Reflect.get(target, name, receiver) as unknown);
    },
  });
}

async function main(): Promise<void> {
  const settings = JSON.parse(process.env['CRASH_SETTINGS'] ?? '') as CrashSettings;
  const { point, temporalAddress: address, taskQueue, payloadKeys } = settings;
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    // What it says is compared: the SDK's warning that a busy machine was slow is none of this worker's own.
    telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
  });
  const connection = await NativeConnection.connect({ address });
  const temporal = new Client({
    connection: await Connection.connect({ address }),
    dataConverter: makeDataConverter(payloadKeys),
  });
  const gateway = dyingGateway(stripeGateway({ ...settings.stripe, publishableKey: undefined }), point);
  const worker = await makeWorker(
    connection,
    { taskQueue, payloadKeys, namespace: 'default' },
    createActivities({
      db: dyingDatabase(openDatabase(settings.databaseUrl, { poolMax: 4, name: 'test-dying' }), point),
      gateways: new Map([[gateway.name, gateway]]),
      temporal,
      taskQueue,
      sendMail: undefined,
      webhooks: { ...settings.webhooks, lookUp, timeoutMs: 2_000 },
      payment: settings.payment,
      log: makeLogger('dying', 'silent'),
      metrics: makeMetrics(),
    }),
  );
  await worker.run();
}

// Who started this process holds the other end of stdin: when it dies, however it dies, so does this.
process.stdin.on('end', () => process.exit(0)).resume();
main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
