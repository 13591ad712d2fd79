/**
 * The races on what comes after a booking, through HTTP, Temporal and the Stripe sandbox: five rounds each; the activities'
 * own races have many more. Whatever wins, the books balance and Stripe made one refund of each payment that owes one.
 */
import { bookingWorkflowId, reconcileWorkflowId } from '../src/workflows/messages';
import { gatewayOf, outcomeOf, pay, priceMinor, publish, seatsFree, Shopper } from './book-setup';
import { bookSlot, callOff, expectMoneyToBalance, undone } from './cancel-setup';
import { playRounds } from './races-end-to-end-setup';
import { openCaseOf, refundsOf, resolve } from './refunds-setup';
import { casesOf, restOf } from './reversals-setup';
import { eventually, startWorld, type Json, type World } from './world';
import { afterRounds } from './tiers';

const rounds = afterRounds;

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(async () => {
  await world.sandbox.clearFaults();
  await expectMoneyToBalance(world);
});
afterAll(() => world.stop());

/** A refund that Stripe has not decided about. */
interface UnderWay {
  shopper: Shopper;
  id: string;
  /** The payment object. */
  ref: string;
  refundId: string;
  /** Stripe's id of the refund. */
  atStripe: string;
}

const given = { refunds: 1, refundedMinor: priceMinor, seats: 0, booking: 'canceled' };
const kept = { refunds: 0, refundedMinor: 0, seats: 1, booking: 'confirmed' };

test('a customer who cancels three times while the payment settles: what they are told is what became of it', async () => {
  await playRounds(
    rounds,
    async (round) => {
      const shopper = new Shopper(world);
      const slot = await publish(world);
      const key = `settle-${round}`;
      const id = shopper.bookingId(key);
      const gate = await gatewayOf(world, 'stripe').gate('read', id);
      const booking = await shopper.start(slot, key);
      expect(await pay(world, booking)).toBe(200);
      await gate.hold();
      const [, ...answers] = await Promise.all([gate.release(), ...[1, 2, 3].map(() => shopper.cancel(id))]);
      // It is paid: who asks before it is booked hears that it is, and who asks after that undoes it.
      const told = answers.map(({ status, body }) => `${status} ${body.status}`);
      for (const one of told) expect(['200 confirmed', '200 refunding', '200 refunded']).toContain(one);
      expect(await outcomeOf(world, id)).toBe('confirmed');
      const canceled = told.some((one) => one !== '200 confirmed');
      await shopper.until(id, canceled ? 'refunded' : 'confirmed');
      expect(await undone(world, id)).toMatchObject(canceled ? given : kept);
      // And once more, for those who were too early.
      expect((await shopper.cancel(id)).status).toBe(200);
      await shopper.until(id, 'refunded');
      expect(await undone(world, id)).toMatchObject(given);
    },
    rounds,
  );
});

test('a customer who cancels six times at once, and a provider who calls it off meanwhile: one refund', async () => {
  await playRounds(
    1,
    async () => {
      const { shopper, id, slot } = await bookSlot(world);
      const answers = Array.from({ length: 6 }, () => shopper.cancel(id));
      const [off, ...canceled] = await Promise.all([callOff(world, slot), ...answers]);
      expect(off.status).toBe(202);
      expect(canceled.map((one) => one.status)).toEqual(Array(6).fill(200));
      await shopper.until(id, 'refunded');
      expect(await undone(world, id)).toMatchObject(given);
      expect(await seatsFree(world, slot)).toBe(1);
    },
    rounds,
  );
});

test('an offering called off while 20 customers pay: who paid gets all of it back once, nobody else can pay', async () => {
  const seen = new Set<string>();
  await playRounds(
    rounds,
    async (round) => {
      const slot = await publish(world, { capacity: 20 });
      const customers = Array.from({ length: 20 }, () => new Shopper(world));
      const bookings = await Promise.all(customers.map((one) => one.start(slot)));
      // Attempts are closed four a second; those who come last pay first, from the moment when nobody has paid on.
      const before = round * 4;
      const payAt = async (booking: Json, n: number): Promise<number> => {
        // The first of all are too late, however fast the machine is.
        if (n < 2) await customers[n]?.until(booking.id, 'canceled', 40_000);
        const late = bookings.length - n - before;
        if (n >= 2 && late > 0) await new Promise((resolve) => setTimeout(resolve, late * 100));
        return pay(world, booking);
      };
      const answers = bookings.map(payAt);
      await Promise.all(answers.slice(bookings.length - before));
      expect((await callOff(world, slot)).status).toBe(202);
      for (const [n, answer] of (await Promise.all(answers)).entries()) {
        const end = answer === 200 ? 'refunded' : 'canceled';
        seen.add(end);
        await customers[n]?.until(bookings[n].id, end, 40_000);
        const left = await undone(world, bookings[n].id);
        const paidMinor = answer === 200 ? priceMinor : 0;
        expect(left).toMatchObject({ capturedMinor: paidMinor, refundedMinor: paidMinor, seats: 0 });
        expect(left.refunds).toBe(answer === 200 ? 1 : 0);
        expect(left.booking).not.toBe('confirmed');
      }
      expect(await seatsFree(world, slot)).toBe(20);
    },
    rounds,
  );
  expect([...seen].sort()).toEqual(['canceled', 'refunded']);
});

