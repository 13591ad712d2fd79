/**
 * The payment watch: looks at every open try and every refund under way in one place, on each gateway's schedule, and
 * rings when something changed. It decides nothing; webhooks and the close carry correctness, the watch only latency.
 */
import { Context } from '@temporalio/activity';
import { ring } from '../doorbell';
import type { Gateway, PaymentMethod, PaymentState, RefundState } from '../gateways/gateway';
import { isOpen, type AttemptStatus } from '../booking';
import type { Ring } from '../workflows/messages';
import type { Dependencies } from './dependencies';
import { asSent, type OwedRefund } from './refunds';
import { standBy } from './standing';
import { wallet } from './wallet';

/** Pause between two rounds, in ms: below the granularity of any gateway's schedule. */
const roundMs = 500;

/** When a refund under way is looked at, in minutes after the last word; then hourly. Gateways finish most at once or overnight. */
const refundLooksMinutes = [1, 5, 15, 60];

/** Wallet refunds rung for in one round; bounds how long a round may hold the loop. */
const walletRingsPerRound = 20;

/**
 * How long a gateway is left alone after an unusable answer, in ms, doubled for each further one. The longest is well below
 * a payment window, so that a gateway which is back is noticed while its customers wait.
 */
const firstRestMs = 1_000;
const longestRestMs = 30_000;

/** Longest pause between two looks for late money, in seconds. It goes back whenever it is found, so an hour is soon enough. */
const longestLateGap = 3600;

interface DueTry {
  booking_id: string;
  try: number;
  gateway_ref: string;
  failure_ref: string | null;
  attempt_status: AttemptStatus;
}

