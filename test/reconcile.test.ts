/** Money, and bad news of refunds, that come when the attempt is over, its workflow is gone, or nobody knows of it. */
import { randomBytes } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/client';
import { caseWorkflowId, reconcileWorkflowId } from '../src/workflows/messages';
import type { CaseRow, RefundRow } from '../src/database';
import { sendCopies } from './at-gateways';
import {
  attemptRow,
  closeOffering,
  expectBooksToBalance,
  ledgerFor,
  messagesOf,
  newBookingId,
  openAttempt,
  openCaseOf,
  outcomeOf,
  pay,
  payForNothing,
  priceMinor,
  reaches,
  refundsOf,
  resolve,
  type Attempt,
} from './refunds-setup';
import { eventually, startWorld, type World } from './world';

let world: World;
/** What other shops on the same account took, in the smallest unit. */
let notOurs = 0;

beforeAll(async () => {
  world = await startWorld();
});
afterEach(async () => {
  await world.sandbox.clearFaults();
  await expectBooksToBalance(world, notOurs);
});
afterAll(async () => {
  await world.stop();
});

/** Waits for the end of `reconcile` of an intent. */
async function reconciled(ref: string): Promise<string> {
  return eventually(`reconcile of ${ref}`, async () => {
    try {
      const handle = world.temporal.workflow.getHandle(reconcileWorkflowId('stripe', ref));
      return (await handle.result()) as string;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  });
}

async function endedAs(outcome: 'expired' | 'canceled'): Promise<Attempt & { ref: string }> {
  const { payment } = world.dependencies;
  if (outcome === 'expired') world.dependencies.payment = { ...payment, windowSeconds: 3 };
  const attempt = await openAttempt(world);
  world.dependencies.payment = payment;
  if (outcome === 'canceled') await attempt.handle.cancel();
  expect(await outcomeOf(attempt)).toBe(outcome);
  return attempt;
}

/** The id of the event of that type about an intent. */
async function eventOf(ref: string, type: string): Promise<string> {
  return eventually(`${type} of ${ref}`, async () => {
    const { events } = await world.sandbox.ledger();
    return events.find((event) => event.paymentIntent === ref && event.type === type)?.id;
  });
}

/** Somebody makes and pays an intent without us. */
async function payWithoutUs(metadata: Record<string, string>): Promise<string> {
  const post = async (path: string, parameters: Record<string, string>) => {
    const response = await fetch(`${world.sandbox.url}/v1/payment_intents${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk_test_tests_only' },
      body: new URLSearchParams(parameters),
    });
    return (await response.json()) as { id: string };
  };
  const { id } = await post('', {
    amount: String(priceMinor),
    currency: 'usd',
    'payment_method_types[]': 'card',
    ...Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`metadata[${name}]`, value])),
  });
  await post(`/${id}/confirm`, { payment_method: 'pm_card_visa' });
  return id;
}

describe('money on a payment that was closed', () => {
  test.each(['expired', 'canceled'] as const)(
    'after the attempt %s goes back in full, and the attempt stays what it was',
    async (outcome) => {
      const attempt = await endedAs(outcome);
      await world.sandbox.payClosed(attempt.ref);
      expect(await reconciled(attempt.ref)).toBe('given back');
      expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: outcome });
      expect(await refundsOf(world, attempt.bookingId)).toMatchObject([
        { status: 'succeeded', reason: 'late-payment', amount_minor: priceMinor },
      ]);
      expect((await ledgerFor(world, attempt.bookingId)).returnedMinor).toBe(priceMinor);
      expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded']);
      expect(await world.db('bookings').where({ id: attempt.bookingId })).toEqual([]);
    },
  );

  test('is given back once, however often the webhook comes', async () => {
    const attempt = await endedAs('canceled');
    await world.sandbox.webhookFault({ kind: 'double', event: 'payment_intent.succeeded' });
    await world.sandbox.payClosed(attempt.ref);
    await reconciled(attempt.ref);
    const event = await eventOf(attempt.ref, 'payment_intent.succeeded');
    expect(await sendCopies(world.sandbox, event, 5)).toEqual([200, 200, 200, 200, 200]);
    await reconciled(attempt.ref);
    expect((await ledgerFor(world, attempt.bookingId)).refunds).toHaveLength(1);
    expect(await refundsOf(world, attempt.bookingId)).toHaveLength(1);
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded']);
  });

  test('that cannot be given back is a case which reconcile itself keeps open', async () => {
    const attempt = await endedAs('canceled');
    await world.sandbox.refundMode({ mode: 'failed', times: 1, match: { paymentIntent: attempt.ref } });
    await world.sandbox.payClosed(attempt.ref);
    const found = await openCaseOf(world, attempt.bookingId);
    expect(found).toMatchObject({
      kind: 'refund-failed',
      workflow_id: reconcileWorkflowId('stripe', attempt.ref),
    });
    expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: 'canceled' });
    await expectBooksToBalance(world, notOurs);
    await resolve(world, found, 'retry-refund');
    expect(await reconciled(attempt.ref)).toBe('given back');
    expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: 'canceled' });
    expect((await ledgerFor(world, attempt.bookingId)).returnedMinor).toBe(priceMinor);
  });

  test('is given back although Stripe does not answer at first', async () => {
    const attempt = await endedAs('canceled');
    const match = { paymentIntent: attempt.ref };
    await world.sandbox.fault({ kind: 'lost-done', operation: 'payment_intents.retrieve', times: 4, match });
    await world.sandbox.fault({ kind: 'lost-done', operation: 'refunds.create', times: 2, match });
    await world.sandbox.payClosed(attempt.ref);
    expect(await reconciled(attempt.ref)).toBe('given back');
    expect((await ledgerFor(world, attempt.bookingId)).refunds).toHaveLength(1);
  });
});

describe('a webhook that comes after everything is settled', () => {
  test('costs at most 8 events and no call to Stripe', async () => {
    const attempt = await openAttempt(world);
    await pay(world, attempt.ref);
    expect(await outcomeOf(attempt)).toBe('confirmed');
    const event = await eventOf(attempt.ref, 'payment_intent.succeeded');
    const before = (await ledgerFor(world, attempt.bookingId)).requests.length;
    expect(await sendCopies(world.sandbox, event, 1)).toEqual([200]);
    expect(await reconciled(attempt.ref)).toBe('nothing owed');
    const handle = world.temporal.workflow.getHandle(reconcileWorkflowId('stripe', attempt.ref));
    const { events } = await handle.fetchHistory();
    expect(events?.length).toBeLessThanOrEqual(8);
    expect(await sendCopies(world.sandbox, event, 2)).toEqual([200, 200]);
    expect(await reconciled(attempt.ref)).toBe('nothing owed');
    expect((await ledgerFor(world, attempt.bookingId)).requests).toHaveLength(before);
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['booking-confirmed']);
    expect(await world.db('gateway_events').where({ event_id: event })).toHaveLength(1);
  });

  test('about a refund that an operator settled by other means changes nothing', async () => {
    const attempt = await openAttempt(world);
    await closeOffering(world, attempt.offeringId);
    await world.sandbox.refundMode({ mode: 'failed', match: { paymentIntent: attempt.ref } });
    await pay(world, attempt.ref);
    await resolve(world, await openCaseOf(world, attempt.bookingId), 'mark-settled');
    expect(await outcomeOf(attempt)).toBe('refunded');
    await sendCopies(world.sandbox, await eventOf(attempt.ref, 'refund.failed'), 1);
    expect(await reconciled(attempt.ref)).toBe('nothing owed');
    expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: 'refunded' });
  });
});

describe('money whose attempt cannot be found', () => {
  test('is a case and never a refund; an operator settles it', async () => {
    const ref = await payWithoutUs({ bookingId: newBookingId(), try: '1' });
    expect(await reconciled(ref)).toBe('a case');
    const found = await world
      .db<CaseRow>('cases')
      .join('payments', 'payments.id', 'cases.payment_id')
      .where({ gateway_ref: ref })
      .select('cases.*')
      .first<CaseRow>();
    expect(found).toMatchObject({ kind: 'unmatched-payment', amount_minor: priceMinor, currency: 'USD' });
    await expectBooksToBalance(world, notOurs);
    // The same news again is the same case.
    await sendCopies(world.sandbox, await eventOf(ref, 'payment_intent.succeeded'), 2);
    await reconciled(ref);
    expect(await world.db('cases').where({ payment_id: found.payment_id })).toHaveLength(1);
    const { refunds } = await world.sandbox.ledger();
    expect(refunds.filter((refund) => refund.paymentIntent === ref)).toEqual([]);
    await resolve(world, found, 'mark-settled');
    await world.temporal.workflow.getHandle(caseWorkflowId(found.id)).result();
    expect(await world.db('refunds').where({ payment_id: found.payment_id })).toMatchObject([
      { status: 'succeeded', reason: 'external', amount_minor: priceMinor },
    ]);
  });

  test.each([
    ['nothing', {}],
    ['an id of its own', { bookingId: '4711' }],
  ])('is another shop’s when it carries %s: only counted', async (_, metadata) => {
    const counted = async () => {
      const { values } = await world.dependencies.metrics.notOurs.get();
      return values.reduce((sum, one) => sum + one.value, 0);
    };
    const before = await counted();
    const ref = await payWithoutUs(metadata);
    notOurs += priceMinor;
    expect(await reconciled(ref)).toBe('nothing owed');
    expect(await counted()).toBe(before + 1);
    expect(await world.db('payments').where({ gateway_ref: ref })).toEqual([]);
    const { refunds } = await world.sandbox.ledger();
    expect(refunds.filter((refund) => refund.paymentIntent === ref)).toEqual([]);
  });
});

describe('money whose attempt cannot be found, refunded at the gateway', () => {
  test.each([
    ['all of it, asks nobody any more', priceMinor],
    ['a part of it, is asked about as far as it is here', 700],
  ])('%s', async (_, amount) => {
    const ref = await payWithoutUs({ bookingId: newBookingId(), try: '1' });
    expect(await reconciled(ref)).toBe('a case');
    const asked = () =>
      world
        .db('cases')
        .join('payments', 'payments.id', 'cases.payment_id')
        .where({ gateway_ref: ref })
        .select('cases.*')
        .first<CaseRow>();
    await world.sandbox.refundByHand(ref, { amount });
    await eventually('the refund on record', async () => {
      const { resolved_by: by, amount_minor: left } = await asked();
      return amount === priceMinor ? by === 'payfirst' : left === priceMinor - amount;
    });
    await expectBooksToBalance(world, notOurs);
    const found = await asked();
    if (amount < priceMinor) await resolve(world, found, 'mark-settled');
    await world.temporal.workflow.getHandle(caseWorkflowId(found.id)).result();
    const refunds = await world.db('refunds').where({ payment_id: found.payment_id });
    expect(refunds.reduce((sum: number, row: RefundRow) => sum + row.amount_minor, 0)).toBe(priceMinor);
    expect(refunds).toHaveLength(amount < priceMinor ? 2 : 1);
  });
});

describe('an attempt whose workflow an operator terminated', () => {
  test('is booked when its money comes', async () => {
    const attempt = await openAttempt(world);
    await attempt.handle.terminate('by mistake');
    await pay(world, attempt.ref);
    await reaches(world, attempt.bookingId, 'confirmed');
    expect(await reconciled(attempt.ref)).toBe('nothing owed');
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['booking-confirmed']);
  });

  test('is given its money back when that buys nothing any more', async () => {
    const attempt = await openAttempt(world);
    await attempt.handle.terminate('by mistake');
    await closeOffering(world, attempt.offeringId);
    await pay(world, attempt.ref);
    await reaches(world, attempt.bookingId, 'refunded');
    expect(['given back', 'nothing owed']).toContain(await reconciled(attempt.ref));
    expect((await ledgerFor(world, attempt.bookingId)).returnedMinor).toBe(priceMinor);
  });

  test('with a refund under way is followed to the refund’s end', async () => {
    await world.sandbox.refundMode({ mode: 'pending' });
    const attempt = await payForNothing(world);
    const refundId = await eventually('a pending refund', async () => {
      const [refund] = await refundsOf(world, attempt.bookingId);
      return refund?.status === 'pending' && (refund.gateway_refund_id ?? undefined);
    });
    await attempt.handle.terminate('by mistake');
    await world.sandbox.settleRefund(refundId, 'succeeded');
    await reaches(world, attempt.bookingId, 'refunded');
  });

  test('with a refund that nobody sent: the payment watch finds it, and it is sent once', async () => {
    await world.sandbox.fault({ kind: 'lost-undone', operation: 'refunds.list', times: null });
    const attempt = await payForNothing(world);
    await reaches(world, attempt.bookingId, 'refunding');
    await attempt.handle.terminate('by mistake');
    await world.sandbox.clearFaults();
    const [refund] = await refundsOf(world, attempt.bookingId);
    expect(refund).toMatchObject({ status: 'unsent' });
    // The net under the workflow is due after a minute; it is due now.
    await world
      .db('refunds')
      .where({ id: refund?.id ?? '' })
      .update({ next_look_at: world.db.fn.now() });
    await reaches(world, attempt.bookingId, 'refunded');
    expect((await ledgerFor(world, attempt.bookingId)).refunds).toHaveLength(1);
  });
});

test('a ring for nothing that exists ends with nothing owed', async () => {
  const ref = `pi_${randomBytes(12).toString('hex')}`;
  await world.temporal.workflow.start('reconcile', {
    workflowId: reconcileWorkflowId('stripe', ref),
    taskQueue: world.taskQueue,
    args: [{ gateway: 'stripe', ref, bookingId: null }],
  });
  expect(await reconciled(ref)).toBe('nothing owed');
});
