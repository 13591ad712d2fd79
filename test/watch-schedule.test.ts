/**
 * When the payment watch looks at an order of PhonePe's, on a clock that the test moves by moving the rows' instants: PhonePe
 * calls its schedule mandatory. Source: developer.phonepe.com …/standard-checkout/api-integration/api-reference/order-status
 * (read 2026-11), written down here once more, in PhonePe's own terms.
 */
import type { Gateway } from '../src/gateways/gateway';
import { atPhonepe } from './at-phonepe';
import { priceMinor, publish, Shopper } from './book-setup';
import { oneRound } from './till-gateways';
import { startWorld, type World } from './world';

/** The first look, in seconds after opening. */
const first = { from: 20, to: 25 };
/** Then every so many seconds, for so many seconds. */
const published = [
  { every: 3, during: 30 },
  { every: 6, during: 60 },
  { every: 10, during: 60 },
  { every: 30, during: 60 },
];
/** Then each minute, until the order ends. */
const thenEvery = 60;
const windowSeconds = 900;

/**
 * Between two rounds of the watch, in seconds: as in `watch.ts` while looks are close together, and later coarser. The last gap of
 * ten seconds ends at 175, and up to half a second later for each of the 26 gaps before.
 */
const stepAt = (clock: number): number => (clock < 190 ? 0.5 : 5);

const gaps = published.flatMap(({ every, during }) => Array<number>(during / every).fill(every));
const gapBefore = (look: number): number => gaps[look - 1] ?? thenEvery;

/**
 * Sets an attempt's clock to so many seconds after its order was opened, by moving its instants. What the machine took since
 * the last step does not count, so that steps are as small on a slow one.
 */
async function setClock(world: World, bookingId: string, seconds: number): Promise<void> {
  const columns = ['opened_at', 'next_look_at', 'watch_until'];
  const moved = (column: string) =>
    world.db.raw('?? + (now() - opened_at) - make_interval(secs => ?)', [column, seconds]);
  await world
    .db('payment_tries')
    .where({ booking_id: bookingId })
    .update(Object.fromEntries(columns.map((column) => [column, moved(column)])));
}

/**
 * Seconds after the opening of an order that nobody pays at which PhonePe is asked for it.
 * @param change the watch's schedule, where it is not the adapter's
 */
async function looksAt(until: number, change: Partial<Gateway['capabilities']> = {}): Promise<number[]> {
  const phonepe = await atPhonepe();
  const world = await startWorld({
    gateways: [phonepe],
    standing: false,
    windowSeconds,
    wrapGateway: (gateway) => ({ ...gateway, capabilities: { ...gateway.capabilities, ...change } }),
  });
  try {
    const price = { amountMinor: priceMinor, currency: 'INR' };
    const booking = await new Shopper(world).start(await publish(world, { price }), undefined, 'phonepe');
    const looks: number[] = [];
    let clock = 0;
    let asked = await phonepe.asked('read');
    while (clock < until) {
      clock += stepAt(clock);
      await setClock(world, booking.id, clock);
      await oneRound(world.dependencies);
      const now = await phonepe.asked('read');
      looks.push(...Array<number>(now - asked).fill(clock));
      asked = now;
    }
    return looks;
  } finally {
    await world.stop();
  }
}

/** Gaps that are off the published ones by more than a fifth, and a first look that is not in its time. */
function offSchedule(looks: readonly number[]): unknown[] {
  const [begin = NaN] = looks;
  const gapsSeen = looks
    .slice(1)
    .map((at, n) => ({ gap: at - (looks[n] ?? NaN), published: gapBefore(n + 1) }));
  return [
    ...(begin >= first.from && begin <= first.to ? [] : [{ begin }]),
    ...gapsSeen.filter(({ gap, published: wanted }) => Math.abs(gap / wanted - 1) > 0.2),
  ];
}

test('an unpaid order is looked at within 20 % of the published schedule until its window ends', async () => {
  const looks = await looksAt(windowSeconds);
  expect(offSchedule(looks)).toEqual([]);
  const rest = windowSeconds - first.from - gaps.reduce((sum, gap) => sum + gap, 0);
  const times = 1 + gaps.length + rest / thenEvery;
  expect(Math.abs(looks.length / times - 1)).toBeLessThanOrEqual(0.2);
});

test('control: a watch on another gateway’s schedule is off', async () => {
  expect(offSchedule(await looksAt(130, { lookSchedule: [15, 30, 60, 120] }))).not.toEqual([]);
});
