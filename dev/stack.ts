/**
 * The whole of Payfirst on one machine, by one call: PostgreSQL, Temporal with its web UI, the gateways' sandboxes, a
 * mail sink, the migrations, the API and the worker. What the environment names (DATABASE_URL, TEMPORAL_ADDRESS, SMTP_URL,
 * keys of test accounts) is used instead of being started. Nothing of it outlives the process that called.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { makeDatabase } from './database';
import { gatewayNames, planGateways, type GatewayName } from './gateways';
import { freePorts, LOOPBACK } from './ports';
import { connectPostgres, type Postgres, startPostgres } from './postgres';
import { Processes, stopOnSignals } from './processes';
import { apiProgram, gatewayProgram, migrateProgram, startMailSink, workerProgram } from './programs';
import { type Progress } from './project';
import { defined, portFrom, type Secrets, secretsFrom } from './settings';
import { makeStackFolder, type StackUrls, writeStackState } from './state-file';
import { findTemporalCli } from './temporal-cli';
import { startTemporalServer, type TemporalServer } from './temporal-server';
import { serveTemporalUi } from './temporal-ui';

/** How a stack is started; everything has a default. */
export interface StackOptions {
  progress?: Progress;
  /** What is read instead of `process.env`. */
  env?: NodeJS.ProcessEnv;
  /** Further settings of the API and the worker; they win over everything else. */
  settings?: Record<string, string>;
  /** How many workers; 1 if missing. They are called `worker`, `worker-2`, … */
  workers?: number;
  /** Whether Ctrl-C and SIGTERM stop the stack and end this process; true if missing. */
  stopOnSignals?: boolean;
}

/** A stack that is up. */
export interface Stack {
  urls: StackUrls;
  /** The settings that the API and the worker were given. */
  env: Record<string, string>;
  secrets: Secrets;
  /** Holds `<name>.log` for each process. */
  logFolder: string;
  postgres: Postgres;
  temporal: TemporalServer;
  /** `postgres`, `temporal`, `stripe`, `razorpay`, `phonepe`, `mail`, `api`, `worker`: those this stack started. */
  pid: (name: string) => number | undefined;
  /** Any signal, SIGSTOP and SIGCONT too, without waiting. */
  signal: (name: string, signal: NodeJS.Signals) => void;
  /** SIGKILL, and waits until it is gone. */
  kill: (name: string) => Promise<void>;
  /** Starts again, at the same address, what was killed or stopped. */
  start: (name: string) => Promise<void>;
  /** Stops in order and starts again. */
  restart: (name: string) => Promise<void>;
  /** Stops everything and removes its data; the logs stay. */
  stop: () => Promise<void>;
}

interface Ports {
  api: number;
  /** Where people find the Temporal UI. */
  ui: number;
  gateways: Record<GatewayName, number>;
  smtp: number;
  mail: number;
  metrics: number[];
}

async function choosePorts(env: NodeJS.ProcessEnv, workers: number): Promise<Ports> {
  const [api, ui, smtp, mail, stripe, razorpay, phonepe, ...metrics] = (await freePorts(
    4 + gatewayNames.length + workers,
  )) as [number, number, number, number, number, number, number, ...number[]];
  const metricsPort = portFrom(env, 'METRICS_PORT');
  if (metricsPort !== undefined) metrics[0] = metricsPort;
  return {
    api: portFrom(env, 'PORT') ?? api,
    ui: portFrom(env, 'TEMPORAL_UI_PORT') ?? ui,
    gateways: { stripe, razorpay, phonepe },
    smtp,
    mail,
    metrics,
  };
}

/** Like `Promise.all`, but it throws only once all have come to an end: what still starts could not be stopped. */
async function together<T extends readonly Promise<unknown>[] | []>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** Brings up one stack; holds what must be taken down again. */
class Start {
  readonly #env: NodeJS.ProcessEnv;
  readonly #processes: Processes;
  readonly #progress: Progress;
  readonly #undo: (() => Promise<void> | void)[] = [];
  readonly logFolder: string;

  constructor(readonly options: StackOptions) {
    this.#env = options.env ?? process.env;
    this.#progress = options.progress ?? (() => undefined);
    this.logFolder = makeStackFolder();
    this.#processes = new Processes(this.logFolder, this.#progress);
  }

