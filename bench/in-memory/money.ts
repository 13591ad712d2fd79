/** What becomes of money: read at the gateway, booked in one transaction, given back by one call, told in one mail. */
import { textsFor } from '../../src/activities/mails/languages';
import { Problem } from '../../src/api/problem';
import {
  isOpen,
  settlingRefusals,
  walletMethod,
  type MessageKind,
  type Money,
  type RefundReason,
} from '../../src/booking';
import type { Charge, RefundState, RefundToSend } from '../../src/gateways/gateway';
import { become, inTurn, told, type Intent, type Memory } from './intents';
import { markReturned, settle } from './rows';
import { idOf, type BookedRow, type PaymentRow } from './tables';

/**
 * A webhook that the gateway signed.
 * @throws Problem `not-found` for a payment that nobody here knows of: the gateway sends it again, to no avail
 */
export async function hear(
  memory: Memory,
  gateway: string,
  heard: { ref: string; bookingId: string | null },
): Promise<void> {
  const { ref } = heard;
  const { db, log } = memory.parts;
  const id = memory.idOfObject(gateway, ref) ?? heard.bookingId;
  const intent = id === null ? undefined : await memory.find(id);
  if (intent !== undefined) return inTurn(intent, () => look(memory, intent, ref));
  const written = await db<PaymentRow>('payments').where({ gateway, gateway_ref: ref }).first();
  if (written !== undefined) return;
  log.warn({ event: 'intent.unknown', gateway, ref });
  throw new Problem('not-found', 'There is no intent for this payment.');
}

/**
 * Reads a payment object of the intent, and does what it says.
 * @throws Problem `gateway-unavailable` when the gateway does not say
 */
export async function look(memory: Memory, intent: Intent, ref = intent.ref): Promise<void> {
  if (ref === undefined || intent.method === walletMethod) return;
  await lookAtRefund(memory, intent);
  const state = await memory.gatewayOf(intent).read(ref);
  if (state.status === 'unknown') throw new Problem('gateway-unavailable');
  if (state.status === 'paid') {
    for (const charge of [state, ...(state.others ?? [])]) await take(memory, intent, ref, charge);
    return;
  }
  if (!isOpen(intent.status) || ref !== intent.ref || state.status === 'unpaid') return;
  if (state.status === 'processing') return become(intent, 'processing');
  if (state.status !== 'failed') {
    if (intent.payable)
      become(intent, 'awaiting_payment', { payable: false, failure: told('payment-canceled') });
    return;
  }
  const { failureRef, payable, code, detail } = state;
  if (failureRef === intent.failureRef) return;
  const failure = { type: 'payment-declined' as const, detail, ...(code && { code }) };
  become(intent, 'awaiting_payment', { failureRef, payable, failure });
}

/** Books what was paid for; money that buys nothing goes back. */
async function take(
  memory: Memory,
  intent: Intent,
  ref: string,
  { chargeRef, total }: Charge,
): Promise<void> {
  const { db } = memory.parts;
  const captured = {
    gateway: intent.method,
    gateway_ref: ref,
    gateway_payment_id: chargeRef,
    amount_minor: total.amountMinor,
    currency: total.currency,
  };
  const { newly, payment, booking, refusal } = await settle(db, intent, captured, whyNot(intent, total));
  if (!newly) {
    // Written by a commit that had lost its answer.
    const row = await db<BookedRow>('bookings').where({ id: intent.bookingId }).first();
    if (payment.disposition === 'booked' && isOpen(intent.status)) become(intent, 'confirmed', shownOf(row));
    return;
  }
  if (booking !== undefined) return confirm(memory, intent, booking);
  if (refusal === undefined) return;
  const own = settlingRefusals.find((one) => one === refusal);
  if (own !== undefined) become(intent, 'refunding', { failure: told(own) });
  await giveBack(memory, intent, payment, refusal);
}

function whyNot({ status, total }: Intent, paid: Money): RefundReason | undefined {
  if (!isOpen(status)) return status === 'confirmed' ? 'second-payment' : 'late-payment';
  const same = paid.amountMinor === total.amountMinor && paid.currency === total.currency;
  return same ? undefined : 'amount-mismatch';
}

function shownOf(row: BookedRow | undefined): Partial<Intent> {
  return row === undefined ? {} : { reference: row.reference, confirmedAt: row.confirmed_at };
}

/** The booking is committed: says so. */
export async function confirm(memory: Memory, intent: Intent, row: BookedRow): Promise<void> {
  become(intent, 'confirmed', shownOf(row));
  await write(memory, intent, 'booking-confirmed', null);
}

/** Sends the refund by one call, once. When that does not work, the log says so. */
export async function giveBack(
  memory: Memory,
  intent: Intent,
  payment: PaymentRow,
  reason: RefundReason,
): Promise<void> {
  const refund: RefundToSend = {
    refundId: idOf('refund', payment.id),
    bookingId: intent.bookingId,
    go: 1,
    keyNumber: 1,
    ref: payment.gateway_ref,
    chargeRef: payment.gateway_payment_id,
    amountMinor: payment.amount_minor,
    refundRef: null,
  };
  intent.sentRefund = refund;
  intent.refund = { status: 'pending', amountMinor: payment.amount_minor, reason };
  await hearRefund(memory, intent, await memory.gatewayOf(intent).refund(refund));
}

/** Gateways tell by webhook that a refund has come to its end. */
async function lookAtRefund(memory: Memory, intent: Intent): Promise<void> {
  const { sentRefund, refund } = intent;
  if (sentRefund === undefined || refund?.status !== 'pending') return;
  await hearRefund(memory, intent, await memory.gatewayOf(intent).readRefund(sentRefund));
}

async function hearRefund(memory: Memory, intent: Intent, state: RefundState): Promise<void> {
  const { refund, sentRefund } = intent;
  if (refund === undefined || sentRefund === undefined || state.status === 'pending') return;
  if (state.status !== 'succeeded') return memory.failed('refund', intent, new Error(state.status));
  await markReturned(memory.parts.db, intent.method, sentRefund);
  await isBack(memory, intent, refund);
}

/** The money is with the customer again: says so. */
export async function isBack(
  memory: Memory,
  intent: Intent,
  refund: NonNullable<Intent['refund']>,
): Promise<void> {
  const status = intent.status === 'refunding' ? 'refunded' : intent.status;
  become(intent, status, { refund: { ...refund, status: 'succeeded' } });
  await write(memory, intent, 'payment-refunded', refund.reason);
}

/** Sends a mail, once, right after the commit. One that cannot be sent is in the log. */
export async function write(
  memory: Memory,
  intent: Intent,
  kind: MessageKind,
  reason: string | null,
): Promise<void> {
  const { contact, items, total, bookingId, reference = null } = intent;
  const text = textsFor(contact.locale ?? null)[kind]({
    name: contact.name,
    customer: contact.name,
    reference,
    bookingId,
    items,
    total,
    reason,
    toWallet: intent.method === walletMethod,
  });
  const mail = { to: contact.email, ...text, messageId: `<${kind}.${bookingId}@payfirst>` };
  await memory.parts.sendMail?.(mail).catch((error: unknown) => memory.failed('mail', intent, error));
}
