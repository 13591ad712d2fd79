/**
 * What an attempt costs in history events, and that every terminal path replays: those played in this run and those kept
 * in `test/histories/` for each released version. `RECORD_HISTORIES=1 npm test -- histories` writes the kept ones anew.
 */
import { randomBytes } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporal } from '@temporalio/proto';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import {
  bookingWorkflowId,
  reconcileWorkflowId,
  resolveCaseSignal,
  type Resolution,
} from '../src/workflows/messages';
import { atStripe, outcomeOf, pay, priceMinor, publish, Shopper } from './book-setup';
import { cartOf, publishAll } from './carts-setup';
import {
  bundle,
  count,
  events,
  expectReplay,
  keepHistory,
  kept,
  keptHistories,
  misfits,
  type History,
} from './histories-setup';
import { credit } from './wallet-setup';
import { eventually, startWorld, type Json, type World } from './world';

const { EventType } = temporal.api.enums.v1;

let world: World;

beforeAll(async () => {
  // Clear payloads, so that a kept history can be read and holds nothing but what this file made up.
  world = await startWorld({ env: { PAYLOAD_KEYS: '' }, standing: false });
});
afterAll(async () => {
  await world.stop();
});

const keep = (name: string, workflowId: string): Promise<History> => keepHistory(world, name, workflowId);

async function startOne(capacity = 1): Promise<{ shopper: Shopper; booking: Json; offeringId: string }> {
  const shopper = new Shopper(world);
  const offeringId = await publish(world, { capacity });
  return { shopper, offeringId, booking: await shopper.start(offeringId) };
}

/** Somebody else buys the last seat. */
async function sellOut(offeringId: string): Promise<void> {
  const rival = new Shopper(world);
  const booking = await rival.start(offeringId);
  await pay(world, booking);
  await outcomeOf(world, String(booking.id));
}

/** Two payers, one seat: plays to the point where the second one's money must go back. */
async function loseTheRace(mode: 'succeeded' | 'pending' | 'failed'): Promise<Json> {
  const { booking, offeringId } = await startOne();
  await sellOut(offeringId);
  const match = { paymentIntent: String(booking.payment.gatewayRef) };
  await world.sandbox.refundMode({ mode, match, ...(mode === 'failed' ? { times: 1 } : {}) });
  await pay(world, booking);
  return booking;
}

async function openCaseOf(bookingId: string): Promise<string> {
  return eventually('a case', async () => {
    const row = await world
      .db('cases')
      .where({ booking_id: bookingId })
      .whereNull('resolved_at')
      .first<{ id: string }>();
    return row?.id;
  });
}

async function resolve(workflowId: string, resolution: Omit<Resolution, 'by'>): Promise<void> {
  const handle = world.temporal.workflow.getHandle(workflowId);
  // A case's row is there a moment before the workflow that keeps it.
  await eventually(
    'the case is kept',
    async () => (await handle.describe().catch(() => undefined)) !== undefined,
  );
  await handle.signal(resolveCaseSignal, { ...resolution, by: 'an operator' });
}

describe('what a booking costs', () => {
  it('A confirmed booking with one ring is two workflow tasks and at most 18 events', async () => {
    const { booking } = await startOne();
    await pay(world, booking);
    expect(await outcomeOf(world, booking.id)).toBe('confirmed');
    const history = await keep('book-confirmed', bookingWorkflowId(booking.id));
    expect(count(history, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)).toBe(1);
    expect(count(history, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)).toBe(2);
    expect(events(history)).toBeLessThanOrEqual(18);
  });

  it.each<[string, string, tasks: number, most: number, () => Promise<Json>]>([
    [
      'a paid cart of three',
      'book-cart-confirmed',
      2,
      18,
      async () => {
        const shopper = new Shopper(world);
        const cartId = await cartOf(shopper, await publishAll(world, {}, {}, {}));
        const booking = await shopper.start({ cartId });
        await pay(world, booking);
        return booking;
      },
    ],
    [
      'the wallet',
      'book-wallet-confirmed',
      1,
      10,
      async () => {
        const shopper = new Shopper(world);
        await credit(world, shopper, priceMinor);
        return shopper.start(await publish(world), 'a-key', 'wallet');
      },
    ],
    [
      'a price of nothing',
      'book-free-confirmed',
      1,
      10,
      async () =>
        new Shopper(world).start(await publish(world, { price: { amountMinor: 0, currency: 'EUR' } })),
    ],
  ])(
    'Confirmed by %s: %s has %i workflow tasks and at most %i events',
    async (_, name, tasks, most, confirm) => {
      const booking = await confirm();
      expect(await outcomeOf(world, booking.id)).toBe('confirmed');
      const history = await keep(name, bookingWorkflowId(booking.id));
      expect(count(history, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)).toBe(tasks);
      expect(events(history)).toBeLessThanOrEqual(most);
    },
  );

  it('Two rings while it settles are at most 24 events, one booking and one message', async () => {
    const { shopper, booking } = await startOne();
    const match = { id: String(booking.payment.gatewayRef) };
    await world.sandbox.gate({
      name: 'settling',
      operation: 'payment_intents.retrieve',
      when: 'before',
      match,
    });
    await pay(world, booking);
    await world.sandbox.waitForGate('settling', 1);
    await shopper.comeBack(booking.id);
    await world.sandbox.releaseGate('settling');
    expect(await outcomeOf(world, booking.id)).toBe('confirmed');
    const history = await keep('book-confirmed-two-rings', bookingWorkflowId(booking.id));
    expect(count(history, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)).toBe(2);
    expect(events(history)).toBeLessThanOrEqual(24);
    expect(await world.db('messages').where({ booking_id: booking.id })).toHaveLength(1);
  });

  it('A late webhook that owes nothing is at most 8 events', async () => {
    const { booking } = await startOne();
    await pay(world, booking);
    await outcomeOf(world, booking.id);
    const ref = String(booking.payment.gatewayRef);
    const event = (await world.sandbox.ledger()).events.find(
      (one) => one.paymentIntent === ref && one.type === 'payment_intent.succeeded',
    );
    await world.sandbox.resend(event?.id ?? '', 1);
    const workflowId = reconcileWorkflowId('stripe', ref);
    const handle = world.temporal.workflow.getHandle(workflowId);
    await eventually(
      'reconcile runs',
      async () => (await handle.describe().catch(() => undefined)) !== undefined,
    );
    expect(await handle.result()).toBe('nothing owed');
    expect(events(await keep('reconcile-nothing-owed', workflowId))).toBeLessThanOrEqual(8);
  });
});

