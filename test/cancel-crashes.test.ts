/** The worker's process is killed while it undoes bookings; an ordinary worker then takes over, and money goes back once. */
import type { CrashPoint } from './crash-worker';
import { buildCrashWorker, startDyingWorker, type DyingWorker } from './crashes-setup';
import { priceMinor, publish } from './book-setup';
import { bookAndPay, callOff, expectMoneyToBalance, undone } from './cancel-setup';
import { startWorld, type World } from './world';

/** How long until a death in a regular activity is noticed and what it left is done, in ms. */
const patience = 150_000;

const worlds: World[] = [];
const dying: DyingWorker[] = [];
beforeAll(() => buildCrashWorker());
afterAll(async () => {
  for (const worker of dying) worker.stop();
  await Promise.all(worlds.map((world) => world.stop()));
});

/** Books seats, lets another worker die while it undoes them, and gives what is left once an ordinary one has taken over. */
async function play(point: CrashPoint, seats: number, by: 'customer' | 'provider') {
  const world = await startWorld({ standing: false, worker: false });
  worlds.push(world);
  const first = await world.startWorker();
  const slot = await publish(world, { capacity: seats });
  const booked = await Promise.all(Array.from({ length: seats }, () => bookAndPay(world, slot)));
  await first.stop();
  const worker = startDyingWorker(world, world.taskQueue, point);
  dying.push(worker);
  const [one] = booked;
  // Nobody may be there to answer.
  const asked = by === 'provider' ? callOff(world, slot) : one?.shopper.cancel(one.id);
  const death = await worker.death;
  await world.startWorker();
  await asked;
  for (const { shopper, id } of booked) await shopper.until(id, 'refunded', patience);
  await expectMoneyToBalance(world);
  return { death, left: await Promise.all(booked.map(({ id }) => undone(world, id))) };
}

test.concurrent.each<[string, CrashPoint, number, 'customer' | 'provider']>([
  ['before a cancellation is written', { statement: 'cancel_booking', when: 'before' }, 1, 'customer'],
  ['while a cancellation is under way', { statement: 'cancel_booking', when: 'during' }, 1, 'customer'],
  ['after a cancellation was written', { statement: 'cancel_booking', when: 'after' }, 1, 'customer'],
  ['after its refund was made', { call: 'refund', when: 'after' }, 1, 'customer'],
  ['after an offering was closed', { statement: 'call_off', when: 'after' }, 3, 'provider'],
  [
    'after the first of its bookings was undone',
    { statement: 'cancel_booking', when: 'after' },
    3,
    'provider',
  ],
  ['after the first of its refunds was made', { call: 'refund', when: 'after' }, 3, 'provider'],
])(
  'killed %s: each booking is given back once, and told once',
  async (_, point, seats, by) => {
    const { death, left } = await play(point, seats, by);
    expect(death).toMatchObject({ signal: 'SIGKILL', said: 'dying\n' });
    expect(left).toEqual(
      Array.from({ length: seats }, () => ({
        status: 'refunded',
        booking: 'canceled',
        seats: 0,
        messages: ['booking-canceled', 'booking-confirmed', 'payment-refunded'],
        capturedMinor: priceMinor,
        refundedMinor: priceMinor,
        refunds: 1,
      })),
    );
  },
  patience + 60_000,
);