export function watchActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /** Runs until its worker shuts down or its turn is over, and ends when every loop has ended; heartbeats each round. */
  async function watchPayments(): Promise<void> {
    // A loop for each gateway: one that is slow or down delays only its own.
    const loops = [...gateways.values()].map((gateway) => {
      const pace = new Pace(gateway.capabilities.looksPerSecond);
      return standBy(roundMs, async () => {
        if (pace.rests()) return;
        const refunds = await lookAtRefunds(gateway, pace);
        await lookAtTries(gateway, pace, refunds);
      });
    });
    const ends = await Promise.allSettled([...loops, standBy(roundMs, ringForUnsent)]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  /** @param looked looks this round has had already */
  async function lookAtTries(gateway: Gateway, pace: Pace, looked: number): Promise<void> {
    const due = await takeDueTries(gateway, Math.max(1, pace.perRound - looked));
    await Promise.all(
      due.map(async (row) => {
        const state = await gateway.read(row.gateway_ref);
        Context.current().heartbeat();
        pace.heard(state);
        if (!isOpen(row.attempt_status) && isDead(state)) await stopLooking(row);
        if (!hasNews(row, state)) return;
        metrics.foundByWatch.inc({ gateway: gateway.name });
        log.info({
          event: 'payment.found-by-watch',
          bookingId: row.booking_id,
          try: row.try,
          state: state.status,
        });
        await ringFor(gateway, row.booking_id, row.gateway_ref);
      }),
    );
  }

  /**
   * The tries to be looked at now, with their next look written: thousands of open ones cost one statement. Open attempts
   * come first, nearest window end before others: when there are more than the gateway allows, those with time can wait.
   */
  async function takeDueTries(gateway: Gateway, most: number): Promise<DueTry[]> {
    const { lookSchedule, lateForSeconds } = gateway.capabilities;
    const gaps = lookSchedule.map((_, looks) => gapAfter(lookSchedule, looks));
    const result = await db.raw<{ rows: DueTry[] }>(
      // A common table expression is evaluated once; as a subquery it could be, by another plan, once for each row.
      `WITH due AS MATERIALIZED (
         SELECT t.booking_id, t.try, a.status, a.ended_at
         FROM payment_tries AS t JOIN attempts AS a USING (booking_id)
         WHERE t.gateway = ? AND t.status = 'open' AND t.next_look_at <= now()
         ORDER BY t.watch_until < now(), t.watch_until LIMIT ? FOR UPDATE OF t SKIP LOCKED)
       UPDATE payment_tries AS t SET looks = t.looks + 1, next_look_at = CASE
           WHEN due.status = 'processing' OR t.watch_until > now()
             THEN now() + make_interval(secs => (?::float8[])[least(t.looks + 1, ?)])
           -- Over, or past its window: late money becomes rarer the longer it has not come.
           WHEN coalesce(due.ended_at, t.watch_until) + make_interval(secs => ?) > now()
             THEN now() + least(make_interval(secs => ?),
               greatest(make_interval(secs => ?), (now() - coalesce(due.ended_at, t.watch_until)) / 4))
         END
       FROM due WHERE (t.booking_id, t.try) = (due.booking_id, due.try)
       RETURNING t.booking_id, t.try, t.gateway_ref, t.failure_ref, due.status AS attempt_status`,
      [gateway.name, most, gaps, gaps.length, lateForSeconds, longestLateGap, lastGap(lookSchedule)],
    );
    return result.rows;
  }

  /** An attempt that is over needs no ring to learn that nothing will come. */
  async function stopLooking(row: DueTry): Promise<void> {
    await db('payment_tries')
      .where({ booking_id: row.booking_id, try: row.try, status: 'open' })
      .update({ status: 'closed', next_look_at: null });
  }

  /** @returns how many it looked at */
  async function lookAtRefunds(gateway: Gateway, pace: Pace): Promise<number> {
    const due = await db('refunds as r')
      .join('payments as p', 'p.id', 'r.payment_id')
      .where('p.gateway', gateway.name)
      .whereIn('r.status', ['unsent', 'pending'])
      .where('r.next_look_at', '<=', db.fn.now())
      .orderBy('r.next_look_at')
      // Half of what may be looked at: a heap of refunds must not keep payers waiting.
      .limit(Math.max(1, Math.floor(pace.perRound / 2)))
      .select<OwedRefund[]>(
        'r.*',
        'p.booking_id',
        'p.gateway',
        'p.gateway_ref',
        'p.gateway_payment_id',
        'p.currency',
      );
    await Promise.all(
      due.map(async (refund) => {
        await lookLater(refund);
        // One that nobody sent: whoever should have is waiting, or gone. The ring finds out.
        const state: RefundState | undefined =
          refund.status === 'unsent' ? undefined : await gateway.readRefund(asSent(refund));
        Context.current().heartbeat();
        if (state !== undefined) pace.heard(state);
        if (state !== undefined && (state.status === refund.status || state.status === 'unknown')) return;
        log.info({ event: 'refund.found-by-watch', refundId: refund.id, bookingId: refund.booking_id });
        await ringFor(gateway, refund.booking_id, refund.gateway_ref);
      }),
    );
    return due.length;
  }

  /** Wallet money is given back by its workflow alone; one that did not is rung. */
  async function ringForUnsent(): Promise<void> {
    const due = await db('refunds as r')
      .join('payments as p', 'p.id', 'r.payment_id')
      .where('p.gateway', wallet.name)
      .where('r.status', 'unsent')
      .where('r.next_look_at', '<=', db.fn.now())
      .limit(walletRingsPerRound)
      .select<OwedRefund[]>(
        'r.*',
        'p.booking_id',
        'p.gateway',
        'p.gateway_ref',
        'p.gateway_payment_id',
        'p.currency',
      );
    for (const refund of due) {
      Context.current().heartbeat();
      await lookLater(refund);
      await ringFor(wallet, refund.booking_id, refund.gateway_ref);
    }
  }

  async function lookLater(refund: OwedRefund): Promise<void> {
    const minutes = refundLooksMinutes[Math.min(refund.looks + 1, refundLooksMinutes.length - 1)] ?? 60;
    // One that ended since it was read is not looked at again.
    await db('refunds')
      .where({ id: refund.id })
      .whereIn('status', ['unsent', 'pending'])
      .update({
        looks: refund.looks + 1,
        next_look_at: db.raw('now() + make_interval(mins => ?)', [minutes]),
      });
  }

  async function ringFor(gateway: PaymentMethod, bookingId: string | null, ref: string): Promise<void> {
    const rung: Ring = { by: 'watch', gateway: gateway.name, ref, at: new Date().toISOString() };
    await ring(deps.temporal, deps.taskQueue, { bookingId, gateway: gateway.name, ref }, rung);
  }

  return { watchPayments };
}

/** Seconds from one look to the next, for a schedule that counts from the opening; its last gap repeats. */
export function gapAfter(schedule: readonly number[], looks: number): number {
  const at = (n: number) => schedule[n] ?? 0;
  const last = schedule.length - 1;
  const n = Math.min(looks, last - 1);
  return Math.max(1, at(n + 1) - at(n));
}

/** The gap that a schedule repeats in the end, in seconds. */
export function lastGap(schedule: readonly number[]): number {
  return gapAfter(schedule, schedule.length);
}

/** How fast one gateway is asked, and when it is left alone because it gave no usable answers. */
class Pace {
  /** Most looks in one round. */
  readonly perRound: number;
  #silent = 0;
  #restsUntil = 0;

  constructor(looksPerSecond: number) {
    this.perRound = Math.max(1, Math.floor((looksPerSecond * roundMs) / 1000));
  }

  rests(): boolean {
    return Date.now() < this.#restsUntil;
  }

  heard(answer: { status: string; retryAfterMs?: number }): void {
    if (answer.status !== 'unknown') {
      this.#silent = 0;
      return;
    }
    // Looks of one round fail together, and count once.
    const first = !this.rests();
    const pauseMs = first ? Math.min(firstRestMs * 2 ** this.#silent, longestRestMs) : 0;
    if (first) this.#silent += 1;
    this.#restsUntil = Math.max(this.#restsUntil, Date.now() + Math.max(pauseMs, answer.retryAfterMs ?? 0));
  }
}

/** Whether nothing can come by this payment object any more. */
function isDead(state: PaymentState): boolean {
  if (state.status === 'failed') return !state.payable;
  return state.status === 'expired' || state.status === 'missing';
}

/** Whether the gateway says something the row does not know. Unknown is no news. */
function hasNews(row: DueTry, state: PaymentState): boolean {
  if (!isOpen(row.attempt_status)) return state.status === 'paid';
  switch (state.status) {
    case 'unknown':
      return false;
    case 'unpaid':
      return row.attempt_status === 'processing';
    case 'processing':
      return row.attempt_status === 'awaiting_payment';
    case 'failed':
      return state.failureRef !== row.failure_ref || row.attempt_status === 'processing';
    case 'paid':
    case 'expired':
    case 'missing':
      return true;
  }
}
