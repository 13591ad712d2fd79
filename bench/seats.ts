/**
 * `npm run bench`: how fast paid attempts take the seats of one hot slot, by Payfirst's settling (the production path,
 * `recordPayment`) and by the textbook transactions, in turn within each round, on one PostgreSQL. Prints a table, and
 * counts the rows after every run: a fast answer that oversells is no answer.
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

import type { Client } from '@temporalio/client';
import type { Knex } from 'knex';

import { startProxy } from '../chaos/stack/proxy';
import type { Dependencies } from '../src/activities/dependencies';
import { recordPayment } from '../src/activities/charges';
import { openDatabase } from '../src/database';
import { lookUp } from '../src/public-address';
import { makeLogger, makeMetrics } from '../src/telemetry';
import { withDatabase } from './database';
import { runAsProgram, say } from './program';
import { median, quantile } from './quantiles';
import { settleByShortTextbook } from './short-textbook';
import { addTextbookRound, countTextbook, makeTextbook, settleByTextbook } from './textbook';

interface Scene {
  clients: number;
  /** 0: straight to the server, over the loopback address. */
  roundTripMs: number;
  capacity: number;
  attempts: number;
  /** How many times faster than the same rows by Knex it is to be (P1). */
  faster?: number;
}

const scenes: Scene[] = [
  { clients: 8, roundTripMs: 0, capacity: 500, attempts: 600 },
  { clients: 32, roundTripMs: 0, capacity: 500, attempts: 600, faster: 3 },
  { clients: 64, roundTripMs: 0, capacity: 500, attempts: 600 },
  // Fewer: the textbook makes some nine round trips for each.
  { clients: 32, roundTripMs: 2, capacity: 250, attempts: 300, faster: 7 },
];
/** The first of them warms caches and plans, and is not counted. */
const rounds = 6;

/** One way of settling. */
interface Way {
  name: string;
  prepare: (db: Knex, slotId: string, capacity: number, ids: readonly string[]) => Promise<void>;
  settle: (db: Knex, slotId: string, id: string) => Promise<void>;
  count: (db: Knex, slotId: string) => Promise<{ booked: number; refunded: number }>;
}

const log = makeLogger('bench', 'silent');
const metrics = makeMetrics();

function dependenciesWith(db: Knex): Dependencies {
  return {
    db,
    gateways: new Map(),
    // Settling speaks to no workflow.
    temporal: {} as Client,
    taskQueue: 'none',
    sendMail: undefined,
    webhooks: { appSecret: 'bench', allowPrivate: false, lookUp, timeoutMs: 1_000 },
    payment: { windowSeconds: 900, triesMax: 5 },
    log,
    metrics,
  };
}

/** What P1 compares with. */
const sameRows = 'Knex transaction, the same rows';

const payfirst: Way = {
  name: 'Payfirst: settle_payment',
  prepare: async (db, slotId, capacity, ids) => {
    await db.raw(
      `INSERT INTO offerings (id, provider_id, kind, title, starts_at, ends_at, time_zone, capacity, price_minor, currency)
       VALUES (?, 'p', 'slot', 'Hot', now() + interval '1 day', now() + interval '2 days', 'UTC', ?, 700, 'USD')`,
      [slotId, capacity],
    );
    await db('attempts').insert(
      ids.map((id) => ({
        booking_id: id,
        request_hash: 'hash',
        customer_id: 'customer',
        method: 'stub',
        quote: JSON.stringify({ items: [{ offeringId: slotId, seats: 1 }] }),
        total_minor: 700,
        currency: 'USD',
        contact: JSON.stringify({ name: 'A Payer', email: 'payer@example.org' }),
        status: 'awaiting_payment',
        tries_max: 5,
        window_seconds: 900,
      })),
    );
    await db('payment_tries').insert(
      ids.map((id) => ({ booking_id: id, try: 1, gateway: 'stub', gateway_ref: `pi_${id}`, status: 'open' })),
    );
  },
  settle: (db, _slotId, id) =>
    recordPayment(
      dependenciesWith(db),
      {
        bookingId: id,
        gateway: 'stub',
        ref: `pi_${id}`,
        paid: { status: 'paid', total: { amountMinor: 700, currency: 'USD' }, chargeRef: `ch_${id}` },
      },
      [],
    ),
  count: async (db, slotId) => {
    const result = await db.raw<{ rows: { booked: number; refunded: number }[] }>(
      `SELECT (SELECT count(*) FROM seats AS s JOIN booking_items AS i USING (booking_id, offering_id)
          WHERE offering_id = :slotId) AS booked,
        (SELECT count(*) FROM refunds AS r JOIN payments AS p ON p.id = r.payment_id
          JOIN attempts AS a USING (booking_id)
          WHERE a.quote #>> '{items,0,offeringId}' = :slotId) AS refunded`,
      { slotId },
    );
    return result.rows[0] ?? { booked: -1, refunded: -1 };
  },
};

