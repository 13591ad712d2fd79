/** Refunds as rows: what is owed, what the gateway said of it, and the case that asks a person when it cannot be done. */
import type { Knex } from 'knex';
import {
  cancellations,
  settlingRefusals,
  type AttemptStatus,
  type CaseKind,
  type MessageKind,
  type RefundReason,
  type RefundStatus,
} from '../booking';
import type { AttemptRow, CaseRow, RefundRow } from '../database';
import type { RefundState, RefundToSend } from '../gateways/gateway';
import { caseWorkflowId, type RefundProgress } from '../workflows/messages';
import { deriveId, gatewayNamed, lockAttempt, readBackLater, type Dependencies } from './dependencies';
import { byItself, ringWaiting, type Keeper, type Of } from './keepers';
import { creditRefund, methodNamed } from './wallet';

/** A refund with what is needed to send or read it. */
export interface OwedRefund extends RefundRow {
  booking_id: string | null;
  gateway: string;
  gateway_ref: string;
  gateway_payment_id: string;
  currency: string;
}

/** Reads a refund with its payment. */
export async function readOwed(db: Knex, refundId: string): Promise<OwedRefund> {
  const row = await db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where({ 'refunds.id': refundId })
    .select(
      'refunds.*',
      'payments.booking_id',
      'payments.gateway',
      'payments.gateway_ref',
      'payments.gateway_payment_id',
      'payments.currency',
    )
    .first<OwedRefund | undefined>();
  if (row === undefined) throw new Error(`Bug: no refund ${refundId}`);
  return row;
}

/** The refund in the gateway's words. */
export function asSent(row: OwedRefund): RefundToSend {
  return {
    refundId: row.id,
    bookingId: row.booking_id,
    go: row.go,
    keyNumber: row.key_number,
    ref: row.gateway_ref,
    chargeRef: row.gateway_payment_id,
    amountMinor: row.amount_minor,
    refundRef: row.gateway_refund_id,
  };
}

/** Whether an operator said that the money went back by other hands. That word is the last, whatever the gateway says. */
async function settledByHand(db: Knex, refundId: string): Promise<boolean> {
  const found = await db<CaseRow>('cases')
    .where({ refund_id: refundId, resolution: 'mark-settled' })
    .whereNot({ resolved_by: byItself })
    .first();
  return found !== undefined;
}

/** Opens a case about a refund, one at a time. Returns the open case's id. */
export async function openCase(
  trx: Knex.Transaction,
  found: { kind: CaseKind; refund: OwedRefund; detail: string; keeper: Keeper },
): Promise<string> {
  const { refund } = found;
  const earlier = await trx<CaseRow>('cases').where({ payment_id: refund.payment_id }).orderBy('opened_at');
  const open = earlier.find((row) => row.resolved_at === null && row.refund_id === refund.id);
  if (open !== undefined) return open.id;
  const id = deriveId('case', refund.id, String(earlier.length));
  await trx('cases').insert({
    id,
    workflow_id: found.keeper.workflowId ?? caseWorkflowId(id),
    booking_id: refund.booking_id,
    payment_id: refund.payment_id,
    refund_id: refund.id,
    kind: found.kind,
    amount_minor: refund.amount_minor,
    currency: refund.currency,
    detail: found.detail,
  });
  return id;
}

/**
 * Reasons whose refund is the attempt's own end. Any other refund is of stray money: it leaves the status of its attempt
 * as it was.
 */
const owedByAttempt: readonly RefundReason[] = [...settlingRefusals, ...cancellations];

/** Moves the attempt along with its refund, and raises its version in any case: the refund is part of what it shows. */
export async function moveAttempt(
  trx: Knex.Transaction,
  refund: OwedRefund,
  from: readonly AttemptStatus[],
  to: AttemptStatus,
): Promise<void> {
  if (refund.booking_id === null) return;
  const moves = owedByAttempt.includes(refund.reason);
  await trx('attempts')
    .where({ booking_id: refund.booking_id })
    .update({
      status: moves
        ? trx.raw('CASE WHEN status = ANY(?::text[]) THEN ? ELSE status END', [[...from], to])
        : trx.raw('status'),
      ...(to === 'refunded' ? { ended_at: trx.raw('coalesce(ended_at, now())') } : {}),
    });
}

