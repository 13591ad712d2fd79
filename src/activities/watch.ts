/**
 * The payment watch: looks at every open try and every refund under way in one place, on each gateway's schedule, and
 * rings when something changed. It decides nothing; webhooks and the close carry correctness, the watch only latency.
 */
import { Context } from '@temporalio/activity';
import { ring } from '../doorbell';
import type { Gateway, PaymentMethod, PaymentState, RefundState } from '../gateways/gateway';
import type { AttemptStatus } from '../booking';
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

interface DueTry {
  booking_id: string;
  try: number;
  gateway_ref: string;
  looks: number;
  failure_ref: string | null;
  attempt_status: AttemptStatus;
}

export function watchActivities(deps: Dependencies) {
  const { db, gateways, log, metrics } = deps;

  /** Runs until its worker shuts down or its turn is over; heartbeats each round. */
  async function watchPayments(): Promise<void> {
    await standBy(roundMs, async () => {
      for (const gateway of gateways.values()) {
        await lookAtTries(gateway);
        await lookAtRefunds(gateway);
      }
      await ringForUnsent();
    });
  }

  async function lookAtTries(gateway: Gateway): Promise<void> {
    // Nearest window end first: when there are more than the gateway allows, those with time can wait.
    const due = await db('payment_tries as t')
      .join('attempts as a', 'a.booking_id', 't.booking_id')
      .where('t.gateway', gateway.name)
      .where('t.status', 'open')
      .where('t.next_look_at', '<=', db.fn.now())
      .orderBy('t.watch_until')
      .limit(Math.max(1, Math.floor((gateway.capabilities.looksPerSecond * roundMs) / 1000)))
      .select<DueTry[]>(
        't.booking_id',
        't.try',
        't.gateway_ref',
        't.looks',
        't.failure_ref',
        'a.status as attempt_status',
      );
    for (const row of due) {
      Context.current().heartbeat();
      await scheduleNextLook(gateway, row);
      const state = await gateway.read(row.gateway_ref);
      if (!hasNews(row, state)) continue;
      metrics.foundByWatch.inc({ gateway: gateway.name });
      log.info({
        event: 'payment.found-by-watch',
        bookingId: row.booking_id,
        try: row.try,
        state: state.status,
      });
      await ringFor(gateway, row.booking_id, row.gateway_ref);
    }
  }

  async function scheduleNextLook(gateway: Gateway, row: DueTry): Promise<void> {
    const seconds = gapAfter(gateway.capabilities.lookSchedule, row.looks);
    // Until the window ends; what the gateway still processes then is looked at until it says.
    const next = db.raw(
      `CASE WHEN watch_until > now() OR ? = 'processing' THEN now() + make_interval(secs => ?) END`,
      [row.attempt_status, seconds],
    );
    await db('payment_tries')
      .where({ booking_id: row.booking_id, try: row.try, status: 'open' })
      .update({ looks: row.looks + 1, next_look_at: next });
  }

  async function lookAtRefunds(gateway: Gateway): Promise<void> {
    const due = await db('refunds as r')
      .join('payments as p', 'p.id', 'r.payment_id')
      .where('p.gateway', gateway.name)
      .whereIn('r.status', ['unsent', 'pending'])
      .where('r.next_look_at', '<=', db.fn.now())
      .orderBy('r.next_look_at')
      .limit(Math.max(1, Math.floor((gateway.capabilities.looksPerSecond * roundMs) / 1000)))
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
      // One that nobody sent: whoever should have is waiting, or gone. The ring finds out.
      const state: RefundState | undefined =
        refund.status === 'unsent' ? undefined : await gateway.readRefund(asSent(refund));
      if (state !== undefined && (state.status === refund.status || state.status === 'unknown')) continue;
      log.info({ event: 'refund.found-by-watch', refundId: refund.id, bookingId: refund.booking_id });
      await ringFor(gateway, refund.booking_id, refund.gateway_ref);
    }
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
    await db('refunds')
      .where({ id: refund.id })
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

/** Whether the gateway says something the row does not know. Unknown is no news. */
function hasNews(row: DueTry, state: PaymentState): boolean {
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
