/** Giving back: sending a refund, reading it back, and asking a person when it cannot be done. Never swallows a failure. */
import type { RefundStatus } from '../booking';
import type { CaseRow } from '../database';
import type { Gateway } from '../gateways/gateway';
import type { RefundProgress, Ring } from '../workflows/messages';
import { gatewayNamed, lockAttempt, readBackLater, retryLater, type Dependencies } from './dependencies';
import { recordHeard } from './heard';
import {
  casesToKeep,
  ownKeeper,
  ringKeepers,
  ringWaiting,
  tellKeepers,
  thisWorkflow,
  type Keeper,
} from './keepers';
import {
  asSent,
  isInside,
  moveAttempt,
  openCase,
  readAgain,
  readOwed,
  recordRefund,
  type OwedRefund,
} from './refunds';
import { concernsReversals, lookAtReversals } from './reversals';
import { settleAll } from './settle';
import { refundEntryId } from './wallet';

export function giveBackActivities(deps: Dependencies) {
  const { db, gateways, log } = deps;

  /**
   * Sends a refund, or finds that it was sent. Reads back before it writes: a key is worth nothing after a day, and a
   * refund that failed for good must not be sent again under the same go.
   * @returns the gateway's word; `failed` comes with the case that asks an operator
   * @throws `gateway-unavailable` (retried without end) when the gateway gave no usable answer
   */
  async function sendRefund(refundId: string): Promise<RefundProgress> {
    return send(refundId, thisWorkflow());
  }

  /** @param keeper who keeps a case if this opens one: whoever gives this very refund back, or a workflow of its own */
  async function send(refundId: string, keeper: Keeper): Promise<RefundProgress> {
    const refund = await readOwed(db, refundId);
    const known = await alreadyDecided(refund);
    if (known !== undefined) return known;
    if (isInside(deps, refund)) {
      const moved = { status: 'succeeded', refundRef: refundEntryId(refundId) } as const;
      return recordRefund(deps, refund, moved, keeper);
    }
    const gateway = gatewayNamed(gateways, refund.gateway);
    const found = await gateway.readRefund(asSent(refund));
    if (found.status === 'unknown') throw readBackLater(gateway, found);
    const state = found.status === 'missing' ? await gateway.refund(asSent(refund)) : found;
    if (state.status === 'unknown') throw readBackLater(gateway, state);
    if (state.status === 'missing') throw new Error(`Bug: sending ${refundId} found nothing`);
    if (state.status === 'refused' && state.replayed) return tryNextKey(gateway, refund, state.reason);
    if (state.status !== 'refused') return recordRefund(deps, refund, state, keeper);
    // It may be refused because others sent the money, or a part of it, and nobody told us.
    const caseIds = await lookAtReversals(deps, { gateway: refund.gateway, ref: refund.gateway_ref });
    const progress = await recordRefund(deps, refund, state, keeper);
    return withKeepers(progress, caseIds, refund);
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
    if (refund.status === 'succeeded') {
      // Whoever wrote it may have died before it said so.
      await ringWaiting(deps, refund.id);
      return { refundId: refund.id, status: 'succeeded' };
    }
    if (refund.status !== 'failed') return undefined;
    const open = await db<CaseRow>('cases').where({ refund_id: refund.id }).whereNull('resolved_at').first();
    return open === undefined ? undefined : { refundId: refund.id, status: 'failed', caseId: open.id };
  }

  /** Reads a refund that is under way. `pending` when nothing changed. */
  async function readRefund(refundId: string, heard: Ring[]): Promise<RefundProgress> {
    const asked = await readOwed(db, refundId);
    await recordHeard(db, asked.booking_id, heard);
    // Who waits for a refund takes the rings that tell of other money going back, too.
    const caseIds = concernsReversals(heard)
      ? await lookAtReversals(deps, { gateway: asked.gateway, ref: asked.gateway_ref })
      : [];
    const progress = await readAtGateway(refundId);
    if (asked.booking_id !== null && heard.length > 0) {
      caseIds.push(...(await lookBeside(asked, asked.booking_id, heard)));
    }
    return withKeepers(progress, [...new Set(caseIds)], asked);
  }

  /**
   * Whoever waits for a refund takes the rings that tell of the attempt's other money, too: a second payment of the same
   * order, or one of another try, and what became of its refunds. It is settled, sent back and read here without waiting
   * for the first refund, which may take weeks.
   * @returns open cases that need a workflow of their own: nobody's decision waits for the first refund, either
   */
  async function lookBeside(
    awaited: OwedRefund,
    bookingId: string,
    heard: readonly Ring[],
  ): Promise<string[]> {
    await settleAll(deps, bookingId, heard);
    const followed = await ringKeepers(deps, bookingId, heard);
    const others = await db('refunds')
      .join('payments', 'payments.id', 'refunds.payment_id')
      .where({ booking_id: bookingId })
      .whereNot('refunds.reason', 'external')
      .whereNotIn('refunds.id', [awaited.id, ...followed])
      .orderBy('refunds.created_at')
      .select<{ id: string; payment_id: string; status: RefundStatus; gateway: string }[]>(
        'refunds.*',
        'payments.gateway',
      );
    const untold: unknown[] = [];
    for (const { id, payment_id: paymentId, status, gateway } of others) {
      try {
        await (status === 'unsent' ? send(id, ownKeeper) : readAgain(deps, id, ownKeeper));
        await tellKeepers(deps, paymentId);
      } catch (error) {
        // Nobody else looks at what had succeeded: the ring that tells of it must not be lost.
        if (status === 'succeeded' && heard.some((rung) => rung.gateway === gateway)) untold.push(error);
        // One that cannot be sent or read now stays in its row: the payment watch rings for it.
        else log.warn({ event: 'refund.waits', refundId: id, bookingId, reason: String(error) });
      }
    }
    if (untold.length > 0) throw untold[0];
    return casesToKeep(db, { booking_id: bookingId });
  }

  async function readAtGateway(refundId: string): Promise<RefundProgress> {
    const refund = await readOwed(db, refundId);
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
      const before = await readOwed(trx, refundId);
      if (before.booking_id !== null) await lockAttempt(trx, before.booking_id);
      const refund = await readOwed(trx, refundId);
      // Another workflow heard of its end.
      if (refund.status === 'succeeded') return { refundId, status: 'succeeded' };
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

function withKeepers(progress: RefundProgress, caseIds: string[], refund: OwedRefund): RefundProgress {
  return caseIds.length === 0 ? progress : { ...progress, toKeep: { caseIds, bookingId: refund.booking_id } };
}
