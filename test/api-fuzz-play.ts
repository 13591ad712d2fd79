/** Plays requests against one operation until one is answered as it must not be, and says how to play that again. */
import { createHash, randomInt } from 'node:crypto';
import fc from 'fast-check';
import type { Operation } from './api-fuzz-document';
import { faultsOf, mustLeaveNothing, tracesOf, type Asked } from './api-fuzz-judge';
import { allRequests, type FuzzRequest } from './api-fuzz-requests';
import type { FuzzShop } from './api-fuzz-shop';

/** How many requests are played to each route, and which. */
export interface Plan {
  runs: number;
  seed: number;
  /** Of a failure that is played again. */
  path?: string;
  /** The only operation that is played, as `POST /v1/bookings`. */
  route?: string;
  /** false: the first failure is told as it came. */
  shrink?: boolean;
}

/** The plan that the environment asks for: FUZZ_RUNS, FUZZ_SEED, FUZZ_ROUTE and FUZZ_PATH. */
export function planFromEnvironment(runs: number): Plan {
  const { FUZZ_RUNS: asked, FUZZ_SEED: seed, FUZZ_PATH: path, FUZZ_ROUTE: route } = process.env;
  return {
    runs: asked ? Number(asked) : runs,
    seed: seed ? Number(seed) : randomInt(2 ** 31),
    ...(path && { path }),
    ...(route && { route }),
  };
}

/** An asking and everything that is wrong with what came of it. */
export interface Examined extends Asked {
  faults: string[];
}

/** How often an asking is repeated whose traces may be an activity's that happened to run, or which was not answered in time. */
const goes = 4;

/** Asks once and judges. */
export async function examine(shop: FuzzShop, operation: Operation, request: FuzzRequest): Promise<Examined> {
  for (let go = 1; ; go += 1) {
    const sent = await shop.putIn(request);
    const before = await shop.left();
    const heard = await shop.send(sent);
    const asked: Asked = { operation, caller: request.caller, sent, heard };
    // On a busy machine even what is there may answer late; what is broken is so again.
    if (heard.status === 503 && go < goes) {
      await shop.rest();
      continue;
    }
    if (heard.status < 300 && !['GET', 'HEAD'].includes(sent.method)) shop.used(request);
    const requestId = String(heard.headers['x-request-id']);
    const bugs = shop.bugs.filter((line) => line.includes(requestId));
    const faults = [...faultsOf(shop.document, asked), ...bugs];
    if (!mustLeaveNothing(asked)) return { ...asked, faults };
    const traces = tracesOf(asked, before, await shop.leftNow());
    // What an earlier request set going writes for a while.
    const { begun, running } = before.activities;
    if (traces.length > 0 && go < goes && (running > 0 || shop.activities.begun > begun)) {
      await shop.rest();
      continue;
    }
    return { ...asked, faults: [...faults, ...traces] };
  }
}

/** An asking as people read it. */
export function told({ sent, heard, faults }: Examined): string {
  const { method, target, headers, body } = sent;
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [
    ...faults.map((fault) => `- ${fault}`),
    `${method} ${target}`,
    ...head,
    ...(body === undefined ? [] : [short(body)]),
    `→ ${heard.status} ${short(heard.text)}`,
  ].join('\n');
}

const short = (text: string): string =>
  text.length <= 2_000 ? text : `${text.slice(0, 2_000)}… (${text.length} characters)`;

/** Each route has a seed of its own, or all would be asked by the same callers in the same order. */
function seedOf(seed: number, { name }: Operation): number {
  return createHash('sha256').update(`${seed} ${name}`).digest().readInt32BE();
}

/** A request that was answered wrongly. */
export interface Failure {
  report: string;
  /** Plays this request alone. */
  again: Plan;
}

/**
 * Plays requests against one operation.
 * @param seen called with every asking
 * @returns the failure, or undefined
 */
export async function play(
  shop: FuzzShop,
  operation: Operation,
  plan: Plan,
  seen: (asked: Examined) => void = () => undefined,
): Promise<Failure | undefined> {
  let last: Examined | undefined;
  const property = fc.asyncProperty(allRequests(shop.document, operation), async (request) => {
    const asked = await examine(shop, operation, request);
    seen(asked);
    if (asked.faults.length === 0) return;
    last = asked;
    throw new Error(asked.faults.join('; '));
  });
  const details = await fc.check(property, {
    numRuns: plan.runs,
    seed: plan.route === undefined ? seedOf(plan.seed, operation) : plan.seed,
    endOnFailure: plan.shrink === false || plan.path !== undefined,
    ...(plan.path === undefined ? {} : { path: plan.path }),
  });
  if (!details.failed) return undefined;
  // Not an answer's fault: the test's own.
  if (last === undefined) throw details.errorInstance;
  const [seed, path, route] = [details.seed, details.counterexamplePath ?? '', operation.name];
  const line = `FUZZ_SEED=${seed} FUZZ_ROUTE='${route}' FUZZ_PATH='${path}' npm test -- api-fuzz.test`;
  return {
    report: `${route}\n${told(last)}\nPlay it again: ${line}`,
    again: { runs: 1, seed, path, route },
  };
}
