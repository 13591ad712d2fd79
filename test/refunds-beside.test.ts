/**
 * Money of an attempt beside money that is on its way back already: it is settled, sent back and decided without waiting for
 * the first refund, which may take weeks.
 */
import { isDeepStrictEqual } from 'node:util';
import type { CaseRow } from '../src/database';
import { doorbellSignal, reconcileWorkflowId, resolveCaseSignal } from '../src/workflows/messages';
import { atPhonepe, type AtPhonepe } from './at-phonepe';
import { atRazorpay, type AtRazorpay } from './at-razorpay';
import { outcomeOf, priceMinor } from './book-setup';
import { expectBalance, startInRupees, type Started } from './hostile-setup';
import { attemptRow, openCaseOf } from './refunds-setup';
import { decide, refundRows, restOf, untilKeeperIs } from './reversals-setup';
import { eventually, startWorld, type World } from './world';

let razorpay: AtRazorpay;
let phonepe: AtPhonepe;
let world: World;
beforeAll(async () => {
  [razorpay, phonepe] = await Promise.all([atRazorpay(), atPhonepe()]);
  world = await startWorld({ gateways: [razorpay, phonepe], standing: false });
});
afterEach(() => expectBalance(world));
afterAll(() => world.stop());

const start = (method: 'razorpay' | 'phonepe'): Promise<Started> => startInRupees(world, method);

/** References of the refunds that the gateway made, oldest first. */
async function refundsMade(at: AtRazorpay | AtPhonepe, bookingId: string, count: number): Promise<string[]> {
  return eventually(`${count} refunds`, async () => {
    const { refundRefs } = await at.ledgerOf(bookingId);
    return refundRefs.length === count && refundRefs;
  });
}

/** The offering is closed while somebody pays; the refund stays under way. */
async function refunding({ booking, offeringId, shopper }: Started): Promise<void> {
  const at = booking.payment.method === 'phonepe' ? phonepe : razorpay;
  await at.leaveRefundsPending(booking.id);
  await world.db('offerings').where({ id: offeringId }).update({ status: 'closed' });
  await at.pay(booking);
  await shopper.until(booking.id, 'refunding');
  await eventually('the refund under way', async () => {
    const rows = await refundRows(world, booking.id);
    return rows[0]?.[1] === 'pending';
  });
}

describe('money that comes while other money is still on its way back', () => {
  /** Both refunds end, and so does the attempt, with nothing kept and nothing sent twice. */
  async function expectAllBack(at: AtRazorpay | AtPhonepe, { booking, shopper }: Started): Promise<void> {
    await eventually('both sent', async () => (await at.ledgerOf(booking.id)).refundRefs.length === 2);
    for (const ref of (await at.ledgerOf(booking.id)).refundRefs) await at.settleRefund(ref, 'succeeded');
    await shopper.until(booking.id, 'refunded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    expect(await at.ledgerOf(booking.id)).toMatchObject({
      charges: 2,
      capturedMinor: 2 * priceMinor,
      refunds: 2,
      refundedMinor: 2 * priceMinor,
    });
  }

  test('by a second payment of the same order goes back, too, and need not wait', async () => {
    const started = await start('razorpay');
    await refunding(started);
    await razorpay.sandbox.pay(started.ref, 'ok', { again: 'captured' });
    await expectAllBack(razorpay, started);
  });

  test('by an order that had failed goes back, too, and need not wait', async () => {
    const started = await start('phonepe');
    await phonepe.pay(started.booking, 'declined');
    await started.shopper.until(started.booking.id, (now) => now.failure !== undefined);
    const { body } = await started.shopper.retry(started.booking.id);
    await refunding({ ...started, booking: body });
    await phonepe.sandbox.payClosed(started.ref);
    await expectAllBack(phonepe, started);
  });

  test('after the attempt is over goes back, too, and need not wait', async () => {
    const { booking, ref, shopper } = await start('razorpay');
    await shopper.cancel(booking.id);
    await razorpay.leaveRefundsPending(booking.id);
    await razorpay.sandbox.pay(ref, 'ok');
    await eventually(
      'the first sent',
      async () => (await razorpay.ledgerOf(booking.id)).refundRefs.length === 1,
    );
    await razorpay.sandbox.pay(ref, 'ok', { again: 'captured' });
    await eventually('both sent', async () => (await razorpay.ledgerOf(booking.id)).refundRefs.length === 2);
    for (const one of (await razorpay.ledgerOf(booking.id)).refundRefs)
      await razorpay.settleRefund(one, 'succeeded');
    await eventually('both on record', async () =>
      (await refundRows(world, booking.id)).every(([, status]) => status === 'succeeded'),
    );
    expect(await refundRows(world, booking.id)).toHaveLength(2);
    expect((await shopper.read(booking.id)).body.status).toBe('canceled');
  });
});

