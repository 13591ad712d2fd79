/**
 * `npm run bench`: what the payment watch costs with 5,000 open tries of three gateways. The adapters speak to their
 * sandboxes, each a process of its own; the tries stand at every age of a payment window. In turn within each round: as it is,
 * with one gateway that does not answer, and without the gateways' limits.
 */
import { performance } from 'node:perf_hooks';
import type { Client } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { gapAfter, watchActivities } from '../src/activities/watch';
import { readConfig } from '../src/config';
import { openDatabase } from '../src/database';
import { configuredGateways } from '../src/gateways/configured';
import type { Gateway } from '../src/gateways/gateway';
import { lookUp } from '../src/public-address';
import { makeLogger, makeMetrics } from '../src/telemetry';
import { gatewayNames, planGateways, type GatewayPlan } from '../dev/gateways';
import { freePorts, LOOPBACK } from '../dev/ports';
import { type Processes } from '../dev/processes';
import { connectPhonepeSandbox } from '../sandbox/phonepe/control';
import { withDatabase } from './database';
import { runAsProgram, say } from './program';
import { median } from './quantiles';

const openTries = 5_000;
const rounds = 3;
/** How long each way runs, in ms. */
const runMs = 10_000;
const windowSeconds = 900;
const totalMinor = 50_000;
/** Opened at once at a sandbox. */
const openers = 20;

const log = makeLogger('bench', 'silent');

/** One way to run the watch. */
interface Way {
  name: string;
  /** Looks a second, where they are not the gateway's own. */
  looksPerSecond?: number;
  phonepeIsDown?: true;
}

const ways: readonly Way[] = [
  { name: 'as it is' },
  { name: 'PhonePe does not answer', phonepeIsDown: true },
  { name: 'without limits', looksPerSecond: 100_000 },
];

interface Seen {
  looksPerSecond: Record<string, number>;
  queriesPerSecond: number;
  cpuShare: number;
}

/** Starts the sandboxes. @returns the gateways that speak to them */
async function startGateways(processes: Processes): Promise<{ gateways: Gateway[]; plans: GatewayPlan[] }> {
  const [stripe = 0, razorpay = 0, phonepe = 0] = await freePorts(gatewayNames.length);
  const ports = { stripe, razorpay, phonepe };
  const plans = planGateways({}, ports);
  for (const { name, settings } of plans) {
    await processes.start({
      name,
      command: process.execPath,
      args: [`dist/sandbox/${name}/main.js`],
      env: { ...process.env, ...settings, HOST: LOOPBACK, PORT: String(ports[name]), EXIT_WITH_STDIN: '1' },
      ready: { line: /"listening":\s*\d+/ },
    });
  }
  const settings = plans.map((plan) => plan.settings);
  const config = readConfig({
    DATABASE_URL: 'postgres://nowhere',
    AUTH_JWT_SECRET: 'a secret for the bench only, long enough for HS256',
    APP_SECRET: 'an application secret for the bench',
    ...Object.fromEntries(settings.flatMap((one) => Object.entries(one))),
  });
  return { gateways: [...configuredGateways(config).values()], plans };
}

/** Opens every try at its gateway and writes its row, at an age between nothing and a whole window. */
async function writeTries(db: Knex, gateways: readonly Gateway[]): Promise<void> {
  let next = 0;
  const openOne = async (): Promise<void> => {
    for (let n = next++; n < openTries; n = next++) {
      const gateway = gateways[n % gateways.length];
      if (gateway === undefined) throw new Error('Bug: no gateway');
      const bookingId = `bkg_${String(n).padStart(24, '0')}`;
      const currency = gateway.name === 'stripe' ? 'EUR' : 'INR';
      const total = { amountMinor: totalMinor, currency };
      const opened = await gateway.open({
        bookingId,
        try: 1,
        keyNumber: 1,
        total,
        payWithinSeconds: windowSeconds,
      });
      if (opened.status !== 'opened') throw new Error(`${gateway.name}: ${opened.reason}`);
      await writeTry(db, {
        bookingId,
        gateway,
        ref: opened.ref,
        currency,
        age: (n * windowSeconds) / openTries,
      });
    }
  };
  await Promise.all(Array.from({ length: openers }, openOne));
  await db.raw('ANALYZE attempts, payment_tries');
}

