/** Payments that payers take back through their banks, in every order of news, and what the booking comes to. */
import { bookSlot, callOff, doneBeside, expectMoneyToBalance, reconciled, type Booked } from './cancel-setup';
import { priceMinor, seatsFree, tracesOf } from './book-setup';
import {
  atRest,
  atTheGateway,
  casesOf,
  decide,
  holdBack,
  orders,
  refundRows,
  statusOf,
  tellToRest,
  untilKeeperIs,
} from './reversals-setup';
import { eventually, startWorld, type World } from './world';

let world: World;
/** What banks took a second time. */
let lostTwice = 0;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
afterEach(async () => {
  await world.sandbox.clearFaults();
  await expectMoneyToBalance(world, { returned: lostTwice });
});

/** Stripe refunds nothing of a charge whose dispute was lost: what is owed of it is a person's to send. */
async function giveRestByHand({ id, shopper }: Booked, amountMinor: number): Promise<void> {
  const owed = await eventually('what is owed', async () =>
    (await casesOf(world, id)).find((one) => one.kind === 'refund-failed'),
  );
  expect(owed).toMatchObject({ amount_minor: amountMinor, resolved_by: null });
  expect((await shopper.read(id)).body.status).toBe('needs_attention');
  await decide(world, owed.id, 'mark-settled');
  expect((await shopper.read(id)).body.status).toBe('refunded');
}

/** A case that the gateway's own word has ended, and its keeper with it. */
async function expectVoid(booked: Booked): Promise<void> {
  const cases = await casesOf(world, booked.id);
  expect(cases).toMatchObject([{ kind: 'dispute', resolved_by: 'payfirst' }]);
  await untilKeeperIs(world, cases[0], 'COMPLETED');
}

