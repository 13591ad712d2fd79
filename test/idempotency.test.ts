/** The same start twice is one start: in every state of the attempt, and another body is told so. */
import { randomBytes } from 'node:crypto';
import { bookingWorkflowId } from '../src/workflows/messages';
import { expectOneEnd, pay, publish, seatsFree, Shopper, tracesOf } from './book-setup';
import { eventually, startWorld, withoutTicket, type Answer, type Json, type World } from './world';

let world: World;
let ada: Shopper;
let key: string;
let slot: string;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(async () => {
  ada = new Shopper(world);
  key = randomBytes(9).toString('hex');
  slot = await publish(world, { capacity: 3 });
});
afterEach(() => world.sandbox.clearFaults());

/** The same key and body again. */
const again = (): Promise<Answer> => ada.book(slot, key);

async function expectOtherBodyRefused(): Promise<void> {
  const id = ada.bookingId(key);
  const before = (await ada.read(id)).body;
  const others: Json[] = [
    { ...ada.request([{ offeringId: slot, seats: 2 }]) },
    { ...ada.request(slot), customer: { name: 'Ada Example', email: 'other@example.org' } },
    { ...ada.request([{ offeringId: slot, details: { note: 'new' } }]) },
  ];
  for (const other of others) {
    const { status, body } = await ada.call('POST', '/v1/bookings', other, key);
    expect({ status, type: body.type }).toEqual({
      status: 422,
      type: expect.stringMatching('idempotency-key-reused'),
    });
  }
  expect(withoutTicket((await ada.read(id)).body)).toEqual(withoutTicket(before));
  expect((await tracesOf(world, id)).intents.length).toBeLessThanOrEqual(1);
}

describe('the same key and body', () => {
  test('is the same attempt and the same payment object, whatever the order of its fields', async () => {
    const first = await again();
    expect(first).toMatchObject({ status: 201, body: { id: ada.bookingId(key) } });
    expect(first.headers.get('location')).toBe(`/v1/bookings/${first.body.id}`);
    const turned = Object.fromEntries(Object.entries(ada.request(slot) as object).reverse());
    for (const repeat of [await again(), await ada.call('POST', '/v1/bookings', turned, key)]) {
      expect([repeat.status, withoutTicket(repeat.body)]).toEqual([200, withoutTicket(first.body)]);
    }
    expect((await tracesOf(world, first.body.id)).intents).toHaveLength(1);
    await expectOtherBodyRefused();
  });

  test('50 times at once: one 201, one attempt, one payment object', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, again));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array.from({ length: 49 }, () => 200), 201]);
    expect(new Set(answers.map(({ body }) => JSON.stringify(withoutTicket(body)))).size).toBe(1);
    const id = ada.bookingId(key);
    expect((await tracesOf(world, id)).intents).toHaveLength(1);
    const { requests } = await world.sandbox.ledger();
    expect(requests.filter((one) => one.idempotencyKey?.startsWith(id))).toHaveLength(1);
  });

  test('while the payment object is still being made waits for it; another body does not', async () => {
    const id = ada.bookingId(key);
    await world.sandbox.gate({
      name: id,
      operation: 'payment_intents.create',
      when: 'after',
      match: { metadata: { bookingId: id } },
    });
    const first = again();
    await world.sandbox.waitForGate(id, 1);
    const repeats = Promise.all([again(), again()]);
    await expectOtherBodyRefused();
    await world.sandbox.releaseGate(id);
    expect((await first).status).toBe(201);
    expect((await repeats).map(({ status, body }) => ({ status, id: body.id }))).toEqual([
      { status: 200, id },
      { status: 200, id },
    ]);
    expect((await tracesOf(world, id)).intents).toHaveLength(1);
  });

  test('after a decline and a retry answers the attempt as it is then', async () => {
    const { body: booking } = await again();
    await pay(world, booking, 'pm_card_chargeDeclined');
    await ada.until(booking.id, (now) => now.failure !== undefined);
    expect(await again()).toMatchObject({ status: 200, body: { retryable: true, payment: { try: 1 } } });
    await ada.retry(booking.id);
    expect(await again()).toMatchObject({ status: 200, body: { retryable: false, payment: { try: 2 } } });
    await expectOtherBodyRefused();
  });

  test('after the attempt was confirmed answers the booking, and charges nothing', async () => {
    const { body: booking } = await again();
    await pay(world, booking);
    const confirmed = await ada.until(booking.id, 'confirmed');
    expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
    const { status, body } = await again();
    expect([status, withoutTicket(body)]).toEqual([200, withoutTicket(confirmed)]);
    await expectOtherBodyRefused();
    expect(await tracesOf(world, booking.id)).toMatchObject({ charges: 1, bookings: 1 });
  });

  test('after the attempt was canceled answers just that', async () => {
    const { body: booking } = await again();
    await ada.cancel(booking.id);
    await expectOneEnd(world, booking.id);
    expect(await again()).toMatchObject({ status: 200, body: { status: 'canceled' } });
    await expectOtherBodyRefused();
  });

  test('after Temporal forgot the workflow answers what the record says', async () => {
    const { body: booking } = await again();
    await pay(world, booking);
    await ada.until(booking.id, 'confirmed');
    await expectOneEnd(world, booking.id);
    const workflowId = bookingWorkflowId(booking.id);
    const { runId } = await world.temporal.workflow.getHandle(workflowId).describe();
    await world.temporal.workflowService.deleteWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId, runId },
    });
    // Temporal deletes in the background, and what has just closed some 10 s later.
    const isGone = () =>
      world.temporal.workflow
        .getHandle(workflowId)
        .describe()
        .then(
          () => false,
          () => true,
        );
    await eventually('Temporal forgets', isGone, 60_000);
    expect(await again()).toMatchObject({ status: 200, body: { status: 'confirmed' } });
    await expectOtherBodyRefused();
    expect((await tracesOf(world, booking.id)).charges).toBe(1);
  });
});

