/** What money buys: the booking, or a refund with its reason, decided in one transaction. */
import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import { makeReference, settlingRefusals, type AttemptStatus } from '../booking';
import type { FailureType } from '../failures';
import type { Charge, PaymentState } from '../gateways/gateway';
import type { Ring } from '../workflows/messages';
import { deriveId, type Dependencies } from './dependencies';

/** Money the gateway says it captured, one charge of it. */
interface Captured {
  bookingId: string;
  gateway: string;
  ref: string;
  charge: Charge;
}

/** References to choose from: 50 bits clash once in millions, and the second choice settles it. */
function referencesFor(bookingId: string): string[] {
  return ['', '\u0000second'].map((salt) =>
    makeReference(
      createHash('sha256')
        .update(bookingId + salt)
        .digest(),
    ),
  );
}

/**
 * Decides what captured money buys: the booking, or a refund row with its reason. One round trip; asking again about the
 * same payment answers what was decided.
 */
async function recordCharge(deps: Dependencies, captured: Captured, heard: readonly Ring[]): Promise<void> {
  const { charge } = captured;
  const result = await deps.db.raw<{
    rows: {
      status: AttemptStatus;
      refund_id: string | null;
      newly: boolean;
      refusal: string | null;
      reference: string | null;
    }[];
  }>('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
    captured.bookingId,
    captured.gateway,
    captured.ref,
    charge.chargeRef,
    charge.total.amountMinor,
    charge.total.currency,
    deriveId('payment', captured.gateway, charge.chargeRef),
    deriveId('refund', captured.gateway, charge.chargeRef),
    referencesFor(captured.bookingId),
  ]);
  const decided = result.rows[0];
  if (decided?.newly !== true) return;
  const { bookingId, gateway } = captured;
  deps.metrics.tries.inc({ gateway: captured.gateway, result: 'paid' });
  deps.log.info({
    event: 'payment.settled',
    bookingId,
    gateway,
    gatewayPaymentId: charge.chargeRef,
    status: decided.status,
    ...(decided.refund_id === null
      ? { reference: decided.reference }
      : { refundId: decided.refund_id, refusal: decided.refusal }),
  });
  const refusal = settlingRefusals.find((one) => one === decided.refusal);
  // Money that came outside an open attempt is given back as well, but nobody's attempt has failed by it.
  if (refusal !== undefined) deps.metrics.failures.inc({ type: refusal });
  if (decided.refund_id !== null) return;
  deps.metrics.attempts.inc({ outcome: 'confirmed' });
  const firstRing = heard.map((ring) => Date.parse(ring.at)).sort((a, b) => a - b)[0];
  if (firstRing !== undefined)
    deps.metrics.webhookToConfirmed.observe(Math.max(0, (Date.now() - firstRing) / 1000));
}

/**
 * Settles an attempt whose money moves in this very transaction, or that costs nothing: money, seats and booking, or nothing
 * of it. A new attempt that is refused has failed; a retried one stays as it was.
 * @param of.retry number of the accepted retry; missing for a new attempt
 * @returns why not, if so
 */
export async function settleInside(
  { metrics, log }: Dependencies,
  trx: Knex.Transaction,
  of: { bookingId: string; method: string | null; totalMinor: number; retry?: number },
): Promise<FailureType | undefined> {
  const { bookingId, method } = of;
  const cause = of.retry === undefined ? [bookingId] : [bookingId, String(of.retry)];
  const result = await trx.raw<{ rows: { refusal: FailureType | null; reference: string | null }[] }>(
    'SELECT * FROM settle_inside(?, ?, ?, ?, ?)',
    [bookingId, method, deriveId('payment', ...cause), deriveId('entry', ...cause), referencesFor(bookingId)],
  );
  const [settled] = result.rows;
  if (settled === undefined) throw new Error(`Bug: ${bookingId} was settled without an answer`);
  if (settled.refusal !== null) return settled.refusal;
  const gateway = method ?? 'none';
  if (of.totalMinor > 0) metrics.tries.inc({ gateway, result: 'paid' });
  metrics.attempts.inc({ outcome: 'confirmed' });
  log.info({
    event: 'payment.settled',
    bookingId,
    gateway,
    status: 'confirmed',
    reference: settled.reference,
  });
  return undefined;
}

/** Records every charge that a payment object brought in. The first that settles may buy the booking; any other goes back. */
export async function recordPayment(
  deps: Dependencies,
  { paid, ...of }: Omit<Captured, 'charge'> & { paid: Extract<PaymentState, { status: 'paid' }> },
  heard: readonly Ring[],
): Promise<void> {
  for (const charge of [paid, ...(paid.others ?? [])]) await recordCharge(deps, { ...of, charge }, heard);
}
