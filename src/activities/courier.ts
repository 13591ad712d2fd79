/**
 * The courier: sends queued messages, once each. A message that cannot be sent becomes a case and never touches a booking.
 * Webhooks to API clients go beside them, in a round of their own.
 */
import { Context } from '@temporalio/activity';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { walletMethod, type MessageKind, type QuotedItem } from '../booking';
import { caseWorkflowId, searchAttributes, workflowTypes } from '../workflows/messages';
import { deriveId, type Dependencies } from './dependencies';
import { textsFor } from './mails/languages';
import { standBy } from './standing';
import { webhookCourier } from './webhook-courier';

/** Pause between two rounds, in ms: a confirmation mail within a second is soon enough. */
const roundMs = 500;

/** Messages read at once. */
const messagesPerRound = 20;

/** Mails on their way at once, each over a connection of its own; as many as nodemailer's own pool would open. */
const mailsAtOnce = 5;

/** After this many failed goes (about 3 days with the gaps below) a person is asked. */
const goesMax = 16;

/** Longest gap between two goes, in seconds. */
const longestGapSeconds = 6 * 3600;

interface DueMessage {
  booking_id: string;
  kind: MessageKind;
  recipient: string;
  locale: string | null;
  tries: number;
  contact: { name: string };
  quote: { items: QuotedItem[] };
  total_minor: number;
  currency: string;
  reference: string | null;
  paid_minor: number | null;
  paid_currency: string | null;
  reason: string | null;
  /** Whose payment is given back; null where nothing is. */
  gateway: string | null;
  provider_name: string | null;
  /** Of a message to a provider: the offerings it tells of. */
  provider_offerings: string[] | null;
}

