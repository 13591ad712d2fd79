/** The report of a run: what was done to the service, what became of the customers, and what the judge says. */
import type { Evidence, Method, Played } from '../evidence/evidence';
import { confirmLatency, longestPause, type Latency } from './latency';
import { rawDuplicates } from '../judge/mails';
import { totals, type Balance } from '../judge/money';
import { readStories, type Stories, type Story } from '../judge/story';
import { payersOf, type Payers } from './payers';
import { tell } from './telling';
import { groupBy, sumOf, type Verdict } from '../judge/verdict';

/** Everything the report says; times and lengths in milliseconds. */
export interface Report {
  startValue: number;
  /** ISO 8601. */
  loadFrom: string;
  /** Nothing is broken, and nothing is unproved. */
  passed: boolean;
  /** Why the run proves too little: rules that had nothing to look at, faults that did not land. A sentence each. */
  unproved: string[];
  visits: number;
  attempts: number;
  /** Moments of the run that were looked at. */
  samples: number;
  /** Every planned fault is entered when its time comes; with a proof, it landed. */
  faults: {
    kind: string;
    planned: number;
    landed: number;
    /** From the blow to the next booking, the longest of those that landed; null where none came. */
    untilBookedMs: number | null;
  }[];
  /** How many attempts ended so, by the way to pay. */
  outcomes: { outcome: string; by: Partial<Record<Method, number>>; all: number }[];
  /** Those who paid at a gateway. */
  payers: Payers;
  money: Record<string, Balance>;
  verdicts: Verdict[];
  latency: { untilBooked: Latency; untilTold: Latency };
  longestPauseMs: number;
  /** From the end of the last fault until everything was over; null when it never was. */
  drainMs: number | null;
  /** Of the service at the gateways, for each booking made; null where there is none. */
  callsPerBooking: number | null;
  /** Sendings of webhooks, for each booking made. */
  webhooksPerBooking: number | null;
  mails: { arrived: number; rawDuplicates: number };
  /** Histories, by the build that they were replayed with. */
  replayed: { build: string; histories: number }[];
  footprints: Evidence['footprints'];
  connections: Evidence['connections'];
  /** Only where something broke: what was done, and what each broken attempt went through. */
  failure?: {
    faults: Played[];
    brokenAttempts: number;
    stories: { bookingId: string; rules: string[]; lines: string[] }[];
  };
}

/**
 * Stories a report has at most. Telling one looks through every webhook and workflow of the run (12,000 broken attempts took
 * two minutes), and where so many are broken the next says nothing new. The evidence that lies beside has them all.
 */
const storiesKept = 200;

/** In the order of the report. */
export const methods: readonly Method[] = ['stripe', 'razorpay', 'phonepe', 'wallet'];

/** How an attempt ended, in the words of its row, and of the booking where it had one. */
function outcomeOf({ attempt, booking }: Story): string {
  if (attempt === undefined) return 'without an attempt';
  if (booking?.status === 'canceled') return `${attempt.status} after a cancellation`;
  return attempt.failure === null ? attempt.status : `${attempt.status} (${attempt.failure.type})`;
}

function outcomesOf({ visits, rows }: Evidence, stories: Stories): Report['outcomes'] {
  const attempted = new Set(rows.attempts.map(({ customer_id }) => customer_id));
  const ends = [
    ...stories.all.map((story) => ({
      outcome: outcomeOf(story),
      method: story.visit?.method ?? story.attempt?.method,
    })),
    ...visits
      .filter(({ bookingId, customerId }) => bookingId === undefined && !attempted.has(customerId))
      .map(({ refused, method }) => ({
        outcome:
          refused === undefined ? 'start never answered' : `start refused (${refused.split('/').at(-1)})`,
        method,
      })),
  ];
  return [...groupBy(ends, ({ outcome }) => outcome)]
    .map(([outcome, same]) => ({
      outcome,
      by: Object.fromEntries(methods.map((one) => [one, same.filter(({ method }) => method === one).length])),
      all: same.length,
    }))
    .sort((a, b) => b.all - a.all);
}

