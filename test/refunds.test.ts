/** Money that bought nothing goes back: at once, later, or by a person's decision; and when the gateway takes its word back. */
import { lockAttempt } from '../src/activities/dependencies';
import { readOwed, recordRefunded } from '../src/activities/refunds';
import type { RefundRow } from '../src/database';
import type { Gateway, TryToOpen } from '../src/gateways/gateway';
import { reconcileWorkflowId, searchAttributes } from '../src/workflows/messages';
import {
  expectBooksToBalance,
  ledgerFor,
  messagesOf,
  openAttempt,
  openCaseOf,
  outcomeOf,
  pay,
  payable,
  payForNothing,
  priceMinor,
  reaches,
  refundsOf,
  resolve,
  startAttempt,
  newBookingId,
  type Attempt,
} from './refunds-setup';
import { eventually, startWorld, type World } from './world';

let world: World;

/** Attempts for which the gateway takes another amount or currency than was quoted. */
const mistaken = new Map<string, TryToOpen['total']>();
function mistakenGateway(gateway: Gateway): Gateway {
  return {
    ...gateway,
    open: (wanted) => gateway.open({ ...wanted, total: mistaken.get(wanted.bookingId) ?? wanted.total }),
  };
}

beforeAll(async () => {
  world = await startWorld({ wrapGateway: mistakenGateway });
});
afterEach(async () => {
  await expectBooksToBalance(world);
});
afterAll(async () => {
  await world.stop();
});

/** An attempt whose refund takes the given course, up to the payment. */
async function payWith(
  mode: Parameters<World['sandbox']['refundMode']>[0],
): Promise<Attempt & { ref: string }> {
  const attempt = await openAttempt(world);
  await world.sandbox.refundMode({ ...mode, match: { paymentIntent: attempt.ref } });
  await world.db('offerings').where({ id: attempt.offeringId }).update({ status: 'closed' });
  await pay(world, attempt.ref);
  return attempt;
}

async function pendingRefund(attempt: Attempt): Promise<RefundRow & { gateway_refund_id: string }> {
  return eventually('a pending refund', async () => {
    const [refund] = await refundsOf(world, attempt.bookingId);
    if (refund?.status !== 'pending' || refund.gateway_refund_id === null) return undefined;
    return { ...refund, gateway_refund_id: refund.gateway_refund_id };
  });
}

async function needsAttention(workflowId: string): Promise<boolean | undefined> {
  const { typedSearchAttributes } = await world.temporal.workflow.getHandle(workflowId).describe();
  return typedSearchAttributes.get(searchAttributes.needsAttention);
}

describe('what buys nothing', () => {
  test('an offering that closes while the payer pays is not booked, and all the money goes back', async () => {
    const attempt = await payForNothing(world);
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await reaches(world, attempt.bookingId, 'refunded')).toMatchObject({
      failure: { type: 'offering-closed' },
    });
    expect(await refundsOf(world, attempt.bookingId)).toMatchObject([
      { status: 'succeeded', reason: 'offering-closed', amount_minor: priceMinor },
    ]);
    expect(await world.db('seats').where({ booking_id: attempt.bookingId })).toEqual([]);
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded']);
  });

  test('an offering that starts while the payer pays counts as closed', async () => {
    const attempt = await openAttempt(world);
    await world
      .db('offerings')
      .where({ id: attempt.offeringId })
      .update({ starts_at: world.db.raw("now() - interval '1 second'") });
    await pay(world, attempt.ref);
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await refundsOf(world, attempt.bookingId)).toMatchObject([{ reason: 'offering-closed' }]);
  });

  test('the loser of the last seat gets all of it back and is told why', async () => {
    const winner = await openAttempt(world);
    const loser = await startAttempt(world, { offeringId: winner.offeringId });
    const ref = await payable(world, loser.bookingId);
    await pay(world, winner.ref);
    expect(await outcomeOf(winner)).toBe('confirmed');
    await pay(world, ref);
    expect(await outcomeOf(loser)).toBe('refunded');
    expect(await reaches(world, loser.bookingId, 'refunded')).toMatchObject({
      failure: { type: 'slot-unavailable' },
    });
    expect((await ledgerFor(world, loser.bookingId)).returnedMinor).toBe(priceMinor);
  });

  test.each([
    ['less money', { amountMinor: priceMinor - 1, currency: 'USD' }],
    ['more money', { amountMinor: priceMinor + 1, currency: 'USD' }],
    ['another currency', { amountMinor: priceMinor, currency: 'EUR' }],
  ])('%s than quoted is never booked: what came is given back', async (_, total) => {
    const bookingId = newBookingId();
    mistaken.set(bookingId, total);
    const attempt = await startAttempt(world, { bookingId });
    await pay(world, await payable(world, bookingId));
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await reaches(world, bookingId, 'refunded')).toMatchObject({
      failure: { type: 'amount-mismatch' },
    });
    expect(await refundsOf(world, bookingId)).toMatchObject([
      { status: 'succeeded', reason: 'amount-mismatch', amount_minor: total.amountMinor },
    ]);
    expect((await ledgerFor(world, bookingId)).refunds).toMatchObject([
      { status: 'succeeded', amount: total.amountMinor, currency: total.currency.toLowerCase() },
    ]);
    expect(await world.db('bookings').where({ id: bookingId })).toEqual([]);
  });
});

