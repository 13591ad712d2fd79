/**
 * Money that others took back: refunds made at the gateway by hand, and disputes. Facts are recorded first; a refund of ours
 * that was still owed counts as done by them. Where a booking stands without its money, a person is asked.
 */
import type { Knex } from 'knex';
import type { AttemptStatus, CaseKind } from '../booking';
import type { CaseRow, PaymentRow, RefundRow } from '../database';
import type { DisputeSeen, RefundSeen, Reversals } from '../gateways/gateway';
import { caseWorkflowId, type Ring } from '../workflows/messages';
import { deriveId, gatewayNamed, lockAttempt, readBackLater, type Dependencies } from './dependencies';
import { fulfilOwed, writeExternal } from './external-refunds';
import { casesToKeep, ownKeeper, tellKeepers } from './keepers';
import { readOwed, recordFailed, resolveByItself } from './refunds';
import { methodNamed } from './wallet';

/** A payment whose row is locked, with its attempt's status. */
interface Locked {
  payment: PaymentRow;
  status: AttemptStatus | null;
  /** Whether a booking stands on this payment's money. */
  stands: boolean;
}

/** Whether a look at refunds and disputes is worth its calls: the event says so, or a person asks. */
export function concernsReversals(heard: readonly Ring[]): boolean {
  return heard.some((rung) => rung.reversal === true || rung.by === 'operator');
}

/**
 * Reads at the gateway what took money back from a payment object, and records what is new.
 * @returns open cases of its payments, each of which needs a workflow that keeps it open: found now, or before by a run
 * that died before it could say so
 * @throws `gateway-unavailable` (retried) when the gateway gave no usable answer
 */
export async function lookAtReversals(
  deps: Dependencies,
  of: { gateway: string; ref: string },
): Promise<string[]> {
  const { db, gateways } = deps;
  const payments = await db<PaymentRow>('payments')
    .where({ gateway: of.gateway, gateway_ref: of.ref })
    .orderBy('id');
  if (payments.length === 0 || methodNamed(gateways, of.gateway).capabilities.insideTransaction) return [];
  const gateway = gatewayNamed(gateways, of.gateway);
  const seen = await gateway.reversals(of.ref);
  if (seen.status === 'unknown') throw readBackLater(gateway, seen);
  if (seen.status === 'missing') return [];
  for (const payment of payments) await recordReversals(deps, payment.id, ofCharge(seen, payment));
  return casesToKeep(db, { gateway: of.gateway, gateway_ref: of.ref });
}

/** Where an object took several payments, what went back of one is no loss of another. */
function ofCharge({ status, refunds, disputes }: Reversals, payment: PaymentRow): Reversals {
  const isOf = ({ chargeRef }: { chargeRef?: string }): boolean =>
    chargeRef === undefined || chargeRef === payment.gateway_payment_id;
  return { status, refunds: refunds.filter(isOf), disputes: disputes.filter(isOf) };
}

/** @param seen what took money back from this one payment */
async function recordReversals(deps: Dependencies, paymentId: string, seen: Reversals): Promise<void> {
  for (const refund of seen.refunds) await recordRefundOfOthers(deps, paymentId, refund, seen);
  // What is over first: a dispute may follow on another.
  const over = seen.disputes.filter(({ status }) => status !== 'open');
  const open = seen.disputes.filter(({ status }) => status === 'open');
  for (const dispute of [...over, ...open]) await recordDispute(deps, paymentId, dispute, seen);
  await tellKeepers(deps, paymentId);
}

/** Locks a payment behind its attempt, as everybody does. */
async function lockPayment(trx: Knex.Transaction, paymentId: string): Promise<Locked> {
  const seen = await trx<PaymentRow>('payments').where({ id: paymentId }).first();
  if (seen === undefined) throw new Error(`Bug: no payment ${paymentId}`);
  const attempt = seen.booking_id === null ? undefined : await lockAttempt(trx, seen.booking_id);
  const payment = await trx<PaymentRow>('payments').where({ id: paymentId }).forUpdate().first();
  if (payment === undefined) throw new Error(`Bug: payment ${paymentId} is gone`);
  const booking =
    payment.disposition === 'booked' &&
    (await trx('bookings')
      .where({ id: payment.booking_id, status: 'confirmed' })
      .first<object | undefined>());
  return { payment, status: attempt?.status ?? null, stands: booking !== false && booking !== undefined };
}