describe('the other ends, each kept for replay', () => {
  it('declined, retried, confirmed', async () => {
    const { shopper, booking } = await startOne();
    await pay(world, booking, 'pm_card_chargeDeclined');
    await shopper.until(booking.id, (now) => now.retryable === true);
    await shopper.retry(booking.id);
    await pay(world, booking);
    expect(await outcomeOf(world, booking.id)).toBe('confirmed');
    await keep('book-declined-confirmed', bookingWorkflowId(booking.id));
  });

  it('canceled', async () => {
    const { shopper, booking } = await startOne();
    await shopper.cancel(booking.id);
    expect(await outcomeOf(world, booking.id)).toBe('canceled');
    await keep('book-canceled', bookingWorkflowId(booking.id));
  });

  it('a refused start', async () => {
    const offeringId = await publish(world);
    await sellOut(offeringId);
    const shopper = new Shopper(world);
    expect((await shopper.book(offeringId, 'too-late')).status).toBe(409);
    const id = shopper.bookingId('too-late');
    expect(await outcomeOf(world, id)).toBe('failed');
    await keep('book-refused', bookingWorkflowId(id));
  });

  it('refunded', async () => {
    const booking = await loseTheRace('succeeded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    await keep('book-refunded', bookingWorkflowId(booking.id));
  });

  it('a refund that is pending first', async () => {
    const booking = await loseTheRace('pending');
    const refund = await eventually('a pending refund', async () =>
      world.db('refunds').where({ status: 'pending' }).first<{ gateway_refund_id: string }>(),
    );
    await world.sandbox.settleRefund(refund.gateway_refund_id, 'succeeded');
    expect(await outcomeOf(world, booking.id)).toBe('refunded');
    await keep('book-refund-pending', bookingWorkflowId(booking.id));
  });

  it.each(['retry-refund', 'mark-settled'] as const)(
    'a refund that failed, resolved by %s',
    async (action) => {
      const booking = await loseTheRace('failed');
      const workflowId = bookingWorkflowId(booking.id);
      const caseId = await openCaseOf(booking.id);
      await world.sandbox.clearFaults();
      await resolve(workflowId, { caseId, action, note: 'looked into it' });
      expect(await outcomeOf(world, booking.id)).toBe('refunded');
      await keep(`book-refund-failed-${action}`, workflowId);
    },
  );

  it('late money, given back by reconcile', async () => {
    const { shopper, booking } = await startOne();
    await shopper.cancel(booking.id);
    await outcomeOf(world, booking.id);
    const ref = String(booking.payment.gatewayRef);
    await world.sandbox.payClosed(ref);
    await shopper.until(booking.id, (now) => now.refund?.status === 'succeeded');
    const workflowId = reconcileWorkflowId('stripe', ref);
    await world.temporal.workflow.getHandle(workflowId).result();
    await keep('reconcile-given-back', workflowId);
  });

  it('a refund that fails after it said success, with a case of its own', async () => {
    const booking = await loseTheRace('succeeded');
    await outcomeOf(world, booking.id);
    const refund = await world
      .db('refunds')
      .orderBy('created_at', 'desc')
      .first<{ gateway_refund_id: string }>();
    const ref = String(booking.payment.gatewayRef);
    await world.sandbox.webhookFault({
      kind: 'drop',
      event: 'refund.updated',
      times: null,
      match: { paymentIntent: ref },
    });
    await world.sandbox.failRefund(refund.gateway_refund_id);
    const caseId = await openCaseOf(booking.id);
    const finder = reconcileWorkflowId('stripe', ref);
    expect(await world.temporal.workflow.getHandle(finder).result()).toBe('a case');
    await keep('reconcile-a-case', finder);
    const workflowId = `case/${caseId}`;
    await resolve(workflowId, { caseId, action: 'retry-refund' });
    await world.temporal.workflow.getHandle(workflowId).result();
    await keep('case-retry-refund', workflowId);
  });
});

describe('an attempt whose window ends', () => {
  let short: World;
  beforeAll(async () => {
    short = await startWorld({ env: { PAYLOAD_KEYS: '' }, standing: false, windowSeconds: 5 });
  });
  afterAll(async () => {
    await short.stop();
  });

  it('expires, or is confirmed when the close finds it paid', async () => {
    const usual = world;
    world = short;
    try {
      const [left, late] = await Promise.all([startOne(), startOne()]);
      const ref = String(late.booking.payment.gatewayRef);
      await short.sandbox.webhookFault({
        event: '*',
        kind: 'drop',
        times: null,
        match: { paymentIntent: ref },
      });
      const paid = await atStripe(short, `payment_intents/${ref}/confirm`, {
        payment_method: 'pm_card_visa',
      });
      expect(paid.status).toBe(200);
      expect(await outcomeOf(short, left.booking.id)).toBe('expired');
      await keep('book-expired', bookingWorkflowId(left.booking.id));
      expect(await outcomeOf(short, late.booking.id)).toBe('confirmed');
      await keep('book-window-over-confirmed', bookingWorkflowId(late.booking.id));
    } finally {
      world = usual;
    }
  });

  it('expires when what Stripe still processed at its end fails after all', async () => {
    const usual = world;
    world = short;
    try {
      const { shopper, booking } = await startOne();
      const ref = String(booking.payment.gatewayRef);
      await pay(short, booking, 'pm_usBankAccount_processing');
      await shopper.until(booking.id, 'processing');
      await eventually('a close that Stripe refuses', async () => {
        const { requests } = await short.sandbox.ledger();
        return requests.some(
          (one) => one.id === ref && one.operation.endsWith('cancel') && one.status === 400,
        );
      });
      await short.sandbox.settleProcessing(ref, 'failed');
      expect(await outcomeOf(short, booking.id)).toBe('expired');
      await keep('book-processing-expired', bookingWorkflowId(booking.id));
    } finally {
      world = usual;
    }
  });
});

describe('replay', () => {
  it('Every history of this run replays', expectReplay);

  it('Every kept history replays', async () => {
    const histories = keptHistories();
    expect(histories.length).toBeGreaterThanOrEqual(19);
    expect(await misfits(bundle, histories)).toEqual([]);
  });

  it('Kept histories tell nothing of the machine they were recorded on', () => {
    const names = readdirSync(kept).filter((name) =>
      /"[0-9]+@|node_modules|"\/(home|root|tmp|Users)\//.test(readFileSync(join(kept, name), 'utf8')),
    );
    expect(names).toEqual([]);
  });

  it('A history that was sealed replays with its key', async () => {
    const keys = [`k1:${randomBytes(32).toString('base64')}`];
    const sealed = await startWorld({ env: { PAYLOAD_KEYS: keys.join() }, standing: false });
    try {
      const shopper = new Shopper(sealed);
      const booking = await shopper.start(await publish(sealed));
      await pay(sealed, booking);
      await outcomeOf(sealed, booking.id);
      const handle = sealed.temporal.workflow.getHandle(bookingWorkflowId(booking.id));
      expect(await misfits(bundle, [['sealed', await handle.fetchHistory()]], keys)).toEqual([]);
    } finally {
      await sealed.stop();
    }
  });

  it('Control: a changed story is red', async () => {
    // Beside the compiled ones, so that the changed copy finds its neighbours.
    const built = join(__dirname, '..', 'dist', 'src');
    const changed = join(built, `workflows-changed-${process.pid}`);
    try {
      cpSync(join(built, 'workflows'), changed, { recursive: true });
      const steps = readFileSync(join(changed, 'steps.js'), 'utf8');
      const swapped = steps.replace(
        'localFirst(local.settle, exports.patient.settle',
        'localFirst(local.lookUp, exports.patient.lookUp',
      );
      expect(swapped).not.toBe(steps);
      writeFileSync(join(changed, 'steps.js'), swapped);
      const { code } = await bundleWorkflowCode({
        workflowsPath: join(changed, 'index.js'),
        failureConverterPath: join(built, 'failure-converter.js'),
        logger: new DefaultLogger('ERROR'),
      });
      const codePath = join(changed, 'bundle.js');
      writeFileSync(codePath, code);
      const red = await misfits({ codePath }, keptHistories());
      expect(red).toContain('book-confirmed.json');
      expect(red).not.toContain('book-refused.json');
    } finally {
      rmSync(changed, { recursive: true, force: true });
    }
  });
});
