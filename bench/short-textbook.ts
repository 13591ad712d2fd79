/** The textbook transaction with the fewest statements: lock, count, and three writes. Fewer rows than settling writes. */
import type { Knex } from 'knex';

/** Books a paid attempt, or writes the payment as one to return. */
export async function settleByShortTextbook(db: Knex, slotId: string, attemptId: string): Promise<void> {
  await db.transaction(async (trx) => {
    const slot = await trx('textbook.slots')
      .where({ id: slotId })
      .forUpdate()
      .first<{ capacity: number; booked: number }>();
    const free = slot.booked < slot.capacity;
    await trx('textbook.payments').insert({
      id: `pay_${attemptId}`,
      attempt_id: attemptId,
      charge: `ch_${attemptId}`,
      amount_minor: 700,
      disposition: free ? 'booked' : 'returned',
    });
    if (!free) {
      await trx('textbook.refunds').insert({
        id: `ref_${attemptId}`,
        payment_id: `pay_${attemptId}`,
        amount_minor: 700,
      });
      return;
    }
    await trx('textbook.bookings').insert({ id: attemptId, reference: `BK-${attemptId}` });
    await trx('textbook.items').insert({ booking_id: attemptId, slot_id: slotId, seats: 1 });
    await trx('textbook.messages').insert({
      booking_id: attemptId,
      kind: 'booking-confirmed',
      recipient: 'payer@example.org',
    });
    await trx('textbook.slots').where({ id: slotId }).increment('booked', 1);
  });
}