  async all(): Promise<Stack> {
    const env = this.#env;
    const secrets = secretsFrom(env);
    const ports = await choosePorts(env, this.options.workers ?? 1);
    const gateways = planGateways(env, ports.gateways);
    const apiUrl = `http://${LOOPBACK}:${ports.api}`;
    const [database, temporal, mail] = await together([
      this.#database(),
      this.#temporal(ports),
      this.#mail(ports),
    ]);
    await together(
      gateways
        .filter((plan) => plan.sandbox)
        .map((plan) =>
          this.#processes.start(gatewayProgram(plan, this.#env, ports.gateways[plan.name], apiUrl)),
        ),
    );
    const settings = {
      ...defined({
        HOST: LOOPBACK,
        PORT: `${ports.api}`,
        PUBLIC_URL: env['PUBLIC_URL'] || apiUrl,
        WEB_ORIGINS: env['WEB_ORIGINS'] || apiUrl,
        DATABASE_URL: database.url,
        DATABASE_READONLY_URL: database.readonlyUrl,
        TEMPORAL_ADDRESS: temporal.address,
        TEMPORAL_NAMESPACE: temporal.namespace,
        TEMPORAL_TASK_QUEUE: env['TEMPORAL_TASK_QUEUE'] || 'payfirst',
        TEMPORAL_UI_ORIGIN: env['TEMPORAL_UI_ORIGIN'] || temporal.uiUrl,
        AUTH_JWT_SECRET: secrets.authJwtSecret,
        APP_SECRET: secrets.appSecret,
        PAYLOAD_KEYS: secrets.payloadKeys,
        ...Object.fromEntries(gateways.flatMap((plan) => Object.entries(plan.settings))),
        // A developer's backend is on the same machine.
        WEBHOOKS_ALLOW_PRIVATE: env['WEBHOOKS_ALLOW_PRIVATE'] || 'true',
        SMTP_URL: mail.smtpUrl,
        MAIL_FROM: env['MAIL_FROM'] || 'Payfirst <bookings@payfirst.test>',
      }),
      ...this.options.settings,
    };
    const workerMetrics = await this.#applications(settings, ports);
    const urls: StackUrls = {
      api: apiUrl,
      temporalUi: temporal.uiUrl,
      gateways: Object.fromEntries(gateways.map(({ name, url }) => [name, url])) as StackUrls['gateways'],
      mail: mail.url,
      workerMetrics,
    };
    const { logFolder } = this;
    this.#undo.push(
      writeStackState({
        pid: process.pid,
        startedAt: new Date().toISOString(),
        urls,
        env: settings,
        logFolder,
      }),
    );
    return this.#stack({ urls, env: settings, secrets, logFolder, postgres: database.postgres, temporal });
  }

  /** Stops everything in order. Every step is tried, whatever becomes of the others. */
  async stop(): Promise<void> {
    await this.#processes.stopAll();
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }

  /** Also run when the start failed half-way. */
  onStop(undo: () => void): void {
    this.#undo.push(undo);
  }

  #stack(facts: Pick<Stack, 'urls' | 'env' | 'secrets' | 'logFolder' | 'postgres' | 'temporal'>): Stack {
    const processes = this.#processes;
    return {
      ...facts,
      pid: (name) => processes.pid(name),
      signal: (name, signal) => processes.signal(name, signal),
      kill: (name) => processes.kill(name),
      start: async (name) => void (await processes.startAgain(name)),
      restart: async (name) => void (await processes.restart(name)),
      stop: () => this.stop(),
    };
  }

  async #database(): Promise<{ postgres: Postgres; url: string; readonlyUrl: string | undefined }> {
    const { DATABASE_URL: url, DATABASE_READONLY_URL: readonlyUrl } = this.#env;
    if (url) return { postgres: await connectPostgres(url), url, readonlyUrl };
    const postgres = await startPostgres(this.#processes);
    this.#undo.push(() => postgres.stop());
    return {
      postgres,
      ...(await makeDatabase(postgres)),
    };
  }

  /** The UI under one address with the API's codec endpoint: see `serveTemporalUi`. */
  async #temporal(ports: Ports): Promise<TemporalServer> {
    const {
      TEMPORAL_ADDRESS: address,
      TEMPORAL_NAMESPACE: namespace,
      TEMPORAL_UI_ORIGIN: origins,
    } = this.#env;
    if (address) return { address, namespace: namespace || 'default', uiUrl: origins?.split(',')[0]?.trim() };
    const cli = await findTemporalCli(this.#progress, { env: this.#env });
    const folder = mkdtempSync(join(tmpdir(), 'payfirst-temporal-'));
    this.#undo.push(() => rmSync(folder, { recursive: true, force: true }));
    const codecEndpoint = `http://${LOOPBACK}:${ports.ui}/codec`;
    const server = await startTemporalServer(this.#processes, cli, { folder, codecEndpoint });
    if (server.uiUrl === undefined) return server;
    const uiPort = Number(new URL(server.uiUrl).port);
    const ui = await serveTemporalUi({ port: ports.ui, uiPort, apiPort: ports.api });
    this.#undo.push(() => ui.stop());
    return { ...server, uiUrl: ui.url };
  }

  async #mail(ports: Ports): Promise<{ smtpUrl: string; url: string | undefined }> {
    const { SMTP_URL: smtpUrl } = this.#env;
    if (smtpUrl) return { smtpUrl, url: undefined };
    return startMailSink(this.#processes, this.#env, ports);
  }

  /** Migrations first, then the API and the workers together. */
  async #applications(settings: Record<string, string>, ports: Ports): Promise<string[]> {
    const env = { ...this.#env, ...settings };
    await this.#processes.run(migrateProgram(env));
    const metrics = ports.metrics.map((port) => `http://${LOOPBACK}:${port}/metrics`);
    const api = apiProgram('api', env, ports.api);
    const workers = ports.metrics.map((port, index) =>
      workerProgram(index === 0 ? 'worker' : `worker-${index + 1}`, env, port),
    );
    await together([api, ...workers].map((spec) => this.#processes.start(spec)));
    return metrics;
  }
}

/**
 * Starts a stack and waits until the API and every worker answer.
 * @throws Error with the failing process's last log lines; everything started before is stopped again
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const start = new Start(options);
  if (options.stopOnSignals !== false) start.onStop(stopOnSignals(() => start.stop()));
  try {
    return await start.all();
  } catch (error) {
    await start.stop();
    throw error;
  }
}
