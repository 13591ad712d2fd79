/** Settling: reading the truth at the gateways, then writing what it means. */
import type { ApplicationFailure } from '@temporalio/activity';
import type { Knex } from 'knex';
import { isOpen } from '../booking';
import type { TryRow } from '../database';
import type { PaymentState } from '../gateways/gateway';
import type { FailureType } from '../failures';
import type { Ring } from '../workflows/messages';
import { ring } from '../doorbell';
import { recordPayment } from './charges';
import { recordHeard } from './heard';
import { ringKeepers, thisWorkflow } from './keepers';
import { readRefundsAgain } from './refunds';
import { wallet } from './wallet';
import {
  lockAttempt,
  notConfigured,
  readBackLater,
  readStanding,
  type Dependencies,
  type Standing,
} from './dependencies';

/** What a payment object brought in besides money: nothing, or bad news. */
type UnpaidState = Exclude<PaymentState, { status: 'paid' | 'unknown' }>;

/** The tries of an attempt whose payment object exists, oldest first. */
async function triesOf(db: Knex, bookingId: string): Promise<TryRow[]> {
  return db('payment_tries')
    .where({ booking_id: bookingId })
    .whereNotNull('gateway_ref')
    .orderBy('try')
    .select<TryRow[]>('*');
}

/**
 * Reads payment objects of one attempt and writes what they say: money first, then what the others mean for an attempt
 * that is still open.
 * @throws `gateway-unavailable` (retried) when a gateway gave no usable answer and the others have not decided the attempt
 */
export async function settleTries(
  deps: Dependencies,
  rows: readonly TryRow[],
  heard: readonly Ring[],
): Promise<void> {
  const unpaid: { row: TryRow; state: UnpaidState }[] = [];
  let silent: ApplicationFailure | undefined;
  for (const row of rows) {
    const { booking_id: bookingId, gateway: name, gateway_ref: ref } = row;
    if (ref === null) throw new Error(`Bug: an open try without a reference, ${bookingId}`);
    const gateway = deps.gateways.get(name);
    // Keys that were taken away hold up no more than a gateway that is down.
    if (gateway === undefined) silent ??= notConfigured(name);
    else {
      const state = await gateway.read(ref);
      if (state.status === 'unknown') silent ??= readBackLater(gateway, state);
      else if (state.status === 'paid') {
        await recordPayment(deps, { bookingId, gateway: name, ref, paid: state }, heard);
      } else unpaid.push({ row, state });
    }
  }
  const [first] = rows;
  if (first === undefined || (unpaid.length === 0 && silent === undefined)) return;
  const complete = silent === undefined;
  const open = await deps.db.transaction((trx) =>
    recordUnpaid(deps, trx, first.booking_id, unpaid, complete),
  );
  // Money at a gateway that does not answer now is late money, once another try has decided: the watch goes on looking.
  if (open && silent !== undefined) throw silent;
  if (!open) for (const { row } of unpaid) await closeUnneeded(deps, row);
}

/** Nobody should pay a second time what is decided. An object that does not close now is watched, and what comes by it goes back. */
async function closeUnneeded(
  { db, gateways }: Dependencies,
  { booking_id, try: number, gateway: name, gateway_ref: ref, status }: TryRow,
): Promise<void> {
  const gateway = gateways.get(name);
  if (gateway?.capabilities.closes !== true || ref === null || status !== 'open') return;
  const closed = await gateway.close(ref);
  if (closed.status !== 'closed') return;
  await db('payment_tries')
    .where({ booking_id, try: number, status: 'open' })
    .update({ status: 'closed', next_look_at: null });
}

/**
 * Writes what unpaid objects mean; says whether the attempt is open.
 * @param complete false when one gave no answer: it may be the one that is processing
 */
