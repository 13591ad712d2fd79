/** Giving back: sending a refund, reading it back, and opening a case when it cannot be done. Never swallows a failure. */
import { Context } from '@temporalio/activity';
import type { Knex } from 'knex';
import {
  settlingRefusals,
  type AttemptStatus,
  type CaseKind,
  type MessageKind,
  type RefundReason,
} from '../booking';
import type { CaseRow, RefundRow } from '../database';
import type { Gateway, RefundState, RefundToSend } from '../gateways/gateway';
import { caseWorkflowId, type RefundProgress, type Ring } from '../workflows/messages';
import {
  deriveId,
  gatewayNamed,
  lockAttempt,
  readBackLater,
  retryLater,
  type Dependencies,
} from './dependencies';
import { recordHeard } from './heard';
import { creditRefund, methodNamed, refundEntryId } from './wallet';

/** A refund with what is needed to send or read it. */
export interface OwedRefund extends RefundRow {
  booking_id: string | null;
  gateway: string;
  gateway_ref: string;
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
    amountMinor: row.amount_minor,
    refundRef: row.gateway_refund_id,
  };
}

/** Which workflow keeps a case open: the one named, or, with null, a workflow of the case's own. */
export interface Keeper {
  workflowId: string | null;
}

/** Who resolves a case when the gateway itself made it void. */
const byItself = 'payfirst';

/** Whether an operator said that the money went back by other hands. That word is the last, whatever the gateway says. */
async function settledByHand(db: Knex, refundId: string): Promise<boolean> {
  const found = await db<CaseRow>('cases')
    .where({ refund_id: refundId, resolution: 'mark-settled' })
    .whereNot({ resolved_by: byItself })
    .first();
  return found !== undefined;
}

