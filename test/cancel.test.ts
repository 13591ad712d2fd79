/** Canceling a confirmed booking, through HTTP from end to end: what comes back, what is free again, who is told. */
import {
  bookAndPay,
  bookSlot,
  expectMoneyToBalance,
  messagesOfUndone,
  reconciled,
  undone,
} from './cancel-setup';
import { mailsArrive, mailsTo, outcomeOf, pay, priceMinor, publish, seatsFree, Shopper } from './book-setup';
import { startWorld, eventually, type Json, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  const provider = await world.token('provider', 'catalog');
  await world.call('PUT', '/v1/provider', {
    token: provider,
    body: { displayName: 'Dr. Grace', email: 'grace@example.org' },
  });
});
afterAll(() => world.stop());
afterEach(async () => {
  await world.sandbox.clearFaults();
  await expectMoneyToBalance(world);
});

const problem = (type: string) => ({ type: expect.stringMatching(`/${type}$`) as unknown });

describe('a booking that its customer cancels in time', () => {
  test('is refunding, then refunded; its seat is free at once; everybody is told once', async () => {
    const { shopper, id, slot, ref } = await bookSlot(world);
    await world.sandbox.refundMode({ mode: 'pending', match: { paymentIntent: ref } });
    expect(await shopper.call('POST', `/v1/bookings/${id}/cancel`, { reason: 'I am ill' })).toMatchObject({
      status: 200,
      body: {
        status: 'refunding',
        reference: expect.stringMatching(/^BK-/),
        refund: { status: 'pending', amountMinor: priceMinor, reason: 'canceled-by-customer' },
      },
    });
    expect(await seatsFree(world, slot)).toBe(1);
    expect(await shopper.cancel(id)).toMatchObject({ status: 200, body: { status: 'refunding' } });
    const refund = await eventually('the refund at Stripe', async () =>
      (await world.sandbox.ledger()).refunds.find((one) => one.paymentIntent === ref),
    );
    await world.sandbox.settleRefund(refund.id, 'succeeded');
    expect(await shopper.until(id, 'refunded')).toMatchObject({
      refund: { status: 'succeeded', amountMinor: priceMinor, reason: 'canceled-by-customer' },
    });
    expect(await shopper.cancel(id)).toMatchObject({ status: 200, body: { status: 'refunded' } });
    expect((await shopper.retry(id)).status).toBe(410);
    expect(await undone(world, id)).toEqual({
      status: 'refunded',
      booking: 'canceled',
      seats: 0,
      messages: [...messagesOfUndone, 'provider-booked', 'provider-canceled'],
      capturedMinor: priceMinor,
      refundedMinor: priceMinor,
      refunds: 1,
    });
    const row = await world.db('attempts').where({ booking_id: id }).first<Json>();
    expect(row.cancel_reason).toBe('I am ill');
    expect(await mailsArrive(world, shopper.email, 3)).toEqual([
      expect.stringMatching(/is confirmed$/),
      expect.stringMatching(/is canceled$/),
      expect.stringMatching(/given back$/),
    ]);
    const toProvider = await mailsArrive(world, 'grace@example.org', 2);
    expect(toProvider.filter((subject) => /is canceled$/.test(subject))).toHaveLength(1);
    expect(await mailsTo(world, shopper.email)).toHaveLength(3);
  });

  test('leaves its seat to anybody, and to the same customer', async () => {
    const { shopper, id, slot, ref } = await bookSlot(world, { seatsPerCustomer: 1 });
    expect((await shopper.book(slot)).status).toBe(409);
    await shopper.cancel(id);
    await shopper.until(id, 'refunded');
    await reconciled(world, ref);
    const again = await bookAndPay(world, slot, shopper);
    expect(again.booking.reference).not.toBe((await shopper.read(id)).body.reference);
    expect(await seatsFree(world, slot)).toBe(0);
    await shopper.cancel(again.id);
    await shopper.until(again.id, 'refunded');
    await bookAndPay(world, slot);
    expect(await undone(world, id)).toMatchObject({
      status: 'refunded',
      seats: 0,
      refundedMinor: priceMinor,
    });
  });

  test('is shown to its provider as it is now', async () => {
    const { shopper, id, slot } = await bookSlot(world);
    await shopper.cancel(id);
    await shopper.until(id, 'refunded');
    const token = await world.token('provider', 'catalog');
    for (const path of [`/v1/offerings/${slot}/bookings`, '/v1/provider/bookings']) {
      const { items } = (await world.call('GET', path, { token })).body;
      expect(items.filter((one: Json) => one.id === id)).toMatchObject([{ status: 'refunded' }]);
    }
    expect((await shopper.call('GET', '/v1/bookings?status=confirmed')).body.items).toEqual([]);
  });
});

