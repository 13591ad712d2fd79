/** The same start again after an outage: no worker, Temporal killed and restarted, PostgreSQL away. Nothing is lost or doubled. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Processes } from '../dev/processes';
import { findTemporalCli } from '../dev/temporal-cli';
import { startTemporalServer, temporalAnswers } from '../dev/temporal-server';
import { bookingWorkflowId } from '../src/workflows/messages';
import { withoutDatabase } from './database-away';
import { expectOneEnd, outcomeOf, pay, publish, Shopper, tracesOf } from './book-setup';
import { eventually, startWorld, type World } from './world';

describe('Temporal killed and restarted', () => {
  let folder: string;
  let processes: Processes;
  let address: string;
  let world: World;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'payfirst-idempotency-'));
    processes = new Processes(folder);
    const cli = await findTemporalCli(() => undefined);
    ({ address } = await startTemporalServer(processes, cli, { ui: false, folder }));
    world = await startWorld({ windowSeconds: 5, worker: false, temporalAddress: address });
  });
  afterAll(async () => {
    try {
      await world.stop();
    } finally {
      await processes.stopAll();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('a start that nobody worked on survives, runs and expires; the same request then answers it', async () => {
    const ada = new Shopper(world);
    const slot = await publish(world, { capacity: 5 });
    const id = ada.bookingId('key');
    const start = () => ada.book(slot, 'key');

    // No worker: the start is durable, its update is not.
    expect(await start()).toMatchObject({ status: 202, body: { id, status: 'awaiting_payment' } });
    expect(await ada.read(id)).toMatchObject({ status: 200, body: { id, status: 'awaiting_payment' } });
    expect((await new Shopper(world).read(id)).status).toBe(404);

    await processes.kill('temporal');
    const grace = new Shopper(world);
    const away = await grace.book(slot, 'key');
    expect(away).toMatchObject({ status: 503, body: { type: expect.stringMatching('unavailable') } });

    await processes.startAgain('temporal');
    await eventually('Temporal', () => temporalAnswers(address, 'default'), 30_000);
    const worker = await world.startWorker();
    await ada.until(id, 'expired', 40_000);
    expect(await outcomeOf(world, id)).toBe('expired');

    // To Temporal an honest repeat and another body look alike now: the record tells them apart.
    expect(await start()).toMatchObject({ status: 200, body: { id, status: 'expired' } });
    const other = await ada.book([{ offeringId: slot, seats: 2 }], 'key');
    expect(other).toMatchObject({
      status: 422,
      body: { type: expect.stringMatching('idempotency-key-reused') },
    });
    expect(await tracesOf(world, id)).toMatchObject({ status: 'expired', charges: 0, intents: [{}] });

    // And the one that was refused for the outage is accepted when it is sent again.
    expect(await grace.book(slot, 'key')).toMatchObject({
      status: 201,
      body: { id: grace.bookingId('key') },
    });
    await worker.stop();
  });

  test('a webhook that comes meanwhile is told to come again, and its payment is a booking', async () => {
    const worker = await world.startWorker();
    const ada = new Shopper(world);
    const booking = await ada.start(await publish(world));
    await processes.kill('temporal');
    expect(await pay(world, booking)).toBe(200);
    const refused = await eventually('a webhook refused', async () => {
      const { events } = await world.sandbox.ledger();
      const paid = events.find(
        (one) => one.paymentIntent === booking.payment.gatewayRef && one.type === 'payment_intent.succeeded',
      );
      return paid?.deliveries.find((one) => one.status !== null)?.status;
    });
    expect(refused).toBe(503);
    expect((await ada.cancel(booking.id)).status).toBe(503);
    await processes.startAgain('temporal');
    await ada.until(booking.id, 'confirmed', 40_000);
    expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
    await worker.stop();
  });
});

describe('PostgreSQL away', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.stop());

  test('a start is 202, its owner can follow it, and it goes on when PostgreSQL is back', async () => {
    const ada = new Shopper(world);
    const slot = await publish(world, { capacity: 5 });
    const id = ada.bookingId('key');
    await withoutDatabase(world, async () => {
      const [first, second] = await Promise.all([ada.book(slot, 'key'), ada.book(slot, 'key')]);
      for (const answer of [first, second]) {
        expect(answer).toMatchObject({ status: 202, body: { id, status: 'awaiting_payment' } });
      }
      expect(await ada.read(id)).toMatchObject({ status: 200, body: { id, status: 'awaiting_payment' } });
      expect((await new Shopper(world).read(id)).status).toBe(503);
      expect((await world.call('GET', `/v1/offerings/${slot}`)).status).toBe(503);
    });
    const booking = await ada.until(id, (now) => now.payment?.clientSecret !== undefined, 30_000);
    expect(await ada.book(slot, 'key')).toMatchObject({ status: 200, body: { id, payment: { try: 1 } } });
    expect((await ada.book([{ offeringId: slot, seats: 2 }], 'key')).status).toBe(422);
    await pay(world, booking);
    await ada.until(id, 'confirmed');
    await expectOneEnd(world, id);
    expect((await tracesOf(world, id)).intents).toHaveLength(1);
  });

  test('a booking that was seen confirmed is not said to wait for its payment', async () => {
    const ada = new Shopper(world);
    const open = await ada.start(await publish(world));
    const booking = await ada.start(await publish(world));
    await pay(world, booking);
    await ada.until(booking.id, 'confirmed');
    await withoutDatabase(world, async () => {
      expect((await ada.read(booking.id)).status).toBe(503);
      expect((await ada.comeBack(booking.id)).status).toBe(503);
      expect((await ada.cancel(booking.id)).status).toBe(503);
      // Its record may say more than Temporal knows.
      expect((await ada.read(open.id)).status).toBe(503);
    });
    expect(await ada.until(booking.id, 'confirmed')).toMatchObject({ status: 'confirmed' });
    expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  });

  test('a booking that could not be read when its cancellation was wished is canceled, not just shown', async () => {
    const ada = new Shopper(world);
    const booking = await ada.start(await publish(world));
    await pay(world, booking);
    await ada.until(booking.id, 'confirmed');
    await outcomeOf(world, booking.id);
    const { workflow } = world.temporal;
    const handle = workflow.getHandle(bookingWorkflowId(booking.id));
    const executeUpdate = handle.executeUpdate.bind(handle);
    let ask: () => void = () => undefined;
    let back: () => void = () => undefined;
    const isAsked = new Promise<void>((resolve) => (ask = resolve));
    const isBack = new Promise<void>((resolve) => (back = resolve));
    // PostgreSQL comes back between the look at the record and the answer of the workflow, which is over.
    handle.executeUpdate = async (...wish: Parameters<typeof executeUpdate>) => {
      ask();
      await isBack;
      return executeUpdate(...wish);
    };
    const getHandle = jest.spyOn(workflow, 'getHandle').mockReturnValue(handle);
    try {
      const canceled = await withoutDatabase(world, async () => {
        const answer = ada.cancel(booking.id);
        await isAsked;
        return { answer };
      });
      back();
      expect((await canceled.answer).status).toBe(200);
    } finally {
      getHandle.mockRestore();
    }
    expect(await ada.until(booking.id, 'refunded')).toMatchObject({
      refund: { reason: 'canceled-by-customer' },
    });
  });

  test('a payment is heard and settles when PostgreSQL is back', async () => {
    const ada = new Shopper(world);
    const booking = await ada.start(await publish(world));
    await withoutDatabase(world, async () => {
      await pay(world, booking);
      // The webhook needs no database: it is heard at once, and the settling waits.
      await eventually('the webhook is heard', async () => {
        const { events } = await world.sandbox.ledger();
        return events.some(
          (one) =>
            one.paymentIntent === booking.payment.gatewayRef &&
            one.type === 'payment_intent.succeeded' &&
            one.deliveries.some(({ status }) => status === 200),
        );
      });
      const { status } = await world.temporal.workflow.getHandle(bookingWorkflowId(booking.id)).describe();
      expect(status.name).toBe('RUNNING');
    });
    await ada.until(booking.id, 'confirmed', 30_000);
    expect(await expectOneEnd(world, booking.id)).toBe('confirmed');
  });
});
