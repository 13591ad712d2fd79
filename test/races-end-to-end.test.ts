/** Races through HTTP and Temporal, timed by gates at the gateway: 20 rounds each, and a control without the guard. */
import { ring } from '../src/doorbell';
import { reconcileWorkflowId } from '../src/workflows/messages';
import { outcomeOf, pay, priceMinor, publish, Shopper, tracesOf } from './book-setup';
import { endOf, gateFor, playRounds, rounds } from './races-end-to-end-setup';
import { eventually, startWorld, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
afterEach(() => world.sandbox.clearFaults());

/** Both pay, both settles stand at Stripe's door, both go on at the same moment. */
async function twoPayers(place: World) {
  const slot = await publish(place);
  const shoppers = [new Shopper(place), new Shopper(place)];
  const started = await Promise.all(shoppers.map((shopper) => shopper.start(slot)));
  const ids = started.map(({ id }) => String(id));
  const gates = await Promise.all(ids.map((id) => gateFor(place, id, 'payment_intents.retrieve')));
  await Promise.all(started.map((booking) => pay(place, booking)));
  await Promise.all(gates.map((gate) => gate.hold()));
  await Promise.all(gates.map((gate) => gate.release()));
  return { shoppers, ids };
}

test('two payers of the last seat: one booking, one full refund, each told once', async () => {
  const results = await playRounds(5, async () => {
    const { shoppers, ids } = await twoPayers(world);
    const ends = await Promise.all(ids.map((id, n) => endOf(world, shoppers[n] as Shopper, id)));
    return ends.sort((a, b) => a.outcome.localeCompare(b.outcome));
  });
  expect(results).toEqual(
    Array.from({ length: rounds }, () => [
      { outcome: 'confirmed', capturedMinor: priceMinor, refundedMinor: 0 },
      { outcome: 'refunded', capturedMinor: priceMinor, refundedMinor: priceMinor },
    ]),
  );
}, 120_000);

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
        const { ids } = await twoPayers(broken);
        return Promise.all(ids.map((id) => outcomeOf(broken, id)));
      },
      3,
    );
    expect(results).toContainEqual(['confirmed', 'confirmed']);
  } finally {
    await broken.stop();
  }
});

test('webhook, return and watch ring while it settles: one booking, one message', async () => {
  const results = await playRounds(5, async () => {
    const shopper = new Shopper(world);
    const booking = await shopper.start(await publish(world));
    const id = String(booking.id);
    const ref = String(booking.payment.gatewayRef);
    const gate = await gateFor(world, id, 'payment_intents.retrieve');
    await pay(world, booking);
    // The webhook has rung, and its settle stands at Stripe's door.
    await gate.hold();
    expect((await shopper.comeBack(id)).status).toBe(202);
    const heardBy = await ring(
      world.temporal,
      world.taskQueue,
      { bookingId: id, gateway: 'stripe', ref },
      { by: 'watch', gateway: 'stripe', ref, at: new Date().toISOString() },
    );
    await gate.release();
    return { heardBy, ...(await endOf(world, shopper, id)) };
  });
  expect(results).toEqual(
    Array.from({ length: rounds }, () => ({
      heardBy: 'attempt',
      outcome: 'confirmed',
      capturedMinor: priceMinor,
      refundedMinor: 0,
    })),
  );
}, 120_000);

test('20 copies of one webhook at once: each is answered 200, one booking, one message', async () => {
  const results = await playRounds(4, async () => {
    const shopper = new Shopper(world);
    const booking = await shopper.start(await publish(world));
    const id = String(booking.id);
    const ref = String(booking.payment.gatewayRef);
    await world.sandbox.webhookFault({
      kind: 'drop',
      event: 'payment_intent.succeeded',
      match: { metadata: { bookingId: id } },
    });
    await pay(world, booking);
    const event = await eventually('the event', async () => {
      const { events } = await world.sandbox.ledger();
      return events.find((one) => one.paymentIntent === ref && one.type === 'payment_intent.succeeded');
    });
    const answers = await world.sandbox.resend(event.id, 20);
    const ended = await endOf(world, shopper, id);
    const heard = await world.db('gateway_events').where({ event_id: event.id });
    // Copies that came when the attempt was over have been looked at beside it.
    const late = world.temporal.workflow.getHandle(reconcileWorkflowId('stripe', ref));
    const afterwards = await late.result().catch(() => 'nobody was late');
    expect(['nothing owed', 'nobody was late']).toContain(afterwards);
    expect(await tracesOf(world, id)).toMatchObject({ bookings: 1, messages: ['booking-confirmed'] });
    return { answers: [...new Set(answers)], heard: heard.length, ...ended };
  });
  expect(results).toEqual(
    Array.from({ length: rounds }, () => ({
      answers: [200],
      heard: 1,
      outcome: 'confirmed',
      capturedMinor: priceMinor,
      refundedMinor: 0,
    })),
  );
}, 120_000);