describe.each(orders)('a dispute of a booking, told %s', (order) => {
  test('and another of the same payment are one case of both amounts, however often anybody looks', async () => {
    const booked = await bookSlot(world);
    const { id, ref } = booked;
    await holdBack(world, ref);
    const ids: string[] = [];
    for (const amount of [100, 200]) ids.push((await world.sandbox.dispute(ref, { amount })).id);
    const asked = async () =>
      (await casesOf(world, id)).filter((one) => one.resolved_by === null).map((one) => one.amount_minor);
    for (let look = 0; look < 3; look += 1) {
      await tellToRest(world, ref, order);
      expect(await asked()).toEqual([300]);
    }
    await expectMoneyToBalance(world, { returned: lostTwice });
    const [first = '', second = ''] = ids;
    await world.sandbox.closeDispute(first, 'won');
    await tellToRest(world, ref, order);
    expect([await asked(), await statusOf(booked)]).toEqual([[200], 'needs_attention']);
    await world.sandbox.closeDispute(second, 'won');
    await tellToRest(world, ref, order);
    expect([await asked(), await statusOf(booked)]).toEqual([[], 'confirmed']);
  });

  test('is a case; an operator who has settled it gets the booking back', async () => {
    const booked = await bookSlot(world);
    const { id, ref, shopper } = booked;
    await holdBack(world, ref);
    await world.sandbox.dispute(ref);
    await tellToRest(world, ref, order);
    expect(await statusOf(booked)).toBe('needs_attention');
    const cases = await casesOf(world, id);
    expect(cases).toMatchObject([{ kind: 'dispute', amount_minor: priceMinor, resolved_by: null }]);
    await untilKeeperIs(world, cases[0], 'RUNNING');
    expect((await shopper.cancel(id)).status).toBe(409);
    await expectMoneyToBalance(world, { returned: lostTwice });
    await decide(world, cases[0]?.id ?? '', 'mark-settled');
    expect(await statusOf(booked)).toBe('confirmed');
    expect(await casesOf(world, id)).toHaveLength(1);
    await tellToRest(world, ref, order);
    expect(await statusOf(booked)).toBe('confirmed');
  });

  test.each([
    ['won', 'confirmed', []],
    ['lost', 'refunded', [['external', 'succeeded', priceMinor]]],
  ] as const)('seen open, then %s, is %s', async (end, status, rows) => {
    const booked = await bookSlot(world);
    const { id, ref, shopper, slot } = booked;
    await holdBack(world, ref);
    const { id: dispute } = await world.sandbox.dispute(ref);
    const told = await tellToRest(world, ref, order);
    await shopper.until(id, 'needs_attention');
    await world.sandbox.closeDispute(dispute, end);
    await tellToRest(world, ref, order, told);
    await shopper.until(id, status);
    await expectVoid(booked);
    expect(await refundRows(world, id)).toEqual(rows);
    // The seat is given up by a person, never by the bank.
    expect(await seatsFree(world, slot)).toBe(0);
    expect((await tracesOf(world, id)).messages).toEqual(['booking-confirmed']);
  });

  test.each([
    ['won', 'confirmed'],
    ['lost', 'refunded'],
  ] as const)('never seen open, and %s, is %s without a case', async (end, status) => {
    const booked = await bookSlot(world);
    const { id, ref } = booked;
    await holdBack(world, ref);
    const { id: dispute } = await world.sandbox.dispute(ref);
    await world.sandbox.closeDispute(dispute, end);
    await tellToRest(world, ref, order);
    expect(await statusOf(booked)).toBe(status);
    expect(await casesOf(world, id)).toEqual([]);
    if (end === 'lost')
      expect((await booked.shopper.read(id)).body.refund).toEqual({
        status: 'succeeded',
        amountMinor: priceMinor,
        reason: 'external',
      });
  });

  test('of a part, lost, takes that part', async () => {
    const booked = await bookSlot(world);
    await holdBack(world, booked.ref);
    const { id: dispute } = await world.sandbox.dispute(booked.ref, { amount: 900 });
    await world.sandbox.closeDispute(dispute, 'lost');
    await tellToRest(world, booked.ref, order);
    expect(await statusOf(booked)).toBe('needs_attention');
    const asked = (await casesOf(world, booked.id)).find((one) => one.kind === 'external-refund');
    expect(asked).toMatchObject({ amount_minor: 900, resolved_by: null });
    expect(await refundRows(world, booked.id)).toEqual([['external', 'succeeded', 900]]);
    await expectMoneyToBalance(world, { returned: lostTwice });
    await untilKeeperIs(world, asked, 'RUNNING');
    await decide(world, asked?.id ?? '', 'mark-settled');
    expect(await statusOf(booked)).toBe('confirmed');
    // What is left of the money is owed with the booking.
    expect((await booked.shopper.cancel(booked.id)).status).toBe(200);
    await giveRestByHand(booked, priceMinor - 900);
  });

  test('of a part, lost after its offering was called off, keeps nothing: the rest is owed once a person has looked', async () => {
    const booked = await bookSlot(world);
    await holdBack(world, booked.ref);
    const { id: dispute } = await world.sandbox.dispute(booked.ref, { amount: 900 });
    const told = await tellToRest(world, booked.ref, order);
    await booked.shopper.until(booked.id, 'needs_attention');
    await callOff(world, booked.slot);
    await world.sandbox.closeDispute(dispute, 'lost');
    await tellToRest(world, booked.ref, order, told);
    const asked = (await casesOf(world, booked.id)).find((one) => one.kind === 'external-refund');
    await untilKeeperIs(world, asked, 'RUNNING');
    await decide(world, asked?.id ?? '', 'mark-settled');
    await giveRestByHand(booked, priceMinor - 900);
    expect(await seatsFree(world, booked.slot)).toBe(1);
  });

  test.each(['won', 'lost'] as const)(
    'of money that has gone back, %s, changes nothing of the attempt',
    async (end) => {
      const booked = await bookSlot(world);
      const { id, ref, shopper } = booked;
      await shopper.cancel(id);
      await shopper.until(id, 'refunded');
      await atRest(world, ref);
      await holdBack(world, ref);
      const before = (await world.sandbox.ledger()).events.filter((one) => one.paymentIntent === ref).length;
      const { id: dispute } = await world.sandbox.dispute(ref, { amount: priceMinor });
      const told = await tellToRest(world, ref, order, before);
      expect(await casesOf(world, id)).toMatchObject([
        { kind: 'dispute', amount_minor: 0, resolved_by: null },
      ]);
      expect(await statusOf(booked)).toBe('refunded');
      await world.sandbox.closeDispute(dispute, end);
      if (end === 'lost') lostTwice += priceMinor;
      await tellToRest(world, ref, order, told);
      await expectVoid(booked);
      expect(await statusOf(booked)).toBe('refunded');
      expect(await refundRows(world, id)).toEqual([['canceled-by-customer', 'succeeded', priceMinor]]);
    },
  );

  test.each([
    ['won', 'a retry sends it'],
    ['lost', 'the bank has given it back'],
  ] as const)('of money that we owe is refused by Stripe; %s: %s', async (end, _) => {
    const booked = await bookSlot(world);
    const { id, ref, shopper } = booked;
    await holdBack(world, ref);
    const before = (await world.sandbox.ledger()).events.filter((one) => one.paymentIntent === ref).length;
    const { id: dispute } = await world.sandbox.dispute(ref);
    // Nobody has told us, so the cancellation is granted.
    expect((await shopper.cancel(id)).status).toBe(200);
    await shopper.until(id, 'needs_attention');
    const told = await tellToRest(world, ref, order, before);
    const kinds = (await casesOf(world, id)).filter((one) => one.resolved_by === null).map((one) => one.kind);
    expect(kinds.sort()).toEqual(['dispute', 'refund-failed']);
    await expectMoneyToBalance(world, { returned: lostTwice });
    await world.sandbox.closeDispute(dispute, end);
    await tellToRest(world, ref, order, told);
    const failed = (await casesOf(world, id)).find((one) => one.kind === 'refund-failed');
    if (end === 'won') {
      expect(await statusOf(booked)).toBe('needs_attention');
      await decide(world, failed?.id ?? '', 'retry-refund');
    }
    expect(await shopper.until(id, 'refunded')).toMatchObject({
      refund: { status: 'succeeded', reason: 'canceled-by-customer' },
    });
    expect(doneBeside).toContain(await reconciled(world, ref));
    expect((await casesOf(world, id)).filter((one) => one.resolved_by === null)).toEqual([]);
    expect(await refundRows(world, id)).toEqual([['canceled-by-customer', 'succeeded', priceMinor]]);
    expect(await atTheGateway(world, ref)).toEqual({ ours: end === 'won' ? [priceMinor] : [], byHand: [] });
  });
});

