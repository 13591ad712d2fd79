/** A whole Payfirst that is fuzzed: who asks, what is asked about, and what an asking has left behind. */
import { randomBytes } from 'node:crypto';
import { request as ask, type IncomingHttpHeaders } from 'node:http';
import { pino } from 'pino';
import type { RequestHandler } from 'express';
import type { Activities } from '../src/activities';
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { authorizationOf, type CallerName } from './api-fuzz-callers';
import { readDocument, type ApiDocument } from './api-fuzz-document';
import { signatureOf } from './api-fuzz-events';
import type { FuzzRequest } from './api-fuzz-requests';
import { makeThings, type Things } from './api-fuzz-things';
import { named } from './api-fuzz-values';
import { rowsOf } from './row-snapshots';
import { eventually, startWorld, type World } from './world';

/** A request as it went out. */
export interface Sent {
  method: string;
  /** Path and query. */
  target: string;
  headers: Readonly<Record<string, string>>;
  body?: string | undefined;
}

export interface Heard {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** Activities so far, in all workers of a shop: begun, and still running. `last`: when one ended, in ms since 1970. */
export interface Activity {
  begun: number;
  running: number;
  last: number;
}

/** What a request may leave behind, and what else was going on when that was looked at. */
export interface Left {
  rows: Readonly<Record<string, string>>;
  /** Workflows whose start somebody asked for, so far. */
  starts: number;
  activities: Activity;
}

export interface FuzzShop {
  world: World;
  document: ApiDocument;
  /** What the service logged of its own faults, as lines of JSON. */
  bugs: readonly string[];
  /** Puts in what a request names, and who asks. */
  putIn(request: FuzzRequest): Promise<Sent>;
  send(sent: Sent): Promise<Heard>;
  activities: Readonly<Activity>;
  /** What was left when it was looked at last, or now where something was written since. */
  left(): Promise<Left>;
  leftNow(): Promise<Left>;
  /** Waits until no activity runs, and none has for a moment. */
  rest(): Promise<void>;
  /** The things that a request names were changed. */
  used(request: FuzzRequest): void;
  /** Takes away what fuzzing has piled up where there is a limit. */
  tidy(): Promise<void>;
  /** Stands before the routes; a control puts its own in. */
  saboteur: { meddle?: RequestHandler };
  stop(): Promise<void>;
}

/** A raw number loses its quotes, where it still has both. */
const names = /"?⟦raw:([^⟧]+)⟧"?|⟦([^⟧]+)⟧/g;

/** How long an answer may take, in ms, until it counts as none: the longest wait of the API is a minute. */
const silentMs = 90_000;

/** A connection of its own for each; a request without an answer is a finding, too. */
function send(url: string, { method, target, headers, body }: Sent): Promise<Heard> {
  return new Promise((resolve) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const asking = ask(
      url,
      { method, path: target, headers: { ...length, ...headers }, agent: false },
      (answer) => {
        const { statusCode: status = 0, headers: got } = answer;
        let text = '';
        const done = (): void => resolve({ status, headers: got, text });
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          text += part;
          // A stream would go on for an hour: its first words are its answer.
          if (got['content-type']?.startsWith('text/event-stream') !== true) return;
          done();
          asking.destroy();
        });
        answer.on('end', done).on('error', done);
      },
    );
    asking.setTimeout(silentMs, () => asking.destroy(new Error('There was no answer')));
    asking.on('error', (error) => resolve({ status: 0, headers: {}, text: error.message }));
    asking.end(body);
  });
}

type Named = Record<string, (...args: unknown[]) => unknown>;

/** Counts activities, so that what they write is not taken for a request's. */
function counted(activities: Activities, count: Activity): Activities {
  const wrapped = Object.entries(activities as unknown as Named).map(([name, run]) => [
    name,
    async (...args: unknown[]) => {
      count.begun += 1;
      count.running += 1;
      try {
        return await run(...args);
      } finally {
        count.running -= 1;
        count.last = Date.now();
      }
    },
  ]);
  return Object.fromEntries(wrapped) as Activities;
}

/** Calls by which the client asks Temporal to start something. */
const startCalls = ['startWorkflowExecution', 'signalWithStartWorkflowExecution', 'executeMultiOperation'];

