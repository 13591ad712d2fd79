/**
 * Requests of every kind to every route, drawn from the document that the API serves: what is answered stands in that
 * document, nothing is the service's fault, and a refused request leaves nothing behind. FUZZ_RUNS plays more; a failure says
 * how to play it again.
 */
import fc from 'fast-check';
import { callers, holdersOf, type CallerName } from './api-fuzz-callers';
import type { Operation } from './api-fuzz-document';
import { examine, planFromEnvironment, play, told } from './api-fuzz-play';
import { honestRequests, type FuzzRequest } from './api-fuzz-requests';
import { openFuzzShop, type FuzzShop } from './api-fuzz-shop';
import { isLong } from './tiers';

/** Requests to each route that takes something; a fifth of them to the others. */
const plan = planFromEnvironment(isLong ? 200 : 6);

/** A limit says that something hangs: on two very busy cores one request to each route takes some 5 s. */
const hangsMs = 300_000 + plan.runs * 30_000;

let shop: FuzzShop;
beforeAll(async () => {
  shop = await openFuzzShop();
});
afterAll(() => shop.stop());

/** Everything found in all routes, or nothing: one that fails hides no other. */
async function overRoutes(look: (operation: Operation) => Promise<string | undefined>): Promise<void> {
  const reports: string[] = [];
  for (const operation of shop.document.operations) {
    if (plan.route !== undefined && plan.route !== operation.name) continue;
    const report = await look(operation);
    if (report !== undefined) reports.push(report);
    await shop.tidy();
  }
  if (reports.length > 0) throw new Error(reports.join('\n\n'));
}

// The first one: nothing is under way yet that would write.
test(
  'a method that the document does not name is not there, and leaves nothing',
  async () => {
    const named = new Set(shop.document.operations.map(({ name }) => name));
    const paths = new Set(shop.document.operations.map(({ path }) => path));
    const before = await shop.left();
    const answers: string[] = [];
    for (const path of paths) {
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        if (named.has(`${method} ${path}`)) continue;
        const target = path.replace(/\{\w+\}/g, 'x');
        const request = { caller: 'everything', method, target, headers: {} } as const;
        const { status, headers } = await shop.send(await shop.putIn(request));
        answers.push(`${status} ${headers['content-type']?.replace(/;.*/, '')}`);
      }
    }
    expect(answers.length).toBeGreaterThan(100);
    expect(new Set(answers)).toEqual(new Set(['404 application/problem+json']));
    expect((await shop.leftNow()).rows).toEqual(before.rows);
  },
  hangsMs,
);

test(
  'whatever is asked by whomever, the answer is in the document, and what is refused leaves no trace',
  () =>
    overRoutes(async (operation) => {
      const takes = operation.body !== undefined || operation.parameters.length > 0;
      const runs = takes ? plan.runs : Math.ceil(plan.runs / 5);
      return (await play(shop, operation, { ...plan, runs }))?.report;
    }),
  hangsMs,
);

/** Honest requests, each drawn when it is wanted. */
function* honest(operation: Operation, count: number): Generator<FuzzRequest> {
  const requests = honestRequests(shop.document, operation);
  for (let seed = plan.seed; seed < plan.seed + count; seed += 1) {
    yield* fc.sample(requests, { seed, numRuns: 1 });
  }
}

/** What was wrong with the answers to honest requests, one of each of these callers. */
async function faultsFor(operation: Operation, asking: readonly CallerName[]): Promise<string | undefined> {
  const left = [...asking];
  for (const request of honest(operation, asking.length)) {
    const asked = await examine(shop, operation, { ...request, caller: left.shift() ?? 'nobody' });
    if (asked.faults.length > 0) return `${operation.name}\n${told(asked)}`;
  }
  return undefined;
}

test(
  'no route lets in whom it must not',
  () =>
    overRoutes(async (operation) => {
      if (operation.scopes.length === 0) return undefined;
      const uninvited = callers.filter((name) => !holdersOf(operation.scopes).includes(name));
      // Another one each time; in the long tier all of them.
      const one = uninvited[plan.seed % uninvited.length] ?? 'nobody';
      return faultsFor(operation, isLong ? uninvited : [one]);
    }),
  hangsMs,
);

/**
 * Honest requests that may be needed until one is granted. A provider sees one of seven bookings, which is named every 21st
 * time: of 80 requests none named it once in fifty runs, of 400 once in 300 million.
 */
const honestAtMost = 400;

/** Why an honest client was not served; undefined when it was. */
async function notServed(operation: Operation, caller: CallerName): Promise<string | undefined> {
  for (const request of honest(operation, honestAtMost)) {
    const asked = await examine(shop, operation, { ...request, caller });
    if (asked.faults.length > 0) return `${operation.name}\n${told(asked)}`;
    if (asked.heard.status < 300) return undefined;
  }
  return `${operation.name}: none of ${honestAtMost} honest requests was granted to ${caller}`;
}

test(
  'every route serves an honest client of each of its scopes',
  () =>
    overRoutes(async (operation) => {
      const { scopes } = operation;
      const owners = scopes.flatMap((scope) => holdersOf([scope]).slice(0, 1));
      for (const caller of scopes.length === 0 ? callers.slice(0, 1) : owners) {
        const why = await notServed(operation, caller);
        if (why !== undefined) return why;
      }
      return undefined;
    }),
  hangsMs,
);
