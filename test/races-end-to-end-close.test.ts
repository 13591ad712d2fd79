/** Paying against the end of the window and against canceling: the payment is closed first, and only then the attempt. */
import type { Activities } from '../src/activities';
import { pay, priceMinor, publish, Shopper, tracesOf, outcomeOf } from './book-setup';
import { endOf, gateFor, playRounds, rounds, type Ended } from './races-end-to-end-setup';
import { startWorld, type World } from './world';

/** When the customer pays: before Stripe has closed the payment, after it has, or at the very moment. */
const moments = ['before', 'after', 'meanwhile'] as const;
type Moment = (typeof moments)[number];

const momentOf = (round: number): Moment => moments[round % moments.length] as Moment;

interface Round extends Ended {
  moment: Moment;
  /** Stripe's answer to the card: 200 paid, 400 closed. */
  answer: number;
}

/**
 * One customer who pays while Stripe is asked to close the payment.
 * @param close what leads to the close
 */
async function payAtTheClose(world: World, round: number, close: (shopper: Shopper, id: string) => unknown) {
  const moment = momentOf(round);
  const shopper = new Shopper(world);
  const slot = await publish(world);
  const key = `round-${round}`;
  const id = shopper.bookingId(key);
  const when = moment === 'after' ? 'after' : 'before';
  const gate = await gateFor(world, id, 'payment_intents.cancel', when);
  const booking = await shopper.start(slot, key);
  const closing = Promise.resolve(close(shopper, id));
  await gate.hold();
  let answer: number;
  if (moment === 'meanwhile') {
    [answer] = await Promise.all([pay(world, booking), gate.release()]);
  } else {
    answer = await pay(world, booking);
    await gate.release();
  }
  await closing;
  return { moment, answer, shopper, id };
}

/** Rounds that broke the promise: who pays inside the window, and Stripe says yes, is confirmed. */
function broken(results: readonly Pick<Round, 'answer' | 'outcome'>[]): unknown[] {
  return results.filter(({ answer, outcome }) => (answer === 200) !== (outcome === 'confirmed'));
}

function expectAllKept(results: readonly Round[], otherwise: string): void {
  expect(results).toHaveLength(rounds);
  expect(broken(results)).toEqual([]);
  for (const { moment, answer, ...ended } of results) {
    if (moment !== 'meanwhile') expect(answer).toBe(moment === 'before' ? 200 : 400);
    const confirmed = { outcome: 'confirmed', capturedMinor: priceMinor, refundedMinor: 0 };
    const closed = { outcome: otherwise, capturedMinor: 0, refundedMinor: 0 };
    expect(ended).toEqual(answer === 200 ? confirmed : closed);
  }
}

describe('with the payment closed before the attempt', () => {
  let world: World;
  let hasty: World;
  beforeAll(async () => {
    [world, hasty] = await Promise.all([startWorld(), startWorld({ windowSeconds: 5 })]);
  });
  afterAll(() => Promise.all([world.stop(), hasty.stop()]));

  test('who pays as the window ends is confirmed, or cannot pay any more', async () => {
    const results = await playRounds(10, async (round) => {
      const { moment, answer, shopper, id } = await payAtTheClose(hasty, round, () => undefined);
      return { moment, answer, ...(await endOf(hasty, shopper, id)) };
    });
    expectAllKept(results, 'expired');
  }, 120_000);

  test('who pays while canceling is confirmed and told so, or cannot pay any more', async () => {
    const results = await playRounds(5, async (round) => {
      let told: unknown;
      const { moment, answer, shopper, id } = await payAtTheClose(
        world,
        round,
        async (customer, bookingId) => {
          const { status, body } = await customer.cancel(bookingId);
          told = { status, became: body.status };
        },
      );
      const ended = await endOf(world, shopper, id);
      expect(told).toEqual({ status: 200, became: ended.outcome });
      return { moment, answer, ...ended };
    });
    expectAllKept(results, 'canceled');
  }, 120_000);
});

test('control: with the attempt ended before its payment is closed, who pays meanwhile gets no booking', async () => {
  const endsFirst = (own: Activities): Activities => ({
    ...own,
    end: async (bookingId, outcome, heard) => {
      await world
        .db('attempts')
        .where({ booking_id: bookingId })
        .update({ status: outcome, ended_at: world.db.fn.now() });
      return own.end(bookingId, outcome, heard);
    },
  });
  const world = await startWorld({ windowSeconds: 5, wrapActivities: endsFirst });
  try {
    const results = await playRounds(
      3,
      async (round) => {
        const cancels = round % 2 === 0;
        // Round numbers that are multiples of three pay before the close.
        const { answer, id } = await payAtTheClose(world, round * 3, (shopper, bookingId) =>
          cancels ? shopper.cancel(bookingId) : undefined,
        );
        const outcome = await outcomeOf(world, id);
        const { capturedMinor } = await tracesOf(world, id);
        return { answer, outcome, capturedMinor };
      },
      3,
    );
    expect(broken(results)).toEqual([
      { answer: 200, outcome: 'canceled', capturedMinor: priceMinor },
      { answer: 200, outcome: 'expired', capturedMinor: priceMinor },
      { answer: 200, outcome: 'canceled', capturedMinor: priceMinor },
    ]);
  } finally {
    await world.stop();
  }
}, 60_000);
