/**
 * What money buys, in rows. Seats, booking and payment are written in one transaction under row locks, so no seat is sold
 * twice; wallet money moves in the same transaction.
 */
import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import { makeReference, type Contact, type QuotedItem, type RefundReason } from '../../src/booking';
import { idOf, type BookedRow, type PaymentRow } from './tables';

/** What captured money is to buy. */
export interface Purchase {
  bookingId: string;
  customerId: string;
  requestHash: string;
  items: readonly QuotedItem[];
  contact: Contact;
  method: string;
}

/** Captured money: a charge of a payment object. */
export type Captured = Pick<
  PaymentRow,
  'gateway' | 'gateway_ref' | 'gateway_payment_id' | 'amount_minor' | 'currency'
>;

/** What became of captured money; `newly` is false when it was written before. */
export interface Settled {
  newly: boolean;
  payment: PaymentRow;
  /** What it bought, or why nothing. */
  booking?: BookedRow;
  refusal?: RefundReason;
}

/**
 * Writes captured money, and what it buys: the booking with its seats, or nothing.
 * @param refusal why it may buy nothing, whatever is free
 */
export async function settle(
  db: Knex,
  purchase: Purchase,
  captured: Captured,
  refusal?: RefundReason,
): Promise<Settled> {
  return db.transaction(async (trx) => {
    const { gateway, gateway_payment_id } = captured;
    const [payment] = await trx<PaymentRow>('payments')
      .insert({
        id: idOf('payment', gateway, gateway_payment_id),
        booking_id: purchase.bookingId,
        ...captured,
        disposition: 'returned',
      })
      .onConflict(['gateway', 'gateway_payment_id'])
      .ignore()
      .returning('*');
    if (payment === undefined) {
      const written = await trx<PaymentRow>('payments').where({ gateway, gateway_payment_id }).first();
      if (written === undefined) throw new Error('Bug: a payment that is there and is not');
      return { newly: false, payment: written };
    }
    if (refusal !== undefined) return { newly: true, payment, refusal };
    const booking = await book(trx, purchase, captured);
    if (booking === undefined) return { newly: true, payment, refusal: 'slot-unavailable' };
    await trx('payments').where({ id: payment.id }).update({ disposition: 'booked' });
    return { newly: true, payment, booking };
  });
}

/** Books, where every item has its seats left, else undefined. The offerings are locked in one order for all. */
async function book(
  trx: Knex.Transaction,
  purchase: Purchase,
  paid: Pick<Captured, 'amount_minor' | 'currency'>,
): Promise<BookedRow | undefined> {
  const { bookingId, items } = purchase;
  const ids = items.map(({ offeringId }) => offeringId).sort();
  await trx('offerings').whereIn('id', ids).orderBy('id').forUpdate().select('id');
  const free = await freeSeats(trx, ids);
  const counted = items.filter(({ kind }) => kind === 'slot');
  if (counted.some(({ offeringId, seats }) => (free.get(offeringId) ?? 0) < seats)) return undefined;
  const row = {
    id: bookingId,
    customer_id: purchase.customerId,
    request_hash: purchase.requestHash,
    reference: makeReference(createHash('sha256').update(bookingId).digest()),
    items: JSON.stringify(items),
    contact: JSON.stringify(purchase.contact),
    method: purchase.method,
    total_minor: paid.amount_minor,
    currency: paid.currency,
  };
  const [booking] = await trx('bookings').insert(row).returning<BookedRow[]>('*');
  for (const { offeringId, seats } of counted) {
    await trx.raw(
      `UPDATE seats SET booking_id = :bookingId WHERE offering_id = :offeringId AND seat_no IN (
         SELECT seat_no FROM seats WHERE offering_id = :offeringId AND booking_id IS NULL ORDER BY seat_no LIMIT :seats)`,
      { bookingId, offeringId, seats },
    );
  }
  return booking;
}

/** Seats that are left, by offering; a consultation has none to count and is not among them. */
export async function freeSeats(db: Knex, offeringIds: readonly string[]): Promise<Map<string, number>> {
  const rows = await db('seats')
    .whereIn('offering_id', offeringIds)
    .whereNull('booking_id')
    .groupBy('offering_id')
    .select<{ offering_id: string; free: number }[]>('offering_id', db.raw('count(*) AS free'));
  return new Map(rows.map(({ offering_id, free }) => [offering_id, free]));
}