describe('a refund’s webhook and the payment watch find at the same moment', () => {
  /** A refund that Stripe still works on, of a canceled booking or of money that bought nothing. */
  async function refundUnderWay(booked: boolean): Promise<UnderWay> {
    const slot = await publish(world);
    const shopper = new Shopper(world);
    const booking = await shopper.start(slot);
    const [id, ref] = [String(booking.id), String(booking.payment.gatewayRef)];
    await world.sandbox.refundMode({ mode: 'pending', times: 1, match: { paymentIntent: ref } });
    if (!booked) await world.db('offerings').where({ id: slot }).update({ status: 'closed' });
    await pay(world, booking);
    if (booked) {
      await shopper.until(id, 'confirmed');
      await outcomeOf(world, id);
      expect((await shopper.cancel(id)).status).toBe(200);
    }
    const [refund] = await eventually('a refund under way', async () => {
      const rows = await refundsOf(world, id);
      return rows[0]?.status === 'pending' && rows;
    });
    const workflowId = booked ? reconcileWorkflowId('stripe', ref) : bookingWorkflowId(id);
    await restOf(world, workflowId);
    return { shopper, id, ref, refundId: refund?.id ?? '', atStripe: refund?.gateway_refund_id ?? '' };
  }

  /** Stops the watch's look and Stripe's events, lets Stripe decide, and lets both go. */
  async function decide(
    { ref, refundId, atStripe }: UnderWay,
    outcome: 'succeeded' | 'failed',
  ): Promise<void> {
    const [look, event] = [`look ${ref}`, `event ${ref}`];
    await world.sandbox.gate({ name: event, event: '*', match: { paymentIntent: ref } });
    await world.sandbox.gate({
      name: look,
      operation: 'refunds.retrieve',
      when: 'before',
      match: { id: atStripe },
    });
    await world.db('refunds').where({ id: refundId }).update({ next_look_at: world.db.fn.now() });
    await world.sandbox.waitForGate(look, 1);
    await world.sandbox.settleRefund(atStripe, outcome);
    await world.sandbox.waitForGate(event, 1);
    await Promise.all([world.sandbox.releaseGate(look), world.sandbox.releaseGate(event)]);
  }

  const toldBefore = (booked: boolean): string[] => (booked ? ['booking-canceled', 'booking-confirmed'] : []);

  test('that it went through: it is refunded, and told once', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const booked = round % 2 === 0;
      const underWay = await refundUnderWay(booked);
      const { shopper, id } = underWay;
      await decide(underWay, 'succeeded');
      await shopper.until(id, 'refunded');
      const messages = [...toldBefore(booked), 'payment-refunded'];
      expect(await undone(world, id)).toMatchObject({
        refunds: 1,
        refundedMinor: priceMinor,
        seats: 0,
        messages,
      });
      expect(await casesOf(world, id)).toEqual([]);
    }
  });

  test('that it failed: one case, and the refund that its operator sends anew is the only one', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const booked = round % 2 === 0;
      const underWay = await refundUnderWay(booked);
      const { shopper, id } = underWay;
      await decide(underWay, 'failed');
      await shopper.until(id, 'needs_attention');
      const found = await openCaseOf(world, id);
      expect(await undone(world, id)).toMatchObject({
        refunds: 0,
        messages: [...toldBefore(booked), 'refund-failed'],
      });
      await resolve(world, found, 'retry-refund');
      await shopper.until(id, 'refunded');
      const messages = [...toldBefore(booked), 'payment-refunded', 'refund-failed'];
      expect(await undone(world, id)).toMatchObject({
        refunds: 1,
        refundedMinor: priceMinor,
        seats: 0,
        messages,
      });
      expect(await casesOf(world, id)).toMatchObject([{ kind: 'refund-failed', resolved_by: 'olga' }]);
    }
  });
});