/** Waits until no workflow of the attempt runs: nothing is left to be cleaned up. */
async function expectNobodyWaits({ booking, ref }: Started, found: CaseRow): Promise<void> {
  await outcomeOf(world, booking.id);
  await untilKeeperIs(world, found, 'COMPLETED');
  await restOf(world, reconcileWorkflowId(String(booking.payment.method), ref));
}

describe('a refund that fails beside another one under way', () => {
  /** An attempt whose own refund is under way, and whose second payment's refund has failed. */
  async function failedBeside(): Promise<Started & { own: string; found: CaseRow }> {
    const started = await start('razorpay');
    await refunding(started);
    await razorpay.sandbox.pay(started.ref, 'ok', { again: 'captured' });
    const [own = '', beside = ''] = await refundsMade(razorpay, started.booking.id, 2);
    await razorpay.settleRefund(beside, 'failed');
    const found = await openCaseOf(world, started.booking.id);
    expect(found).toMatchObject({ kind: 'refund-failed', workflow_id: `case/${found.id}` });
    await untilKeeperIs(world, found, 'RUNNING');
    return { ...started, own, found };
  }

  /** An attempt whose own refund has succeeded, while that of its second payment is under way. */
  async function ownSucceeded(): Promise<Started & { own: string; beside: string }> {
    const started = await start('razorpay');
    const { booking, ref, shopper } = started;
    await refunding(started);
    await razorpay.sandbox.pay(ref, 'ok', { again: 'captured' });
    const [own = '', beside = ''] = await refundsMade(razorpay, booking.id, 2);
    await razorpay.settleRefund(own, 'succeeded');
    await shopper.until(booking.id, 'refunded');
    return { ...started, own, beside };
  }

  test('is sent again as soon as an operator says so', async () => {
    const started = await failedBeside();
    const { booking, own, found } = started;
    expect(await decide(world, found.id, 'retry-refund')).toMatchObject({ resolution: 'retry-refund' });
    const again = (await refundsMade(razorpay, booking.id, 3)).at(-1) ?? '';
    // The first is under way still, and the keeper hears of the end of its own.
    expect((await refundRows(world, booking.id)).map(([, status]) => status)).toContain('pending');
    await razorpay.settleRefund(again, 'succeeded');
    await untilKeeperIs(world, found, 'COMPLETED');
    expect(await attemptRow(world, booking.id)).toMatchObject({ status: 'refunding' });
    await razorpay.settleRefund(own, 'succeeded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    await expectNobodyWaits(started, found);
    expect((await refundRows(world, booking.id)).map(([, status]) => status)).toEqual([
      'succeeded',
      'succeeded',
    ]);
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({ refunds: 2, refundedMinor: 2 * priceMinor });
  });

  test('is settled by other means as soon as an operator says so, and never sent again', async () => {
    const started = await failedBeside();
    const { booking, own, found } = started;
    await decide(world, found.id, 'mark-settled');
    await untilKeeperIs(world, found, 'COMPLETED');
    await razorpay.settleRefund(own, 'succeeded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    await expectNobodyWaits(started, found);
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({ refunds: 1, refundedMinor: priceMinor });
  });

  test('and fails once more while the attempt’s own refund reaches its end, stays with its keeper', async () => {
    const started = await failedBeside();
    const { booking, ref, own, found } = started;
    await decide(world, found.id, 'retry-refund');
    const again = (await refundsMade(razorpay, booking.id, 3)).at(-1) ?? '';
    const gate = { name: 'own', operation: 'refunds.retrieve', when: 'before', match: { id: own } } as const;
    await razorpay.sandbox.gate(gate);
    await razorpay.settleRefund(own, 'succeeded');
    await razorpay.sandbox.waitForGate('own', 1);
    await razorpay.settleRefund(again, 'failed');
    await eventually('both told', () => razorpay.toldOf(ref));
    await razorpay.sandbox.releaseGate('own');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    const second = await openCaseOf(world, booking.id);
    expect(second).toMatchObject({ kind: 'refund-failed', workflow_id: `case/${found.id}` });
    await decide(world, second.id, 'mark-settled');
    await expectNobodyWaits(started, found);
  });

  test('although it had succeeded, is heard, also when the gateway does not answer just then', async () => {
    const started = await ownSucceeded();
    const { booking, shopper, own, beside } = started;
    const match = { id: own };
    await razorpay.sandbox.fault({
      kind: 'status-500-undone',
      operation: 'refunds.retrieve',
      times: 2,
      match,
    });
    await razorpay.sandbox.failRefund(own);
    await shopper.until(booking.id, 'needs_attention');
    await decide(world, (await openCaseOf(world, booking.id)).id, 'mark-settled');
    await razorpay.settleRefund(beside, 'succeeded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
  });

  test('although it had succeeded, is heard, also where it is the attempt’s own', async () => {
    const started = await ownSucceeded();
    const { booking, shopper, own, beside } = started;
    await razorpay.sandbox.failRefund(own);
    await shopper.until(booking.id, 'needs_attention');
    const found = await openCaseOf(world, booking.id);
    expect(found).toMatchObject({ kind: 'refund-failed', workflow_id: `case/${found.id}` });
    await razorpay.settleRefund(beside, 'succeeded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    await decide(world, found.id, 'retry-refund');
    const again = (await refundsMade(razorpay, booking.id, 3)).at(-1) ?? '';
    await razorpay.settleRefund(again, 'succeeded');
    await shopper.until(booking.id, 'refunded');
    await expectNobodyWaits(started, found);
    expect(await razorpay.ledgerOf(booking.id)).toMatchObject({ refunds: 2, refundedMinor: 2 * priceMinor });
  });
});

test('a refund sent again from a case whose workflow an operator had ended is followed to its end', async () => {
  const started = await start('razorpay');
  const { booking, shopper } = started;
  await refunding(started);
  const [own = ''] = await refundsMade(razorpay, booking.id, 1);
  await razorpay.settleRefund(own, 'failed');
  const found = await openCaseOf(world, booking.id);
  expect(found).toMatchObject({ kind: 'refund-failed', workflow_id: `booking/${String(booking.id)}` });
  await world.temporal.workflow.getHandle(found.workflow_id).terminate('by mistake');
  await decide(world, found.id, 'retry-refund');
  const again = (await refundsMade(razorpay, booking.id, 2)).at(-1) ?? '';
  const keeper = { workflow_id: `case/${found.id}` };
  await untilKeeperIs(world, keeper, 'RUNNING');
  await razorpay.settleRefund(again, 'succeeded');
  await untilKeeperIs(world, keeper, 'COMPLETED');
  await shopper.until(booking.id, 'refunded');
});

test('money that comes while the keeper of a case follows the refund of earlier money goes back at once', async () => {
  const { booking, ref, shopper } = await start('razorpay');
  await shopper.cancel(booking.id);
  await outcomeOf(world, booking.id);
  await razorpay.sandbox.pay(ref, 'ok');
  const [own = ''] = await refundsMade(razorpay, booking.id, 1);
  await eventually('it went back', async () => (await refundRows(world, booking.id))[0]?.[1] === 'succeeded');
  await razorpay.sandbox.failRefund(own);
  const found = await openCaseOf(world, booking.id);
  await untilKeeperIs(world, found, 'RUNNING');
  await razorpay.leaveRefundsPending(booking.id);
  await decide(world, found.id, 'retry-refund');
  await refundsMade(razorpay, booking.id, 2);
  await razorpay.sandbox.pay(ref, 'ok', { again: 'captured' });
  const [, again = '', later = ''] = await refundsMade(razorpay, booking.id, 3);
  for (const one of [later, again]) await razorpay.settleRefund(one, 'succeeded');
  await untilKeeperIs(world, found, 'COMPLETED');
  await restOf(world, reconcileWorkflowId('razorpay', ref));
  expect((await refundRows(world, booking.id)).map(([, status]) => status)).toEqual([
    'succeeded',
    'succeeded',
  ]);
  expect(await razorpay.ledgerOf(booking.id)).toMatchObject({ refunds: 2, refundedMinor: 2 * priceMinor });
});

describe('a refund that a ring about another payment finds failed', () => {
  /** An attempt that is over, paid at two gateways: one refund is under way, the other's failure was found by a ring about the first. */
  async function foundByAnother() {
    const { booking, ref, shopper } = await start('razorpay');
    const { body: retried } = await shopper.retry(booking.id, 'phonepe');
    const other = String(retried.payment.gatewayRef);
    await shopper.cancel(booking.id);
    await outcomeOf(world, booking.id);
    for (const at of [razorpay, phonepe]) await at.leaveRefundsPending(booking.id);
    await razorpay.sandbox.pay(ref, 'ok');
    await phonepe.pay(retried);
    const [first = ''] = await refundsMade(razorpay, booking.id, 1);
    const [second = ''] = await refundsMade(phonepe, booking.id, 1);
    await eventually('both under way', async () =>
      isDeepStrictEqual(
        (await refundRows(world, booking.id)).map(([, status]) => status),
        ['pending', 'pending'],
      ),
    );
    await phonepe.silence(booking.id);
    await phonepe.settleRefund(second, 'failed');
    expect(await razorpay.copiesOfPaid(ref, 1)).toEqual([200]);
    const found = await openCaseOf(world, booking.id);
    expect(found).toMatchObject({ kind: 'refund-failed', workflow_id: `case/${found.id}` });
    await untilKeeperIs(world, found, 'RUNNING');
    await phonepe.clearFaults();
    return { id: String(booking.id), first, found, lookers: lookersOf(ref, other) };
  }

  /** The workflows that gave both payments back from the start. */
  function lookersOf(ref: string, other: string) {
    return {
      razorpay: world.temporal.workflow.getHandle(reconcileWorkflowId('razorpay', ref)),
      phonepe: world.temporal.workflow.getHandle(reconcileWorkflowId('phonepe', other)),
    };
  }

  test('is decided at once, and nobody waits for ever', async () => {
    const { id, first, found, lookers } = await foundByAnother();
    await phonepe.leaveRefundsPending(id);
    await decide(world, found.id, 'retry-refund');
    const again = (await refundsMade(phonepe, id, 2)).at(-1) ?? '';
    await phonepe.settleRefund(again, 'succeeded');
    await untilKeeperIs(world, found, 'COMPLETED');
    await razorpay.settleRefund(first, 'succeeded');
    for (const looker of [lookers.razorpay, lookers.phonepe])
      expect(await looker.result()).toBe('given back');
    expect((await refundRows(world, id)).map(([, status]) => status)).toEqual(['succeeded', 'succeeded']);
  });

  test('may be decided, in the Temporal UI, by whichever workflow asks: the other ends, too', async () => {
    const { id, first, found, lookers } = await foundByAnother();
    // Rung, it finds the case, and waits for a decision as its keeper does.
    await lookers.phonepe.signal(doorbellSignal, { by: 'operator', at: new Date().toISOString() });
    await lookers.phonepe.signal(resolveCaseSignal, {
      caseId: found.id,
      action: 'mark-settled',
      by: 'an operator',
    });
    expect(await lookers.phonepe.result()).toBe('given back');
    await untilKeeperIs(world, found, 'COMPLETED');
    await razorpay.settleRefund(first, 'succeeded');
    expect(await lookers.razorpay.result()).toBe('given back');
    expect((await phonepe.ledgerOf(id)).refundRefs).toHaveLength(1);
  });
});