/** Pays from the wallet and books, or does neither and says why not. */
export async function payFromWallet(
  db: Knex,
  purchase: Purchase,
  total: { amountMinor: number; currency: string },
): Promise<BookedRow | 'slot-unavailable' | 'insufficient-funds'> {
  const { bookingId, customerId } = purchase;
  const { amountMinor, currency } = total;
  const entryId = idOf('entry', bookingId);
  const paid = { amount_minor: amountMinor, currency };
  return db
    .transaction(async (trx) => {
      const debited = await trx('wallets')
        .where({ customer_id: customerId, currency })
        .where('balance_minor', '>=', amountMinor)
        .decrement('balance_minor', amountMinor);
      if (debited === 0) throw new Unpaid('insufficient-funds');
      const booking = await book(trx, purchase, paid);
      if (booking === undefined) throw new Unpaid('slot-unavailable');
      const of = { customer_id: customerId, currency, booking_id: bookingId };
      await trx('wallet_entries').insert({ id: entryId, ...of, amount_minor: -amountMinor, kind: 'payment' });
      await trx('payments').insert({
        id: idOf('payment', entryId),
        booking_id: bookingId,
        gateway: 'wallet',
        gateway_ref: entryId,
        gateway_payment_id: entryId,
        ...paid,
        disposition: 'booked',
      });
      return booking;
    })
    .catch((error: unknown) => {
      if (error instanceof Unpaid) return error.why;
      throw error;
    });
}

/** Rolls the transaction back. */
class Unpaid extends Error {
  constructor(readonly why: 'slot-unavailable' | 'insufficient-funds') {
    super(why);
  }
}

/** Puts money into a wallet, once per id. @returns the entry, and whether it is new */
export async function credit(
  db: Knex,
  of: { id: string; customerId: string; currency: string; amountMinor: number },
): Promise<{ newly: boolean; at: Date }> {
  return db.transaction(async (trx) => {
    const [written] = await trx('wallet_entries')
      .insert({
        id: of.id,
        customer_id: of.customerId,
        currency: of.currency,
        amount_minor: of.amountMinor,
        kind: 'credit',
      })
      .onConflict('id')
      .ignore()
      .returning<{ at: Date }[]>('at');
    if (written === undefined) {
      const before = await trx('wallet_entries').where({ id: of.id }).first<{ at: Date }>('at');
      return { newly: false, at: before.at };
    }
    await fill(trx, of);
    return { newly: true, at: written.at };
  });
}

async function fill(
  trx: Knex.Transaction,
  of: { customerId: string; currency: string; amountMinor: number },
): Promise<void> {
  await trx.raw(
    `INSERT INTO wallets (customer_id, currency, balance_minor) VALUES (?, ?, ?)
     ON CONFLICT (customer_id, currency) DO UPDATE SET balance_minor = wallets.balance_minor + excluded.balance_minor`,
    [of.customerId, of.currency, of.amountMinor],
  );
}

/**
 * Undoes a booking: its seats are free again, and wallet money is back.
 * @returns the payment that bought it; undefined when it was undone before
 */
export async function undo(db: Knex, bookingId: string): Promise<PaymentRow | undefined> {
  return db.transaction(async (trx) => {
    const [booking] = await trx<BookedRow>('bookings')
      .where({ id: bookingId, status: 'confirmed' })
      .update({ status: 'canceled' })
      .returning('*');
    if (booking === undefined) return undefined;
    await trx('seats').where({ booking_id: bookingId }).update({ booking_id: null });
    const [payment] = await trx<PaymentRow>('payments')
      .where({ booking_id: bookingId, disposition: 'booked' })
      .update({ disposition: 'returned' })
      .returning('*');
    if (payment === undefined) throw new Error(`Bug: a booking without a payment, ${bookingId}`);
    if (payment.gateway !== 'wallet') return payment;
    const { amount_minor: amountMinor, currency } = payment;
    const customerId = booking.customer_id;
    await trx('wallet_entries').insert({
      id: idOf('entry', payment.id),
      customer_id: customerId,
      currency,
      amount_minor: amountMinor,
      kind: 'refund',
      booking_id: bookingId,
    });
    await fill(trx, { customerId, currency, amountMinor });
    await trx('payments').where({ id: payment.id }).update({ refunded_minor: amountMinor });
    return { ...payment, refunded_minor: amountMinor };
  });
}

/** Notes that a refund has reached the payer. */
export async function markReturned(
  db: Knex,
  gateway: string,
  { chargeRef, amountMinor }: { chargeRef: string; amountMinor: number },
): Promise<void> {
  await db<PaymentRow>('payments')
    .where({ gateway, gateway_payment_id: chargeRef })
    .update({ refunded_minor: amountMinor });
}
