/** The whole story of one attempt as text: what happened when, which faults were under way, and what its rows say. */
import type { Evidence } from '../evidence/evidence';
import { objectKey, type Story } from '../judge/story';

interface Happening {
  at: number;
  text: string;
}

const seconds = (ms: number): string => `${ms < 0 ? '−' : '+'}${(Math.abs(ms) / 1000).toFixed(3)} s`;

function byTheCustomer({ visit }: Story): Happening[] {
  if (visit === undefined) return [];
  const { plannedAt, paidAt, canceledAt, told, refused, n, behaviour, method, offeringId } = visit;
  return [
    {
      at: plannedAt,
      text: `visit ${n} was to start: ${behaviour} by ${method}, ${offeringId}${refused === undefined ? '' : `; refused: ${refused}`}`,
    },
    ...told.map(({ at, status, version }) => ({ at, text: `told ${status}, version ${version}` })),
    ...(paidAt === undefined ? [] : [{ at: paidAt, text: 'the page said: paid' }]),
    ...(canceledAt === undefined ? [] : [{ at: canceledAt, text: 'a cancellation was granted' }]),
  ];
}

function byTheBooks({ charges, refunds, booking }: Story): Happening[] {
  return [
    ...charges.map(({ at, gateway, amountMinor, currency, chargeId, ref }) => ({
      at,
      text: `${gateway} captured ${amountMinor} ${currency} as ${chargeId} of ${ref}`,
    })),
    ...refunds.map(({ at, gateway, amountMinor, status, ref, objectRef }) => ({
      at,
      text: `${gateway} made refund ${ref} of ${amountMinor} of ${objectRef}, which is ${status}`,
    })),
    ...(booking === undefined
      ? []
      : [{ at: booking.confirmed_at, text: `the booking was made; now ${booking.status}` }]),
  ];
}

/** Mails to the customer, and faults at any time between the first happening and the last. */
function around(story: Story, { mails, faults }: Evidence, known: readonly Happening[]): Happening[] {
  const times = known.map(({ at }) => at);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  return [
    ...mails
      .filter(({ to }) => to === story.visit?.email)
      .map(({ at, subject, messageId }) => ({ at, text: `mail "${subject}" ${messageId ?? ''}` })),
    ...faults
      .filter(({ from, to }) => from <= last && to >= first)
      .map(({ kind, from, to, proof }) => ({
        at: from,
        text: `fault ${kind} for ${((to - from) / 1000).toFixed(1)} s: ${proof ?? 'no proof'}`,
      })),
  ];
}

/** What has no time: objects, webhooks, workflows, rows. */
function things(story: Story, { events, workflows }: Evidence): string[] {
  const own = new Set([...story.objects, ...story.charges].map((one) => objectKey(one.gateway, one.ref)));
  const rows = {
    attempts: story.attempt,
    bookings: story.booking,
    booking_items: story.items,
    payment_tries: story.tries,
    payments: story.payments,
    refunds: story.refundRows,
    cases: story.cases,
    messages: story.messages,
  };
  return [
    ...(story.visit?.troubles ?? []).map((trouble) => `trouble: ${trouble}`),
    ...(story.visit?.gaveUp === undefined ? [] : [`gave up: ${story.visit.gaveUp}`]),
    ...story.objects.map(
      ({ gateway, ref, payable }) => `object ${ref} of ${gateway}${payable ? ', still payable' : ''}`,
    ),
    ...events
      .filter(({ gateway, ref }) => ref !== null && own.has(objectKey(gateway, ref)))
      .map(
        ({ eventId, type, answers }) =>
          `webhook ${type} (${eventId}), answered ${answers.map((one) => one ?? 'nothing').join(', ') || 'never: not sent'}`,
      ),
    ...workflows
      .filter(({ workflowId }) => workflowId.includes(story.bookingId))
      .map(
        ({ workflowId, status, history }) => `workflow ${workflowId} is ${status}, ${history} events long`,
      ),
    ...Object.entries(rows)
      .filter(([, row]) => (Array.isArray(row) ? row.length > 0 : row !== undefined))
      .map(([table, row]) => `${table}: ${JSON.stringify(row)}`),
  ];
}

/** Tells the story line by line, times from the start of the load. */
export function tell(story: Story, evidence: Evidence): string[] {
  const known = [...byTheCustomer(story), ...byTheBooks(story)];
  const happenings = [...known, ...around(story, evidence, known)].sort((a, b) => a.at - b.at);
  return [
    ...happenings.map(({ at, text }) => `${seconds(at - evidence.loadFrom)}  ${text}`),
    ...things(story, evidence),
  ];
}