describe('a refund that stays pending', () => {
  test('is waited for, and a webhook tells of its success', async () => {
    const attempt = await payWith({ mode: 'pending' });
    const refund = await pendingRefund(attempt);
    await reaches(world, attempt.bookingId, 'refunding');
    expect(await messagesOf(world, attempt.bookingId)).toEqual([]);
    await expectBooksToBalance(world);
    await world.sandbox.settleRefund(refund.gateway_refund_id, 'succeeded');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded']);
  });

  test('is looked at by the payment watch when no webhook comes', async () => {
    const attempt = await payWith({ mode: 'pending' });
    const refund = await pendingRefund(attempt);
    await world.sandbox.webhookFault({
      kind: 'drop',
      event: '*',
      times: null,
      match: { paymentIntent: attempt.ref },
    });
    await world.sandbox.settleRefund(refund.gateway_refund_id, 'succeeded');
    // The first look is a minute after the gateway's word; it is due now.
    await world.db('refunds').where({ id: refund.id }).update({ next_look_at: world.db.fn.now() });
    expect(await outcomeOf(attempt)).toBe('refunded');
  });

  test('is not looked at again when it ends just as the payment watch wants to', async () => {
    const attempt = await payWith({ mode: 'pending' });
    const { id } = await pendingRefund(attempt);
    const looks = async () => {
      const { requests } = await ledgerFor(world, attempt.bookingId);
      return requests.filter(({ operation }) => operation === 'refunds.retrieve').length;
    };
    const before = await looks();
    const soon = world.db.raw("now() + interval '2 seconds'");
    await world.db('refunds').where({ id }).update({ next_look_at: soon });
    await world.db.transaction(async (trx) => {
      await lockAttempt(trx, attempt.bookingId);
      await trx('refunds').where({ id }).forUpdate().first<RefundRow>();
      // The watch has read that it is due, and waits to write its next look.
      await eventually('the watch at the lock', async () => {
        const { rows } = await world.db.raw<{ rows: unknown[] }>(
          "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'update \"refunds\"%'",
        );
        return rows.length > 0;
      });
      await recordRefunded(world.dependencies, trx, await readOwed(trx, id));
    });
    await eventually('the look', async () => (await looks()) > before);
    const [refund] = await refundsOf(world, attempt.bookingId);
    expect(refund).toMatchObject({ status: 'succeeded', next_look_at: null });
    await world.sandbox.settleRefund(refund?.gateway_refund_id ?? '', 'succeeded');
    expect(await outcomeOf(attempt)).toBe('refunded');
  });

  test('becomes a case when it fails after all', async () => {
    const attempt = await payWith({ mode: 'pending' });
    const refund = await pendingRefund(attempt);
    await world.sandbox.settleRefund(refund.gateway_refund_id, 'failed');
    await reaches(world, attempt.bookingId, 'needs_attention');
    const found = await openCaseOf(world, attempt.bookingId);
    await resolve(world, found, 'mark-settled');
    expect(await outcomeOf(attempt)).toBe('refunded');
  });
});