test('the same key of another customer is an attempt of his own', async () => {
  const grace = new Shopper(world);
  const [hers, his] = await Promise.all([again(), grace.book(slot, key)]);
  expect([hers.status, his.status]).toEqual([201, 201]);
  expect(his.body.id).not.toBe(hers.body.id);
  expect(his.body.payment.gatewayRef).not.toBe(hers.body.payment.gatewayRef);
});

test('a refusal is kept under its key, also when a seat is free again; a new key gets the seat', async () => {
  slot = await publish(world);
  const grace = new Shopper(world);
  const taken = await grace.start(slot);
  await pay(world, taken);
  await grace.until(taken.id, 'confirmed');
  const refused = await again();
  expect(refused).toMatchObject({ status: 409, body: { type: expect.stringMatching('slot-unavailable') } });
  await world.db('seats').where({ booking_id: taken.id }).update({ booking_id: null });
  expect(await seatsFree(world, slot)).toBe(1);
  const { status, body } = await again();
  expect({ status, type: body.type, detail: body.detail, links: body.links }).toEqual({
    status: 409,
    type: refused.body.type,
    detail: refused.body.detail,
    links: refused.body.links,
  });
  await expectOtherBodyRefused();
  expect((await ada.book(slot)).status).toBe(201);
});

test('a start that Stripe does not answer in time is 202, and the same request later is the same attempt', async () => {
  const id = ada.bookingId(key);
  await world.sandbox.fault({
    kind: 'lost-done',
    operation: 'payment_intents.create',
    times: null,
    match: { metadata: { bookingId: id } },
  });
  const first = await again();
  expect(first).toMatchObject({ status: 202, body: { id, status: 'awaiting_payment' } });
  expect(first.headers.get('location')).toBe(`/v1/bookings/${id}`);
  expect(await ada.read(id)).toMatchObject({ status: 200, body: { id, status: 'awaiting_payment' } });
  await expectOtherBodyRefused();
  await world.sandbox.clearFaults();
  await ada.until(id, (now) => now.payment?.clientSecret !== undefined);
  const { status, body } = await again();
  expect(status).toBe(200);
  await pay(world, body);
  await ada.until(id, 'confirmed');
  await expectOneEnd(world, id);
  expect((await tracesOf(world, id)).intents).toHaveLength(1);
});
