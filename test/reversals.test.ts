/** Refunds that somebody makes at the gateway, without us: on a booking that stands, and on money that we still owed. */
import { resolveCaseSignal } from '../src/workflows/messages';
import { bookSlot, doneBeside, expectMoneyToBalance, reconciled } from './cancel-setup';
import { priceMinor, Shopper, tracesOf } from './book-setup';
import {
  atRest,
  atTheGateway,
  casesOf,
  decide,
  holdBack,
  orders,
  refundRows,
  statusOf,
  tell,
  tellToRest,
  untilKeeperIs,
} from './reversals-setup';
import { eventually, startWorld, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
afterEach(async () => {
  await world.sandbox.clearFaults();
  await expectMoneyToBalance(world);
});

describe.each(orders)('on a booking that stands, told %s', (order) => {
  test.each([
    ['in full', [priceMinor]],
    ['in part', [700]],
    ['twice', [700, 300]],
  ])('%s: a case, one however many parts; settled, the booking stands', async (_, parts) => {
    const booked = await bookSlot(world);
    const { id, ref, shopper } = booked;
    await holdBack(world, ref);
    for (const amount of parts) await world.sandbox.refundByHand(ref, { amount });
    await tellToRest(world, ref, order);
    const sum = parts.reduce((total, one) => total + one, 0);
    expect(await statusOf(booked)).toBe('needs_attention');
    const cases = await casesOf(world, id);
    expect(cases).toMatchObject([{ kind: 'external-refund', amount_minor: sum, resolved_by: null }]);
    await untilKeeperIs(world, cases[0], 'RUNNING');
    expect((await refundRows(world, id)).map(([reason, status]) => [reason, status])).toEqual(
      parts.map(() => ['external', 'succeeded']),
    );
    expect((await tracesOf(world, id)).messages).toEqual(['booking-confirmed']);
    await expectMoneyToBalance(world);
    await decide(world, cases[0]?.id ?? '', 'mark-settled');
    expect(await statusOf(booked)).toBe('confirmed');
    await untilKeeperIs(world, cases[0], 'COMPLETED');
    // What is left of the money is all that a cancellation can give back.
    expect((await shopper.cancel(id)).status).toBe(200);
    await shopper.until(id, 'refunded');
    await atRest(world, ref);
    const left = priceMinor - sum;
    expect(await atTheGateway(world, ref)).toEqual({ ours: left === 0 ? [] : [left], byHand: parts });
  });

  test('and it fails after all: the case is void, and the booking stands', async () => {
    const booked = await bookSlot(world);
    const { id, ref } = booked;
    await holdBack(world, ref);
    const { id: refund } = await world.sandbox.refundByHand(ref);
    const told = await tellToRest(world, ref, order);
    await booked.shopper.until(id, 'needs_attention');
    await world.sandbox.failRefund(refund);
    await tellToRest(world, ref, order, told);
    await booked.shopper.until(id, 'confirmed');
    const cases = await casesOf(world, id);
    expect(cases).toMatchObject([{ kind: 'external-refund', resolved_by: 'payfirst' }]);
    await untilKeeperIs(world, cases[0], 'COMPLETED');
    expect(await refundRows(world, id)).toEqual([]);
  });
});

describe.each(orders)('of money that we owe, told %s', (order) => {
  /** A booking that was canceled, and whose refund cannot be sent. */
  async function owed(how: 'unsent' | 'failed', refundPercent = 100) {
    const booked = await bookSlot(world, { refundPercent });
    const { id, ref, shopper } = booked;
    await holdBack(world, ref);
    if (how === 'unsent')
      await world.sandbox.fault({
        kind: 'lost-undone',
        operation: 'refunds.create',
        times: null,
        match: { paymentIntent: ref },
      });
    else await world.sandbox.refundMode({ mode: 'failed', match: { paymentIntent: ref } });
    await shopper.cancel(id);
    if (how === 'failed') await shopper.until(id, 'needs_attention');
    // By hand it goes through.
    if (how === 'failed') await world.sandbox.clearFaults();
    await holdBack(world, ref);
    return booked;
  }

  test.each(['unsent', 'failed'] as const)(
    'in full, while it is %s: done, once, and told once',
    async (how) => {
      const booked = await owed(how);
      const { id, ref, shopper } = booked;
      await world.sandbox.refundByHand(ref);
      await tell(world, ref, order);
      await world.sandbox.clearFaults();
      expect(await shopper.until(id, 'refunded')).toMatchObject({
        refund: { status: 'succeeded', reason: 'canceled-by-customer' },
      });
      expect(await refundRows(world, id)).toEqual([['canceled-by-customer', 'succeeded', priceMinor]]);
      expect(doneBeside).toContain(await reconciled(world, ref));
      expect(await atTheGateway(world, ref)).toEqual({ ours: [], byHand: [priceMinor] });
      expect((await casesOf(world, id)).filter((one) => one.resolved_by === null)).toEqual([]);
      expect((await tracesOf(world, id)).messages.filter((kind) => kind === 'payment-refunded')).toHaveLength(
        1,
      );
    },
  );

  test('in part, while it is unsent: we send the rest', async () => {
    const { id, ref, shopper } = await owed('unsent');
    await world.sandbox.refundByHand(ref, { amount: 700 });
    await tell(world, ref, order);
    await world.sandbox.clearFaults();
    await shopper.until(id, 'refunded', 70_000);
    expect(doneBeside).toContain(await reconciled(world, ref));
    expect(await atTheGateway(world, ref)).toEqual({ ours: [priceMinor - 700], byHand: [700] });
    expect(await refundRows(world, id)).toEqual([
      ['canceled-by-customer', 'succeeded', priceMinor - 700],
      ['external', 'succeeded', 700],
    ]);
  });

  test('in part, once it failed: the case asks for the rest, and a retry sends that', async () => {
    const booked = await owed('failed', 60);
    const { id, ref, shopper } = booked;
    await world.sandbox.refundByHand(ref, { amount: 700 });
    await tellToRest(world, ref, order);
    const [found] = await casesOf(world, id);
    expect(found).toMatchObject({ kind: 'refund-failed', amount_minor: 800, resolved_by: null });
    await expectMoneyToBalance(world);
    await world.sandbox.clearFaults();
    await decide(world, found?.id ?? '', 'retry-refund');
    await shopper.until(id, 'refunded');
    await atRest(world, ref);
    expect(await atTheGateway(world, ref)).toEqual({ ours: [800], byHand: [700] });
  });
});

test('our own sending is under way: what others sent first makes it needless', async () => {
  const { id, ref, shopper } = await bookSlot(world);
  const name = `sending ${ref}`;
  await world.sandbox.gate({
    name,
    operation: 'refunds.create',
    when: 'before',
    match: { paymentIntent: ref },
  });
  await shopper.cancel(id);
  await world.sandbox.waitForGate(name, 1);
  await world.sandbox.refundByHand(ref);
  await world.sandbox.releaseGate(name);
  await shopper.until(id, 'refunded', 40_000);
  await atRest(world, ref);
  expect(await atTheGateway(world, ref)).toEqual({ ours: [], byHand: [priceMinor] });
  expect(await refundRows(world, id)).toEqual([['canceled-by-customer', 'succeeded', priceMinor]]);
  // Nobody is alarmed, and nobody is told of a failure.
  expect(await casesOf(world, id)).toEqual([]);
  expect((await tracesOf(world, id)).messages).not.toContain('refund-failed');
});

test('a part of it while our own sending of the other part is done and unheard: nothing is paid twice', async () => {
  const { id, ref, shopper } = await bookSlot(world, { refundPercent: 40 });
  const name = `sent ${ref}`;
  await world.sandbox.gate({
    name,
    operation: 'refunds.create',
    when: 'after',
    match: { paymentIntent: ref },
  });
  await shopper.cancel(id);
  await world.sandbox.waitForGate(name, 1);
  // 10.00 of 25.00 are sent, and we do not know it yet.
  await world.sandbox.refundByHand(ref, { amount: 300 });
  await world.sandbox.releaseGate(name);
  await shopper.until(id, 'refunded');
  await eventually('both on record', async () => (await refundRows(world, id)).length === 2);
  await atRest(world, ref);
  expect(await atTheGateway(world, ref)).toEqual({ ours: [1000], byHand: [300] });
  expect(await refundRows(world, id)).toEqual([
    ['canceled-by-customer', 'succeeded', 1000],
    ['external', 'succeeded', 300],
  ]);
});

test('by hand while the workflow waits for a refund of ours: it is looked at, and both are on record', async () => {
  const { id, ref, shopper } = await bookSlot(world, { refundPercent: 40 });
  await world.sandbox.refundMode({ mode: 'pending', times: 1, match: { paymentIntent: ref } });
  await shopper.cancel(id);
  const pending = await eventually('a pending refund', async () => {
    const row = await world
      .db('refunds')
      .where({ status: 'pending' })
      .first<{ gateway_refund_id: string } | undefined>();
    return row?.gateway_refund_id;
  });
  await world.sandbox.refundByHand(ref, { amount: 300 });
  await eventually('the refund of others on record', async () => (await refundRows(world, id)).length === 2);
  await world.sandbox.settleRefund(pending, 'succeeded');
  await shopper.until(id, 'refunded');
  expect(doneBeside).toContain(await reconciled(world, ref));
  expect(await refundRows(world, id)).toEqual([
    ['canceled-by-customer', 'succeeded', 1000],
    ['external', 'succeeded', 300],
  ]);
});

test('a case of its own is decided by the signal as well, and a wrong word changes nothing', async () => {
  const booked = await bookSlot(world);
  await world.sandbox.refundByHand(booked.ref, { amount: 100 });
  await booked.shopper.until(booked.id, 'needs_attention');
  const [found] = await casesOf(world, booked.id);
  const keeper = world.temporal.workflow.getHandle(found?.workflow_id ?? '');
  await eventually('its keeper', async () => (await keeper.describe().catch(() => undefined)) !== undefined);
  await keeper.signal(resolveCaseSignal, { caseId: found?.id ?? '', action: 'retry-refund', by: 'olga' });
  await keeper.signal(resolveCaseSignal, { caseId: found?.id ?? '', action: 'mark-settled', by: 'olga' });
  await keeper.result();
  expect(await statusOf(booked)).toBe('confirmed');
  expect(await casesOf(world, booked.id)).toMatchObject([{ resolved_by: 'olga' }]);
});

test('rings by hand on a wallet’s payment look at nothing outside, and end', async () => {
  const shopper = new Shopper(world);
  expect(shopper.sub).not.toBe('');
  await world.temporal.workflow.signalWithStart('reconcile', {
    workflowId: `reconcile/wallet/${shopper.sub}`,
    taskQueue: world.taskQueue,
    args: [{ gateway: 'wallet', ref: shopper.sub, bookingId: null }],
    signal: 'doorbell',
    signalArgs: [],
  });
  expect(await world.temporal.workflow.getHandle(`reconcile/wallet/${shopper.sub}`).result()).toBe(
    'nothing owed',
  );
});
