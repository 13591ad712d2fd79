/** Analytics: how payments go, and where the money is. Everything is counted from the rows, so it outlives every process. */
import { z } from 'zod';
import type { ApiDependencies } from './dependencies';
import { readBalances } from './money';
import { countPayments, groupings, type PaymentNumbers, type Range } from './payment-numbers';
import { invalid } from './problem';
import { defineRoute, type Route } from './route';
import { currency, instant } from './validation';

const dayMs = 86_400_000;
/** Days that are counted when none are named: a month shows a trend. */
const defaultDays = 30;
/** Most days of one request: a year with its leap day. More is a report for a warehouse, and would read every attempt. */
const mostDays = 366;

const count = z.int().min(0);
const minor = z.int().meta({ description: 'In the smallest unit of the currency.' });
const seconds = z.number().min(0).nullable();

const numbers = {
  attempts: count.meta({
    description:
      'Attempts that started from `from` on and before `to`, whatever became of them: also those still open and those ' +
      'refused at once.',
  }),
  confirmed: count.meta({
    description: 'Those that became a booking, by now; also when it was canceled later.',
  }),
  successRate: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .meta({ description: '`confirmed` / `attempts`; null without attempts.' }),
  abandoned: count.meta({
    description:
      'Those that ended `expired`: nobody paid within the window. What the customer canceled (`canceled`) and what was ' +
      'refused (`failed`) is not abandoned.',
  }),
  failures: z.array(z.object({ type: z.string(), count })).meta({
    description:
      'Failures these attempts have met, by `failure.type`, the most frequent first. Each counts, also where a later try ' +
      'succeeded: two declines and a success on one attempt are 2. Refused starts and money that settling refused count too.',
  }),
  retries: count.meta({
    description:
      'Accepted retries. Another card on the same pay page is no retry; its declines are in `failures`.',
  }),
  refunds: z.array(z.object({ reason: z.string(), count, amountMinor: minor, currency })).meta({
    description:
      'Refunds of these attempts’ payments, by reason and currency, the most frequent first; from the moment they are ' +
      'owed, whatever their status. `slot-unavailable` is a lost race.',
  }),
  secondsToConfirm: z.object({ p50: seconds, p95: seconds }).meta({
    description:
      'From the start of an attempt to its booking, over `confirmed`: median and 95th percentile, interpolated; null when ' +
      'there are none. The customer’s own time on the pay page is part of it; wallets and what is free take 0.',
  }),
};

const paymentsView = z.object(numbers).meta({ id: 'PaymentNumbers' });
type PaymentsView = z.infer<typeof paymentsView>;

const groupsView = z
  .object({
    groups: z.array(
      z.object({
        key: z.string().meta({
          description:
            'kind: `slot`, `consultation`, or `none` for starts refused before there was a quote; an attempt with items of ' +
            'both kinds counts, with everything, in each. gateway: the attempt’s method, or `none` where none was named.',
        }),
        ...numbers,
      }),
    ),
  })
  .meta({ id: 'PaymentNumbersByGroup' });

const paymentsQuery = z.strictObject({
  from: instant.optional().meta({ description: `First instant counted; ${defaultDays} days before \`to\`.` }),
  to: instant.optional().meta({
    description: `First instant no longer counted; now. At most ${mostDays} days after \`from\`.`,
  }),
  groupBy: z
    .enum(groupings)
    .optional()
    .meta({ description: 'Only groups with attempts are listed, by key.' }),
});

