/** What was found by trying to lose money on purpose: each way in, kept as a test. */
import { bookingWorkflowId, doorbellSignal, resolveCaseSignal } from '../src/workflows/messages';
import { atStripe, expectOneEnd, outcomeOf, pay, publish, Shopper } from './book-setup';
import { eventually, startWorld, type Json, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld({ standing: false });
});
afterAll(async () => {
  await world.stop();
});

async function startOne(capacity = 1): Promise<{ shopper: Shopper; booking: Json; offeringId: string }> {
  const shopper = new Shopper(world);
  const offeringId = await publish(world, { capacity });
  return { shopper, offeringId, booking: await shopper.start(offeringId) };
}

/** A payer whose seat another one has bought meanwhile: what is paid now must go back. */
async function loser(): Promise<{ shopper: Shopper; booking: Json }> {
  const { shopper, booking, offeringId } = await startOne();
  const rival = await new Shopper(world).start(offeringId);
  await pay(world, rival);
  await outcomeOf(world, rival.id);
  return { shopper, booking };
}

async function openCase(bookingId: string): Promise<{ id: string; workflow_id: string }> {
  return eventually('an open case', async () =>
    world
      .db('cases')
      .where({ booking_id: bookingId })
      .whereNull('resolved_at')
      .first<{ id: string; workflow_id: string }>(),
  );
}

async function resolve(caseId: string, action: string, note?: string): Promise<Json> {
  const token = await world.token('olga', 'ops');
  return world.call('POST', `/v1/cases/${caseId}/resolve`, {
    token,
    body: { action, ...(note && { note }) },
  });
}

it.each([0, 10, 30, 60, 120])(
  'A refund that fails %d ms after it succeeded becomes a case, whichever workflow hears of it',
  async (afterMs) => {
    const { shopper, booking } = await loser();
    const match = { paymentIntent: String(booking.payment.gatewayRef) };
    await world.sandbox.refundMode({ mode: 'fail-after-success', afterMs, times: 1, match });
    await pay(world, booking);
    const found = await openCase(booking.id);
    expect((await shopper.read(booking.id)).body.status).toBe('needs_attention');
    expect((await resolve(found.id, 'retry-refund')).status).toBe(200);
    await shopper.until(booking.id, 'refunded');
    const ledger = await world.sandbox.ledger();
    const refunds = ledger.refunds.filter((one) => one.paymentIntent === match.paymentIntent);
    expect(refunds.map((one) => one.status).sort()).toEqual(['failed', 'succeeded']);
  },
);

