/** L3: mails at the sink, by their `Message-ID`s, which follow from booking, kind and recipient. */
import { createHash } from 'node:crypto';
import { makeId, type MessageKind } from '../../src/booking';
import type { Evidence } from '../evidence/evidence';
import type { Story } from './story';
import { lookAtEach, sumOf, together, unless, type Rule } from './verdict';

/** The id under which the courier sends a message. Derived here once more, so that the judge need not ask the service. */
export function messageId(bookingId: string, kind: MessageKind, recipient: string): string {
  const hash = createHash('sha256').update([bookingId, kind, recipient].join('\0')).digest();
  return `<${makeId('booking', hash)}@payfirst>`;
}

/** A mail that may arrive. */
interface Due {
  story: Story;
  kind: MessageKind;
  recipient: string;
  /** False where it depends on which came first, the gateway's good word on a refund or the bad. */
  must: boolean;
}

const toProviders: readonly MessageKind[] = ['provider-booked', 'provider-canceled'];

/** Which messages an attempt's money and booking call for. */
function kindsDue(story: Story): [kind: MessageKind, must: boolean][] {
  const { booking, charges, refunds } = story;
  const kinds: [MessageKind, boolean][] = [];
  if (booking !== undefined) kinds.push(['booking-confirmed', true], ['provider-booked', true]);
  if (booking?.status === 'canceled') kinds.push(['booking-canceled', true], ['provider-canceled', true]);
  const kept = booking?.status === 'confirmed' ? booking.total_minor : 0;
  if (sumOf(charges, (charge) => charge.amountMinor) > kept) {
    const failed = refunds.some(({ status }) => status === 'failed');
    const sent = refunds.some(({ status }) => status === 'succeeded');
    kinds.push(['payment-refunded', sent || !failed]);
    if (failed) kinds.push(['refund-failed', true]);
  }
  return kinds;
}

/** The address as the provider or the customer gave it. People no visit knows are known by the queue alone. */
function recipientsOf({ visit, messages }: Story, kind: MessageKind, providerEmail: string): string[] {
  if (toProviders.includes(kind)) return [providerEmail];
  if (visit !== undefined) return [visit.email];
  return messages.filter((row) => row.kind === kind).map(({ recipient }) => recipient);
}

function dueFor(story: Story, providerEmail: string): [id: string, due: Due][] {
  return kindsDue(story).flatMap(([kind, must]) =>
    recipientsOf(story, kind, providerEmail).map((recipient): [string, Due] => [
      messageId(story.bookingId, kind, recipient),
      { story, kind, recipient, must },
    ]),
  );
}

/** Mails that came more than once under one id. A figure, no finding: SMTP can lose the server's word that it took one. */
export function rawDuplicates({ mails }: Evidence): number {
  return mails.length - new Set(mails.map((mail) => `${mail.messageId} ${mail.to}`)).size;
}

export const oneMailEach: Rule = {
  name: 'L3',
  rule: 'One confirmation for each booking, one notice for each refund and each cancellation, and no other mail, by Message-ID.',
  look({ mails, providerEmail }, stories) {
    const due = new Map(stories.all.flatMap((story) => dueFor(story, providerEmail)));
    const arrived = new Map(mails.map((mail) => [`${mail.messageId} ${mail.to}`, mail]));
    return together(
      lookAtEach(
        [...due].filter(([, { must }]) => must),
        ([id, { story, kind, recipient }]) =>
          unless(arrived.has(`${id} ${recipient}`), () => ({
            text: `${recipient} never got ${kind}.`,
            bookingId: story.bookingId,
          })),
      ),
      lookAtEach([...arrived.values()], ({ messageId: id, to, subject }) =>
        unless(id !== null && due.get(id)?.recipient === to, () => {
          const about = stories.all.find(({ visit }) => visit?.email === to);
          return {
            text: `${to} got "${subject}" (${id ?? 'without an id'}), which nothing calls for.`,
            ...(about && { bookingId: about.bookingId }),
          };
        }),
      ),
    );
  },
};