const balanceView = z
  .object({
    currency,
    capturedMinor: minor.meta({ description: 'All that gateways said they captured, and wallets paid.' }),
    keptMinor: minor.meta({ description: 'Kept by bookings, or by the policy they were canceled under.' }),
    returnedMinor: minor.meta({
      description: 'Given back: refunds that succeeded, at the gateway or by other hands.',
    }),
    onItsWayMinor: minor.meta({
      description: 'Refunds owed that have not arrived: unsent or pending, overdue ones included.',
    }),
    openCasesMinor: minor.meta({
      description:
        'Waits for a person: refunds that failed, money that matches no attempt, and what a bank holds while a dispute lasts.',
    }),
    imbalanceMinor: minor.meta({
      description:
        'What none of these explains: the distance per payment, summed, so that faults in opposite directions do not hide ' +
        'each other. Always 0; then `capturedMinor` is the sum of the other four. The gauge `money_imbalance_minor` is the same number.',
    }),
  })
  .meta({ id: 'Balance' });

const tag = 'Analytics';

/** The routes of analytics; all for operators. */
export function analyticsRoutes({ reading }: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/analytics/payments',
      tag,
      summary: 'Count attempts, and what became of them',
      description:
        'All numbers are of the attempts that **started** from `from` on and before `to`, as they stand now, in one ' +
        'consistent look: two ranges that touch count nothing twice, and an open attempt may still change its numbers.',
      scopes: ['ops'],
      query: paymentsQuery,
      answers: {
        200: {
          description: 'The numbers, or with `groupBy` groups of them',
          schema: z.union([paymentsView, groupsView]),
        },
      },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, response }) => {
        const range = rangeOf(query);
        if (query.groupBy === undefined) {
          const [all] = await countPayments(reading, range, 'all');
          response.json(show(all ?? nothing));
          return;
        }
        const groups = await countPayments(reading, range, query.groupBy);
        response.json({ groups: groups.map((group) => ({ key: group.key, ...show(group) })) });
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/analytics/money',
      tag,
      summary: 'Say where all captured money is, by currency',
      description: 'Over all time. A currency in which nothing was ever captured is missing.',
      scopes: ['ops'],
      answers: { 200: { description: 'The balance', schema: z.object({ items: z.array(balanceView) }) } },
      problems: ['unavailable'],
      handle: async ({ response }) => {
        response.json({ items: await showBalances(reading) });
      },
    }),
  ];
}

/** @throws Problem `invalid-request` for a range that is empty or too long */
function rangeOf({ from, to }: z.output<typeof paymentsQuery>): Range {
  const end = to === undefined ? Date.now() : Date.parse(to);
  const start = from === undefined ? end - defaultDays * dayMs : Date.parse(from);
  if (start >= end) throw invalid('/from', 'from must be before to; without to, before now.');
  if (end - start > mostDays * dayMs) {
    throw invalid('/from', `from must be at most ${mostDays} days before to; without to, before now.`);
  }
  // Without `to` nothing is cut off: the database's clock may be ahead of ours.
  return { from: new Date(start).toISOString(), to };
}

const nothing: PaymentNumbers = {
  key: 'all',
  attempts: 0,
  confirmed: 0,
  abandoned: 0,
  retries: 0,
  failures: [],
  refunds: [],
  seconds: null,
};

function show(found: PaymentNumbers): PaymentsView {
  const { attempts, confirmed, abandoned, failures, retries, refunds } = found;
  const [p50, p95] = found.seconds ?? [null, null];
  return {
    attempts,
    confirmed,
    successRate: attempts === 0 ? null : confirmed / attempts,
    abandoned,
    failures,
    retries,
    refunds,
    secondsToConfirm: { p50: inMilliseconds(p50), p95: inMilliseconds(p95) },
  };
}

/** Finer digits are the clock's noise. */
function inMilliseconds(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000) / 1000;
}

async function showBalances(reading: ApiDependencies['reading']): Promise<z.infer<typeof balanceView>[]> {
  return (await readBalances(reading)).map((row) => ({
    currency: row.currency,
    capturedMinor: row.captured_minor,
    keptMinor: row.kept_minor,
    returnedMinor: row.returned_minor,
    onItsWayMinor: row.on_its_way_minor,
    openCasesMinor: row.open_cases_minor,
    imbalanceMinor: row.imbalance_minor,
  }));
}
