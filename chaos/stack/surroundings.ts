/** What a design stands on while it is broken: PostgreSQL, the gateways' sandboxes, a mail sink, and proxies on the ways between. */
import { randomBytes } from 'node:crypto';
import { makeDatabase } from '../../dev/database';
import { planGateways, type GatewayName, type GatewayPlan } from '../../dev/gateways';
import { freePorts, LOOPBACK } from '../../dev/ports';
import { startPostgres, type Postgres } from '../../dev/postgres';
import type { Processes } from '../../dev/processes';
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
): Promise<{ proxies: Proxy[]; settings: Record<string, string> }> {
  const proxies: Proxy[] = [];
  const settings: Record<string, string> = {};
  for (const plan of plans) {
    const base = `${plan.name.toUpperCase()}_API_BASE`;
    const url = new URL(plan.settings[base] ?? '');
    const proxy = await startProxy([targetOf(url.href)]);
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
 * @param proxies is given every proxy, to be closed in the end
 */
export async function startSurroundings(
  processes: Processes,
  apiPorts: readonly number[],
  proxies: Proxy[],
): Promise<Surroundings> {
  const [smtp, mailView, stripe, razorpay, phonepe] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const front = await startProxy(apiPorts.map((port) => ({ host: LOOPBACK, port })));
  const api = `http://${LOOPBACK}:${front.port}`;
  const postgres = await startPostgres(processes, { settings: [`max_connections=${connectionsMax}`] });
  const database = await makeDatabase(postgres);
  const mail = await startMailSink(processes, process.env, { smtp, mail: mailView });
  const ports: Record<GatewayName, number> = { stripe, razorpay, phonepe };
  const plans = planGateways(twoSecrets(), ports);
  await Promise.all(
    plans.map((plan) => processes.start(gatewayProgram(plan, process.env, ports[plan.name], api))),
  );
  const gateways = await behindProxies(plans);
  const toPostgres = await startProxy([targetOf(database.url)]);
  proxies.push(front, toPostgres, ...gateways.proxies);
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