describe('a refund that fails for good', () => {
  test('needs attention: a case, a message to the customer, and a workflow that waits', async () => {
    const attempt = await payWith({ mode: 'failed' });
    await reaches(world, attempt.bookingId, 'needs_attention');
    expect(await openCaseOf(world, attempt.bookingId)).toMatchObject({
      kind: 'refund-failed',
      workflow_id: `booking/${attempt.bookingId}`,
      amount_minor: priceMinor,
      currency: 'USD',
    });
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['refund-failed']);
    await eventually('the search attribute', () => needsAttention(attempt.handle.workflowId));
    await expectBooksToBalance(world);
    await resolve(world, await openCaseOf(world, attempt.bookingId), 'mark-settled');
    await outcomeOf(attempt);
  });

  test('is sent again under a new key when the operator says so', async () => {
    const attempt = await payWith({ mode: 'failed', times: 1 });
    await reaches(world, attempt.bookingId, 'needs_attention');
    await resolve(world, await openCaseOf(world, attempt.bookingId), 'retry-refund');
    expect(await outcomeOf(attempt)).toBe('refunded');
    const ledger = await ledgerFor(world, attempt.bookingId);
    expect(ledger.refunds).toMatchObject([
      { status: 'failed', metadata: { go: '1' } },
      { status: 'succeeded', metadata: { go: '2' } },
    ]);
    expect(ledger.returnedMinor).toBe(priceMinor);
    const [refund] = await refundsOf(world, attempt.bookingId);
    const keys = ledger.requests
      .filter((request) => request.idempotencyKey?.startsWith(`${refund?.id}-`))
      .map((request) => request.idempotencyKey);
    expect(new Set(keys).size).toBe(2);
    expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded', 'refund-failed']);
    await eventually(
      'the search attribute',
      async () => (await needsAttention(attempt.handle.workflowId)) === false,
    );
  });

  test('that fails again is another case, and the first stays as it was decided', async () => {
    const attempt = await payWith({ mode: 'failed' });
    const first = await openCaseOf(world, attempt.bookingId);
    await resolve(world, first, 'retry-refund');
    const second = await eventually('a second case', async () => {
      const found = await openCaseOf(world, attempt.bookingId);
      return found.id !== first.id && found;
    });
    expect(await reaches(world, attempt.bookingId, 'needs_attention')).toBeDefined();
    await resolve(world, second, 'mark-settled');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(
      await world.db('cases').where({ booking_id: attempt.bookingId }).orderBy('opened_at'),
    ).toMatchObject([{ resolution: 'retry-refund' }, { resolution: 'mark-settled' }]);
  });

  test('can be settled by other means: refunded, and nothing more is sent', async () => {
    const attempt = await payWith({ mode: 'failed' });
    const found = await openCaseOf(world, attempt.bookingId);
    await resolve(world, found, 'mark-settled');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await refundsOf(world, attempt.bookingId)).toMatchObject([{ status: 'succeeded', go: 1 }]);
    expect((await ledgerFor(world, attempt.bookingId)).refunds).toMatchObject([{ status: 'failed' }]);
    expect(await world.db('cases').where({ id: found.id }).first()).toMatchObject({
      resolution: 'mark-settled',
      resolved_by: 'olga',
    });
  });

  test('is decided once: the second of two operators changes nothing', async () => {
    const attempt = await payWith({ mode: 'failed', times: 1 });
    const found = await openCaseOf(world, attempt.bookingId);
    await resolve(world, found, 'mark-settled');
    await resolve(world, found, 'retry-refund').catch(() => undefined);
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await refundsOf(world, attempt.bookingId)).toMatchObject([{ status: 'succeeded', go: 1 }]);
    expect((await ledgerFor(world, attempt.bookingId)).refunds).toHaveLength(1);
  });

  test('stays open when the operator’s word does not fit the case', async () => {
    const attempt = await payWith({ mode: 'failed', times: 1 });
    const found = await openCaseOf(world, attempt.bookingId);
    await resolve(world, found, 'resend');
    await resolve(world, { ...found, id: 'cas_another' }, 'mark-settled');
    await resolve(world, found, 'retry-refund');
    expect(await outcomeOf(attempt)).toBe('refunded');
    expect(await world.db('cases').where({ id: found.id }).first()).toMatchObject({
      resolution: 'retry-refund',
    });
    expect((await ledgerFor(world, attempt.bookingId)).returnedMinor).toBe(priceMinor);
  });
});

