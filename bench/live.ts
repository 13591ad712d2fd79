/**
 * `npm run bench`: what a thousand waiting clients of one API process cost. First how the process learns of changes: by
 * notices, by a shared query each 200 ms, and by a query per client and second, in turn within each round. Then real streams
 * of a real API process: memory, and the time from a commit to the event.
 */
import { get, type ClientRequest } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { Knex } from 'knex';
import { openListener } from '../src/api/listener';
import { eventsLink } from '../src/api/tickets';
import { openRoom, type Room } from '../src/api/waiting';
import { openDatabase, type AttemptRow } from '../src/database';
import { openNotices, sendBeat } from '../src/notices';
import { makeLogger } from '../src/telemetry';
import { freePorts, LOOPBACK } from '../dev/ports';
import type { Processes } from '../dev/processes';
import { apiProgram } from '../dev/programs';
import { withDatabase } from './database';
import { memoryOf } from './footprint';
import { runAsProgram, say } from './program';
import { median } from './quantiles';

const clients = 1_000;
const rounds = 3;
/** How long a round looks on while nothing happens, in ms: two slow looks. */
const quietMs = 10_000;
const changes = 30;

const log = makeLogger('bench', 'silent');
const bookingIds = Array.from({ length: clients }, (_, n) => `bkg_${String(n).padStart(24, '0')}`);
const appSecret = 'an application secret for the bench';

/** One way to learn of changes; `stop` ends it. */
type Way = (url: string, db: Knex, room: (slowMs: number) => Room<number>) => { stop(): void };

const ways: Record<string, Way> = {
  'notices, slow look each 5 s': (url, db, open) => {
    const room = open(5_000);
    const listener = openListener({ url, log, sendBeat: (id) => sendBeat(db, id) });
    listener.listen({
      hear: (notice) => notice.kind === 'booking' && room.tell(notice.id, notice.version),
      lookAgain: () => room.lookAgain(),
      isNeeded: () => true,
    });
    return { stop: () => listener.close() };
  },
  'a shared query each 200 ms': (_url, _db, open) => {
    open(200);
    return { stop: () => undefined };
  },
  'a query per client and second': (_url, _db, open) => {
    const room = open(3_600_000);
    // Spread over the second, and each for itself, as clients that poll would come.
    const timers = bookingIds.map((id, n) =>
      setTimeout(() => timers.push(setInterval(() => room.look(id), 1_000)), n),
    );
    return { stop: () => timers.forEach((timer) => clearInterval(timer)) };
  },
};

interface Seen {
  cpuShare: number;
  queriesPerSecond: number;
  msToTell: number;
}

async function readVersions(db: Knex, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await db<AttemptRow>('attempts')
    .whereRaw('booking_id = ANY(?)', [[...ids]])
    .select('booking_id', 'version');
  return new Map(rows.map((row) => [row.booking_id, row.version]));
}

async function runOnce(name: string, way: Way, url: string, db: Knex): Promise<Seen> {
  const told = new Map<string, (version: number) => void>();
  const leaving: (() => void)[] = [];
  const alone = name.includes('per client');
  const open = (slowMs: number): Room<number> => {
    const room = openRoom<number>({
      log,
      slowMs,
      read: async (ids) => {
        if (!alone) return readVersions(db, ids);
        const each = await Promise.all(ids.map((id) => readVersions(db, [id])));
        return new Map(each.flatMap((versions) => [...versions]));
      },
    });
    for (const id of bookingIds) leaving.push(room.enter(id, (version) => told.get(id)?.(version)));
    return room;
  };
  const running = way(url, db, open);
  await pause(1_500);
  let queries = 0;
  const count = (): void => void (queries += 1);
  db.on('query', count);
  const began = performance.now();
  const cpu = process.cpuUsage();
  await pause(quietMs);
  const { user, system } = process.cpuUsage(cpu);
  const elapsed = performance.now() - began;
  db.off('query', count);
  const times: number[] = [];
  for (let n = 0; n < changes; n += 1) times.push(await timeOneChange(db, told));
  running.stop();
  for (const leave of leaving) leave();
  return {
    cpuShare: (user + system) / 1000 / elapsed,
    queriesPerSecond: queries / (elapsed / 1000),
    msToTell: median(times),
  };
}

