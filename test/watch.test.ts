/** The payment watch: finds what no webhook told of, on the gateway's schedule, and goes on whatever happens to it. */
import { randomBytes } from 'node:crypto';
import { gapAfter } from '../src/activities/watch';
import type { Gateway } from '../src/gateways/gateway';
import { buildCrashWorker, startDyingWorker, withWorker } from './crashes-setup';
import {
  attemptRow,
  expectBooksToBalance,
  ledgerFor,
  messagesOf,
  openAttempt,
  outcomeOf,
  pay,
  payable,
  reaches,
  startAttempt,
  type Attempt,
} from './refunds-setup';
import { eventually, startWorld, type RunningWorker, type World } from './world';

const lookSchedule = [1, 2, 4];
const looksPerSecond = 4;

/** Every read at the gateway, in order; `at` in ms. */
let reads: { ref: string; at: number }[] = [];
/** Payment objects on which the adapter stumbles. */
const stumbling = new Set<string>();

function watched(gateway: Gateway): Gateway {
  return {
    ...gateway,
    capabilities: { ...gateway.capabilities, lookSchedule, looksPerSecond },
    read: async (ref) => {
      reads.push({ ref, at: performance.now() });
      if (stumbling.has(ref)) throw new Error('the adapter stumbles');
      return gateway.read(ref);
    },
  };
}

let world: World;
let worker: RunningWorker;
const started: Attempt[] = [];

beforeAll(async () => {
  world = await startWorld({ worker: false, wrapGateway: watched });
  worker = await world.startWorker();
  buildCrashWorker();
});
beforeEach(async () => {
  reads = [];
  await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null });
});
afterEach(async () => {
  stumbling.clear();
  await world.sandbox.clearFaults();
  // What stays unpaid would take its share of the looks from the next test.
  for (const attempt of started.splice(0)) {
    await attempt.handle.cancel().catch(() => undefined);
    await outcomeOf(attempt);
  }
  await expectBooksToBalance(world);
});
afterAll(async () => {
  await world.stop();
});

async function unpaid(): Promise<Attempt & { ref: string }> {
  const attempt = await openAttempt(world);
  started.push(attempt);
  return attempt;
}

/** How Temporal notices that a process died: 10 s later. */
const missingHeartbeat = expect.stringMatching(/heartbeat timeout/i) as string;

/** Why the activities that a workflow waits for had to be done again. */
async function failuresOf(workflowId: string): Promise<string[]> {
  const { raw } = await world.temporal.workflow.getHandle(workflowId).describe();
  return (raw.pendingActivities ?? []).map(({ lastFailure }) => lastFailure?.message ?? '');
}

async function foundByWatch(): Promise<number> {
  const { values } = await world.dependencies.metrics.foundByWatch.get();
  return values.reduce((sum, one) => sum + one.value, 0);
}

test('a payment that no webhook told of is found and booked', async () => {
  const before = await foundByWatch();
  const attempt = await unpaid();
  await pay(world, attempt.ref);
  expect(await outcomeOf(attempt)).toBe('confirmed');
  // Until it is settled a second look may see it, too.
  expect(await foundByWatch()).toBeGreaterThan(before);
  expect(await messagesOf(world, attempt.bookingId)).toEqual(['booking-confirmed']);
});

test('a decline that no webhook told of is found, and told once', async () => {
  const before = await foundByWatch();
  const attempt = await unpaid();
  await pay(world, attempt.ref, 'pm_card_chargeDeclined');
  const declined = await eventually('the decline', async () => {
    const row = await attemptRow(world, attempt.bookingId);
    return row?.failure !== null && row;
  });
  expect(declined).toMatchObject({ status: 'awaiting_payment', failure: { type: 'payment-declined' } });
  const looks = async (more: number) => {
    const seen = reads.length;
    await eventually(`${more} more looks`, async () => reads.length >= seen + more);
  };
  // One may have begun before it was written down; those after it find nothing new.
  await looks(1);
  const found = await foundByWatch();
  expect(found).toBeGreaterThan(before);
  await looks(2);
  expect(await foundByWatch()).toBe(found);
  expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ version: declined.version });
});

test('the gaps are those of the schedule, and the last one repeats', () => {
  const gaps = [0, 1, 2, 3, 4, 50].map((looks) => gapAfter([15, 30, 60, 120], looks));
  expect(gaps).toEqual([15, 30, 60, 60, 60, 60]);
  expect([0, 1, 7].map((looks) => gapAfter([10], looks))).toEqual([10, 10, 10]);
  expect(gapAfter([], 0)).toBe(1);
});

