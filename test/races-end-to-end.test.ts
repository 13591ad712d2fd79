/**
 * Races through HTTP and Temporal for every way to pay, timed by gates at the gateway: at Stripe 10 rounds each, and a
 * control without the guard. `tiers.ts` says how many at the others.
 */
import { ring } from '../src/doorbell';
import { reconcileWorkflowId } from '../src/workflows/messages';
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { gatewayOf, outcomeOf, priceMinor, publish, Shopper, tracesOf, type Method } from './book-setup';
import { endOf, playRounds, type Ended } from './races-end-to-end-setup';
import { gatewayNames, roundsAt } from './tiers';
import { credit } from './wallet-setup';
import { startWorld, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld({ gateways: [await atRazorpay(), await atPhonepe()] });
});
afterAll(() => world.stop());
afterEach(() => Promise.all([...world.gateways.values()].map((at) => at.clearFaults())));

/** Somebody whose money is about to settle, and what lets it. */
interface Payer {
  shopper: Shopper;
  id: string;
  settle: () => Promise<unknown>;
}

/** Starts an attempt and pays it: its settle stands at the gateway's door. */
async function atTheDoor(place: World, slot: string, method: Method): Promise<Payer> {
  const at = gatewayOf(place, method);
  const shopper = new Shopper(place);
  const booking = await shopper.start(slot, undefined, method);
  const id = String(booking.id);
  const gate = await at.gate('read', id);
  expect(await at.pay(booking)).toBe(true);
  await gate.hold();
  return { shopper, id, settle: () => gate.release() };
}

/** Somebody whose wallet covers the price: starting is paying. */
async function withWallet(place: World, slot: string): Promise<Payer> {
  const shopper = new Shopper(place);
  await credit(place, shopper, priceMinor);
  const settle = () => shopper.book(slot, 'key', 'wallet');
  return { shopper, id: shopper.bookingId('key'), settle };
}

/** A slot with one seat, at the price of these tests in a currency that the way to pay takes. */
const lastSeat = (place: World, method: Method): Promise<string> =>
  publish(place, {
    price: { amountMinor: priceMinor, currency: place.gateways.get(method)?.currency ?? 'EUR' },
  });

/** Two pay for the last seat, and both settle at the same moment. */
async function twoPayers(place: World, method: Method): Promise<Payer[]> {
  const slot = await lastSeat(place, method);
  const begin = () => (method === 'wallet' ? withWallet(place, slot) : atTheDoor(place, slot, method));
  const payers = await Promise.all([begin(), begin()]);
  await Promise.all(payers.map((payer) => payer.settle()));
  return payers;
}

const confirmed: Ended = { outcome: 'confirmed', capturedMinor: priceMinor, refundedMinor: 0 };

/** What becomes of who comes second: a gateway has the money by then, a wallet never gave it. */
const loserOf = (method: Method): Ended =>
  method === 'wallet'
    ? { outcome: 'failed', capturedMinor: 0, refundedMinor: 0 }
    : { outcome: 'refunded', capturedMinor: priceMinor, refundedMinor: priceMinor };

test.each([...gatewayNames, 'wallet'] as const)(
  '%s: of two payers of the last seat one has a booking, the other all the money, and each is told once',
  async (method) => {
    const results = await playRounds(
      5,
      async () => {
        const payers = await twoPayers(world, method);
        const ends = await Promise.all(payers.map(({ shopper, id }) => endOf(world, shopper, id)));
        return ends.sort((a, b) => a.outcome.localeCompare(b.outcome));
      },
      roundsAt(method),
    );
    expect(results).toEqual(Array.from({ length: roundsAt(method) }, () => [confirmed, loserOf(method)]));
  },
);

test('control: without the row lock and the rule of the seat both are told that the seat is theirs', async () => {
  const broken = await startWorld({ standing: false });
  try {
    await broken.db.raw(`
      DROP TRIGGER seats_one_booking ON seats;
      CREATE OR REPLACE FUNCTION take_seats(in_booking_id text, in_items jsonb, in_own text[], in_hold_until timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
      DECLARE wanted text := in_items -> 0 ->> 'offeringId';
      BEGIN
        IF NOT EXISTS (SELECT FROM seats WHERE offering_id = wanted AND booking_id IS NULL) THEN RETURN false; END IF;
        PERFORM pg_sleep(0.3);
        UPDATE seats SET booking_id = in_booking_id WHERE offering_id = wanted;
        RETURN true;
      END $$`);
    const results = await playRounds(
      1,
      async () => {
        const payers = await twoPayers(broken, 'stripe');
        return Promise.all(payers.map(({ id }) => outcomeOf(broken, id)));
      },
      3,
    );
    expect(results).toContainEqual(['confirmed', 'confirmed']);
  } finally {
    await broken.stop();
  }
});

describe.each(gatewayNames)('%s', (method) => {
  const rounds = roundsAt(method);

  test('webhook, return and watch ring while it settles: one booking, one message', async () => {
    const results = await playRounds(
      5,
      async () => {
        const { shopper, id, settle } = await atTheDoor(world, await lastSeat(world, method), method);
        // The webhook has rung.
        expect((await shopper.comeBack(id)).status).toBe(202);
        const { gatewayRef: ref } = (await shopper.read(id)).body.payment;
        const heardBy = await ring(
          world.temporal,
          world.taskQueue,
          { bookingId: id, gateway: method, ref },
          { by: 'watch', gateway: method, ref, at: new Date().toISOString() },
        );
        await settle();
        return { heardBy, ...(await endOf(world, shopper, id)) };
      },
      rounds,
    );
    expect(results).toEqual(Array.from({ length: rounds }, () => ({ heardBy: 'attempt', ...confirmed })));
  });

  test('20 copies of one webhook at once: each is answered 200, one booking, one message', async () => {
    const at = gatewayOf(world, method);
    const results = await playRounds(
      4,
      async () => {
        const shopper = new Shopper(world);
        const booking = await shopper.start(await lastSeat(world, method), undefined, method);
        const id = String(booking.id);
        const ref = String(booking.payment.gatewayRef);
        await at.silence(id);
        await at.pay(booking);
        const answers = await at.copiesOfPaid(ref, 20);
        const ended = await endOf(world, shopper, id);
        const heard = await world.db('gateway_events').where({ gateway: method, gateway_ref: ref });
        // Copies that came when the attempt was over have been looked at beside it.
        const late = world.temporal.workflow.getHandle(reconcileWorkflowId(method, ref));
        const afterwards = await late.result().catch(() => 'nobody was late');
        expect(['nothing owed', 'nobody was late']).toContain(afterwards);
        expect(await tracesOf(world, id)).toMatchObject({ bookings: 1, messages: ['booking-confirmed'] });
        return { answers: [...new Set(answers)], heard: heard.length, ...ended };
      },
      rounds,
    );
    expect(results).toEqual(
      Array.from({ length: rounds }, () => ({ answers: [200], heard: 1, ...confirmed })),
    );
  });
});
