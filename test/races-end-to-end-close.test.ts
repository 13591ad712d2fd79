/**
 * Paying against the end of the window and against canceling, at every gateway. Where the payment can be closed, it is, and
 * only then the attempt ends: so who pays is confirmed or cannot pay any more. Where it cannot, who pays too late has all the
 * money back.
 */
import type { Activities } from '../src/activities';
import { atPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { gatewayOf, outcomeOf, priceMinor, publish, Shopper, tracesOf } from './book-setup';
import { endOf, playRounds, type Ended } from './races-end-to-end-setup';
import { gatewayNames, roundsAt, type GatewayName } from './tiers';
import { eventually, startWorld, type World } from './world';

/** When the customer pays: before the gateway has been asked to close the payment, after it has, or at the very moment. */
const moments = ['before', 'after', 'meanwhile'] as const;
type Moment = (typeof moments)[number];

const momentOf = (round: number): Moment => moments[round % moments.length] as Moment;

interface Round extends Ended {
  moment: Moment;
  /** Whether the gateway took the payment. */
  taken: boolean;
}

/**
 * One customer who pays while the gateway is asked to close the payment.
 * @param close what leads to the close
 */
async function payAtTheClose(
  world: World,
  method: GatewayName,
  round: number,
  close: (shopper: Shopper, id: string) => unknown,
) {
  const at = gatewayOf(world, method);
  const moment = momentOf(round);
  const shopper = new Shopper(world);
  const slot = await publish(world, { price: { amountMinor: priceMinor, currency: at.currency } });
  const key = `${method}-${round}`;
  const id = shopper.bookingId(key);
  const gate = await at.gate('close', id, moment === 'after' ? 'after' : 'before');
  const booking = await shopper.start(slot, key, method);
  const closing = Promise.resolve(close(shopper, id));
  await gate.hold();
  let taken: boolean;
  if (moment === 'meanwhile') {
    [taken] = await Promise.all([at.pay(booking), gate.release()]);
  } else {
    taken = await at.pay(booking);
    await gate.release();
  }
  await closing;
  return { moment, taken, shopper, id };
}

/** How it ended, once late money is back where the gateway took it in spite of everything. */
async function endAndReturn(world: World, shopper: Shopper, id: string): Promise<Ended> {
  if ((await outcomeOf(world, id)) !== 'confirmed')
    await eventually('late money back and told of', async () => {
      const { capturedMinor, refundedMinor, messages } = await tracesOf(world, id);
      return capturedMinor === refundedMinor && messages.length === Math.sign(capturedMinor);
    });
  return endOf(world, shopper, id);
}

/** Rounds that broke the promise of a gateway that closes: who pays inside the window, and it says yes, is confirmed. */
function broken(results: readonly Pick<Round, 'taken' | 'outcome'>[]): unknown[] {
  return results.filter(({ taken, outcome }) => taken !== (outcome === 'confirmed'));
}

function expectAllKept(closes: boolean, results: readonly Round[], otherwise: string): void {
  if (closes) expect(broken(results)).toEqual([]);
  const confirmed = { outcome: 'confirmed', capturedMinor: priceMinor, refundedMinor: 0 };
  const unpaid = { outcome: otherwise, capturedMinor: 0, refundedMinor: 0 };
  const late = { outcome: otherwise, capturedMinor: priceMinor, refundedMinor: priceMinor };
  for (const { moment, taken, ...ended } of results) {
    if (moment === 'before') expect({ taken, ...ended }).toEqual({ taken: true, ...confirmed });
    if (moment === 'after')
      expect({ taken, ...ended }).toEqual({ taken: !closes, ...(closes ? unpaid : late) });
    if (moment === 'meanwhile')
      expect(taken ? [confirmed, ...(closes ? [] : [late])] : [unpaid]).toContainEqual(ended);
  }
}

describe('with the payment closed, or left to the watch, before the attempt ends', () => {
  let world: World;
  let hasty: World;
  beforeAll(async () => {
    const begin = async (windowSeconds: number) =>
      startWorld({ windowSeconds, gateways: [await atRazorpay(), await atPhonepe()] });
    [world, hasty] = await Promise.all([begin(900), begin(5)]);
  });
  afterAll(() => Promise.all([world.stop(), hasty.stop()]));

  describe.each(gatewayNames)('%s', (method) => {
    const rounds = roundsAt(method);

    test('who pays as the window ends is confirmed, or cannot pay any more, or has the money back', async () => {
      const results = await playRounds(
        10,
        async (round) => {
          const { moment, taken, shopper, id } = await payAtTheClose(hasty, method, round, () => undefined);
          return { moment, taken, ...(await endAndReturn(hasty, shopper, id)) };
        },
        rounds,
      );
      expect(results).toHaveLength(rounds);
      expectAllKept(gatewayOf(hasty, method).closes, results, 'expired');
    });

    test('who pays while canceling is told what it came to, and is confirmed, cannot pay, or has the money back', async () => {
      const results = await playRounds(
        5,
        async (round) => {
          let told: unknown;
          const { moment, taken, shopper, id } = await payAtTheClose(
            world,
            method,
            round,
            async (customer, bookingId) => {
              const { status, body } = await customer.cancel(bookingId);
              told = { status, became: body.status };
            },
          );
          const ended = await endAndReturn(world, shopper, id);
          expect(told).toEqual({ status: 200, became: ended.outcome });
          return { moment, taken, ...ended };
        },
        rounds,
      );
      expect(results).toHaveLength(rounds);
      expectAllKept(gatewayOf(world, method).closes, results, 'canceled');
    });
  });
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
        const { taken, id } = await payAtTheClose(world, 'stripe', round * 3, (shopper, bookingId) =>
          cancels ? shopper.cancel(bookingId) : undefined,
        );
        const outcome = await outcomeOf(world, id);
        const { capturedMinor } = await tracesOf(world, id);
        return { taken, outcome, capturedMinor };
      },
      3,
    );
    expect(broken(results)).toEqual([
      { taken: true, outcome: 'canceled', capturedMinor: priceMinor },
      { taken: true, outcome: 'expired', capturedMinor: priceMinor },
      { taken: true, outcome: 'canceled', capturedMinor: priceMinor },
    ]);
  } finally {
    await world.stop();
  }
});
