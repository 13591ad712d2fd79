/**
 * Requests of every kind to every route, drawn from the document that the API serves: what is answered stands in that
 * document, nothing is the service's fault, and a refused request leaves nothing behind. FUZZ_RUNS plays more; a failure says
 * how to play it again.
 */
import fc from 'fast-check';
import { callers } from './api-fuzz-callers';
import { examine, planFromEnvironment, play, told, type Examined } from './api-fuzz-play';
import { honestRequests } from './api-fuzz-requests';
import { T, openFuzzShop, type FuzzShop } from './api-fuzz-shop';
import { isLong } from './tiers';

/** Requests to a route that takes something; to others a fifth of it. */
const plan = planFromEnvironment(isLong ? 1_000 : 25);

let shop: FuzzShop;
beforeAll(async () => {
  shop = await openFuzzShop();
});
afterAll(() => shop.stop());

test('whatever is asked by whomever, the answer is in the document, and what is refused leaves no trace', async () => {
  const reports: string[] = [];
  for (const operation of shop.document.operations) {
    if (plan.route !== undefined && plan.route !== operation.name) continue;
    const takes = operation.body !== undefined || operation.parameters.length > 0;
    const t0 = Date.now();
    const statuses: Record<string, number> = {};
    const failure = await play(
      shop,
      operation,
      { ...plan, runs: takes ? plan.runs : Math.ceil(plan.runs / 5) },
      (a) => {
        statuses[a.heard.status] = (statuses[a.heard.status] ?? 0) + 1;
      },
    );
    process.stderr.write(`${operation.name} ${Date.now() - t0} ms ${JSON.stringify(statuses)}\n`);
    if (failure !== undefined) reports.push(failure.report);
    await shop.tidy();
  }
  process.stderr.write(JSON.stringify(T));
  if (reports.length > 0) throw new Error(reports.join('\n\n'));
}, 600_000);
void [fc, callers, examine, told, honestRequests];
export type X = Examined;