export function courierActivities(deps: Dependencies) {
  const { db, log } = deps;
  const { deliverWebhooks } = webhookCourier(deps);

  /** Runs until its worker shuts down or the turn is over, and ends when both rounds have ended. */
  async function carryMessages(): Promise<void> {
    const ends = await Promise.allSettled([sendMails(), deliverWebhooks()]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  /** Without a mail server messages stay queued, and a gauge shows it. */
  async function sendMails(): Promise<void> {
    await standBy(roundMs, async () => {
      const { sendMail } = deps;
      if (sendMail === undefined) return;
      const context = Context.current();
      let due: DueMessage[];
      do {
        due = await dueMessages();
        for (let from = 0; from < due.length; from += mailsAtOnce) {
          context.heartbeat();
          const sending = due.slice(from, from + mailsAtOnce).map((message) => carry(message, sendMail));
          // All of them come to an end, whatever becomes of one.
          await Promise.allSettled(sending);
          await Promise.all(sending);
          // A worker that shuts down, or that was taken for dead, begins no further mail.
          if (context.cancellationSignal.aborted) return;
        }
        // More are waiting: without a pause, for confirmations of a busy hour must not fall behind.
      } while (due.length === messagesPerRound);
    });
  }

  /**
   * Of what one person is told of one booking the oldest first, alone: "canceled" must not overtake "confirmed", also where a
   * mail server that is busy takes that only later.
   */
  async function dueMessages(): Promise<DueMessage[]> {
    const result = await db.raw<{ rows: DueMessage[] }>(
      `SELECT m.booking_id, m.kind, m.recipient, m.locale, m.tries, a.contact, a.quote, a.total_minor, a.currency,
         b.reference, r.amount_minor AS paid_minor, r.currency AS paid_currency, r.reason, r.gateway,
         (SELECT min(display_name) FROM providers WHERE id = ANY (m.provider_ids)) AS provider_name,
         (SELECT array_agg(id) FROM offerings WHERE provider_id = ANY (m.provider_ids) AND id IN (
           SELECT item ->> 'offeringId' FROM jsonb_array_elements(a.quote -> 'items') AS item)) AS provider_offerings
       FROM messages m JOIN attempts a USING (booking_id) LEFT JOIN bookings b ON b.id = a.booking_id
       LEFT JOIN LATERAL (SELECT r.amount_minor, r.reason, p.currency, p.gateway FROM refunds r JOIN payments p ON p.id = r.payment_id
         WHERE p.booking_id = m.booking_id ORDER BY r.reason = 'external', r.created_at DESC LIMIT 1) AS r ON m.kind NOT IN ('booking-confirmed', 'provider-booked', 'provider-canceled')
       WHERE m.next_send_at <= now() AND NOT EXISTS (SELECT FROM messages AS older
         WHERE (older.booking_id, older.recipient) = (m.booking_id, m.recipient)
           AND older.queued_at < m.queued_at AND older.next_send_at IS NOT NULL)
       ORDER BY m.next_send_at LIMIT ?`,
      [messagesPerRound],
    );
    return result.rows;
  }

  async function carry(message: DueMessage, send: NonNullable<Dependencies['sendMail']>): Promise<void> {
    const key = { booking_id: message.booking_id, kind: message.kind, recipient: message.recipient };
    const text = textsFor(message.locale)[message.kind];
    const facts = {
      name: message.provider_name ?? message.contact.name,
      customer: message.contact.name,
      reference: message.reference,
      bookingId: message.booking_id,
      // A provider hears of what is theirs, not of what else is in the cart.
      items: message.quote.items.filter(
        ({ offeringId }) => message.provider_offerings?.includes(offeringId) ?? true,
      ),
      total: {
        amountMinor: message.paid_minor ?? message.total_minor,
        currency: message.paid_currency ?? message.currency,
      },
      reason: message.reason,
      toWallet: message.gateway === walletMethod,
    };
    // Counted before the deed: a sender that dies every time must not send for ever. And by one sender only: a courier
    // that was taken for dead may still be at work beside the next.
    const gapSeconds = Math.min(2 ** message.tries * 5, longestGapSeconds);
    const claimed = await db('messages')
      .where({ ...key, tries: message.tries })
      .update({
        tries: message.tries + 1,
        next_send_at: db.raw('now() + make_interval(secs => ?)', [gapSeconds]),
      });
    if (claimed === 0) return;
    try {
      await send({
        to: message.recipient,
        ...text(facts),
        messageId: `<${deriveId('booking', message.booking_id, message.kind, message.recipient)}@payfirst>`,
      });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      log.warn({ event: 'message.unsent', bookingId: message.booking_id, kind: message.kind, code });
      if (message.tries + 1 >= goesMax) await giveUp(message, key, code);
      return;
    }
    await db('messages').where(key).update({ sent_at: db.fn.now(), next_send_at: null });
    log.info({ event: 'message.sent', bookingId: message.booking_id, kind: message.kind });
  }

  async function giveUp(message: DueMessage, key: Record<string, string>, code: string): Promise<void> {
    // A resent message may fail again: that is another case, while a crash in here finds the same one.
    const before = await db('cases')
      .where({ booking_id: message.booking_id, kind: 'message-failed' })
      .whereNotNull('resolved_at')
      .count<{ count: number }[]>('*');
    const caseId = deriveId('case', 'message-failed', ...Object.values(key), String(before[0]?.count ?? 0));
    // The keeper first: should we die in between, the message is still due and this runs again.
    await startKeeper(caseId, message.booking_id);
    await db.transaction(async (trx) => {
      await trx('messages').where(key).update({ next_send_at: null });
      await trx('cases')
        .insert({
          id: caseId,
          workflow_id: caseWorkflowId(caseId),
          booking_id: message.booking_id,
          kind: 'message-failed',
          detail: `The message ${message.kind} could not be sent in ${goesMax} goes: ${code}.`,
        })
        .onConflict('id')
        .ignore();
    });
  }

  async function startKeeper(caseId: string, bookingId: string): Promise<void> {
    try {
      await deps.temporal.workflow.start(workflowTypes.attendCase, {
        workflowId: caseWorkflowId(caseId),
        taskQueue: deps.taskQueue,
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        args: [{ caseId, bookingId }],
        typedSearchAttributes: [
          { key: searchAttributes.bookingId, value: bookingId },
          { key: searchAttributes.needsAttention, value: true },
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }

  return { carryMessages };
}
