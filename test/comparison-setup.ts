/** Whole days of payments, planted at the sandbox and written as rows as if they had been lived. */
import { randomBytes } from 'node:crypto';
import { makeId } from '../src/booking';
import type { Compared } from '../src/activities/compare';
import { eventually, type World } from './world';

/** The price of everything on these days. */
export const amount = 2500;

/** A payment that both sides know. */
export interface Lived {
  bookingId: string;
  ref: string;
  charge: string;
  paymentId: string;
}

/** Noon of a day, in seconds since 1970. */
export function noonOf(day: string): number {
  return Date.parse(`${day}T12:00:00Z`) / 1000;
}

const newId = (kind: 'booking' | 'payment') => makeId(kind, randomBytes(15));

/**
 * Bookings that were paid on a day: at the gateway, and in our rows.
 * @param created when, at the gateway, in seconds since 1970
 * @param recordedAt when, in our rows
 */
export async function live(
  world: World,
  count: number,
  created: number,
  { recordedAt = new Date(created * 1000), disposition = 'booked' } = {},
): Promise<Lived[]> {
  const lived: Lived[] = [];
  for (let n = 0; n < count; n += 1) {
    const bookingId = newId('booking');
    const metadata = { bookingId, try: '1' };
    const planted = await world.sandbox.plantPayment({ amount, currency: 'eur', metadata, created });
    if (planted.paymentIntent === null) throw new Error('Bug: planted without an intent');
    lived.push({
      bookingId,
      ref: planted.paymentIntent,
      charge: planted.charge,
      paymentId: newId('payment'),
    });
  }
  await write(world, lived, recordedAt, disposition);
  return lived;
}

async function write(world: World, lived: Lived[], recordedAt: Date, disposition: string): Promise<void> {
  const { db } = world;
  const booked = disposition === 'booked';
  const rows = async (table: string, row: (one: Lived) => object) => {
    for (let from = 0; from < lived.length; from += 500)
      await db(table).insert(lived.slice(from, from + 500).map(row));
  };
  await rows('attempts', (one) => ({
    booking_id: one.bookingId,
    request_hash: 'hash',
    customer_id: 'customer',
    method: 'stripe',
    quote: JSON.stringify({ items: [] }),
    total_minor: amount,
    currency: 'EUR',
    contact: JSON.stringify({ name: 'A Payer', email: `${one.bookingId}@example.org` }),
    status: booked ? 'confirmed' : 'refunded',
    tries_max: 5,
    window_seconds: 900,
    started_at: recordedAt,
    ended_at: recordedAt,
  }));
  await rows('payment_tries', (one) => ({
    booking_id: one.bookingId,
    try: 1,
    gateway: 'stripe',
    gateway_ref: one.ref,
    status: 'paid',
    opened_at: recordedAt,
  }));
  if (booked)
    await rows('bookings', (one) => ({
      id: one.bookingId,
      reference: `BK-${one.bookingId.slice(4)}`,
      customer_id: 'customer',
      status: 'confirmed',
      total_minor: amount,
      currency: 'EUR',
      confirmed_at: recordedAt,
    }));
  await rows('payments', (one) => ({
    id: one.paymentId,
    booking_id: one.bookingId,
    gateway: 'stripe',
    gateway_ref: one.ref,
    gateway_payment_id: one.charge,
    amount_minor: amount,
    currency: 'EUR',
    status: 'captured',
    disposition,
    recorded_at: recordedAt,
  }));
}

/** Writes that we gave a payment back, by a refund that the gateway knows under this id or not. */
export async function writeRefund(
  world: World,
  one: Lived,
  gatewayRefundId: string,
  at: Date,
  id = makeId('refund', randomBytes(15)),
): Promise<string> {
  await world.db('refunds').insert({
    id,
    payment_id: one.paymentId,
    amount_minor: amount,
    status: 'succeeded',
    reason: 'slot-unavailable',
    gateway_refund_id: gatewayRefundId,
    created_at: at,
    settled_at: at,
  });
  return id;
}

/** Compares a day with every gateway. */
export async function compareDay(world: World, day: string): Promise<Compared[]> {
  const next = new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString();
  return (await world.temporal.workflow.execute('compare', {
    workflowId: `compare-${randomBytes(6).toString('hex')}`,
    taskQueue: world.taskQueue,
    args: [{ from: `${day}T00:00:00Z`, to: next }],
  })) as Compared[];
}

/** All cases, once every payment that was rung for has been looked at. */
export async function findings(
  world: World,
  count: number,
): Promise<{ kind: string; detail: string; workflow_id: string }[]> {
  await eventually(`${count} cases`, async () => (await world.db('cases')).length >= count);
  const running = `WorkflowType = 'reconcile' AND ExecutionStatus = 'Running' AND TaskQueue = '${world.taskQueue}'`;
  await eventually(
    'every look ended',
    async () => (await world.temporal.workflow.count(running)).count === 0,
  );
  return world.db('cases').orderBy('kind').orderBy('detail').select('kind', 'detail', 'workflow_id');
}
