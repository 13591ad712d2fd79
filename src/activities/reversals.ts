/**
 * Money that others took back: refunds made at the gateway by hand, and disputes. Facts are recorded first; a refund of ours
 * that was still owed counts as done by them. Where a booking stands without its money, a person is asked.
 */
import type { Knex } from 'knex';
import type { AttemptStatus, CaseKind } from '../booking';
import type { CaseRow, PaymentRow, RefundRow } from '../database';
import type { DisputeSeen, RefundSeen } from '../gateways/gateway';
import { caseWorkflowId } from '../workflows/messages';
import { deriveId, gatewayNamed, lockAttempt, readBackLater, type Dependencies } from './dependencies';
import { readOwed, recordRefunded, resolveByItself } from './refunds';

/** A payment whose row is locked, with its attempt's status. */
interface Locked {
  payment: PaymentRow;
  status: AttemptStatus | null;
}

/**
 * Reads at the gateway what took money back from a payment object, and records what is new.
 * @returns cases opened here, each of which needs a workflow that keeps it open
 * @throws `gateway-unavailable` (retried) when the gateway gave no usable answer
 */
export async function lookAtReversals(
  deps: Dependencies,
  of: { gateway: string; ref: string },
): Promise<string[]> {
  const { db, gateways } = deps;
  const known = await db<PaymentRow>('payments').where({ gateway: of.gateway, gateway_ref: of.ref });
  if (known.length === 0) return [];
  const gateway = gatewayNamed(gateways, of.gateway);
  const seen = await gateway.reversals(of.ref);
  if (seen.status === 'unknown') throw readBackLater(gateway, seen);
  if (seen.status === 'missing') return [];
  const caseIds: string[] = [];
  // A gateway's object takes money once; where an odd one took it twice, nobody can tell which of them went back.
  const [payment] = known;
  for (const refund of seen.refunds) {
    // What bears our id is read by that id, with its go.
    if (payment === undefined || refund.refundId !== null || refund.status !== 'succeeded') continue;
    caseIds.push(...(await recordExternalRefund(deps, payment.id, refund)));
  }
  for (const dispute of seen.disputes) {
    if (payment !== undefined) caseIds.push(...(await recordDispute(deps, payment.id, dispute)));
  }
  return caseIds;
}

/** Locks a payment behind its attempt, as everybody does. */
async function lockPayment(trx: Knex.Transaction, paymentId: string): Promise<Locked> {
  const seen = await trx<PaymentRow>('payments').where({ id: paymentId }).first();
  if (seen === undefined) throw new Error(`Bug: no payment ${paymentId}`);
  const attempt = seen.booking_id === null ? undefined : await lockAttempt(trx, seen.booking_id);
  const payment = await trx<PaymentRow>('payments').where({ id: paymentId }).forUpdate().first();
  if (payment === undefined) throw new Error(`Bug: payment ${paymentId} is gone`);
  return { payment, status: attempt?.status ?? null };
}

async function recordExternalRefund(
  deps: Dependencies,
  paymentId: string,
  seen: RefundSeen,
): Promise<string[]> {
  return deps.db.transaction(async (trx) => {
    const { payment, status } = await lockPayment(trx, paymentId);
    const recorded = await trx<RefundRow>('refunds')
      .where({ payment_id: paymentId, gateway_refund_id: seen.refundRef })
      .first();
    if (recorded !== undefined) return [];
    const left = await fulfilOwed(trx, paymentId, seen);
    if (left > 0) await writeExternal(trx, paymentId, seen.refundRef, left);
    deps.metrics.refunds.inc({ reason: 'external', status: 'succeeded' });
    deps.log.warn({ event: 'refund.external', bookingId: payment.booking_id, amountMinor: seen.amountMinor });
    if (left === 0 || status !== 'confirmed' || payment.disposition !== 'booked') return [];
    const caseId = deriveId('case', 'external-refund', seen.refundRef);
    const detail = `${left} ${payment.currency} of a booking that stands were refunded at ${payment.gateway}, not by Payfirst.`;
    return openFor(trx, payment, { caseId, kind: 'external-refund', amountMinor: left, detail });
  });
}

/**
 * What we still owed of this payment counts as done by the refund that others made: in whole, or as far as it goes.
 * @returns what is left of that refund
 */
async function fulfilOwed(trx: Knex.Transaction, paymentId: string, seen: RefundSeen): Promise<number> {
  let left = seen.amountMinor;
  const owed = await trx<RefundRow>('refunds')
    .where({ payment_id: paymentId })
    .whereIn('status', ['unsent', 'failed'])
    .orderBy(['created_at', 'id'])
    .forUpdate();
  for (const row of owed) {
    if (left === 0) break;
    if (row.amount_minor > left) {
      await trx('refunds')
        .where({ id: row.id })
        .update({ amount_minor: row.amount_minor - left });
      return left;
    }
    left -= row.amount_minor;
    // A new go: what the gateway says of a sending that is under way this moment is old news then.
    await trx('refunds')
      .where({ id: row.id })
      .update({ gateway_refund_id: seen.refundRef, go: trx.raw('go + 1') });
    const refund = await readOwed(trx, row.id);
    await recordRefunded(trx, refund);
    await resolveByItself(trx, { refund_id: row.id }, 'The money was given back at the gateway.');
  }
  return left;
}