/** Opens a case, once per payment at a time, and marks the attempt. Returns the open case's id. */
async function openCase(
  trx: Knex.Transaction,
  found: { kind: CaseKind; refund: OwedRefund; detail: string; keeper: Keeper },
): Promise<string> {
  const { refund } = found;
  const earlier = await trx<CaseRow>('cases').where({ payment_id: refund.payment_id }).orderBy('opened_at');
  const open = earlier.find((row) => row.resolved_at === null);
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
const settlingReasons: readonly RefundReason[] = settlingRefusals;

/** Moves the attempt along with its refund, and raises its version in any case: the refund is part of what it shows. */
export async function moveAttempt(
  trx: Knex.Transaction,
  refund: OwedRefund,
  from: readonly AttemptStatus[],
  to: AttemptStatus,
): Promise<void> {
  if (refund.booking_id === null) return;
  const moves = settlingReasons.includes(refund.reason);
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
function isInside({ gateways }: Dependencies, refund: OwedRefund): boolean {
  return methodNamed(gateways, refund.gateway).capabilities.insideTransaction;
}

/** Marks a refund as done: the row, the attempt, and the one message. */
export async function recordRefunded(trx: Knex.Transaction, refund: OwedRefund): Promise<void> {
  await trx('refunds')
    .where({ id: refund.id })
    .update({ status: 'succeeded', next_look_at: null, settled_at: trx.fn.now() });
  await moveAttempt(trx, refund, ['refunding', 'needs_attention'], 'refunded');
  await queueMessage(trx, refund, 'payment-refunded');
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

/**
 * Writes what the gateway says of a refund.
 * @param asked the refund as it was when the gateway was asked
 * @param keeper which workflow keeps a case open if this opens one
 */
async function recordRefund(
  deps: Dependencies,
  asked: Pick<OwedRefund, 'id' | 'go'>,
  state: Exclude<RefundState, { status: 'unknown' | 'missing' }>,
  keeper: Keeper,
): Promise<RefundProgress> {
  const refundId = asked.id;
  return deps.db.transaction(async (trx) => {
    const before = await readOwed(trx, refundId);
    if (before.booking_id !== null) await lockAttempt(trx, before.booking_id);
    await trx('refunds').where({ id: refundId }).forUpdate().first<RefundRow>();
    const refund = await readOwed(trx, refundId);
    // Somebody sent it anew since the gateway was asked: what it said of the old go is old news.
    if (refund.go !== asked.go) return { refundId, status: refund.status };
    // It may have been settled since the gateway was asked.
    if (await settledByHand(trx, refundId)) return { refundId, status: 'succeeded' };
    const reached = state.status === 'refused' ? 'failed' : state.status;
    if (refund.status === reached && reached !== 'failed') return { refundId, status: reached };
    if (state.status !== 'refused') {
      await trx('refunds').where({ id: refundId }).update({ gateway_refund_id: state.refundRef });
    }
    deps.metrics.refunds.inc({ reason: refund.reason, status: reached });
    deps.log.info({ event: `refund.${reached}`, refundId, bookingId: refund.booking_id, go: refund.go });
    if (reached === 'pending') {
      await trx('refunds')
        .where({ id: refundId })
        .update({ status: 'pending', looks: 0, next_look_at: trx.raw("now() + interval '1 minute'") });
      await moveAttempt(trx, refund, [], 'refunding');
      return { refundId, status: 'pending' };
    }
    if (reached === 'succeeded') {
      if (isInside(deps, refund)) await creditRefund(trx, refund);
      await recordRefunded(trx, refund);
      await closeOverdueCase(trx, refund);
      if (settlingReasons.includes(refund.reason)) deps.metrics.attempts.inc({ outcome: 'refunded' });
      return { refundId, status: 'succeeded' };
    }
    const reason =
      state.status === 'refused' ? state.reason : 'code' in state && state.code ? state.code : 'unknown';
    return { refundId, status: 'failed', caseId: await recordFailed(trx, refund, reason, keeper) };
  });
}

async function recordFailed(
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

/** The gateway finished a refund that had been reported as overdue: nothing is left to decide. */
async function closeOverdueCase(trx: Knex.Transaction, refund: OwedRefund): Promise<void> {
  await trx('cases').where({ refund_id: refund.id, kind: 'refund-overdue' }).whereNull('resolved_at').update({
    resolved_at: trx.fn.now(),
    resolved_by: byItself,
    resolution: 'mark-settled',
    note: 'The gateway finished the refund after all.',
  });
}

/** The workflow that runs this activity: it stays open until a case of its own is resolved. */
export function thisWorkflow(): Keeper {
  const workflow = Context.current().info.workflowExecution;
  if (workflow === undefined) throw new Error('Bug: this activity belongs to a workflow');
  return { workflowId: workflow.workflowId };
}

/** Reads refunds that are under way or done once more; one that failed after it said success is late bad news, and a case. */
export async function readRefundsAgain(
  deps: Dependencies,
  of: { booking_id: string } | { gateway: string; gateway_ref: string },
  keeper: () => Keeper,
): Promise<void> {
  const { db, gateways } = deps;
  const refunds = await db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where(of)
    .whereIn('refunds.status', ['pending', 'succeeded', 'failed'])
    .orderBy('refunds.id')
    .select<{ id: string }[]>('refunds.id');
  for (const { id } of refunds) {
    if (await settledByHand(db, id)) continue;
    const refund = await readOwed(db, id);
    if (isInside(deps, refund)) continue;
    const gateway = gatewayNamed(gateways, refund.gateway);
    const state = await gateway.readRefund(asSent(refund));
    if (state.status === 'unknown') throw readBackLater(gateway, state);
    if (state.status === 'missing') continue;
    await recordRefund(deps, refund, state, keeper());
  }
}

export function refundActivities(deps: Dependencies) {
  const { db, gateways } = deps;

  /**
   * Sends a refund, or finds that it was sent. Reads back before it writes: a key is worth nothing after a day, and a
   * refund that failed for good must not be sent again under the same go.
   * @returns the gateway's word; `failed` comes with the case that asks an operator
   * @throws `gateway-unavailable` (retried without end) when the gateway gave no usable answer
   */
  async function sendRefund(refundId: string): Promise<RefundProgress> {
    const refund = await readOwed(db, refundId);
    const known = await alreadyDecided(refund);
    if (known !== undefined) return known;
    if (isInside(deps, refund)) {
      const moved = { status: 'succeeded', refundRef: refundEntryId(refundId) } as const;
      return recordRefund(deps, refund, moved, thisWorkflow());
    }
    const gateway = gatewayNamed(gateways, refund.gateway);
    const found = await gateway.readRefund(asSent(refund));
    if (found.status === 'unknown') throw readBackLater(gateway, found);
    const state = found.status === 'missing' ? await gateway.refund(asSent(refund)) : found;
    if (state.status === 'unknown') throw readBackLater(gateway, state);
    if (state.status === 'missing') throw new Error(`Bug: sending ${refundId} found nothing`);
    if (state.status === 'refused' && state.replayed) return tryNextKey(gateway, refund, state.reason);
    return recordRefund(deps, refund, state, thisWorkflow());
  }

  /** A refusal that is kept for its key: the next key may pass, but only when the refund is certainly not there. */
  async function tryNextKey(gateway: Gateway, refund: OwedRefund, reason: string): Promise<never> {
    const found = await gateway.readRefund(asSent(refund));
    if (found.status === 'missing') {
      await db('refunds').where({ id: refund.id, key_number: refund.key_number }).increment('key_number', 1);
    }
    throw retryLater('gateway-unavailable', `${gateway.name} refused for this key: ${reason}`);
  }

  async function alreadyDecided(refund: OwedRefund): Promise<RefundProgress | undefined> {
    if (refund.status === 'succeeded') return { refundId: refund.id, status: 'succeeded' };
    if (refund.status !== 'failed') return undefined;
    const open = await db<CaseRow>('cases')
      .where({ payment_id: refund.payment_id })
      .whereNull('resolved_at')
      .first();
    return open === undefined ? undefined : { refundId: refund.id, status: 'failed', caseId: open.id };
  }

  /** Reads a refund that is under way. `pending` when nothing changed. */
  async function readRefund(refundId: string, heard: Ring[]): Promise<RefundProgress> {
    const refund = await readOwed(db, refundId);
    await recordHeard(db, refund.booking_id, heard);
    const known = await alreadyDecided(refund);
    if (known !== undefined) return known;
    if (isInside(deps, refund)) return { refundId, status: 'unsent' };
    const gateway = gatewayNamed(gateways, refund.gateway);
    const state = await gateway.readRefund(asSent(refund));
    if (state.status === 'unknown') throw readBackLater(gateway, state);
    if (state.status === 'missing') return { refundId, status: 'unsent' };
    return recordRefund(deps, refund, state, thisWorkflow());
  }

  /** A refund has been under way for too long: a person should ask the gateway. */
  async function reportOverdue(refundId: string): Promise<RefundProgress> {
    return db.transaction(async (trx) => {
      const refund = await readOwed(trx, refundId);
      if (refund.booking_id !== null) await lockAttempt(trx, refund.booking_id);
      // Its end may have been written by a workflow that heard of it while this one waited.
      const { status } = await readOwed(trx, refundId);
      if (status === 'succeeded') return { refundId, status };
      await moveAttempt(trx, refund, ['refunding'], 'needs_attention');
      const caseId = await openCase(trx, {
        kind: 'refund-overdue',
        refund,
        detail: `Refund ${refundId} is still ${refund.status} at the gateway, 30 days after it was owed.`,
        keeper: thisWorkflow(),
      });
      return { refundId, status: refund.status, caseId };
    });
  }

  return { sendRefund, readRefund, reportOverdue };
}