async function recordUnpaid(
  deps: Dependencies,
  trx: Knex.Transaction,
  bookingId: string,
  seen: readonly { row: TryRow; state: UnpaidState }[],
  complete: boolean,
): Promise<boolean> {
  const attempt = await lockAttempt(trx, bookingId);
  if (attempt === undefined || !isOpen(attempt.status)) return false;
  const newest = await trx<TryRow>('payment_tries')
    .where({ booking_id: bookingId })
    .orderBy('try', 'desc')
    .first();
  let failure: AttemptFailure | undefined;
  for (const { row, state } of seen) {
    const failed = await recordUnpaidTry(deps, trx, row, state);
    // A try that another one has replaced cannot fail the attempt any more.
    if (row.try === newest?.try) failure = failed;
  }
  const processing =
    seen.some(({ state }) => state.status === 'processing') || (!complete && attempt.status === 'processing');
  const status = processing ? 'processing' : 'awaiting_payment';
  if (status === attempt.status && failure === undefined) return true;
  await trx('attempts')
    .where({ booking_id: bookingId })
    .update({ status, ...(failure === undefined ? {} : { failure: JSON.stringify(failure) }) });
  return true;
}

interface AttemptFailure {
  type: FailureType;
  /** The gateway's word for it. */
  code?: string;
}

/** Writes the bad news of one payment object. @returns the failure, where this news is new */
async function recordUnpaidTry(
  { metrics, log }: Dependencies,
  trx: Knex.Transaction,
  seen: TryRow,
  state: UnpaidState,
): Promise<AttemptFailure | undefined> {
  const key = { booking_id: seen.booking_id, try: seen.try };
  const row = await trx<TryRow>('payment_tries').where(key).first();
  if (row?.status !== 'open' || state.status === 'processing' || state.status === 'unpaid') return undefined;
  const over = state.status !== 'failed' || !state.payable;
  if (over) await trx('payment_tries').where(key).update({ status: 'closed', next_look_at: null });
  if (state.status !== 'failed') {
    metrics.failures.inc({ type: 'payment-canceled' });
    metrics.tries.inc({ gateway: seen.gateway, result: 'closed' });
    return { type: 'payment-canceled' };
  }
  // Told before: no second failure.
  if (row.failure_ref === state.failureRef) return undefined;
  await trx('payment_tries').where(key).update({ failure_ref: state.failureRef });
  metrics.failures.inc({ type: 'payment-declined' });
  metrics.tries.inc({ gateway: seen.gateway, result: 'declined' });
  log.info({ event: 'payment.declined', bookingId: seen.booking_id, try: seen.try, code: state.code });
  return { type: 'payment-declined', ...(state.code && { code: state.code }) };
}

/**
 * Settles every payment object of an attempt, and passes on the rings about any other.
 * @returns the tries that have one
 * @throws `gateway-unavailable` (retried) when a gateway gave no usable answer and the attempt is still open
 */
export async function settleAll(
  deps: Dependencies,
  bookingId: string,
  heard: readonly Ring[],
): Promise<TryRow[]> {
  const tries = (await triesOf(deps.db, bookingId)).filter((row) => row.gateway !== wallet.name);
  await settleTries(deps, tries, heard);
  await passOnStrays(deps, tries, heard);
  return tries;
}

/** A ring can name a payment object that is none of ours although it bears our id: that is for `reconcile` to judge. */
async function passOnStrays(
  deps: Dependencies,
  tries: readonly TryRow[],
  heard: readonly Ring[],
): Promise<void> {
  for (const rung of heard) {
    const { gateway, ref } = rung;
    if (gateway === undefined || !ref || tries.some((row) => row.gateway_ref === ref)) continue;
    await ring(deps.temporal, deps.taskQueue, { bookingId: null, gateway, ref }, rung);
  }
}

export function settleActivities(deps: Dependencies) {
  const { db } = deps;

  /**
   * Reads every payment object of the attempt at its gateway and writes what that means: confirmed, refused with a
   * refund to send, processing, declined, or nothing new.
   * @param heard the rings that led here, to be written down
   * @throws `gateway-unavailable` (retried) when a gateway gave no usable answer: unknown is not failed
   */
  async function settle(bookingId: string, heard: Ring[]): Promise<Standing> {
    await recordHeard(db, bookingId, heard);
    const tries = await settleAll(deps, bookingId, heard);
    // A refund can fail after it said success, and its ring can come while this workflow is still here.
    if (tries.some((row) => row.status === 'paid')) {
      const followed = await ringKeepers(deps, bookingId, heard);
      await readRefundsAgain(deps, { booking_id: bookingId }, thisWorkflow, followed);
    }
    return readStanding(db, bookingId);
  }

  /** Where the attempt stands, without a look at the gateway. */
  async function lookUp(bookingId: string): Promise<Standing> {
    return readStanding(db, bookingId);
  }

  return { settle, lookUp };
}