async function writeExternal(
  trx: Knex.Transaction,
  paymentId: string,
  ref: string,
  amountMinor: number,
): Promise<void> {
  const now = await trx<PaymentRow>('payments').where({ id: paymentId }).first();
  const room = now === undefined ? 0 : now.amount_minor - now.refunded_minor;
  if (room === 0) return;
  await trx('refunds').insert({
    id: deriveId('refund', paymentId, 'external', ref),
    payment_id: paymentId,
    // Never more than was captured: a gateway may count a chargeback's fee or another currency.
    amount_minor: Math.min(room, amountMinor),
    status: 'succeeded',
    reason: 'external',
    gateway_refund_id: ref,
    settled_at: trx.fn.now(),
  });
}

async function recordDispute(deps: Dependencies, paymentId: string, seen: DisputeSeen): Promise<string[]> {
  return deps.db.transaction(async (trx) => {
    const { payment, status } = await lockPayment(trx, paymentId);
    const caseId = deriveId('case', 'dispute', payment.gateway, seen.disputeRef);
    const known = await trx<CaseRow>('cases').where({ id: caseId }).first();
    if (seen.status === 'open')
      return known === undefined ? openDispute(deps, trx, payment, caseId, seen) : [];
    const lost = seen.status === 'lost';
    const gone = await trx<RefundRow>('refunds')
      .where({ payment_id: paymentId, gateway_refund_id: seen.disputeRef })
      .first();
    if (lost && gone === undefined) await loseDispute(deps, trx, payment, seen);
    const word = lost ? 'The bank decided for the payer: the money is gone.' : 'The bank decided for us.';
    await resolveByItself(trx, { id: caseId }, word);
    // Only what this dispute had stopped goes on: another case may still ask for the booking.
    if (!lost && status === 'needs_attention') await restoreStatus(trx, payment);
    return [];
  });
}

async function openDispute(
  deps: Dependencies,
  trx: Knex.Transaction,
  payment: PaymentRow,
  caseId: string,
  seen: DisputeSeen,
): Promise<string[]> {
  deps.log.warn({ event: 'dispute.opened', bookingId: payment.booking_id, caseId });
  const room = payment.amount_minor - payment.refunded_minor;
  return openFor(trx, payment, {
    caseId,
    kind: 'dispute',
    amountMinor: Math.min(room, seen.amountMinor),
    detail: `The payer disputes ${seen.disputeRef} at ${payment.gateway}: ${seen.reason.replaceAll('_', ' ')}. Answer it there.`,
  });
}

async function loseDispute(
  deps: Dependencies,
  trx: Knex.Transaction,
  payment: PaymentRow,
  seen: DisputeSeen,
): Promise<void> {
  await writeExternal(trx, payment.id, seen.disputeRef, seen.amountMinor);
  deps.metrics.refunds.inc({ reason: 'external', status: 'succeeded' });
  deps.log.warn({ event: 'dispute.lost', bookingId: payment.booking_id });
  if (payment.disposition !== 'booked') return;
  const attempt = () => trx('attempts').where({ booking_id: payment.booking_id });
  // Two legal steps, where nobody told us that it was opened.
  await attempt().where({ status: 'confirmed' }).update({ status: 'needs_attention' });
  await attempt().where({ status: 'needs_attention' }).update({ status: 'refunded' });
}

/** Opens a case about a payment, and marks the attempt whose booking stands on it. One case per payment at a time. */
async function openFor(
  trx: Knex.Transaction,
  payment: PaymentRow,
  found: { caseId: string; kind: CaseKind; amountMinor: number; detail: string },
): Promise<string[]> {
  const open = await trx<CaseRow>('cases').where({ payment_id: payment.id }).whereNull('resolved_at').first();
  if (open !== undefined) return [];
  await trx('cases').insert({
    id: found.caseId,
    workflow_id: caseWorkflowId(found.caseId),
    booking_id: payment.booking_id,
    payment_id: payment.id,
    kind: found.kind,
    amount_minor: found.amountMinor,
    currency: payment.currency,
    detail: found.detail,
  });
  if (payment.disposition === 'booked') {
    await trx('attempts')
      .where({ booking_id: payment.booking_id, status: 'confirmed' })
      .update({ status: 'needs_attention' });
  }
  return [found.caseId];
}

/** A booking that stood before a case asked about it stands again, once no case does. */
export async function restoreStatus(trx: Knex.Transaction, payment: PaymentRow): Promise<void> {
  if (payment.booking_id === null || payment.disposition !== 'booked') return;
  const open = await trx<CaseRow>('cases').where({ payment_id: payment.id }).whereNull('resolved_at').first();
  if (open !== undefined) return;
  const booking = await trx('bookings')
    .where({ id: payment.booking_id, status: 'confirmed' })
    .first<{ id: string } | undefined>();
  if (booking === undefined) return;
  await trx('attempts')
    .where({ booking_id: payment.booking_id, status: 'needs_attention' })
    .update({ status: 'confirmed' });
}