async function timeOneChange(db: Knex, told: Map<string, (version: number) => void>): Promise<number> {
  const id = bookingIds[Math.floor(Math.random() * clients)] ?? '';
  const [row] = await db<AttemptRow>('attempts').where({ booking_id: id }).select('version');
  const before = row?.version ?? 0;
  const heard = new Promise<void>((resolve) => {
    told.set(id, (version) => version > before && resolve());
  });
  await db('attempts').where({ booking_id: id }).update({ cancel_reason: 'only a change' });
  const committed = performance.now();
  openNotices(db, log).tell({ bookingId: id });
  await heard;
  told.delete(id);
  return performance.now() - committed;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function compareWays(url: string): Promise<void> {
  const db = openDatabase(url, { poolMax: 12, name: 'bench' });
  const seen = new Map<string, Seen[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, way] of Object.entries(ways)) seen.get(name)?.push(await runOnce(name, way, url, db));
  }
  await db.destroy();
  say(`\n${clients} clients of one process wait; medians of ${rounds} rounds\n`);
  say('| The process learns of changes by | queries/s | CPU of the process | ms from commit to told |');
  say('|---|---|---|---|');
  for (const [name, runs] of seen) {
    const at = (pick: (run: Seen) => number): number => median(runs.map(pick));
    say(
      `| ${name} | ${at((run) => run.queriesPerSecond).toFixed(1)} | ${(at((run) => run.cpuShare) * 100).toFixed(1)} % ` +
        `| ${at((run) => run.msToTell).toFixed(1)} |`,
    );
  }
}

/** An API without Temporal: it is not ready, and serves streams all the same. */
async function startApi(url: string, processes: Processes): Promise<{ pid: number; port: number }> {
  const [port = 0] = await freePorts(1);
  const env = {
    PATH: process.env['PATH'],
    HOST: LOOPBACK,
    DATABASE_URL: url,
    APP_SECRET: appSecret,
    AUTH_JWT_SECRET: 'a secret for the bench only, long enough for HS256',
    RATE_ANONYMOUS_PER_MINUTE: '1000000',
    TEMPORAL_ADDRESS: `${LOOPBACK}:1`,
  };
  const { pid } = await processes.start({
    ...apiProgram('api', env, port),
    ready: { line: /"event":"api\.listening"/ },
  });
  return { pid, port };
}

async function openStreams(port: number, told: (n: number, text: string) => void): Promise<ClientRequest[]> {
  const open = (id: string, n: number): Promise<ClientRequest> =>
    new Promise((resolve, reject) => {
      const request = get(
        { port, host: LOOPBACK, path: eventsLink({ appSecret }, id), agent: false },
        (response) => {
          if (response.statusCode !== 200) reject(new Error(`A stream was answered ${response.statusCode}`));
          response.setEncoding('utf8');
          response.on('data', (text: string) => told(n, text));
          response.on('error', () => undefined);
          response.once('data', () => resolve(request));
        },
      );
      request.on('error', reject);
    });
  const requests: ClientRequest[] = [];
  // Twenty at a time, or the listen queue overflows.
  for (let n = 0; n < clients; n += 20) {
    requests.push(...(await Promise.all(bookingIds.slice(n, n + 20).map((id, m) => open(id, n + m)))));
  }
  return requests;
}

async function measureStreams(url: string, processes: Processes): Promise<void> {
  const db = openDatabase(url, { poolMax: 4, name: 'bench' });
  const api = await startApi(url, processes);
  const waiting = new Map<number, () => void>();
  const before = memoryOf(api.pid);
  const requests = await openStreams(api.port, (n, text) => {
    if (text.includes('event: status')) waiting.get(n)?.();
  });
  await pause(2_000);
  const after = memoryOf(api.pid);
  const times: number[] = [];
  for (let round = 0; round < changes; round += 1) {
    const n = Math.floor(Math.random() * clients);
    const heard = new Promise<void>((resolve) => waiting.set(n, resolve));
    await db('attempts')
      .where({ booking_id: bookingIds[n] ?? '' })
      .update({ cancel_reason: 'only a change' });
    const committed = performance.now();
    openNotices(db, log).tell({ bookingId: bookingIds[n] ?? '' });
    await heard;
    waiting.delete(n);
    times.push(performance.now() - committed);
  }
  say(
    `\n${clients} streams of one API process: ${((after - before) / 1024 / clients).toFixed(0)} KiB each; ` +
      `from commit to event ${median(times).toFixed(1)} ms (median)`,
  );
  for (const request of requests) request.on('error', () => undefined).destroy();
  await processes.stop('api');
  await db.destroy();
}

async function writeAttempts(url: string): Promise<void> {
  const db = openDatabase(url, { poolMax: 1, name: 'bench-setup' });
  await db.batchInsert(
    'attempts',
    bookingIds.map((id) => ({
      booking_id: id,
      request_hash: 'hash',
      customer_id: 'customer',
      method: 'stub',
      quote: JSON.stringify({
        items: [{ offeringId: 'off_none', kind: 'consultation', title: 'Ask', seats: 1, priceMinor: 700 }],
      }),
      total_minor: 700,
      currency: 'USD',
      contact: JSON.stringify({ name: 'A Payer', email: 'payer@example.org' }),
      status: 'awaiting_payment',
      tries_max: 5,
      window_seconds: 900,
    })),
    500,
  );
  await db.destroy();
}

runAsProgram(() =>
  withDatabase(async (url, processes) => {
    await writeAttempts(url);
    await compareWays(url);
    await measureStreams(url, processes);
  }),
);