it('Signals of any shape are rings at most, and who pays afterwards is confirmed', async () => {
  const { booking } = await startOne();
  const handle = world.temporal.workflow.getHandle(bookingWorkflowId(booking.id));
  for (const junk of [
    null,
    'x',
    5,
    [1],
    { eventId: 'evt_x' },
    { at: '1', eventId: 'evt_y', gateway: 'stripe', type: 't' },
    { at: 5, eventId: 'evt_z' },
    { at: '+275760-09-13T00:00:00.000Z', gateway: 'stripe', eventId: 'evt_far', type: 't' },
    { gateway: 'stripe', eventId: 'nul\u0000', type: 't', ref: 'pi_\u0000' },
    { gateway: 'stripe', eventId: 'x'.repeat(100_000), type: 't' },
  ]) {
    await handle.signal(doorbellSignal, junk as never);
    await handle.signal(resolveCaseSignal, junk as never);
  }
  await pay(world, booking);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

it('Updates without input do not stop the story', async () => {
  const { booking } = await startOne();
  const handle = world.temporal.workflow.getHandle(bookingWorkflowId(booking.id));
  expect(await handle.executeUpdate('retry')).toMatchObject({ status: 'awaiting_payment' });
  expect(await handle.executeUpdate('retry', { args: [null] })).toMatchObject({ status: 'awaiting_payment' });
  await pay(world, booking);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
});

it('An answer about an old go of a refund changes nothing of the new one', async () => {
  const { shopper, booking } = await loser();
  const ref = String(booking.payment.gatewayRef);
  await world.sandbox.refundMode({
    mode: 'fail-after-success',
    afterMs: 300,
    times: 1,
    match: { paymentIntent: ref },
  });
  await pay(world, booking);
  const found = await openCase(booking.id);
  const ledger = await world.sandbox.ledger();
  const first = ledger.refunds.find((one) => one.paymentIntent === ref);
  const failed = ledger.events.find((one) => one.type === 'refund.failed' && one.objectId === first?.id);
  await world.sandbox.gate({
    name: 'old-news',
    operation: 'refunds.retrieve',
    when: 'after',
    match: { id: first?.id ?? '' },
  });
  await world.sandbox.resend(failed?.id ?? '', 1);
  const heldUp = world.sandbox.waitForGate('old-news', 1, 3_000).catch(() => undefined);
  await heldUp;
  expect((await resolve(found.id, 'retry-refund')).status).toBe(200);
  await shopper.until(booking.id, 'refunded');
  await world.sandbox.releaseGate('old-news');
  await world.sandbox.clearFaults();
  const row = await world
    .db('refunds')
    .where({ go: 2 })
    .orderBy('created_at', 'desc')
    .first<{ status: string }>();
  expect(row.status).toBe('succeeded');
  expect((await shopper.read(booking.id)).body.status).toBe('refunded');
});

it('A note that PostgreSQL cannot hold does not keep a case open', async () => {
  const { shopper, booking } = await loser();
  const match = { paymentIntent: String(booking.payment.gatewayRef) };
  await world.sandbox.refundMode({ mode: 'failed', times: 1, match });
  await pay(world, booking);
  const found = await openCase(booking.id);
  const resolution = { caseId: found.id, action: 'mark-settled', note: 'a\u0000b', by: '\u0000' } as const;
  await world.temporal.workflow.getHandle(found.workflow_id).signal(resolveCaseSignal, resolution);
  await shopper.until(booking.id, 'refunded');
});

it('Whose keeper was terminated, a case can still be resolved', async () => {
  const { shopper, booking } = await loser();
  const match = { paymentIntent: String(booking.payment.gatewayRef) };
  await world.sandbox.refundMode({ mode: 'failed', times: 1, match });
  await pay(world, booking);
  const found = await openCase(booking.id);
  await world.temporal.workflow.getHandle(found.workflow_id).terminate('by mistake');
  expect((await resolve(found.id, 'retry-refund')).status).toBe(200);
  await shopper.until(booking.id, 'refunded');
});

it.each(['open', 'confirmed', 'canceled'])(
  'A stranger’s payment in the name of an attempt that is %s becomes a case, and touches neither',
  async (state) => {
    const { shopper, booking } = await startOne();
    if (state === 'canceled') await shopper.cancel(booking.id);
    if (state === 'confirmed') await pay(world, booking);
    if (state !== 'open') await outcomeOf(world, booking.id);
    const made = await atStripe(world, 'payment_intents', {
      amount: '700',
      currency: 'eur',
      'payment_method_types[0]': 'card',
      'metadata[bookingId]': booking.id,
    });
    await atStripe(world, `payment_intents/${String(made.body.id)}/confirm`, {
      payment_method: 'pm_card_visa',
    });
    const found = await eventually('a case for the stranger', async () =>
      world
        .db('payments')
        .where({ gateway_ref: made.body.id })
        .first<{ disposition: string; booking_id: string | null }>(),
    );
    expect(found).toMatchObject({ disposition: 'unmatched', booking_id: null });
    expect(
      await world
        .db('refunds')
        .join('payments', 'payments.id', 'payment_id')
        .where({ gateway_ref: made.body.id }),
    ).toEqual([]);
    if (state === 'open') await pay(world, booking);
    expect(await outcomeOf(world, booking.id)).toBe(state === 'canceled' ? 'canceled' : 'confirmed');
  },
);

it.each([
  ['a total beyond what the gateway takes', { amountMinor: 99_999_999, currency: 'EUR' }, 8],
  ['a total below it', { amountMinor: 20, currency: 'EUR' }, 1],
  ['a currency whose unit differs at the gateway', { amountMinor: 5000, currency: 'ISK' }, 1],
  ['a currency that there is not', { amountMinor: 5000, currency: 'QQQ' }, 1],
])('%s is refused as the client’s mistake', async (_, price, seats) => {
  const shopper = new Shopper(world);
  const offeringId = await publish(world, { capacity: 8, price });
  const answer = await shopper.book([{ offeringId, seats }]);
  expect([answer.status, answer.body.type]).toEqual([400, '/problems/invalid-request']);
});