function faultsOf({ faults, rows }: Evidence): Report['faults'] {
  const bookedAt = rows.bookings.map(({ confirmed_at }) => confirmed_at);
  const untilBooked = ({ from }: Played): number =>
    Math.min(...bookedAt.filter((at) => at >= from).map((at) => at - from));
  return [...groupBy(faults, ({ kind }) => kind)]
    .map(([kind, same]) => ({
      kind,
      planned: same.length,
      landed: landedOf(same).length,
      untilBookedMs: longest(landedOf(same).map(untilBooked)),
    }))
    .sort((a, b) => a.kind.localeCompare(b.kind));
}

const landedOf = (faults: readonly Played[]): Played[] => faults.filter(({ proof }) => proof !== undefined);

/** Of those that came to an end. */
function longest(waits: readonly number[]): number | null {
  const ended = waits.filter(Number.isFinite);
  return ended.length === 0 ? null : Math.max(...ended);
}

/** What was to be proved, and was not. */
function unprovedIn(evidence: Evidence, verdicts: readonly Verdict[]): string[] {
  const { samples, mustLand, replays } = evidence;
  const faults = faultsOf(evidence);
  const landed = sumOf(faults, (one) => one.landed);
  return [
    ...(samples.length === 0 ? ['Nobody looked during the run.'] : []),
    ...(replays.length === 0 ? ['No history was replayed.'] : []),
    ...verdicts.filter(({ checked }) => checked === 0).map(({ name }) => `${name} had nothing to look at.`),
    ...(landed < mustLand.all ? [`${landed} faults landed; ${mustLand.all} were wanted.`] : []),
    ...faults
      .filter((one) => one.landed < mustLand.each)
      .map((one) => `${one.kind} landed ${one.landed} times; ${mustLand.each} were wanted.`),
  ];
}

function failureOf(
  evidence: Evidence,
  stories: Stories,
  verdicts: readonly Verdict[],
): NonNullable<Report['failure']> {
  const named = verdicts.flatMap(({ name, broken }) =>
    broken.flatMap(({ bookingId }) => (bookingId === undefined ? [] : [{ name, bookingId }])),
  );
  const broken = [...groupBy(named, ({ bookingId }) => bookingId)];
  return {
    faults: evidence.faults,
    brokenAttempts: broken.length,
    stories: broken.slice(0, storiesKept).flatMap(([bookingId, rules]) => {
      const story = stories.of(bookingId);
      const names = [...new Set(rules.map(({ name }) => name))];
      return story === undefined ? [] : [{ bookingId, rules: names, lines: tell(story, evidence) }];
    }),
  };
}

/** Sums a run up. */
export function reportOf(evidence: Evidence, verdicts: Verdict[]): Report {
  const stories = readStories(evidence);
  const { rows, events, mails, quietAt, lastFaultEndedAt, calls } = evidence;
  const isWhole = verdicts.every(({ broken }) => broken.length === 0);
  const unproved = unprovedIn(evidence, verdicts);
  const perBooking = (count: number): number | null =>
    rows.bookings.length === 0 ? null : count / rows.bookings.length;
  return {
    startValue: evidence.startValue,
    loadFrom: new Date(evidence.loadFrom).toISOString(),
    passed: isWhole && unproved.length === 0,
    unproved,
    visits: evidence.visits.length,
    attempts: rows.attempts.length,
    samples: evidence.samples.length,
    faults: faultsOf(evidence),
    outcomes: outcomesOf(evidence, stories),
    payers: payersOf(evidence),
    money: Object.fromEntries(totals(evidence, stories)),
    verdicts,
    latency: confirmLatency(evidence, stories),
    longestPauseMs: longestPause(stories),
    drainMs: quietAt === undefined ? null : quietAt - lastFaultEndedAt,
    callsPerBooking: perBooking(calls),
    webhooksPerBooking: perBooking(sumOf(events, ({ answers }) => answers.length)),
    mails: { arrived: mails.length, rawDuplicates: rawDuplicates(evidence) },
    replayed: evidence.replays.map(({ build, replayed }) => ({ build, histories: replayed })),
    footprints: evidence.footprints,
    connections: evidence.connections,
    ...(isWhole ? {} : { failure: failureOf(evidence, stories, verdicts) }),
  };
}

/** The report as JSON, for programs. */
export function jsonOf(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