describe('what comes back by the policy', () => {
  test.each([
    [50, 999, 499],
    [33, 2500, 825],
    [1, 99, 0],
    [0, 2500, 0],
  ])('of %i %% of %i is rounded down', async (refundPercent, amountMinor, back) => {
    const price = { amountMinor, currency: 'EUR' };
    const { shopper, id } = await bookSlot(world, { price, refundPercent });
    const canceled = (await shopper.cancel(id)).body;
    if (back === 0) expect(canceled).toMatchObject({ status: 'refunded' });
    else expect(canceled.refund).toMatchObject({ amountMinor: back, reason: 'canceled-by-customer' });
    await shopper.until(id, 'refunded');
    expect(await undone(world, id)).toMatchObject({
      capturedMinor: amountMinor,
      refundedMinor: back,
      seats: 0,
    });
    if (back > 0) return;
    // Nobody is told of money that does not come.
    expect((await undone(world, id)).messages).not.toContain('payment-refunded');
    expect(
      await world.db('refunds').join('payments', 'payments.id', 'payment_id').where({ booking_id: id }),
    ).toEqual([]);
  });

  test('of several items is the sum of each by its own policy, rounded down once', async () => {
    const [half, third, all] = await Promise.all([
      publish(world, { price: { amountMinor: 101, currency: 'EUR' }, refundPercent: 50, capacity: 3 }),
      publish(world, { price: { amountMinor: 101, currency: 'EUR' }, refundPercent: 33 }),
      publish(world, { price: { amountMinor: 70, currency: 'EUR' } }),
    ]);
    const { shopper, id } = await bookAndPay(world, [
      { offeringId: half, seats: 3 },
      { offeringId: third },
      { offeringId: all },
    ]);
    // 151.5 + 33.33 + 70 = 254.83
    expect((await shopper.cancel(id)).body.refund).toMatchObject({ amountMinor: 254 });
    await shopper.until(id, 'refunded');
    expect(await undone(world, id)).toMatchObject({ refundedMinor: 254, capturedMinor: 474, seats: 0 });
  });

  test('is what was promised when it is canceled: a policy that the provider edits is read then, the price is not', async () => {
    const { shopper, id, slot } = await bookSlot(world);
    const token = await world.token('provider', 'catalog');
    await world.call('PATCH', `/v1/offerings/${slot}`, {
      token,
      body: { price: { amountMinor: 9900, currency: 'EUR' } },
    });
    await shopper.cancel(id);
    await shopper.until(id, 'refunded');
    expect(await undone(world, id)).toMatchObject({ refundedMinor: priceMinor });
  });

  test('of what was free is nothing, and it is canceled all the same', async () => {
    const { shopper, id, slot } = await bookSlot(world, { price: { amountMinor: 0, currency: 'EUR' } });
    expect(await shopper.cancel(id)).toMatchObject({ status: 200, body: { status: 'refunded' } });
    expect(await seatsFree(world, slot)).toBe(1);
    expect(await undone(world, id)).toMatchObject({
      booking: 'canceled',
      capturedMinor: 0,
      refundedMinor: 0,
    });
    expect(await shopper.cancel(id)).toMatchObject({ status: 200, body: { status: 'refunded' } });
  });

  test('of wallet money goes back to the wallet, once', async () => {
    const shopper = new Shopper(world);
    const ops = await world.token('olga', 'ops');
    const credited = await world.call('POST', `/v1/wallets/${shopper.sub}/credits`, {
      token: ops,
      key: 'a-credit',
      body: { amountMinor: 3000, currency: 'EUR' },
    });
    expect(credited.status).toBe(201);
    const slot = await publish(world, { refundPercent: 50 });
    const started = await shopper.call(
      'POST',
      '/v1/bookings',
      { ...shopper.request(slot), payment: { method: 'wallet' } },
      'by-wallet',
    );
    expect(started).toMatchObject({ status: 201, body: { status: 'confirmed' } });
    const id = String(started.body.id);
    await Promise.all([shopper.cancel(id), shopper.cancel(id), shopper.cancel(id)]);
    await shopper.until(id, 'refunded');
    const { balances, entries } = (await shopper.call('GET', '/v1/wallet')).body;
    expect(balances).toEqual([{ amountMinor: 3000 - priceMinor + priceMinor / 2, currency: 'EUR' }]);
    expect(entries.items.map((one: Json) => [one.kind, one.amountMinor])).toEqual([
      ['refund', priceMinor / 2],
      ['payment', -priceMinor],
      ['credit', 3000],
    ]);
  });

  test('of a cart is the sum for everything in it, and the cart stays used', async () => {
    const shopper = new Shopper(world);
    const [one, other] = [await publish(world), await publish(world, { refundPercent: 0, capacity: 2 })];
    const cart = (await shopper.call('POST', '/v1/carts', {})).body;
    await shopper.call('PUT', `/v1/carts/${cart.id}/items/${one}`, {});
    await shopper.call('PUT', `/v1/carts/${cart.id}/items/${other}`, { seats: 2 });
    const body = { ...shopper.request(one), items: undefined, cartId: cart.id };
    const started = await shopper.call('POST', '/v1/bookings', body, 'a-cart');
    await pay(world, started.body);
    const id = String((await shopper.until(started.body.id, 'confirmed')).id);
    expect((await shopper.cancel(id)).body.refund).toMatchObject({ amountMinor: priceMinor });
    await shopper.until(id, 'refunded');
    expect([await seatsFree(world, one), await seatsFree(world, other)]).toEqual([1, 2]);
    expect((await shopper.call('POST', '/v1/bookings', body, 'again')).body).toMatchObject(
      problem('cart-converted'),
    );
  });
});

