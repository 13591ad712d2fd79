/**
 * Every call to every gateway whose answer is lost, refused or late, with the deed done and not done: the attempt ends right,
 * nothing happens twice, nothing is lost. Unknown is never a decline and never a refund.
 */
import type { FaultKind } from '../sandbox/gateway/switches';
import { calls, faultKindsAt, type AtGateway, type Call } from './at-gateways';
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { gatewayOf } from './book-setup';
import {
  addSlot,
  attemptRow,
  closeOffering,
  expectBooksToBalance,
  messagesOf,
  newBookingId,
  openAttempt,
  outcomeOf,
  payAt,
  priceMinor,
  refundsOf,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { gatewayNames } from './tiers';
import { eventually, startWorld, type World } from './world';

type Strike = (bookingId: string) => Promise<void>;

/** A story that makes the call, with the fault aimed at its attempt, up to where it must end by itself. */
const stories: Record<Call, (at: AtGateway, strike: Strike) => Promise<Attempt>> = {
  open: async (at, strike) => {
    const bookingId = newBookingId();
    await strike(bookingId);
    const attempt = await startAttempt(world, { bookingId, method: at.method });
    await payAt(at, world, bookingId);
    return attempt;
  },
  read: async (at, strike) => {
    const attempt = await openAttempt(world, at.method);
    await strike(attempt.bookingId);
    await payAt(at, world, attempt.bookingId);
    return attempt;
  },
  close: async (at, strike) => {
    const attempt = await openAttempt(world, at.method);
    await strike(attempt.bookingId);
    await attempt.handle.cancel();
    return attempt;
  },
  refund: payForNothing,
  'look for the refund': payForNothing,
  'read the refund': async (at, strike) => {
    const attempt = await openAttempt(world, at.method);
    await closeOffering(world, attempt.offeringId);
    await at.leaveRefundsPending(attempt.bookingId);
    await payAt(at, world, attempt.bookingId);
    const refundRef = await eventually('a pending refund', async () => {
      const [refund] = await refundsOf(world, attempt.bookingId);
      return refund?.status === 'pending' && (refund.gateway_refund_id ?? undefined);
    });
    await strike(attempt.bookingId);
    await at.settleRefund(refundRef, 'succeeded');
    return attempt;
  },
};

async function payForNothing(at: AtGateway, strike: Strike): Promise<Attempt> {
  const attempt = await openAttempt(world, at.method);
  await closeOffering(world, attempt.offeringId);
  await strike(attempt.bookingId);
  await payAt(at, world, attempt.bookingId);
  return attempt;
}

/**
 * Payment objects that a lost answer leaves behind for good, because nobody can learn any more how they are paid: Stripe
 * keeps a 500 for its key, and PhonePe may refuse the id of an order whose page was told to nobody.
 */
const leftBehind: Record<string, (kind: FaultKind) => boolean> = {
  stripe: (kind) => kind === 'status-500-done',
  razorpay: () => false,
  phonepe: (kind) => kind.endsWith('-done'),
};

let world: World;
beforeAll(async () => {
  world = await startWorld({ standing: false, gateways: [await atRazorpay(), await atPhonepe()] });
});
afterAll(() => world.stop());

describe.each(gatewayNames)('%s', (method) => {
  const played = new Map<string, Promise<{ attempt: Attempt; outcome: string }>>();
  let at: AtGateway;

  beforeAll(() => {
    at = gatewayOf(world, method);
    for (const call of calls) {
      for (const kind of faultKindsAt(method)) {
        const attempt = stories[call](at, (bookingId) => at.fault(kind, call, bookingId));
        const story = attempt.then(async (one) => ({ attempt: one, outcome: await outcomeOf(one) }));
        // Whoever tests it hears of a failure; until then it is not unhandled.
        story.catch(() => undefined);
        played.set(`${call} ${kind}`, story);
      }
    }
  });
  afterAll(() => Promise.allSettled(played.values()));

  async function playedTo(call: Call, kind: FaultKind, outcome: string) {
    const story = await played.get(`${call} ${kind}`);
    if (story === undefined) throw new Error('Bug: no such story');
    expect(story.outcome).toBe(outcome);
    // The fault really struck, as often as it was told to.
    expect(await at.struck(kind, call)).toBeGreaterThanOrEqual(at.strikes[kind] ?? Infinity);
    const { bookingId } = story.attempt;
    return {
      bookingId,
      ledger: await at.ledgerOf(bookingId),
      attempt: await attemptRow(world, bookingId),
    };
  }

  describe.each(['open', 'read'] as const)('%s without a usable answer', (call) => {
    test.each(faultKindsAt(method))(
      '%s: paid once, booked once, and never taken for a decline',
      async (kind) => {
        const { bookingId, ledger, attempt } = await playedTo(call, kind, 'confirmed');
        expect(attempt).toMatchObject({ status: 'confirmed', failure: null });
        const lost = call === 'open' && leftBehind[method]?.(kind) ? 1 : 0;
        expect(ledger).toMatchObject({ charges: 1, capturedMinor: priceMinor, refundRefs: [] });
        expect([ledger.objects.length, ledger.payable.length]).toEqual([1 + lost, lost]);
        expect(await world.db('bookings').where({ id: bookingId })).toHaveLength(1);
        expect(await messagesOf(world, bookingId)).toEqual(['booking-confirmed']);
      },
    );
  });

  describe('close without a usable answer', () => {
    test.each(faultKindsAt(method))(
      '%s: canceled only once the gateway says that the payment is closed, or that it is unpaid and stays watched',
      async (kind) => {
        const { bookingId, ledger } = await playedTo('close', kind, 'canceled');
        const { objects } = ledger;
        expect(objects).toHaveLength(1);
        expect(ledger).toMatchObject({ charges: 0, payable: at.closes ? [] : objects });
        const tries = await world.db('payment_tries').where({ booking_id: bookingId });
        expect(tries).toMatchObject([
          at.closes
            ? { status: 'closed', next_look_at: null }
            : { status: 'open', next_look_at: expect.any(Date) },
        ]);
        expect(await messagesOf(world, bookingId)).toEqual([]);
      },
    );
  });

  describe.each(['refund', 'look for the refund', 'read the refund'] as const)(
    '%s without a usable answer',
    (call) => {
      test.each(faultKindsAt(method))('%s: given back once and in full', async (kind) => {
        const { bookingId, ledger, attempt } = await playedTo(call, kind, 'refunded');
        expect(attempt).toMatchObject({ status: 'refunded', failure: { type: 'offering-closed' } });
        expect(ledger).toMatchObject({ charges: 1, refunds: 1, refundedMinor: priceMinor });
        expect(ledger.refundRefs).toHaveLength(1);
        expect(await refundsOf(world, bookingId)).toMatchObject([
          {
            status: 'succeeded',
            amount_minor: priceMinor,
            gateway_refund_id: ledger.refundRefs[0],
            go: 1,
          },
        ]);
        expect(await messagesOf(world, bookingId)).toEqual(['payment-refunded']);
        expect(await world.db('cases').where({ booking_id: bookingId })).toEqual([]);
      });
    },
  );

  test('a payment that settles while its close gets no answer is booked, not lost', async () => {
    const { bookingId, handle, offeringId } = await openAttempt(world, method);
    const gate = await at.gate('close', bookingId);
    await handle.cancel();
    await gate.hold();
    // The webhook is held back: only the close itself can find the money.
    await at.silence(bookingId);
    await payAt(at, world, bookingId);
    await at.fault('lost-undone', 'close', bookingId);
    await gate.release();
    expect(await outcomeOf({ bookingId, handle, offeringId })).toBe('confirmed');
    expect(await at.ledgerOf(bookingId)).toMatchObject({ charges: 1, refundRefs: [] });
  });

  test('while the gateway is away for all calls nothing is decided, and afterwards all is', async () => {
    await Promise.allSettled(played.values());
    const starting = newBookingId();
    const offeringId = await addSlot(world, 1, at.currency);
    const late = await openAttempt(world, method);
    await at.down(true);
    const started = await startAttempt(world, { bookingId: starting, offeringId, method });
    await late.handle.cancel();
    await eventually('the attempt without a payment object', async () => attemptRow(world, starting));
    expect(await attemptRow(world, late.bookingId)).toMatchObject({
      status: 'awaiting_payment',
      failure: null,
    });
    await at.down(false);
    expect(await outcomeOf(late)).toBe('canceled');
    await payAt(at, world, starting);
    expect(await outcomeOf(started)).toBe('confirmed');
  });

  test('after all of it the books balance', async () => {
    await Promise.allSettled(played.values());
    await expectBooksToBalance(world);
  });
});