test('an unpaid payment is looked at when the schedule says, not more often', async () => {
  const { ref } = await unpaid();
  const looks = () => reads.filter((read) => read.ref === ref).map((read) => read.at);
  await eventually('four looks', async () => looks().length >= 4);
  const gaps = looks().map((at, n) => (at - (looks()[n - 1] ?? at)) / 1000);
  // The database's clock says when, so a look may come late but never early; 50 ms for two clocks.
  expect(gaps[1]).toBeGreaterThanOrEqual(0.95);
  expect(gaps[2]).toBeGreaterThanOrEqual(1.95);
  expect(gaps[3]).toBeGreaterThanOrEqual(1.95);
});

test('more payments than the gateway allows to be looked at wait, the nearest window end first', async () => {
  const attempts = await Promise.all(Array.from({ length: 8 }, unpaid));
  const inOrder = attempts.map((attempt) => attempt.ref).reverse();
  await world.db.transaction(async (trx) => {
    for (const [n, ref] of inOrder.entries()) {
      await trx('payment_tries')
        .where({ gateway_ref: ref })
        .update({
          next_look_at: trx.fn.now(),
          looks: 9,
          watch_until: trx.raw(`now() + interval '${n + 1} hours'`),
        });
    }
    reads = [];
  });
  await eventually('a look at each', async () => new Set(reads.map((read) => read.ref)).size === 8);
  const first = reads.slice(0, 4).map((read) => read.ref);
  expect(first).toEqual(inOrder.slice(0, 4));
  for (const { at } of reads) {
    const withinASecond = reads.filter((read) => read.at >= at && read.at < at + 950);
    expect(withinASecond.length).toBeLessThanOrEqual(looksPerSecond);
  }
});

test('a look without an answer is no news', async () => {
  const attempt = await unpaid();
  await world.sandbox.fault({
    kind: 'status-500-undone',
    operation: 'payment_intents.retrieve',
    times: 2,
    match: { paymentIntent: attempt.ref },
  });
  await pay(world, attempt.ref);
  expect(await outcomeOf(attempt)).toBe('confirmed');
  const { requests } = await world.sandbox.ledger();
  const failed = requests.filter(
    (request) => request.id === attempt.ref && request.fault === 'status-500-undone',
  );
  expect(failed).toHaveLength(2);
});

test('one payment on which a round stumbles does not stop the others', async () => {
  const bad = await unpaid();
  stumbling.add(bad.ref);
  await eventually('a stumble', async () => reads.some((read) => read.ref === bad.ref));
  const good = await unpaid();
  await pay(world, good.ref);
  expect(await outcomeOf(good)).toBe('confirmed');
  expect(await attemptRow(world, bad.bookingId)).toMatchObject({ status: 'awaiting_payment', failure: null });
});

test('when its worker shuts down another one goes on at once', async () => {
  const attempt = await unpaid();
  await withWorker(world, world.taskQueue, async () => {
    await worker.stop();
    await pay(world, attempt.ref);
    expect(await outcomeOf(attempt)).toBe('confirmed');
    expect(await failuresOf(`paymentWatch-${world.taskQueue}`)).not.toContainEqual(missingHeartbeat);
  });
  worker = await world.startWorker();
});

test('when the process that runs it is killed another one goes on', async () => {
  const taskQueue = `crash-${randomBytes(6).toString('hex')}`;
  const dying = startDyingWorker(world, taskQueue, { call: 'read', when: 'before' });
  const watch = await world.temporal.workflow.start('paymentWatch', {
    workflowId: `paymentWatch-${taskQueue}`,
    taskQueue,
  });
  try {
    const attempt = await startAttempt(world, { taskQueue });
    const ref = await payable(world, attempt.bookingId);
    await pay(world, ref);
    // The process has the real schedule, 15 s. The world's own watch must not be faster than the one that dies.
    await worker.stop();
    await world.db('payment_tries').where({ gateway_ref: ref }).update({ next_look_at: world.db.fn.now() });
    expect(await dying.death).toEqual({ signal: 'SIGKILL', said: 'dying\n' });
    await withWorker(world, taskQueue, async () => {
      // Due again, now that there is somebody to look.
      await world.db('payment_tries').where({ gateway_ref: ref }).update({ next_look_at: world.db.fn.now() });
      expect(await outcomeOf(attempt)).toBe('confirmed');
      expect(await failuresOf(watch.workflowId)).toContainEqual(missingHeartbeat);
    });
    expect((await ledgerFor(world, attempt.bookingId)).paid).toHaveLength(1);
    await reaches(world, attempt.bookingId, 'confirmed');
  } finally {
    dying.stop();
    await watch.terminate('the test ends');
    worker = await world.startWorker();
  }
});
