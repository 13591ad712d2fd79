/**
 * The stack that is broken: every part a process of its own, two APIs behind a load balancer, two workers, Temporal's
 * production server, and a proxy on each way over which a network could fail. All of it goes with the run.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectMailSink, type MailControl } from '../../sandbox/mail/control';
import { connectPhonepeSandbox, type PhonepeControl } from '../../sandbox/phonepe/control';
import { connectRazorpaySandbox, type RazorpayControl } from '../../sandbox/razorpay/control';
import { connectStripeSandbox, type StripeControl } from '../../sandbox/stripe/control';
import { makeDatabase } from '../../dev/database';
import { planGateways, type GatewayName, type GatewayPlan } from '../../dev/gateways';
import { freePorts, LOOPBACK } from '../../dev/ports';
import { runSql, startPostgres, type Postgres } from '../../dev/postgres';
import { Processes, type Spec } from '../../dev/processes';
import { apiProgram, gatewayProgram, migrateProgram, startMailSink, workerProgram } from '../../dev/programs';
import { projectRoot, type Progress } from '../../dev/project';
import { secretsFrom } from '../../dev/settings';
import { findProductionTemporal, startProductionTemporal } from '../../dev/temporal-production';
import type { TemporalServer } from '../../dev/temporal-server';
import { startProxy, type Proxy } from './proxy';
import { Supervisor } from './supervisor';

/** Ways over which a network could fail. */
export const linkNames = ['api-temporal', 'worker-temporal', 'worker-postgres', 'worker-gateways'] as const;
export type LinkName = (typeof linkNames)[number];

/** The sandboxes' switches. */
export interface Sandboxes {
  stripe: StripeControl;
  razorpay: RazorpayControl;
  phonepe: PhonepeControl;
}

/** How long a customer has to pay, in seconds: short, so that abandoned attempts end within the run. */
export const windowSeconds = 20;

export const apiNames = ['api', 'api-2'] as const;
export const workerNames = ['worker', 'worker-2'] as const;

/** A stack that is up, and supervised. */
export interface ChaosStack {
  /** Origin of the load balancer in front of the APIs. */
  api: string;
  /** What signs tokens, and where payers find the gateways: not behind the proxies. */
  env: Record<string, string>;
  postgres: Postgres;
  temporal: TemporalServer;
  sandboxes: Sandboxes;
  mail: MailControl;
  supervisor: Supervisor;
  /** The proxies of each way: one, and one for each gateway. */
  links: Record<LinkName, Proxy[]>;
  /** How a worker is started, for one that is to be started otherwise. */
  worker: (name: (typeof workerNames)[number], env?: Record<string, string>) => Spec;
  logFolder: string;
  stop: () => Promise<void>;
}

/** What a run changes about its stack. */
export interface ChaosOptions {
  progress: Progress;
  /** Folder of the compiled programs; `dist` if missing. */
  build?: string;
  /** Run on the migrated database, as its superuser, before the first process of ours starts. */
  sql?: string;
}

/** The gateways' settings for whoever reaches them over proxies. */
async function behindProxies(
  plans: readonly GatewayPlan[],
): Promise<{ proxies: Proxy[]; settings: Record<string, string> }> {
  const proxies: Proxy[] = [];
  const settings: Record<string, string> = {};
  for (const plan of plans) {
    const base = `${plan.name.toUpperCase()}_API_BASE`;
    const url = new URL(plan.settings[base] ?? '');
    const proxy = await startProxy([{ host: url.hostname, port: Number(url.port) }]);
    url.port = `${proxy.port}`;
    proxies.push(proxy);
    Object.assign(settings, plan.settings, { [base]: url.href });
  }
  return { proxies, settings };
}

const overPort = (url: string, port: number): string => {
  const changed = new URL(url);
  changed.port = `${port}`;
  return changed.href;
};

const targetOf = (address: string): { host: string; port: number } => {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
  return { host: hostname, port: Number(port) };
};

/**
 * Starts a stack and waits until all of it answers.
 * @throws Error with the failing process's last log lines; what was started is stopped again
 */
