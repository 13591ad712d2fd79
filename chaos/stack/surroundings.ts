/** What a design stands on while it is broken: PostgreSQL, the gateways' sandboxes, a mail sink, and proxies on the ways between. */
import { randomBytes } from 'node:crypto';
import { makeDatabase } from '../../dev/database';
import { planGateways, type GatewayName, type GatewayPlan } from '../../dev/gateways';
import { freePorts, LOOPBACK } from '../../dev/ports';
import { startPostgres, type Postgres } from '../../dev/postgres';
import type { Processes, Spec } from '../../dev/processes';
import { gatewayProgram, startMailSink } from '../../dev/programs';
import { secretsFrom } from '../../dev/settings';
import { connectMailSink, type MailControl } from '../../sandbox/mail/control';
import { connectPhonepeSandbox, type PhonepeControl } from '../../sandbox/phonepe/control';
import { connectRazorpaySandbox, type RazorpayControl } from '../../sandbox/razorpay/control';
import { connectStripeSandbox, type StripeControl } from '../../sandbox/stripe/control';
import { startProxy, type Proxy } from './proxy';

/** The sandboxes' switches. */
export interface Sandboxes {
  stripe: StripeControl;
  razorpay: RazorpayControl;
  phonepe: PhonepeControl;
}

/** How long a customer has to pay, in seconds: short, so that abandoned attempts end within the run. */
export const windowSeconds = 20;

/** Both workers, both APIs and Temporal's two stores have pools of their own. */
const connectionsMax = 300;

/** Connections of each of our pools: the default of DATABASE_POOL_MAX, said to the programs so that the judge may count on it. */
export const poolMax = 12;

/** What programs need of the caller's environment. All else would be a setting of ours, or of Temporal's client. */
const needed = /^(PATH|HOME|TMPDIR|TZ|LANG|LC_\w+|NODE_\w+)$/;

/** The caller's environment without any setting: what somebody has exported must not decide what a run measures. */
export const bareEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => needed.test(name)));

/** How to take down what is no process, and goes with the stack all the same. */
export type Undo = (() => Promise<void>)[];

/** A proxy that goes with the stack. */
export async function addProxy(undo: Undo, targets: Parameters<typeof startProxy>[0]): Promise<Proxy> {
  const proxy = await startProxy(targets);
  undo.push(() => proxy.close());
  return proxy;
}

/** Starts these at once, and waits for all, also when one fails: what still starts could not be stopped. */
export async function startAll(processes: Processes, specs: readonly Spec[]): Promise<void> {
  const ends = await Promise.allSettled(specs.map((spec) => processes.start(spec)));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Everything around a design. */
export interface Surroundings {
  /** Origin of the load balancer in front of the APIs. */
  api: string;
  postgres: Postgres;
  sandboxes: Sandboxes;
  mail: MailControl;
  /** Settings of the design's processes, by the straight ways. */
  straight: Record<string, string>;
  /** What whoever settles payments is given instead: the ways over the proxies. */
  proxied: Record<string, string>;
  toPostgres: Proxy;
  toGateways: Proxy[];
}

/** The gateways' settings for whoever reaches them over proxies. */
async function behindProxies(
  plans: readonly GatewayPlan[],
  undo: Undo,
): Promise<{ proxies: Proxy[]; settings: Record<string, string> }> {
  const proxies: Proxy[] = [];
  const settings: Record<string, string> = {};
  for (const plan of plans) {
    const base = `${plan.name.toUpperCase()}_API_BASE`;
    const url = new URL(plan.settings[base] ?? '');
    const proxy = await addProxy(undo, [targetOf(url.href)]);
    url.port = `${proxy.port}`;
    proxies.push(proxy);
    settings[base] = url.href;
  }
  return { proxies, settings };
}

/** Host and port of a URL, or of `host:port`. */
export function targetOf(address: string): { host: string; port: number } {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
  return { host: hostname, port: Number(port) };
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

/**
 * Starts everything around a design.
 * @param apiPorts where its APIs are going to listen
 * @param undo is told, as soon as there is something, how to take it down again
 */
export async function startSurroundings(
  processes: Processes,
  apiPorts: readonly number[],
  undo: Undo,
): Promise<Surroundings> {
  const [smtp, mailView, stripe, razorpay, phonepe] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const env = bareEnvironment();
  const front = await addProxy(
    undo,
    apiPorts.map((port) => ({ host: LOOPBACK, port })),
  );
  const api = `http://${LOOPBACK}:${front.port}`;
  const postgres = await startPostgres(processes, { settings: [`max_connections=${connectionsMax}`] });
  undo.push(() => postgres.stop());
  const database = await makeDatabase(postgres);
  const mail = await startMailSink(processes, env, { smtp, mail: mailView });
  const ports: Record<GatewayName, number> = { stripe, razorpay, phonepe };
  const plans = planGateways(twoSecrets(), ports);
  await startAll(
    processes,
    plans.map((plan) => gatewayProgram(plan, env, ports[plan.name], api)),
  );
  const gateways = await behindProxies(plans, undo);
  const toPostgres = await addProxy(undo, [targetOf(database.url)]);
  const secrets = secretsFrom({});
  const overProxy = new URL(database.url);
  overProxy.port = `${toPostgres.port}`;
  const origin = (name: GatewayName): string => `http://${LOOPBACK}:${ports[name]}`;
  return {
    api,
    postgres,
    sandboxes: {
      stripe: connectStripeSandbox(origin('stripe')),
      razorpay: connectRazorpaySandbox(origin('razorpay')),
      phonepe: connectPhonepeSandbox(origin('phonepe')),
    },
    mail: connectMailSink(mail.url),
    straight: {
      HOST: LOOPBACK,
      PUBLIC_URL: api,
      DATABASE_URL: database.url,
      DATABASE_READONLY_URL: database.readonlyUrl,
      DATABASE_POOL_MAX: `${poolMax}`,
      AUTH_JWT_SECRET: secrets.authJwtSecret,
      APP_SECRET: secrets.appSecret,
      PAYLOAD_KEYS: secrets.payloadKeys,
      SMTP_URL: mail.smtpUrl,
      MAIL_FROM: 'Payfirst <bookings@payfirst.test>',
      PAYMENT_WINDOW_SECONDS: `${windowSeconds}`,
      // All customers of a run come from one address.
      RATE_ANONYMOUS_PER_MINUTE: '1000000',
      ...Object.fromEntries(plans.flatMap(({ settings }) => Object.entries(settings))),
    },
    proxied: { DATABASE_URL: overProxy.href, ...gateways.settings },
    toPostgres,
    toGateways: gateways.proxies,
  };
}
