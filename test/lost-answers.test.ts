/**
 * Every call to Stripe whose answer is lost, refused or late, with the deed done and not done: the attempt ends right,
 * nothing happens twice, nothing is lost. Unknown is never a decline and never a refund.
 */
import type { FaultSpec, OperationName } from '../sandbox/stripe/switches';
import {
  addSlot,
  attemptRow,
  closeOffering,
  expectBooksToBalance,
  ledgerFor,
  messagesOf,
  newBookingId,
  openAttempt,
  outcomeOf,
  pay,
  payable,
  priceMinor,
  refundsOf,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { eventually, startWorld, type World } from './world';

type Kind = Exclude<FaultSpec['kind'], 'delay'>;

/** The official package tries once more by itself when a connection breaks, so it takes two to lose an answer. */
const strikes: Record<Kind, number> = {
  'lost-done': 2,
  'lost-undone': 2,
  'hang-done': 1,
  'hang-undone': 1,
  'status-429': 1,
  'status-500-done': 1,
  'status-500-undone': 1,
  'malformed-done': 1,
};
const kinds = Object.keys(strikes) as Kind[];

/** A story that makes the call, with the fault aimed at its attempt, played to its end. */
const stories: Record<string, { operation: OperationName; play: (strike: Strike) => Promise<Attempt> }> = {
  open: {
    operation: 'payment_intents.create',
    play: async (strike) => {
      const bookingId = newBookingId();
      await strike(bookingId);
      const attempt = await startAttempt(world, { bookingId });
      await pay(world, await payable(world, bookingId));
      return attempt;
    },
  },
  read: {
    operation: 'payment_intents.retrieve',
    play: async (strike) => {
      const attempt = await openAttempt(world);
      await strike(attempt.bookingId);
      await pay(world, attempt.ref);
      return attempt;
    },
  },
  close: {
    operation: 'payment_intents.cancel',
    play: async (strike) => {
      const attempt = await openAttempt(world);
      await strike(attempt.bookingId);
      await attempt.handle.cancel();
      return attempt;
    },
  },
  refund: {
    operation: 'refunds.create',
    play: async (strike) => {
      const attempt = await openAttempt(world);
      await closeOffering(world, attempt.offeringId);
      await strike(attempt.bookingId);
      await pay(world, attempt.ref);
      return attempt;
    },
  },
  'look for the refund': {
    operation: 'refunds.list',
    play: async (strike) => {
      const attempt = await openAttempt(world);
      await closeOffering(world, attempt.offeringId);
      await strike(attempt.bookingId);
      await pay(world, attempt.ref);
      return attempt;
    },
  },
  'read the refund': {
    operation: 'refunds.retrieve',
    play: async (strike) => {
      const attempt = await openAttempt(world);
      await closeOffering(world, attempt.offeringId);
      await world.sandbox.refundMode({ mode: 'pending', match: { paymentIntent: attempt.ref } });
      await pay(world, attempt.ref);
      const refundId = await eventually('a pending refund', async () => {
        const [refund] = await refundsOf(world, attempt.bookingId);
        return refund?.status === 'pending' && (refund.gateway_refund_id ?? undefined);
      });
      await strike(attempt.bookingId);
      await world.sandbox.settleRefund(refundId, 'succeeded');
      return attempt;
    },
  },
};

type Strike = (bookingId: string) => Promise<void>;

interface Played {
  attempt: Attempt;
  outcome: string;
}

let world: World;
const played = new Map<string, Promise<Played>>();

beforeAll(async () => {
  world = await startWorld({ standing: false });
  for (const [name, { operation, play }] of Object.entries(stories)) {
    for (const kind of kinds) {
      const strike: Strike = (bookingId) =>
        world.sandbox.fault({ kind, operation, times: strikes[kind], match: { metadata: { bookingId } } });
      const story = play(strike).then(async (attempt) => ({ attempt, outcome: await outcomeOf(attempt) }));
      // Whoever tests it hears of a failure; until then it is not unhandled.
      story.catch(() => undefined);
      played.set(`${name} ${kind}`, story);
    }
  }
});

afterAll(async () => {
  await Promise.race([Promise.allSettled(played.values()), new Promise((go) => setTimeout(go, 1_000))]);
  await world.stop();
});

async function playedTo(name: string, kind: Kind, outcome: string) {
  const story = await played.get(`${name} ${kind}`);
  if (story === undefined) throw new Error('Bug: no such story');
  expect(story.outcome).toBe(outcome);
  const { bookingId } = story.attempt;
  const ledger = await ledgerFor(world, bookingId);
  const { operation } = stories[name] ?? {};
  const struck = ledger.requests.filter(
    (request) => request.operation === operation && request.fault === kind,
  );
  // The fault really struck, as often as it was told to, in one attempt of each kind.
  expect(struck.length).toBeGreaterThanOrEqual(strikes[kind]);
  return { bookingId, ledger, attempt: await attemptRow(world, bookingId) };
}

describe.each(['open', 'read'])('%s without a usable answer', (name) => {
  test.each(kinds)('%s: paid once, booked once, and never taken for a decline', async (kind) => {
    const { bookingId, ledger, attempt } = await playedTo(name, kind, 'confirmed');
    expect(attempt).toMatchObject({ status: 'confirmed', failure: null });
    expect(ledger.paid).toHaveLength(1);
    expect(ledger.refunds).toEqual([]);
    // Stripe keeps a 500 for its key, so the object behind it is lost: nobody holds its secret.
    const lost = name === 'open' && kind === 'status-500-done' ? 1 : 0;
    expect(ledger.payable).toHaveLength(lost);
    expect(ledger.intents).toHaveLength(1 + lost);
    expect(await world.db('bookings').where({ id: bookingId })).toHaveLength(1);
    expect(await messagesOf(world, bookingId)).toEqual(['booking-confirmed']);
  });
});

describe('close without a usable answer', () => {
  test.each(kinds)('%s: canceled only once Stripe says the payment is closed', async (kind) => {
    const { bookingId, ledger } = await playedTo('close', kind, 'canceled');
    expect(ledger.intents).toMatchObject([{ status: 'canceled' }]);
    expect(ledger.paid).toEqual([]);
    expect(await messagesOf(world, bookingId)).toEqual([]);
  });
});

describe.each(['refund', 'look for the refund', 'read the refund'])('%s without a usable answer', (name) => {
  test.each(kinds)('%s: given back once and in full', async (kind) => {
    const { bookingId, ledger, attempt } = await playedTo(name, kind, 'refunded');
    expect(attempt).toMatchObject({ status: 'refunded', failure: { type: 'offering-closed' } });
    expect(ledger.paid).toHaveLength(1);
    expect(ledger.refunds).toMatchObject([{ amount: priceMinor, status: 'succeeded' }]);
    expect(await refundsOf(world, bookingId)).toMatchObject([
      { status: 'succeeded', amount_minor: priceMinor, gateway_refund_id: ledger.refunds[0]?.id, go: 1 },
    ]);
    expect(await messagesOf(world, bookingId)).toEqual(['payment-refunded']);
    expect(await world.db('cases').where({ booking_id: bookingId })).toEqual([]);
  });
});

test('a payment that settles while its close gets no answer is booked, not lost', async () => {
  const attempt = await openAttempt(world);
  await world.sandbox.gate({
    name: 'close',
    operation: 'payment_intents.cancel',
    when: 'before',
    match: { paymentIntent: attempt.ref },
  });
  await attempt.handle.cancel();
  await world.sandbox.waitForGate('close', 1);
  // The webhook is held back: only the close itself can find the money.
  await world.sandbox.webhookFault({
    kind: 'drop',
    event: '*',
    times: null,
    match: { paymentIntent: attempt.ref },
  });
  await pay(world, attempt.ref);
  await world.sandbox.fault({
    kind: 'lost-undone',
    operation: 'payment_intents.cancel',
    times: 2,
    match: { paymentIntent: attempt.ref },
  });
  await world.sandbox.releaseGate('close');
  expect(await outcomeOf(attempt)).toBe('confirmed');
  expect((await ledgerFor(world, attempt.bookingId)).refunds).toEqual([]);
});

test('while Stripe is away for all calls nothing is decided, and afterwards all is', async () => {
  await Promise.allSettled(played.values());
  const starting = newBookingId();
  const offeringId = await addSlot(world);
  const late = await openAttempt(world);
  await world.sandbox.setKeepAliveDown(true);
  const started = await startAttempt(world, { bookingId: starting, offeringId });
  await late.handle.cancel();
  await eventually('the attempt without a payment object', async () => attemptRow(world, starting));
  expect(await attemptRow(world, late.bookingId)).toMatchObject({
    status: 'awaiting_payment',
    failure: null,
  });
  await world.sandbox.setKeepAliveDown(false);
  expect(await outcomeOf(late)).toBe('canceled');
  await pay(world, await payable(world, starting));
  expect(await outcomeOf(started)).toBe('confirmed');
});

test('after all of it the books balance', async () => {
  await Promise.allSettled(played.values());
  await expectBooksToBalance(world);
});