/** Whether a refund's money moves in our own transaction: then recording it as done is the deed. */
export function isInside({ gateways }: Dependencies, refund: OwedRefund): boolean {
  return methodNamed(gateways, refund.gateway).capabilities.insideTransaction;
}

/** Marks a refund as done: the row, the attempt, and the one message. */
export async function recordRefunded(
  deps: Dependencies,
  trx: Knex.Transaction,
  refund: OwedRefund,
): Promise<void> {
  await trx('refunds')
    .where({ id: refund.id })
    .update({ status: 'succeeded', next_look_at: null, settled_at: trx.fn.now() });
  if (await endsAttempt(trx, refund)) deps.metrics.attempts.inc({ outcome: 'refunded' });
  await moveAttempt(trx, refund, ['refunding', 'needs_attention'], 'refunded');
  await queueMessage(trx, refund, 'payment-refunded');
}

/** Whether this is how the attempt ends: one that was confirmed and called off, or refunded before, has had its outcome. */
async function endsAttempt(trx: Knex.Transaction, refund: OwedRefund): Promise<boolean> {
  if (refund.booking_id === null || !owedByAttempt.includes(refund.reason)) return false;
  const open = await trx<AttemptRow>('attempts')
    .where({ booking_id: refund.booking_id, ended_at: null })
    .first('booking_id');
  return open !== undefined;
}

async function queueMessage(trx: Knex.Transaction, refund: OwedRefund, kind: MessageKind): Promise<void> {
  if (refund.booking_id === null) return;
  await trx.raw(
    `INSERT INTO messages (booking_id, kind, recipient, locale)
       SELECT booking_id, ?, contact ->> 'email', contact ->> 'locale' FROM attempts WHERE booking_id = ?
     ON CONFLICT DO NOTHING`,
    [kind, refund.booking_id],
  );
}

/** A refund goes this way only, at every gateway: a word from further back was given earlier, and comes late. */
const course: readonly RefundStatus[] = ['unsent', 'pending', 'succeeded', 'failed'];

/** The further of two words about the same refund of the gateway. */
function furtherOf(known: RefundStatus, said: RefundStatus): RefundStatus {
  return course.indexOf(said) < course.indexOf(known) ? known : said;
}

/**
 * Writes what the gateway says of a refund.
 * @param asked the refund as it was when the gateway was asked
 * @param keeper which workflow keeps a case open if this opens one
 */