const ways: Way[] = [
  payfirst,
  {
    name: sameRows,
    prepare: addTextbookRound,
    settle: settleByTextbook,
    count: countTextbook,
  },
  {
    name: 'Knex transaction, fewest statements',
    prepare: addTextbookRound,
    settle: settleByShortTextbook,
    count: countTextbook,
  },
];

/** What one run of one way showed. */
interface Run {
  perSecond: number;
  p50: number;
  p99: number;
}

/** @throws Error when the rows say that a seat was lost or sold twice */
async function runOnce(way: Way, scene: Scene, admin: Knex, db: Knex): Promise<Run> {
  const slotId = `off_${randomBytes(6).toString('hex')}`;
  const ids = Array.from({ length: scene.attempts }, (_, n) => `bkg_${slotId.slice(4)}_${n}`);
  await way.prepare(admin, slotId, scene.capacity, ids);
  await admin.raw('VACUUM (ANALYZE)');
  await admin.raw('CHECKPOINT');
  const latencies: number[] = [];
  const queue = [...ids];
  const began = performance.now();
  await Promise.all(
    Array.from({ length: scene.clients }, async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const start = performance.now();
        await way.settle(db, slotId, id);
        latencies.push(performance.now() - start);
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  const { booked, refunded } = await way.count(admin, slotId);
  if (booked !== scene.capacity || refunded !== scene.attempts - scene.capacity) {
    throw new Error(`${way.name}: ${booked} of ${scene.capacity} seats sold, ${refunded} refunds`);
  }
  return { perSecond: scene.attempts / seconds, p50: median(latencies), p99: quantile(latencies, 0.99) };
}

/** Opens every connection before the clock runs. */
async function warm(db: Knex, connections: number): Promise<void> {
  await Promise.all(Array.from({ length: connections }, () => db.raw('SELECT pg_sleep(0.2)')));
}

async function play(scene: Scene, url: string): Promise<void> {
  const target = new URL(url);
  const proxy =
    scene.roundTripMs === 0
      ? undefined
      : await startProxy([{ host: target.hostname, port: Number(target.port || 5432) }]);
  proxy?.latency(scene.roundTripMs);
  const through = new URL(url);
  if (proxy !== undefined) through.host = `127.0.0.1:${proxy.port}`;
  const admin = openDatabase(url, { poolMax: 1, name: 'bench-admin' });
  const db = openDatabase(through.href, { poolMax: scene.clients, name: 'bench' });
  const runs = new Map(ways.map((way) => [way, [] as Run[]]));
  try {
    await warm(db, scene.clients);
    for (let round = 0; round < rounds; round += 1) {
      for (const way of ways) {
        const run = await runOnce(way, scene, admin, db);
        if (round > 0) runs.get(way)?.push(run);
      }
    }
  } finally {
    await db.destroy();
    await admin.destroy();
    await proxy?.close();
  }
  report(scene, runs);
}

function report(scene: Scene, runs: ReadonlyMap<Way, readonly Run[]>): void {
  const network = scene.roundTripMs === 0 ? 'loopback' : `${scene.roundTripMs} ms round trip`;
  say('');
  say(
    `One slot of ${scene.capacity} seats, ${scene.attempts} payers, ${scene.clients} clients, ${network}; ` +
      `medians of ${rounds - 1} rounds (lowest–highest)`,
  );
  say('');
  say('| Way | payers/s | p50 ms | p99 ms | Payfirst is faster by | P1 |');
  say('|---|---|---|---|---|---|');
  const ours = runs.get(payfirst) ?? [];
  for (const [way, own] of runs) {
    const rates = own.map((run) => run.perSecond);
    // Compared within a round: the machine's other load is nearly the same then.
    const ratios = own.map((run, round) => (ours[round]?.perSecond ?? 0) / run.perSecond);
    const range = (numbers: readonly number[], digits: number): string =>
      `${median(numbers).toFixed(digits)} (${Math.min(...numbers).toFixed(digits)}–${Math.max(...numbers).toFixed(digits)})`;
    const ratio = way === payfirst ? '' : `${range(ratios, 1)} times`;
    say(
      `| ${way.name} | ${range(rates, 0)} | ${median(own.map((run) => run.p50)).toFixed(1)} ` +
        `| ${median(own.map((run) => run.p99)).toFixed(1)} | ${ratio} | ${way.name === sameRows ? targetOf(scene, median(ratios)) : ''} |`,
    );
  }
}

function targetOf({ faster }: Scene, ratio: number): string {
  return faster === undefined ? '' : `≥ ${faster}: ${ratio >= faster ? 'met' : 'missed'}`;
}

async function main(): Promise<void> {
  await withDatabase(async (url) => {
    const db = openDatabase(url, { poolMax: 1, name: 'bench-setup' });
    await makeTextbook(db);
    await db.destroy();
    for (const scene of scenes) await play(scene, url);
  });
}

runAsProgram(main);