describe('a refund that fails after it had succeeded', () => {
  test.each(['retry-refund', 'mark-settled'] as const)(
    'opens a case with a workflow of its own, and %s settles it',
    async (action) => {
      const attempt = await payWith({ mode: 'fail-after-success', times: 1 });
      expect(await outcomeOf(attempt)).toBe('refunded');
      const [refund] = await refundsOf(world, attempt.bookingId);
      await world.sandbox.failRefund(refund?.gateway_refund_id ?? '');
      await reaches(world, attempt.bookingId, 'needs_attention');
      const found = await openCaseOf(world, attempt.bookingId);
      expect(found).toMatchObject({ kind: 'refund-failed', workflow_id: `case/${found.id}` });
      await expectBooksToBalance(world);
      await eventually('the case’s workflow', () => needsAttention(found.workflow_id).catch(() => false));
      await resolve(world, found, action);
      await world.temporal.workflow.getHandle(found.workflow_id).result();
      await reaches(world, attempt.bookingId, 'refunded');
      const ledger = await ledgerFor(world, attempt.bookingId);
      expect(ledger.returnedMinor).toBe(action === 'retry-refund' ? priceMinor : 0);
      expect(await messagesOf(world, attempt.bookingId)).toEqual(['payment-refunded', 'refund-failed']);
    },
  );

  test.each(['retry-refund', 'mark-settled'] as const)(
    'stays as %s decided when the same bad news is being read meanwhile',
    async (action) => {
      const attempt = await payWith({ mode: 'fail-after-success', times: 1 });
      expect(await outcomeOf(attempt)).toBe('refunded');
      const [refund] = await refundsOf(world, attempt.bookingId);
      await world.sandbox.failRefund(refund?.gateway_refund_id ?? '');
      const found = await openCaseOf(world, attempt.bookingId);
      const looking = world.temporal.workflow.getHandle(reconcileWorkflowId('stripe', attempt.ref));
      await looking.result();
      const gate = `bad news ${attempt.bookingId}`;
      const match = { paymentIntent: attempt.ref };
      await world.sandbox.gate({ name: gate, operation: 'refunds.retrieve', when: 'after', match });
      const { events } = await world.sandbox.ledger();
      const failed = events.find(
        (event) => event.paymentIntent === attempt.ref && event.type === 'refund.failed',
      );
      await world.sandbox.resend(failed?.id ?? '', 1);
      await world.sandbox.waitForGate(gate, 1);
      await resolve(world, found, action);
      await world.temporal.workflow.getHandle(found.workflow_id).result();
      await world.sandbox.releaseGate(gate);
      await looking.result();
      await reaches(world, attempt.bookingId, 'refunded');
      expect(await world.db('cases').where({ booking_id: attempt.bookingId })).toHaveLength(1);
      expect(await refundsOf(world, attempt.bookingId)).toMatchObject([{ status: 'succeeded' }]);
      const { returnedMinor } = await ledgerFor(world, attempt.bookingId);
      expect(returnedMinor).toBe(action === 'retry-refund' ? priceMinor : 0);
    },
  );
});
