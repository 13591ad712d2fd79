/** Bookings that stand, what undoing one leaves behind, and the books that must balance whatever was undone. */
import { readBalances } from '../src/api/money';
import { reconcileWorkflowId } from '../src/workflows/messages';
import { outcomeOf, pay, publish, Shopper, tracesOf, type Published, type Wanted } from './book-setup';
import { eventually, type Json, type World } from './world';

/** A confirmed booking and whose it is. */
export interface Booked {
  shopper: Shopper;
  booking: Json;
  id: string;
  /** The payment object's id; empty for what cost nothing at a gateway. */
  ref: string;
}

/** A shopper books and pays by card. */
export async function bookAndPay(
  world: World,
  wanted: Wanted,
  shopper = new Shopper(world),
): Promise<Booked> {
  const started = await shopper.start(wanted);
  if (started.status !== 'confirmed') await pay(world, started);
  const booking = await shopper.until(String(started.id), 'confirmed');
  await outcomeOf(world, String(started.id));
  return { shopper, booking, id: String(booking.id), ref: String(booking.payment?.gatewayRef ?? '') };
}

/** A booking of a slot of its own. */
export async function bookSlot(world: World, offering: Published = {}): Promise<Booked & { slot: string }> {
  const slot = await publish(world, offering);
  return { slot, ...(await bookAndPay(world, slot)) };
}

/** The provider calls an offering off. */
export async function callOff(world: World, offeringId: string, sub = 'provider') {
  return world.call('POST', `/v1/offerings/${offeringId}/cancel`, {
    token: await world.token(sub, 'catalog'),
  });
}

/** What reconciling ends with once money went back; a late ring of the refund itself finds that nothing is owed any more. */
export const doneBeside = ['given back', 'nothing owed'];

/** Waits until the workflow that looks after a payment has nothing left to do. */
export async function reconciled(world: World, ref: string): Promise<string> {
  return (await world.temporal.workflow.getHandle(reconcileWorkflowId('stripe', ref)).result()) as string;
}

/** What is left of a booking that was undone. */
export async function undone(world: World, id: string) {
  const { status, seats, messages, capturedMinor, refundedMinor, refunds } = await tracesOf(world, id);
  const rows = await world.db('bookings').where({ id }).select<{ status: string }[]>('status');
  return { status, seats, messages, capturedMinor, refundedMinor, refunds, booking: rows[0]?.status };
}

/** Messages of a booking that was confirmed, undone and given back, whose provider has told us an address or not. */
export const messagesOfUndone = ['booking-canceled', 'booking-confirmed', 'payment-refunded'];

/** What went back of our payments: by our rows, and by the sandbox's own ledger, in the smallest unit. */
async function returnedBy(world: World): Promise<{ rows: number; ledger: number }> {
  const { rows } = await world.db.raw<{ rows: { sum: number }[] }>(
    `SELECT coalesce(sum(r.amount_minor), 0)::integer AS sum FROM refunds r JOIN payments p ON p.id = r.payment_id
     WHERE r.status = 'succeeded' AND p.gateway = 'stripe' AND NOT EXISTS (SELECT FROM cases c
       WHERE c.payment_id = p.id AND c.refund_id IS NOT DISTINCT FROM r.id AND c.resolution = 'mark-settled' AND c.resolved_by <> 'payfirst')`,
  );
  const { refunds, disputes } = await world.sandbox.ledger();
  const back = refunds.filter((one) => one.status === 'succeeded').map((one) => one.amount);
  const lost = disputes.filter((one) => one.status === 'lost').map((one) => one.withdrawn);
  return { rows: rows[0]?.sum ?? 0, ledger: [...back, ...lost].reduce((total, one) => total + one, 0) };
}

/**
 * Rule 3 at rest, once no refund is under way: no imbalance by the definition that operators see, and as much captured and
 * returned by the sandbox's own ledger as by our rows.
 * @param besides what the ledger knows and our rows cannot: captured by others, or lost to a bank after it had gone back
 */
export async function expectMoneyToBalance(
  world: World,
  besides: { captured?: number; returned?: number } = {},
): Promise<void> {
  const balances = await eventually('refunds at rest', async () => {
    const now = await readBalances(world.db);
    return now.every((one) => one.on_its_way_minor === 0) && now;
  });
  expect(balances.filter((one) => one.imbalance_minor !== 0)).toEqual([]);
  const { totals } = await world.sandbox.ledger();
  const { rows } = await world.db.raw<{ rows: { sum: number }[] }>(
    "SELECT coalesce(sum(amount_minor), 0)::integer AS sum FROM payments WHERE gateway = 'stripe'",
  );
  const captured = Object.values(totals).reduce((total, one) => total + one.captured, 0);
  const returned = await returnedBy(world);
  expect({ captured: rows[0]?.sum, returned: returned.rows }).toEqual({
    captured: captured - (besides.captured ?? 0),
    returned: returned.ledger - (besides.returned ?? 0),
  });
}