/** Counts what is asked of Temporal to start, by whoever has this world's client. */
function countStarts(world: World): { count: number } {
  const starts = { count: 0 };
  const service = world.temporal.workflowService as unknown as Named;
  for (const name of startCalls) {
    const call = service[name];
    if (call === undefined) throw new Error(`Temporal's service has no ${name}`);
    service[name] = (...args) => {
      starts.count += 1;
      return call.apply(service, args);
    };
  }
  return starts;
}

const dayMs = 86_400_000;
/** Today's, in UTC. */
const midnight = (): number => Math.floor(Date.now() / dayMs) * dayMs;

/** Puts things, tokens and signatures where a request names them. */
function putterOf(world: World, things: Things): FuzzShop['putIn'] {
  const known = new Map<CallerName, Promise<string | undefined>>();
  const authorization = (caller: CallerName): Promise<string | undefined> => {
    const sent = known.get(caller) ?? authorizationOf(world, caller);
    known.set(caller, sent);
    return sent;
  };
  const put = async (name: string): Promise<string> => {
    if (name === 'fresh') return randomBytes(9).toString('hex');
    const day = /^day:(-?\d+)$/.exec(name)?.[1];
    if (day !== undefined) return new Date(midnight() + Number(day) * dayMs).toISOString();
    if (name === 'origin') return new URL(world.config.http.publicUrl).origin;
    if (name.startsWith('token:')) {
      return String(await authorization(name.slice(6) as CallerName)).replace('Bearer ', '');
    }
    return things.find(name);
  };
  const filled = async (text: string): Promise<string> => {
    const found = new Map<string, string>();
    for (const [whole, raw, name] of text.matchAll(names)) found.set(whole, raw ?? (await put(name ?? '')));
    return text.replace(names, (whole) => found.get(whole) ?? '');
  };
  return async ({ caller, method, target, headers, body: given }) => {
    const body = given === undefined ? undefined : await filled(given);
    const sent = await authorization(caller);
    const written: Record<string, string> = sent === undefined ? {} : { authorization: sent };
    for (const [name, value] of Object.entries(headers)) {
      if (name === named('signature')) Object.assign(written, signatureOf(world, value, body ?? ''));
      else written[name] = await filled(value);
    }
    return { method, target: await filled(target), headers: written, body };
  };
}

/** Opens the shop. Stop it in `afterAll`. */
export async function openFuzzShop(): Promise<FuzzShop> {
  const activities: Activity = { begun: 0, running: 0, last: 0 };
  let seen: Left | undefined;
  const bugs: string[] = [];
  const saboteur: FuzzShop['saboteur'] = {};
  const log = pino({ level: 'error' }, { write: (line: string) => void bugs.push(line) });
  const world = await startWorld({
    standing: false,
    gateways: await Promise.all([atRazorpay(), atPhonepe()]),
    wrapActivities: (own) => counted(own, activities),
    env: { WEB_ORIGINS: 'https://shop.example' },
    log,
    lookUp: async (host) => {
      if (host === 'hooks.example') return [{ address: '93.184.215.14', family: 4 }];
      throw Object.assign(new Error(`${host} is unknown`), { code: 'ENOTFOUND' });
    },
    meddle: (request, response, next) => (saboteur.meddle ?? ((_q, _s, go) => go()))(request, response, next),
  });
  const starts = countStarts(world);
  const things = makeThings(world, () => (seen = undefined));
  const look = async (): Promise<Left> => {
    // Counted first: what begins while the rows are read is seen to have begun since.
    const now = { starts: starts.count, activities: { ...activities } };
    return { ...now, rows: await rowsOf(world.db) };
  };
  return {
    world,
    document: readDocument((await world.call('GET', '/openapi.json')).body),
    bugs,
    saboteur,
    putIn: putterOf(world, things),
    send: (sent) => send(world.api, sent),
    activities,
    left: async () => (seen ??= await look()),
    leftNow: async () => (seen = await look()),
    rest: async () => {
      await eventually(
        'rest',
        async () => activities.running === 0 && Date.now() - activities.last > 150,
        30_000,
      );
      seen = undefined;
    },
    used: ({ target, body = '' }) => {
      seen = undefined;
      things.forget([...`${target} ${body}`.matchAll(names)].map(([, , name = '']) => name));
    },
    tidy: async () => {
      await world.db('webhook_deliveries').del();
      await world.db('webhook_endpoints').del();
      seen = undefined;
      things.forget(['whe:enabled', 'whe:disabled']);
    },
    stop: () => world.stop(),
  };
}