test('a refund that was pending when the money was withdrawn fails, and the lost dispute is its end', async () => {
  const { id, ref, shopper } = await bookSlot(world);
  await world.sandbox.refundMode({ mode: 'pending', match: { paymentIntent: ref } });
  await shopper.cancel(id);
  await eventually('a pending refund', async () => (await refundRows(world, id))[0]?.[1] === 'pending');
  const { id: dispute } = await world.sandbox.dispute(ref);
  await shopper.until(id, 'needs_attention');
  await world.sandbox.closeDispute(dispute, 'lost');
  await shopper.until(id, 'refunded');
  expect(doneBeside).toContain(await reconciled(world, ref));
  expect(await refundRows(world, id)).toEqual([['canceled-by-customer', 'succeeded', priceMinor]]);
  await eventually('every case answered', async () =>
    (await casesOf(world, id)).every((one) => one.resolved_by !== null),
  );
});

test('an inquiry moves no money and stops no booking, until it is escalated', async () => {
  const { id, ref, shopper } = await bookSlot(world);
  const { id: dispute } = await world.sandbox.dispute(ref, { inquiry: true });
  await atRest(world, ref);
  expect((await shopper.read(id)).body.status).toBe('confirmed');
  await world.sandbox.updateDispute(dispute, 'needs_response');
  await shopper.until(id, 'needs_attention');
  await world.sandbox.updateDispute(dispute, 'under_review');
  await world.sandbox.closeDispute(dispute, 'won');
  await shopper.until(id, 'confirmed');
  expect(await casesOf(world, id)).toHaveLength(1);
});

test('news of a dispute costs few events, and two workflows do not ring each other', async () => {
  const { id, ref, shopper } = await bookSlot(world);
  await atRest(world, ref);
  const { id: dispute } = await world.sandbox.dispute(ref);
  await shopper.until(id, 'needs_attention');
  await atRest(world, ref);
  await world.sandbox.closeDispute(dispute, 'won');
  await shopper.until(id, 'confirmed');
  await atRest(world, ref);
  const runs = world.temporal.workflow.list({ query: `WorkflowId = 'reconcile/stripe/${ref}'` });
  const lengths = await eventually('runs that are visible', async () => {
    const found: number[] = [];
    for await (const run of runs) found.push(run.historyLength);
    return found.length > 0 && found;
  });
  // Five events of a dispute, one look and at most one keeper each.
  expect(Math.max(...lengths)).toBeLessThanOrEqual(40);
  expect(lengths.length).toBeLessThanOrEqual(5);
});
