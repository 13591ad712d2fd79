/** What orchestrators and dashboards ask: alive, ready, metrics. Never limited. */
import { z } from 'zod';
import { describeError } from '../telemetry';
import type { ApiDependencies } from './dependencies';
import { refreshGauges } from './money';
import { Problem } from './problem';
import { defineRoute, type Route } from './route';

/** How long PostgreSQL may take to say that it is there, in ms. */
const databaseReadyWithinMs = 2_000;
/** The same for Temporal; its client overruns by up to half while it is between two tries. */
const temporalReadyWithinMs = 1_500;

const tag = 'Operation';

/** The routes of operation. */
export function healthRoutes(deps: ApiDependencies): Route[] {
  const scrape = makeScrape(deps);
  return [
    defineRoute({
      method: 'get',
      path: '/healthz',
      tag,
      summary: 'Whether the process lives',
      scopes: [],
      answers: { 200: { description: 'It does', schema: z.object({ status: z.literal('ok') }) } },
      problems: [],
      handle: ({ response }) => {
        response.json({ status: 'ok' });
      },
    }),
    defineRoute({
      method: 'get',
      path: '/readyz',
      tag,
      summary: 'Whether PostgreSQL and Temporal answer',
      scopes: [],
      answers: { 200: { description: 'Both answer', schema: z.object({ status: z.literal('ok') }) } },
      problems: ['unavailable'],
      handle: async ({ response }) => {
        const away = await whatIsAway(deps);
        if (away.length > 0) throw new Problem('unavailable', `Away: ${away.join(', ')}.`);
        response.json({ status: 'ok' });
      },
    }),
    defineRoute({
      method: 'get',
      path: '/metrics',
      tag,
      summary: 'Metrics in Prometheus’ text format',
      scopes: [],
      answers: { 200: { description: 'The metrics', contentType: 'text/plain', schema: z.string() } },
      problems: [],
      handle: async ({ response }) => {
        const text = await scrape();
        response.set('Content-Type', deps.metrics.registry.contentType).send(text);
      },
    }),
  ];
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('No answer in time')), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function whatIsAway({ reading, temporal }: ApiDependencies): Promise<string[]> {
  const checks = {
    PostgreSQL: within(databaseReadyWithinMs, Promise.resolve(reading.raw('SELECT 1'))),
    // Its own deadline ends the call: one that is merely abandoned would try on.
    Temporal: temporal.withDeadline(Date.now() + temporalReadyWithinMs, () =>
      temporal.workflowService.getSystemInfo({}),
    ),
  };
  const settled = await Promise.allSettled(Object.values(checks));
  return Object.keys(checks).filter((_name, index) => settled[index]?.status === 'rejected');
}

/** Scrapes that come at once share one look at the tables: anybody may ask, and the look reads every payment. */
function makeScrape({ reading, metrics, log }: ApiDependencies): () => Promise<string> {
  let looking: Promise<void> | undefined;
  async function look(): Promise<void> {
    try {
      await refreshGauges(reading, metrics);
    } catch (error) {
      // The counters are still worth telling; the gauges keep their last value.
      log.warn({ event: 'metrics.blind', error: describeError(error) });
    } finally {
      looking = undefined;
    }
  }
  return async () => {
    looking ??= look();
    await looking;
    return metrics.registry.metrics();
  };
}