export async function recordRefund(
  deps: Dependencies,
  asked: Pick<OwedRefund, 'id' | 'go' | 'amount_minor'>,
  state: Exclude<RefundState, { status: 'unknown' | 'missing' }>,
  keeper: Keeper,
): Promise<RefundProgress> {
  const refundId = asked.id;
  let ended = false;
  const progress = await deps.db.transaction<RefundProgress>(async (trx) => {
    const before = await readOwed(trx, refundId);
    if (before.booking_id !== null) await lockAttempt(trx, before.booking_id);
    await trx('refunds').where({ id: refundId }).forUpdate().first<RefundRow>();
    const refund = await readOwed(trx, refundId);
    // Somebody sent it anew since the gateway was asked: what it said of the old go is old news.
    if (refund.go !== asked.go) return { refundId, status: refund.status };
    // It may have been settled since the gateway was asked.
    if (await settledByHand(trx, refundId)) return { refundId, status: 'succeeded' };
    if (refund.amount_minor !== asked.amount_minor) {
      // Others gave a part back meanwhile. A refusal was of the old amount; money that did move is what it is.
      if (state.status === 'refused') return { refundId, status: refund.status };
      await trx('refunds').where({ id: refundId }).update({ amount_minor: asked.amount_minor });
    }
    const said = state.status === 'refused' ? 'failed' : state.status;
    // Another workflow may have asked later and written first.
    const overtaken = 'refundRef' in state && state.refundRef === refund.gateway_refund_id;
    const reached = overtaken ? furtherOf(refund.status, said) : said;
    if (refund.status === reached && reached !== 'failed') return { refundId, status: reached };
    if (state.status !== 'refused') {
      await trx('refunds').where({ id: refundId }).update({ gateway_refund_id: state.refundRef });
    }
    if (refund.status !== reached) {
      deps.metrics.refunds.inc({ reason: refund.reason, status: reached });
      deps.log.info({ event: `refund.${reached}`, refundId, bookingId: refund.booking_id, go: refund.go });
    }
    if (reached === 'pending') {
      await trx('refunds')
        .where({ id: refundId })
        .update({ status: 'pending', looks: 0, next_look_at: trx.raw("now() + interval '1 minute'") });
      await moveAttempt(trx, refund, [], 'refunding');
      return { refundId, status: 'pending' };
    }
    if (reached === 'succeeded') {
      if (isInside(deps, refund)) await creditRefund(trx, refund);
      await recordRefunded(deps, trx, refund);
      const overdue = { refund_id: refundId, kind: 'refund-overdue' as const };
      await resolveByItself(trx, overdue, 'The gateway finished the refund after all.');
      ended = true;
      return { refundId, status: 'succeeded' };
    }
    const reason =
      state.status === 'refused' ? state.reason : 'code' in state && state.code ? state.code : 'unknown';
    return { refundId, status: 'failed', caseId: await recordFailed(trx, refund, reason, keeper) };
  });
  if (ended) await ringWaiting(deps, refundId, keeper.workflowId !== null);
  return progress;
}

/** Writes that a refund failed for good, and asks a person. Returns the case. */
export async function recordFailed(
  trx: Knex.Transaction,
  refund: OwedRefund,
  reason: string,
  keeper: Keeper,
): Promise<string> {
  await trx('refunds').where({ id: refund.id }).update({ status: 'failed', next_look_at: null });
  await moveAttempt(trx, refund, ['refunding', 'refunded'], 'needs_attention');
  await queueMessage(trx, refund, 'refund-failed');
  const detail = `The gateway did not carry out refund ${refund.id}, go ${refund.go}: ${reason}.`;
  return openCase(trx, { kind: 'refund-failed', refund, detail, keeper });
}

/** Closes cases that the world has answered: nothing is left to decide. `tellKeepers` must follow. */
export async function resolveByItself(
  trx: Knex.Transaction,
  of: { id: string } | { refund_id: string; kind?: CaseKind } | { payment_id: string; kind: CaseKind },
  note: string,
): Promise<void> {
  await trx('cases').where(of).whereNull('resolved_at').update({
    resolved_at: trx.fn.now(),
    resolved_by: byItself,
    resolution: 'mark-settled',
    note,
  });
}

/**
 * Reads refunds that are under way or done once more; one that failed after it said success is late bad news, and a case.
 * @param except refunds that somebody else follows
 */
export async function readRefundsAgain(
  deps: Dependencies,
  of: Of,
  keeper: () => Keeper,
  except: readonly string[] = [],
): Promise<void> {
  const refunds = await deps
    .db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where(of)
    .whereIn('refunds.status', ['pending', 'succeeded', 'failed'])
    // What others sent back is looked at with everything else that they did.
    .whereNot('refunds.reason', 'external')
    .whereNotIn('refunds.id', except)
    .orderBy('refunds.id')
    .select<{ id: string }[]>('refunds.id');
  for (const { id } of refunds) await readAgain(deps, id, keeper());
}

/** Reads one refund that was sent once more. */
export async function readAgain(deps: Dependencies, refundId: string, keeper: Keeper): Promise<void> {
  if (await settledByHand(deps.db, refundId)) return;
  const refund = await readOwed(deps.db, refundId);
  if (isInside(deps, refund)) return;
  const gateway = gatewayNamed(deps.gateways, refund.gateway);
  const state = await gateway.readRefund(asSent(refund));
  if (state.status === 'unknown') throw readBackLater(gateway, state);
  if (state.status !== 'missing') await recordRefund(deps, refund, state, keeper);
}
