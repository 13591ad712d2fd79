/** Process: the HTTP API. Starts and answers 503 while PostgreSQL or Temporal is away; drains on SIGTERM and SIGINT. */
import type { Server } from 'node:http';
import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { readConfigOrExit, type Config } from '../config';
import { openDatabase } from '../database';
import { configuredGateways } from '../gateways/configured';
import { sendBeat } from '../notices';
import { makeDataConverter, makePayloadCodec } from '../payloads';
import { makeLogger, makeMetrics, type Logger } from '../telemetry';
import { createApp } from './app';
import { openListener } from './listener';

/** How long requests under way may take after SIGTERM, in ms; orchestrators give 10 s by default. */
const drainWithinMs = 8_500;

function connectTemporal(config: Config): Client {
  // The TEMPORAL_… variables are Temporal's own standard, TLS and API keys included; its package reads them.
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const { address, tls, apiKey, metadata } = connectionOptions;
  const connection = Connection.lazy({
    ...(address === undefined ? {} : { address }),
    ...(tls === undefined ? {} : { tls }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(metadata === undefined ? {} : { metadata }),
  });
  const dataConverter = makeDataConverter(config.payloadKeys);
  return new Client({ connection, namespace, dataConverter });
}

function openReading({ database }: Config) {
  // Without a role of its own, reading goes by the main role in transactions that refuse to write.
  return openDatabase(database.readonlyUrl ?? database.url, {
    poolMax: database.poolMax,
    readonly: true,
    name: 'payfirst-api-reading',
  });
}

function listen(app: ReturnType<typeof createApp>, { port, host }: Config['http']): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = app.listen(port, host, (error?: Error) => {
      if (error === undefined) resolve(server);
      else reject(error);
    });
  });
}

/** Stops accepting, lets requests under way finish, and cuts those that take too long. */
async function drain(server: Server, log: Logger): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const cut = setTimeout(() => {
    log.warn({ event: 'api.cut' });
    server.closeAllConnections();
  }, drainWithinMs);
  await closed;
  clearTimeout(cut);
}

async function main(): Promise<void> {
  const config = readConfigOrExit();
  const log = makeLogger('api', config.logLevel);
  if (config.payloadKeys.length === 0) {
    log.warn({ event: 'payloads.clear', detail: 'PAYLOAD_KEYS is not set: Temporal sees clear text' });
  }
  const gateways = configuredGateways(config);
  log[gateways.size === 0 ? 'warn' : 'info']({ event: 'gateways.offered', gateways: [...gateways.keys()] });
  const temporal = connectTemporal(config);
  const db = openDatabase(config.database.url, { poolMax: config.database.poolMax, name: 'payfirst-api' });
  const reading = openReading(config);
  const stopping = new AbortController();
  const listener = openListener({ url: config.database.url, sendBeat: (id) => sendBeat(db, id), log });
  const app = createApp({
    config,
    db,
    reading,
    temporal,
    codec: makePayloadCodec(config.payloadKeys),
    gateways,
    log,
    metrics: makeMetrics(),
    stopping: stopping.signal,
    listener,
  });
  const server = await listen(app, config.http);
  const address = server.address();
  log.info({
    event: 'api.listening',
    port: typeof address === 'object' && address !== null ? address.port : config.http.port,
  });
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  stopping.abort();
  listener.close();
  await drain(server, log);
  await Promise.all([db.destroy(), reading.destroy()]);
  log.info({ event: 'api.ended' });
}

if (require.main === module) {
  main().then(
    // A probe that was asking an absent Temporal may still be between two tries; nobody waits for it any more.
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(
        `The API ended: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
      process.exit(1);
    },
  );
}
