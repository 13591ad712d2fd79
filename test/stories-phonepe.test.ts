/**
 * Story 004, literally: PhonePe's webhook, the browser that comes back and the page that asks for the status twenty times, all
 * at one instant. One payment, one booking, one message, and whoever asks for the status writes nothing.
 */
import { settleActivities } from '../src/activities/settle';
import { reconcileWorkflowId } from '../src/workflows/messages';
import { atPhonepe, type AtPhonepe } from './at-phonepe';
import { outcomeOf, priceMinor, publish, Shopper } from './book-setup';
import { endOf, playRounds } from './races-end-to-end-setup';
import { rowsOf } from './row-snapshots';
import { rewrite, withoutUniqueKeys } from './settling-setup';
import { eventually, startWorld, type Answer, type Json, type World } from './world';

const rounds = 20;
const polls = 20;

let phonepe: AtPhonepe;
let world: World;
beforeAll(async () => {
  phonepe = await atPhonepe();
  world = await startWorld({ gateways: [phonepe] });
});
afterAll(() => world.stop());

/** Somebody who has paid at PhonePe, and nobody was told. */
async function paidInSilence(place: World, at: AtPhonepe): Promise<{ shopper: Shopper; booking: Json }> {
  const shopper = new Shopper(place);
  // With room for more than one, so that a second booking would not fail for want of a seat.
  const slot = { capacity: 3, price: { amountMinor: priceMinor, currency: 'INR' } };
  const booking = await shopper.start(await publish(place, slot), undefined, 'phonepe');
  await at.silence(booking.id);
  expect(await at.pay(booking)).toBe(true);
  return { shopper, booking };
}

/** Waits until nobody has anything left to write about an attempt: its mail is sent, its webhook written down. */
async function atRest(id: string, ref: string): Promise<void> {
  await eventually('nothing left to write', async () => {
    const unsent = await world.db('messages').where({ booking_id: id }).whereNull('sent_at');
    const heard = await world.db('gateway_events').where({ gateway_ref: ref });
    return unsent.length === 0 && heard.length === 1;
  });
  // A webhook that came when the attempt was over is looked at beside it.
  const late = world.temporal.workflow.getHandle(reconcileWorkflowId('phonepe', ref));
  await late.result().catch(() => 'nobody was late');
}

const ask = (shopper: Shopper, id: string): Promise<Answer[]> =>
  Promise.all(Array.from({ length: polls }, () => shopper.read(id)));

const told = (answers: readonly Answer[]): Set<string> =>
  new Set(answers.map(({ status, body }) => `${status} ${String(body.status)}`));

test('webhook, browser and 20 status polls at one instant, 20 rounds: one booking, one message, polls wrote nothing', async () => {
  const results = await playRounds(
    1,
    async () => {
      const { shopper, booking } = await paidInSilence(world, phonepe);
      const id = String(booking.id);
      const [before, askedBefore] = [await rowsOf(world.db), await phonepe.asked('read')];
      // The page comes first: the money is there, and nobody has heard.
      expect(told(await ask(shopper, id))).toEqual(new Set(['200 awaiting_payment']));
      expect(await rowsOf(world.db)).toEqual(before);
      expect(await phonepe.asked('read')).toBe(askedBefore);

      const [webhook, comeBack, answers] = await Promise.all([
        phonepe.copiesOfPaid(String(booking.payment.gatewayRef), 1),
        shopper.comeBack(id),
        ask(shopper, id),
      ]);
      expect([webhook, comeBack.status]).toEqual([[200], 202]);
      for (const seen of told(answers)) expect(['200 awaiting_payment', '200 confirmed']).toContain(seen);
      const ended = await endOf(world, shopper, id);
      // Two rings are two looks at most, and one more for a webhook that came when it was over: none is a poll's.
      const looks = (await phonepe.asked('read')) - askedBefore;
      expect(looks).toBeLessThanOrEqual(3);

      await atRest(id, String(booking.payment.gatewayRef));
      const over = await rowsOf(world.db);
      expect(told(await ask(shopper, id))).toEqual(new Set(['200 confirmed']));
      expect(await rowsOf(world.db)).toEqual(over);
      const payments = await world.db('payments').where({ booking_id: id });

      return {
        ...ended,
        payments: payments.map((row) => [row.status, row.disposition, row.amount_minor]),
      };
    },
    rounds,
  );
  expect(results).toEqual(
    Array.from({ length: rounds }, () => ({
      outcome: 'confirmed',
      capturedMinor: priceMinor,
      refundedMinor: 0,
      payments: [['captured', 'booked', priceMinor]],
    })),
  );
});

test('control: with a status poll that books by itself, as in the story, and no guards under it, one payment books twice', async () => {
  const at = await atPhonepe();
  const broken = await startWorld({ gateways: [at], standing: false });
  try {
    await rewrite(broken.db, 'settle_payment', [
      ['WHERE a.booking_id = in_booking_id FOR UPDATE;', 'WHERE a.booking_id = in_booking_id;'],
      // Each has looked and found no payment; then both write.
      ['refusal := book(attempt', 'PERFORM pg_sleep(0.3); refusal := book(attempt'],
      // Two bookings of one attempt: asking for the reference would be an error of its own.
      ['(SELECT b.reference FROM bookings AS b WHERE b.id = in_booking_id)', "'BK-'"],
    ]);
    await withoutUniqueKeys(broken.db);
    let most = 0;
    // On a busy machine one may be through before the other has written.
    for (let round = 0; round < rounds && most < 2; round += 1) {
      const { booking } = await paidInSilence(broken, at);
      const id = String(booking.id);
      const gate = await at.gate('read', id);
      const booked = Promise.all([
        at.copiesOfPaid(String(booking.payment.gatewayRef), 1),
        settleActivities(broken.dependencies).settle(id, []),
      ]);
      await gate.hold(2);
      await gate.release();
      await booked;
      await outcomeOf(broken, id);
      expect((await at.ledgerOf(id)).charges).toBe(1);
      most = (await broken.db('bookings').where({ id })).length;
    }
    expect(most).toBeGreaterThan(1);
  } finally {
    await broken.stop();
  }
});
