/** What the stories ask of the records: what a payment leaves in tables, counters and the log; docs/requirements.md says which is which. */
import pino from 'pino';
import type { Counter } from 'prom-client';
import { mailsArrive, pay, priceMinor, publish, Shopper } from './book-setup';
import { eventually, startWorld, type Json, type World } from './world';

let world: World;
let ada: Shopper;
let grace: Shopper;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
  grace = new Shopper(world);
});

const declined = 'pm_card_visa_chargeDeclinedInsufficientFunds';

const failed = (now: Json): boolean => now.failure !== undefined;

test('a payment belongs to its attempt, and nothing that money points to can be deleted', async () => {
  const slot = await publish(world);
  const booking = await ada.start(slot);
  const id = String(booking.id);
  const ref = String(booking.payment.gatewayRef);
  expect(await world.db('payment_tries').where({ booking_id: id })).toMatchObject([
    { try: 1, gateway: 'stripe', gateway_ref: ref, status: 'open' },
  ]);
  await pay(world, booking);
  await ada.until(id, 'confirmed');
  expect(await world.db('payment_tries').where({ booking_id: id })).toMatchObject([{ status: 'paid' }]);
  const paid = await world
    .db('payments as p')
    .join('attempts as a', 'a.booking_id', 'p.booking_id')
    .join('bookings as b', 'b.id', 'p.booking_id')
    .where({ 'p.gateway_ref': ref })
    .select('p.*', 'a.customer_id', 'a.method', 'b.reference');
  expect(paid).toMatchObject([
    {
      booking_id: id,
      customer_id: ada.sub,
      method: 'stripe',
      gateway_payment_id: expect.stringMatching(/^ch_/),
      amount_minor: priceMinor,
      currency: 'EUR',
      status: 'captured',
      disposition: 'booked',
      reference: expect.stringMatching(/^BK-/),
    },
  ]);
  for (const [table, where] of [
    ['attempts', { booking_id: id }],
    ['bookings', { id }],
    ['offerings', { id: slot }],
  ] as const) {
    await expect(world.db(table).where(where).del()).rejects.toMatchObject({ code: '23503' });
  }
});

test('what people look up is found by an index', async () => {
  const looks = [
    ['attempts_by_customer', `attempts WHERE customer_id = 'x' ORDER BY started_at DESC LIMIT 20`],
    ['bookings_reference_key', `bookings WHERE reference = 'BK-0000000000'`],
    ['payments_by_booking', `payments WHERE booking_id = 'x'`],
    ['payments_by_ref', `payments WHERE gateway = 'stripe' AND gateway_ref = 'x'`],
    ['payments_by_charge', `payments WHERE gateway_payment_id = 'x'`],
    ['refunds_by_payment', `refunds WHERE payment_id = 'x'`],
    ['refunds_by_gateway_id', `refunds WHERE gateway_refund_id = 'x'`],
    ['cases_by_payment', `cases WHERE payment_id = 'x'`],
    ['gateway_events_by_ref', `gateway_events WHERE gateway = 'stripe' AND gateway_ref = 'x'`],
    ['attempts_by_start', `attempts WHERE started_at >= now() - interval '1 day' AND started_at < now()`],
    ['seats_by_booking', `seats WHERE booking_id = 'x'`],
  ] as const;
  await world.db.transaction(async (trx) => {
    // These tables are too small for an index to pay; the question is whether there is one.
    await trx.raw('SET LOCAL enable_seqscan = off');
    for (const [index, look] of looks) {
      const { rows } = await trx.raw<{ rows: unknown[] }>(`EXPLAIN SELECT * FROM ${look}`);
      expect([look, JSON.stringify(rows)]).toEqual([look, expect.stringContaining(index)]);
    }
  });
});

