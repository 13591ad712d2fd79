/** S8, S11, L1: what became of each attempt, and whether its customer was told so and only so. */
import { attemptStatuses, legalTransitions, type AttemptStatus } from '../../src/booking';
import type { Told, Visit } from '../evidence/evidence';
import { isTerminal, openCases, type Stories, type Story } from './story';
import { groupBy, lookAtEach, together, unless, type Finding, type Rule } from './verdict';

/** What a status may become. Out of "needs attention" leads only an operator, and no run has one. */
const next = { ...legalTransitions, needs_attention: [] };

/** What a client may see after a status: everything that legal steps lead to, for it may miss any between. */
const reach = new Map(attemptStatuses.map((status) => [status, reachedFrom(status)]));

function reachedFrom(start: AttemptStatus): ReadonlySet<AttemptStatus> {
  const seen = new Set([start]);
  for (const status of seen) for (const one of next[status]) seen.add(one);
  return seen;
}

/** What a customer was told, as it was asked. The answers to two clicks were under way at once: neither is the later. */
function toldInOrder({ behaviour, told }: Visit): Told[] {
  if (behaviour !== 'double-click') return told;
  return [...told.slice(0, 2).sort((a, b) => a.version - b.version), ...told.slice(2)];
}

/** What the customer was told, and at the end what the row says. */
function toldAndEnd({ visit, attempt }: Story): Pick<Told, 'status'>[] {
  return [
    ...(visit === undefined ? [] : toldInOrder(visit)),
    ...(attempt === undefined ? [] : [{ status: attempt.status }]),
  ];
}

/** Each answer with the one before it, split where `confirmed` was first seen: before is S8's matter, after it S11's. */
function steps(story: Story): { from: AttemptStatus; to: AttemptStatus; promised: boolean }[] {
  const seen = toldAndEnd(story).map(({ status }) => status);
  const promise = seen.indexOf('confirmed');
  return seen.slice(1).map((to, before) => ({
    from: seen[before] ?? to,
    to,
    promised: promise !== -1 && before >= promise,
  }));
}

function sameVersionTwice(told: readonly Told[]): Told[][] {
  return [...groupBy(told, ({ version }) => String(version)).values()].filter(
    (same) => new Set(same.map(({ status }) => status)).size > 1,
  );
}

/** Whether the attempt's row and the booking's say the same. */
function rowsAgree({ attempt, booking }: Story): boolean {
  if (booking === undefined) return attempt?.status !== 'confirmed';
  if (attempt === undefined) return false;
  return booking.status === 'confirmed'
    ? attempt.status === 'confirmed'
    : ['refunding', 'refunded', 'needs_attention'].includes(attempt.status);
}

export const legalSteps: Rule = {
  name: 'S8',
  rule: 'An attempt moves only along its legal transitions, one version is one status, and a booking stands exactly where the attempt is confirmed.',
  look: (_evidence, stories) =>
    together(
      lookAtEach(stories.all, (story) =>
        steps(story)
          .filter(({ from, to, promised }) => !promised && reach.get(from)?.has(to) !== true)
          .map(({ from, to }) => ({
            text: `Seen as ${from} and then as ${to}, which no legal steps lead to.`,
            bookingId: story.bookingId,
          })),
      ),
      lookAtEach(stories.all, ({ visit, bookingId }) =>
        sameVersionTwice(visit?.told ?? []).map((same) => ({
          text: `Version ${same[0]?.version} was told as ${same.map(({ status }) => status).join(' and as ')}.`,
          bookingId,
        })),
      ),
      lookAtEach(
        stories.all.filter(({ attempt, booking }) => attempt !== undefined || booking !== undefined),
        (story) =>
          unless(rowsAgree(story), () => ({
            text: `The attempt is ${story.attempt?.status ?? 'missing'} and the booking ${story.booking?.status ?? 'missing'}.`,
            bookingId: story.bookingId,
          })),
      ),
    ),
};

/** Whether the customer wanted the booking undone: also when no answer to the wish came. */
const mayBeUndone = (visit: Visit | undefined): boolean =>
  visit?.canceledAt !== undefined || visit?.behaviour === 'cancel-booked';

function brokenPromises(story: Story): Finding[] {
  const { bookingId, visit } = story;
  const after = steps(story).filter(({ promised }) => promised);
  const back = after.filter(
    ({ to }) => to !== 'confirmed' && !(mayBeUndone(visit) && reach.get('confirmed')?.has(to) === true),
  );
  return back.map(({ from, to }) => ({
    text: `Told confirmed, and later seen as ${to} (after ${from})${mayBeUndone(visit) ? '' : ' although nobody canceled'}.`,
    bookingId,
  }));
}

function fallingVersions(visit: Visit): Finding[] {
  const told = toldInOrder(visit);
  return told.flatMap((now, index) => {
    const before = told[index - 1];
    return unless(before === undefined || now.version >= before.version, () => ({
      text: `Visit ${visit.n} was told version ${before?.version} and then version ${now.version}.`,
      ...(visit.bookingId === undefined ? {} : { bookingId: visit.bookingId }),
    }));
  });
}

/** What a 2xx promised: the attempt is there, and a granted cancellation stays granted. */
function keptWord(visit: Visit, stories: Stories): Finding[] {
  const { n, bookingId, canceledAt } = visit;
  if (bookingId === undefined) return [];
  const status = stories.of(bookingId)?.attempt?.status;
  if (status === undefined)
    return [{ text: `Visit ${n} was given ${bookingId}, and there is no such attempt.`, bookingId }];
  const granted = ['canceled', 'refunding', 'refunded', 'needs_attention'].includes(status);
  return unless(canceledAt === undefined || granted, () => ({
    text: `Visit ${n} was granted its cancellation, and the attempt is ${status}.`,
    bookingId,
  }));
}

export const wordsStayTrue: Rule = {
  name: 'S11',
  rule: 'What a customer was told stays true: nothing goes back behind confirmed but by a cancellation, versions never fall, no acknowledged start is lost, and no repeat makes a second attempt.',
  look({ visits, rows }, stories) {
    const attempts = groupBy(rows.attempts, ({ customer_id }) => customer_id);
    return together(
      lookAtEach(stories.all, brokenPromises),
      lookAtEach(visits, fallingVersions),
      lookAtEach(visits, (visit) => keptWord(visit, stories)),
      lookAtEach(visits, ({ n, customerId }) => {
        const made = attempts.get(customerId) ?? [];
        return unless(made.length <= 1, () => ({
          text: `Visit ${n} made ${made.length} attempts.`,
          ...(made[1] && { bookingId: made[1].booking_id }),
        }));
      }),
    );
  },
};

export const everyAttemptEnds: Rule = {
  name: 'L1',
  rule: 'Every attempt has ended: confirmed, refunded, expired, canceled or failed, or a person can see its open case; and every customer has come to an end.',
  look: ({ rows, visits }, stories) =>
    together(
      lookAtEach(rows.attempts, ({ booking_id: bookingId, status }) => {
        const story = stories.of(bookingId);
        const seen = status === 'needs_attention' && story !== undefined && openCases(story).length > 0;
        return unless(isTerminal(status) || seen, () => ({
          text: `Still ${status}${status === 'needs_attention' ? ', without an open case' : ''}.`,
          bookingId,
        }));
      }),
      lookAtEach(visits, ({ n, bookingId, gaveUp }) =>
        unless(gaveUp === undefined, () => ({
          text: `Visit ${n} gave up: ${gaveUp}.`,
          ...(bookingId && { bookingId }),
        })),
      ),
    ),
};