async function recordRefundOfOthers(
  deps: Dependencies,
  paymentId: string,
  refund: RefundSeen,
  seen: Reversals,
): Promise<void> {
  await deps.db.transaction(async (trx) => {
    const locked = await lockPayment(trx, paymentId);
    const { payment } = locked;
    const rows = await trx<RefundRow>('refunds').where({ payment_id: paymentId });
    const recorded = rows.find((row) => row.gateway_refund_id === refund.refundRef);
    if (recorded !== undefined) return loseExternal(deps, trx, locked, recorded, refund);
    if (refund.status !== 'succeeded') return;
    const ours = rows.find((row) => row.id === refund.refundId);
    // What bears our id is read by that id. Once its row has another end, this is money that went back besides.
    if (ours !== undefined && ours.status !== 'succeeded') return;
    const left = ours === undefined ? await fulfilOwed(deps, trx, rows, refund, seen) : refund.amountMinor;
    const written = await writeExternal(trx, paymentId, refund.refundRef, left);
    deps.metrics.refunds.inc({ reason: 'external', status: 'succeeded' });
    deps.log.warn({
      event: 'refund.external',
      bookingId: payment.booking_id,
      amountMinor: refund.amountMinor,
    });
    if (written === 0 || !locked.stands) return;
    const how = `refunded at ${payment.gateway}, not by Payfirst`;
    await askAboutLoss(trx, payment, { ref: refund.refundRef, amountMinor: written, how });
  });
}

/** What others sent back can fail, too, and then the money is here again: kept by the booking that stands, or still owed. */
async function loseExternal(
  deps: Dependencies,
  trx: Knex.Transaction,
  { payment, stands }: Locked,
  row: RefundRow,
  seen: RefundSeen,
): Promise<void> {
  if (row.reason !== 'external' || row.status !== 'succeeded' || seen.status !== 'failed') return;
  deps.log.warn({ event: 'refund.external-failed', bookingId: payment.booking_id });
  if (!stands) {
    await recordFailed(trx, await readOwed(trx, row.id), seen.code ?? 'unknown', ownKeeper);
    return;
  }
  await trx('refunds').where({ id: row.id }).delete();
  const others = await trx('refunds')
    .where({ payment_id: payment.id, reason: 'external' })
    .first<object | undefined>('id');
  if (others !== undefined) return;
  const asked = { payment_id: payment.id, kind: 'external-refund' as const };
  await resolveByItself(trx, asked, 'The refund made at the gateway failed: the money is here again.');
  await restoreStatus(trx, payment);
}

/** Id of the case that a dispute opens. */
export function disputeCaseId(gateway: string, disputeRef: string): string {
  return deriveId('case', 'dispute', gateway, disputeRef);
}

async function recordDispute(
  deps: Dependencies,
  paymentId: string,
  dispute: DisputeSeen,
  seen: Reversals,
): Promise<void> {
  await deps.db.transaction(async (trx) => {
    const locked = await lockPayment(trx, paymentId);
    const { payment, status } = locked;
    const caseId = disputeCaseId(payment.gateway, dispute.disputeRef);
    const known = await trx<CaseRow>('cases').where({ id: caseId }).first();
    if (dispute.status === 'open') {
      if (known === undefined || known.resolved_at === null) {
        await askAboutDisputes(deps, trx, payment, dispute, seen);
      }
      return;
    }
    const lost = dispute.status === 'lost';
    if (lost) await loseDispute(deps, trx, locked, dispute, seen);
    const word = lost ? 'The bank decided for the payer: the money is gone.' : 'The bank decided for us.';
    await resolveByItself(trx, { id: caseId }, word);
    // Only what this dispute had stopped goes on: another case may still ask for the booking.
    if (!lost && status === 'needs_attention') await restoreStatus(trx, payment);
  });
}

/**
 * Opens the case about a payment's open disputes. Where one is open it asks about all of them, also a second one of the same
 * payment, so its amount is what they hold together, however often anybody looks.
 */
async function askAboutDisputes(
  deps: Dependencies,
  trx: Knex.Transaction,
  payment: PaymentRow,
  dispute: DisputeSeen,
  seen: Reversals,
): Promise<void> {
  const about = { payment_id: payment.id, kind: 'dispute' as const };
  const decided = await trx<CaseRow>('cases').where(about).whereNotNull('resolved_at').select('id');
  const idOf = ({ disputeRef }: DisputeSeen) => disputeCaseId(payment.gateway, disputeRef);
  const held = seen.disputes
    .filter((one) => one.status === 'open' && !decided.some(({ id }) => id === idOf(one)))
    .reduce((sum, one) => sum + one.amountMinor, 0);
  const amountMinor = Math.min(payment.amount_minor - payment.refunded_minor, held);
  const asking = await trx('cases')
    .where({ ...about, resolved_at: null })
    .update({ amount_minor: amountMinor });
  if (asking > 0) return;
  const caseId = idOf(dispute);
  deps.log.warn({ event: 'dispute.opened', bookingId: payment.booking_id, caseId });
  await openFor(trx, payment, {
    caseId,
    kind: 'dispute',
    amountMinor,
    detail: `The payer disputes ${dispute.disputeRef} at ${payment.gateway}: ${dispute.reason.replaceAll('_', ' ')}. Answer it there.`,
  });
}