describe('what cannot be canceled', () => {
  test('is a slot whose deadline is over, also one of several', async () => {
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    const late = await publish(world, { startsAt: soon, refundUntilSeconds: 7200, capacity: 2 });
    const free = await publish(world);
    for (const wanted of [late, [{ offeringId: free }, { offeringId: late }]]) {
      const { shopper, id } = await bookAndPay(world, wanted);
      expect(await shopper.cancel(id)).toMatchObject({ status: 409, body: problem('not-cancelable') });
      expect((await shopper.read(id)).body).toMatchObject({ status: 'confirmed' });
      expect((await undone(world, id)).messages).toEqual(['booking-confirmed', 'provider-booked']);
    }
  });

  test('is a slot that has started, and a consultation', async () => {
    const { shopper, id, slot } = await bookSlot(world);
    await world.db.raw("UPDATE offerings SET starts_at = now() - interval '1 second' WHERE id = ?", [slot]);
    expect(await shopper.cancel(id)).toMatchObject({ status: 409, body: problem('not-cancelable') });
    const consulted = await bookSlot(world, { kind: 'consultation' });
    expect(await consulted.shopper.cancel(consulted.id)).toMatchObject({
      status: 409,
      body: problem('not-cancelable'),
    });
    expect(await undone(world, consulted.id)).toMatchObject({ status: 'confirmed', refundedMinor: 0 });
  });

  test('is what needs a person first: 409; what is another’s: 404; what is over without a booking: 410', async () => {
    const { shopper, id, ref } = await bookSlot(world);
    const { id: dispute } = await world.sandbox.dispute(ref);
    await shopper.until(id, 'needs_attention');
    expect(await shopper.cancel(id)).toMatchObject({ status: 409, body: problem('not-cancelable') });
    await world.sandbox.closeDispute(dispute, 'won');
    await shopper.until(id, 'confirmed');
    expect((await new Shopper(world).cancel(id)).status).toBe(404);
    const provider = await world.token('provider', 'catalog');
    expect(
      (await world.call('POST', `/v1/bookings/${id}/cancel`, { token: provider, body: {} })).status,
    ).toBe(403);
    const slot = await publish(world);
    const { payment } = world.dependencies;
    world.dependencies.payment = { ...payment, windowSeconds: 1 };
    const left = await shopper.start(slot);
    world.dependencies.payment = payment;
    expect(await outcomeOf(world, left.id)).toBe('expired');
    expect(await shopper.cancel(left.id)).toMatchObject({ status: 410, body: problem('attempt-over') });
    const full = await bookSlot(world);
    expect((await shopper.book(full.slot, 'too-late')).status).toBe(409);
    expect((await shopper.cancel(shopper.bookingId('too-late'))).status).toBe(410);
  });
});

test('a refund that fails is a case; an operator retries it, and it is refunded', async () => {
  const { shopper, id, ref } = await bookSlot(world, { refundPercent: 40 });
  await world.sandbox.refundMode({ mode: 'failed', times: 1, match: { paymentIntent: ref } });
  await shopper.cancel(id);
  await shopper.until(id, 'needs_attention');
  expect(await shopper.cancel(id)).toMatchObject({ status: 409, body: problem('not-cancelable') });
  const token = await world.token('olga', 'ops');
  const { items } = (await world.call('GET', '/v1/cases', { token })).body;
  expect(items).toMatchObject([{ kind: 'refund-failed', bookingId: id, amountMinor: 1000 }]);
  await expectMoneyToBalance(world);
  const resolve = { token, body: { action: 'retry-refund' } };
  expect((await world.call('POST', `/v1/cases/${items[0].id}/resolve`, resolve)).status).toBe(200);
  expect(await shopper.until(id, 'refunded')).toMatchObject({
    refund: { amountMinor: 1000, status: 'succeeded' },
  });
  expect(await undone(world, id)).toMatchObject({ refunds: 1, refundedMinor: 1000 });
});