async function writeTry(
  db: Knex,
  made: { bookingId: string; gateway: Gateway; ref: string; currency: string; age: number },
): Promise<void> {
  const { bookingId, gateway, age } = made;
  const { lookSchedule } = gateway.capabilities;
  const looks = lookSchedule.filter((at) => at <= age).length;
  // Somewhere between the last look and the next one.
  const dueIn = Math.random() * gapAfter(lookSchedule, looks);
  await db('attempts').insert({
    booking_id: bookingId,
    request_hash: 'hash',
    customer_id: 'customer',
    method: gateway.name,
    quote: JSON.stringify({
      items: [
        { offeringId: 'off_none', kind: 'consultation', title: 'Ask', seats: 1, priceMinor: totalMinor },
      ],
    }),
    total_minor: totalMinor,
    currency: made.currency,
    contact: JSON.stringify({ name: 'A Payer', email: 'payer@example.org' }),
    status: 'awaiting_payment',
    tries_max: 5,
    window_seconds: windowSeconds,
    expires_at: db.raw('now() + make_interval(secs => ?)', [windowSeconds - age]),
  });
  await db('payment_tries').insert({
    booking_id: bookingId,
    try: 1,
    gateway: gateway.name,
    gateway_ref: made.ref,
    status: 'open',
    looks,
    opened_at: db.raw('now() - make_interval(secs => ?)', [age]),
    next_look_at: db.raw('now() + make_interval(secs => ?)', [dueIn]),
    watch_until: db.raw('now() + make_interval(secs => ?)', [windowSeconds - age]),
  });
}

/** Looks a second that the schedules ask for, with tries of every age. */
function wantedPerSecond({ capabilities: { lookSchedule } }: Gateway, ofThem: number): number {
  let looks = 0;
  for (let at = lookSchedule[0] ?? 0; at < windowSeconds; at += gapAfter(lookSchedule, looks - 1)) looks += 1;
  return (ofThem * looks) / windowSeconds;
}

async function runOnce(way: Way, db: Knex, gateways: readonly Gateway[]): Promise<Seen> {
  const looks: Record<string, number> = {};
  const counted = gateways.map((gateway) => ({
    ...gateway,
    capabilities: {
      ...gateway.capabilities,
      ...(way.looksPerSecond === undefined ? {} : { looksPerSecond: way.looksPerSecond }),
    },
    read: (ref: string) => {
      looks[gateway.name] = (looks[gateway.name] ?? 0) + 1;
      return gateway.read(ref);
    },
  }));
  const deps: Dependencies = {
    db,
    gateways: new Map(counted.map((gateway) => [gateway.name, gateway])),
    // Nobody pays, so nothing rings.
    temporal: {} as Client,
    taskQueue: 'none',
    sendMail: undefined,
    webhooks: { appSecret: 'bench', allowPrivate: false, lookUp, timeoutMs: 1_000 },
    payment: { windowSeconds, triesMax: 5 },
    log,
    metrics: makeMetrics(),
  };
  let queries = 0;
  const count = (): void => void (queries += 1);
  const environment = new MockActivityEnvironment();
  db.on('query', count);
  const began = performance.now();
  const cpu = process.cpuUsage();
  const watching = environment.run(watchActivities(deps).watchPayments).catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, runMs));
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - began) / 1000;
  environment.cancel();
  await watching;
  db.off('query', count);
  return {
    looksPerSecond: Object.fromEntries(gateways.map(({ name }) => [name, (looks[name] ?? 0) / seconds])),
    queriesPerSecond: queries / seconds,
    cpuShare: (user + system) / 1_000_000 / seconds,
  };
}

async function measure(url: string, processes: Processes): Promise<void> {
  const { gateways, plans } = await startGateways(processes);
  const phonepe = connectPhonepeSandbox(plans.find(({ name }) => name === 'phonepe')?.url ?? '');
  const db = openDatabase(url, { poolMax: 10, name: 'bench' });
  const began = performance.now();
  await writeTries(db, gateways);
  say(
    `\n${openTries} open tries, opened at their gateways in ${((performance.now() - began) / 1000).toFixed(0)} s\n`,
  );
  const seen = new Map<Way, Seen[]>(ways.map((way) => [way, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) {
      await phonepe.setKeepAliveDown(way.phonepeIsDown === true);
      seen.get(way)?.push(await runOnce(way, db, gateways));
    }
  }
  const names = gateways.map(({ name }) => name);
  say(`| The payment watch | ${names.map((name) => `${name} looks/s`).join(' | ')} | queries/s | CPU |`);
  say(`|---|${names.map(() => '---').join('|')}|---|---|`);
  const each = openTries / gateways.length;
  say(
    `| by the schedules | ${gateways.map((gateway) => wantedPerSecond(gateway, each).toFixed(0)).join(' | ')} | | |`,
  );
  for (const [way, runs] of seen) {
    const at = (pick: (run: Seen) => number): string => median(runs.map(pick)).toFixed(1);
    say(
      `| ${way.name} | ${names.map((name) => at((run) => run.looksPerSecond[name] ?? 0)).join(' | ')} ` +
        `| ${at((run) => run.queriesPerSecond)} | ${at((run) => run.cpuShare * 100)} % |`,
    );
  }
  await db.destroy();
}

runAsProgram(() => withDatabase((url, processes) => measure(url, processes)));