/** The payer has the money. What we still owed of it is done by that; a booking that stood on it has lost its ground. */
async function loseDispute(
  deps: Dependencies,
  trx: Knex.Transaction,
  { payment, stands }: Locked,
  dispute: DisputeSeen,
  seen: Reversals,
): Promise<void> {
  const rows = await trx<RefundRow>('refunds').where({ payment_id: payment.id });
  if (rows.some((row) => row.gateway_refund_id === dispute.disputeRef)) return;
  const gone = { refundRef: dispute.disputeRef, amountMinor: dispute.amountMinor };
  const left = await fulfilOwed(deps, trx, rows, gone, seen);
  const written = await writeExternal(trx, payment.id, dispute.disputeRef, left);
  // Nothing was left to lose: the money had gone back before, and the loss is beyond this payment's account.
  if (written === 0 && left === dispute.amountMinor) return;
  deps.metrics.refunds.inc({ reason: 'external', status: 'succeeded' });
  deps.log.warn({ event: 'dispute.lost', bookingId: payment.booking_id });
  if (!stands) return;
  const now = await trx<PaymentRow>('payments').where({ id: payment.id }).first();
  if (now !== undefined && now.refunded_minor < now.amount_minor) {
    // Part of the price is still here: whether the booking stands for it is not for us to say.
    const how = `lost in the dispute ${dispute.disputeRef} at ${payment.gateway}`;
    await askAboutLoss(trx, payment, { ref: dispute.disputeRef, amountMinor: written, how });
    return;
  }
  const attempt = () => trx('attempts').where({ booking_id: payment.booking_id });
  // Two legal steps, where nobody told us that it was opened.
  await attempt().where({ status: 'confirmed' }).update({ status: 'needs_attention' });
  await attempt().where({ status: 'needs_attention' }).update({ status: 'refunded' });
}

/** A booking stands and its money, or a part of it, is gone: a person is asked. */
async function askAboutLoss(
  trx: Knex.Transaction,
  payment: PaymentRow,
  { ref, amountMinor, how }: { ref: string; amountMinor: number; how: string },
): Promise<void> {
  await openFor(trx, payment, {
    caseId: deriveId('case', 'external-refund', ref),
    kind: 'external-refund',
    amountMinor,
    detail: `${amountMinor} ${payment.currency} of a booking that stands were ${how}.`,
  });
}

/** Opens a case about a payment, or adds to the one that asks the same; marks the attempt whose booking stands on it. */
async function openFor(
  trx: Knex.Transaction,
  payment: PaymentRow,
  found: { caseId: string; kind: CaseKind; amountMinor: number; detail: string },
): Promise<void> {
  const { kind, amountMinor } = found;
  const open = { payment_id: payment.id, kind, resolved_at: null };
  const added = await trx('cases').where(open).increment('amount_minor', amountMinor);
  if (added === 0) {
    await trx('cases').insert({
      id: found.caseId,
      workflow_id: caseWorkflowId(found.caseId),
      booking_id: payment.booking_id,
      payment_id: payment.id,
      kind,
      amount_minor: amountMinor,
      currency: payment.currency,
      detail: found.detail,
    });
  }
  if (payment.disposition === 'booked') {
    await trx('attempts')
      .where({ booking_id: payment.booking_id, status: 'confirmed' })
      .update({ status: 'needs_attention' });
  }
}

/** Cases for which a booking stands still. Any other leaves the booking as it is. */
const stopping: readonly CaseKind[] = ['external-refund', 'dispute'];

/**
 * A booking that stood before a case asked about it stands again, once no case does; unless its offering was called off
 * meanwhile: then it is undone like the others.
 * @returns the refund that is owed by that
 */
export async function restoreStatus(trx: Knex.Transaction, payment: PaymentRow): Promise<string | undefined> {
  if (payment.booking_id === null || payment.disposition !== 'booked') return undefined;
  const open = await trx<CaseRow>('cases')
    .where({ payment_id: payment.id })
    .whereIn('kind', stopping)
    .whereNull('resolved_at')
    .first();
  if (open !== undefined) return undefined;
  const refundId = cancellationRefundId(payment.booking_id);
  await trx.raw('SELECT stand_again(?, ?)', [payment.booking_id, refundId]);
  const owed = await trx<RefundRow>('refunds').where({ id: refundId, status: 'unsent' }).first('id');
  return owed?.id;
}

/** Id of the refund that undoing a booking owes: it is undone once. */
export function cancellationRefundId(bookingId: string): string {
  return deriveId('refund', bookingId, 'canceled');
}
