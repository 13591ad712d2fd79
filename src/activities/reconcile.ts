/** Money, or bad news of a refund, that comes when the attempt is over or cannot be found. Cheap when nothing is owed. */
import type { Knex } from 'knex';
import { isId, isOpen } from '../booking';
import type { AttemptRow, PaymentRow } from '../database';
import type { Charge, PaymentState } from '../gateways/gateway';
import { bookingWorkflowId, caseWorkflowId, type ReconcileInput, type Ring } from '../workflows/messages';
import { deriveId, gatewayNamed, readBackLater, retryLater, type Dependencies } from './dependencies';
import { recordHeard } from './heard';
import { casesToKeep, followedByKeepers, ownKeeper, passOn } from './keepers';
import { readRefundsAgain } from './refunds';
import { concernsReversals, lookAtReversals } from './reversals';
import { recordPayment } from './charges';
import { methodNamed } from './wallet';

/** What is still owed after a look: refunds to send, and cases that need a workflow to keep them open. */
export interface Owed {
  refundIds: string[];
  caseIds: string[];
  /** For the search attribute; null when no attempt of ours is concerned. */
  bookingId: string | null;
}

export function reconcileActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /**
   * Looks at one payment object of a gateway and writes what is owed: rings the attempt when it is open, gives stray
   * money back, opens a case for money of ours whose attempt is lost and for a refund that failed after it said success.
   * @throws `gateway-unavailable` (retried without end) when the gateway gave no usable answer
   */
  async function reconcile(input: ReconcileInput, heard: Ring[]): Promise<Owed> {
    const attempt = await findAttempt(input);
    const bookingId = attempt?.booking_id ?? null;
    const payment = { gateway: input.gateway, gateway_ref: input.ref };
    await recordHeard(db, bookingId, heard);
    const reversals = concernsReversals(heard);
    if (reversals) await lookAtReversals(deps, input);
    // With an id in the event, its workflow was rung and found over a moment ago; an open row makes that doubtful.
    const mayRun =
      attempt !== undefined &&
      (input.bookingId === null || isOpen(attempt.status) || heard.some((rung) => rung.reversal === true));
    if (mayRun && (await passOn(deps, bookingWorkflowId(attempt.booking_id), heard, input.gateway))) {
      // Bad news overtook the good: the money must be on record before what took it back can be.
      if (reversals && (await isUnknown(input)))
        throw retryLater('unavailable', 'The payment is not settled yet');
      return { refundIds: [], caseIds: reversals ? await casesToKeep(db, payment) : [], bookingId };
    }
    // Whoever else followed a refund that a case's keeper follows would leave that waiting for an end it is never told of.
    const followed: string[] = [];
    for (const { refundId, keeper } of await followedByKeepers(db, payment)) {
      if (await passOn(deps, keeper, heard)) followed.push(refundId);
    }
    if (await mayBringMoney(input)) {
      const gateway = gatewayNamed(gateways, input.gateway);
      const state = await gateway.read(input.ref);
      if (state.status === 'unknown') throw readBackLater(gateway, state);
      if (state.status === 'paid') {
        await recordStray(input, attempt, state, state.bookingId ?? null, heard);
        if (reversals) await lookAtReversals(deps, input);
      }
    }
    await readRefundsAgain(deps, payment, () => ownKeeper, followed);
    const refundIds = (await unsentRefunds(input)).filter((id) => !followed.includes(id));
    return { refundIds, caseIds: await casesToKeep(db, payment), bookingId };
  }

  /** The attempt that opened this payment object. Bearing an attempt's id is not enough: anybody may write metadata. */
  async function findAttempt(input: ReconcileInput): Promise<AttemptRow | undefined> {
    return db('attempts')
      .join('payment_tries', 'payment_tries.booking_id', 'attempts.booking_id')
      .where({ gateway: input.gateway, gateway_ref: input.ref })
      .select('attempts.*')
      .first<AttemptRow | undefined>();
  }

  /**
   * Money we know, and that nothing was ever given back of, has no news to bring: the ordinary late webhook ends here. But
   * where an object cannot be closed, somebody may pay it a second time.
   */
  async function mayBringMoney(input: ReconcileInput): Promise<boolean> {
    // Money of ours that moves in our own transactions is never on its way without us.
    if (methodNamed(gateways, input.gateway).capabilities.insideTransaction) return false;
    return !gatewayNamed(gateways, input.gateway).capabilities.closes || (await isUnknown(input));
  }

  async function isUnknown(input: ReconcileInput): Promise<boolean> {
    const known = await db<PaymentRow>('payments')
      .where({ gateway: input.gateway, gateway_ref: input.ref })
      .first();
    return known === undefined;
  }

  async function recordStray(
    input: ReconcileInput,
    attempt: AttemptRow | undefined,
    paid: Extract<PaymentState, { status: 'paid' }>,
    claimed: string | null,
    heard: readonly Ring[],
  ): Promise<void> {
    if (attempt !== undefined) {
      const captured = { bookingId: attempt.booking_id, gateway: input.gateway, ref: input.ref, paid };
      return recordPayment(deps, captured, heard);
    }
    // Another shop on the same account may write anything into its metadata.
    if (claimed === null || !isId('booking', claimed)) {
      metrics.notOurs.inc({ gateway: input.gateway });
      log.info({ event: 'payment.not-ours', gateway: input.gateway });
      return;
    }
    for (const charge of [paid, ...(paid.others ?? [])]) {
      await db.transaction((trx) => recordUnmatched(trx, input, charge, claimed));
    }
  }

  /** Money that carries an id of ours, but the attempt is not in our tables: never refunded by itself, a person looks. */
  async function recordUnmatched(
    trx: Knex.Transaction,
    input: ReconcileInput,
    charge: Charge,
    claimed: string,
  ): Promise<void> {
    const paymentId = deriveId('payment', input.gateway, charge.chargeRef);
    const caseId = deriveId('case', 'unmatched-payment', paymentId);
    const written = await trx('payments')
      .insert({
        id: paymentId,
        gateway: input.gateway,
        gateway_ref: input.ref,
        gateway_payment_id: charge.chargeRef,
        amount_minor: charge.total.amountMinor,
        currency: charge.total.currency,
        status: 'captured',
        disposition: 'unmatched',
      })
      .onConflict(['gateway', 'gateway_payment_id'])
      .ignore()
      .returning('id');
    if (written.length === 0) return;
    await trx('cases').insert({
      id: caseId,
      workflow_id: caseWorkflowId(caseId),
      payment_id: paymentId,
      kind: 'unmatched-payment',
      amount_minor: charge.total.amountMinor,
      currency: charge.total.currency,
      detail: `${input.gateway} captured ${input.ref} in the name of ${claimed}, which did not open it or is not in our records.`,
    });
    log.error({ event: 'payment.unmatched', bookingId: claimed, gateway: input.gateway, caseId });
  }

  async function unsentRefunds(input: ReconcileInput): Promise<string[]> {
    const rows = await refundsOf(input).whereIn('refunds.status', ['unsent', 'pending']);
    return rows.map((row) => row.id);
  }

  function refundsOf(input: ReconcileInput) {
    return db('refunds')
      .join('payments', 'payments.id', 'refunds.payment_id')
      .where({ 'payments.gateway': input.gateway, 'payments.gateway_ref': input.ref })
      .orderBy('refunds.id')
      .select<{ id: string }[]>('refunds.id');
  }

  return { reconcile };
}