test('outcomes, declines, retries and refunds are counted by name', async () => {
  const { metrics, payment } = world.dependencies;
  /** What a counter has risen by, by its labels. */
  const watch = async <T extends string>(
    counter: Counter<T>,
  ): Promise<() => Promise<Record<string, number>>> => {
    const read = async () => {
      const { values } = await counter.get();
      return new Map(values.map(({ labels, value }) => [Object.values(labels).join(' '), value]));
    };
    const before = await read();
    return async () =>
      Object.fromEntries(
        [...(await read())]
          .map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const)
          .filter(([, risen]) => risen > 0),
      );
  };
  const [outcomes, failures, retries, refunds] = [
    await watch(metrics.attempts),
    await watch(metrics.failures),
    await watch(metrics.retries),
    await watch(metrics.refunds),
  ];
  const slot = await publish(world);
  const [winner, loser, canceled] = [await ada.start(slot), await grace.start(slot), await ada.start(slot)];
  world.dependencies.payment = { ...payment, windowSeconds: 1 };
  const abandoned = await grace.start(slot);
  world.dependencies.payment = payment;
  await ada.cancel(canceled.id);
  await pay(world, winner, declined);
  await ada.until(winner.id, failed);
  await pay(world, (await ada.retry(winner.id)).body);
  await ada.until(winner.id, 'confirmed');
  await pay(world, loser);
  await grace.until(loser.id, 'refunded');
  await grace.until(abandoned.id, 'expired');
  expect((await ada.book(slot)).status).toBe(409);
  expect(await outcomes()).toEqual({ confirmed: 1, refunded: 1, canceled: 1, expired: 1, failed: 1 });
  // The lost race and the start that came too late.
  expect(await failures()).toEqual({ 'payment-declined': 1, 'slot-unavailable': 2 });
  expect(await retries()).toEqual({ '': 1 });
  expect(await refunds()).toEqual({ 'slot-unavailable succeeded': 1 });
});

test('each step is one line in the log, with ids and nothing private', async () => {
  const logged: string[] = [];
  const told = await startWorld({ worker: false });
  try {
    told.dependencies.log = pino(
      { level: 'info', messageKey: 'event' },
      { write: (line: string) => void logged.push(line) },
    );
    await told.startWorker();
    const slot = await publish(told);
    const [hers, his] = [new Shopper(told), new Shopper(told)];
    const details = { complaint: 'persistent hiccups' };
    const booking = await hers.start([{ offeringId: slot, details }]);
    const canceled = await his.start(slot);
    const lost = await his.start(slot);
    await his.cancel(canceled.id);
    await pay(told, booking, declined);
    await hers.until(booking.id, failed);
    await pay(told, (await hers.retry(booking.id)).body);
    await hers.until(booking.id, 'confirmed');
    await pay(told, lost);
    await his.until(lost.id, 'refunded');
    await his.book(slot, 'too-late');
    await Promise.all([mailsArrive(told, hers.email, 1), mailsArrive(told, his.email, 1)]);
    const eventsOf = (bookingId: string): string[] =>
      logged
        .map((line) => JSON.parse(line) as { event: string; bookingId?: string })
        .filter((line) => line.bookingId === bookingId)
        .map(({ event }) => event);
    await eventually('the last line', async () =>
      [booking.id, lost.id].every((id) => eventsOf(String(id)).includes('message.sent')),
    );
    expect(eventsOf(booking.id)).toEqual([
      'attempt.opened',
      'payment.declined',
      'attempt.retried',
      'payment.settled',
      'message.sent',
    ]);
    expect(eventsOf(canceled.id)).toEqual(['attempt.opened', 'attempt.canceled']);
    expect(eventsOf(lost.id)).toEqual([
      'attempt.opened',
      'payment.settled',
      'refund.succeeded',
      'message.sent',
    ]);
    expect(eventsOf(his.bookingId('too-late'))).toEqual(['attempt.refused']);
    expect(logged.join('')).toContain('"failure":"slot-unavailable"');
    for (const word of [hers.email, his.email, 'Ada Example', 'hiccups', '_secret_', 'pm_card']) {
      expect(logged.join('').includes(word) ? `${word} leaked` : 'private').toBe('private');
    }
  } finally {
    await told.stop();
  }
});