export async function startChaosStack(options: ChaosOptions): Promise<ChaosStack> {
  const logFolder = mkdtempSync(join(tmpdir(), 'payfirst-chaos-logs-'));
  const processes = new Processes(logFolder, options.progress);
  const proxies: Proxy[] = [];
  const stop = async (): Promise<void> => {
    await processes.stopAll();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  };
  try {
    return await start(processes, proxies, options, logFolder, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  processes: Processes,
  proxies: Proxy[],
  { progress, build = join(projectRoot, 'dist'), sql }: ChaosOptions,
  logFolder: string,
  stop: () => Promise<void>,
): Promise<ChaosStack> {
  const programs = await findProductionTemporal(progress);
  const [api1, api2, metrics1, metrics2, smtp, mailView, stripe, razorpay, phonepe] = (await freePorts(
    9,
  )) as [number, number, number, number, number, number, number, number, number];
  const front = await startProxy([api1, api2].map((port) => ({ host: LOOPBACK, port })));
  proxies.push(front);
  const api = `http://${LOOPBACK}:${front.port}`;

  const postgres = await startPostgres(processes, { settings: ['max_connections=300'] });
  const temporal = await startProductionTemporal(processes, programs, postgres);
  const database = await makeDatabase(postgres);
  const mail = await startMailSink(processes, process.env, { smtp, mail: mailView });
  const ports: Record<GatewayName, number> = { stripe, razorpay, phonepe };
  const plans = planGateways(twoSecrets(), ports);
  await Promise.all(
    plans.map((plan) => processes.start(gatewayProgram(plan, process.env, ports[plan.name], api))),
  );

  const toGateways = await behindProxies(plans);
  const apiTemporal = await startProxy([targetOf(temporal.address)]);
  const workerTemporal = await startProxy([targetOf(temporal.address)]);
  const workerPostgres = await startProxy([targetOf(database.url)]);
  const links: Record<LinkName, Proxy[]> = {
    'api-temporal': [apiTemporal],
    'worker-temporal': [workerTemporal],
    'worker-postgres': [workerPostgres],
    'worker-gateways': toGateways.proxies,
  };
  proxies.push(...linkNames.flatMap((name) => links[name]));

  const secrets = secretsFrom({});
  const common: Record<string, string> = {
    HOST: LOOPBACK,
    PUBLIC_URL: api,
    DATABASE_URL: database.url,
    DATABASE_READONLY_URL: database.readonlyUrl,
    TEMPORAL_NAMESPACE: temporal.namespace,
    TEMPORAL_ADDRESS: temporal.address,
    AUTH_JWT_SECRET: secrets.authJwtSecret,
    APP_SECRET: secrets.appSecret,
    PAYLOAD_KEYS: secrets.payloadKeys,
    SMTP_URL: mail.smtpUrl,
    MAIL_FROM: 'Payfirst <bookings@payfirst.test>',
    PAYMENT_WINDOW_SECONDS: `${windowSeconds}`,
    // All customers of a run come from one address.
    RATE_ANONYMOUS_PER_MINUTE: '1000000',
    ...(Object.assign({}, ...plans.map(({ settings }) => settings)) as Record<string, string>),
  };
  const env = { ...process.env, ...common };
  const apiEnv = { ...env, TEMPORAL_ADDRESS: `${LOOPBACK}:${apiTemporal.port}` };
  const workerEnv = {
    ...env,
    TEMPORAL_ADDRESS: `${LOOPBACK}:${workerTemporal.port}`,
    DATABASE_URL: overPort(database.url, workerPostgres.port),
    ...toGateways.settings,
  };
  const apiMain = join(build, 'src', 'api', 'main.js');
  const worker: ChaosStack['worker'] = (name, changes = {}) =>
    workerProgram(
      name,
      { ...workerEnv, ...changes },
      name === 'worker' ? metrics1 : metrics2,
      join(build, 'src', 'worker.js'),
    );

  await processes.run(migrateProgram(env));
  if (sql !== undefined) await runSql(postgres.url('payfirst'), sql);
  await Promise.all(
    [
      apiProgram('api', apiEnv, api1, apiMain),
      apiProgram('api-2', apiEnv, api2, apiMain),
      ...workerNames.map((name) => worker(name)),
    ].map((spec) => processes.start(spec)),
  );
  const supervisor = new Supervisor(processes);
  supervisor.keep(['postgres', 'temporal', ...apiNames, ...workerNames]);
  const origin = (name: GatewayName): string => `http://${LOOPBACK}:${ports[name]}`;
  return {
    api,
    env: common,
    postgres,
    temporal,
    sandboxes: {
      stripe: connectStripeSandbox(origin('stripe')),
      razorpay: connectRazorpaySandbox(origin('razorpay')),
      phonepe: connectPhonepeSandbox(origin('phonepe')),
    },
    mail: connectMailSink(mail.url),
    supervisor,
    links,
    worker,
    logFolder,
    stop: async () => {
      await supervisor.end();
      await stop();
    },
  };
}

/** Two webhook secrets where a gateway lets them be changed in the middle of the run: the one it signs with, and the next. */
function twoSecrets(): NodeJS.ProcessEnv {
  const secret = (): string => randomBytes(8).toString('hex');
  return {
    RAZORPAY_WEBHOOK_SECRET: `${secret()},${secret()}`,
    PHONEPE_WEBHOOK_USERNAME: 'payfirst,payfirst-next',
    PHONEPE_WEBHOOK_PASSWORD: `${secret()},${secret()}`,
  };
}
