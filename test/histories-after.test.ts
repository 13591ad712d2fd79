/** What another way to pay, undoing a booking and comparing a day cost in history events; each is kept for replay (see `histories.test.ts`). */
import { temporal } from '@temporalio/proto';
import {
  bookingWorkflowId,
  cancelOfferingWorkflowId,
  cancelWorkflowId,
  caseWorkflowId,
  reconcileWorkflowId,
} from '../src/workflows/messages';
import { gatewayOf, priceMinor, publish, Shopper } from './book-setup';
import { bookSlot, callOff, reconciled } from './cancel-setup';
import { compareDay } from './comparison-setup';
import { count, expectReplay, keepHistory } from './histories-setup';
import { casesOf, decide } from './reversals-setup';
import { credit } from './wallet-setup';
import { eventually, startWorld, type World } from './world';

const { EventType } = temporal.api.enums.v1;

let world: World;
beforeAll(async () => {
  // Clear payloads, so that a kept history can be read and holds nothing but what this file made up.
  world = await startWorld({ env: { PAYLOAD_KEYS: '' }, standing: false });
});
afterAll(() => world.stop());

/** Stripe tells nobody of what happens to a payment. */
async function silence(ref: string): Promise<void> {
  await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null, match: { paymentIntent: ref } });
}

test('a retry from the wallet books in two workflow tasks', async () => {
  const shopper = new Shopper(world);
  const booking = await shopper.start(await publish(world));
  await credit(world, shopper, priceMinor);
  // Else the news of the closed object may come as the workflow ends, and Temporal drops the wish with that go at its end.
  await gatewayOf(world, 'stripe').silence(booking.id);
  expect((await shopper.retry(booking.id, 'wallet')).body).toMatchObject({ status: 'confirmed' });
  const workflowId = bookingWorkflowId(booking.id);
  await world.temporal.workflow.getHandle(workflowId).result();
  const history = await keepHistory(world, 'book-other-method-confirmed', workflowId);
  expect(count(history, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)).toBe(2);
});

test('a cancellation is at most 12 events, and sending its money back at most 20', async () => {
  const { shopper, id, ref } = await bookSlot(world);
  await silence(ref);
  await shopper.cancel(id);
  await shopper.until(id, 'refunded');
  expect(await reconciled(world, ref)).toBe('given back');
  const canceled = await keepHistory(world, 'cancel', cancelWorkflowId(id));
  expect(canceled.events?.length).toBeLessThanOrEqual(12);
  const sent = await keepHistory(world, 'reconcile-canceled', reconcileWorkflowId('stripe', ref));
  expect(sent.events?.length).toBeLessThanOrEqual(20);
});

test('a cancellation that the policy refuses is at most 12 events', async () => {
  const { shopper, id } = await bookSlot(world, { kind: 'consultation' });
  expect((await shopper.cancel(id)).status).toBe(409);
  const refused = await keepHistory(world, 'cancel-refused', cancelWorkflowId(id));
  expect(refused.events?.length).toBeLessThanOrEqual(12);
});

test('an offering called off is at most 12 events, however many bookings it had', async () => {
  const { shopper, id, slot } = await bookSlot(world);
  await callOff(world, slot);
  await shopper.until(id, 'refunded');
  const workflowId = cancelOfferingWorkflowId(slot);
  await world.temporal.workflow.getHandle(workflowId).result();
  expect((await keepHistory(world, 'cancel-offering', workflowId)).events?.length).toBeLessThanOrEqual(12);
});

test('a dispute and its case', async () => {
  const { shopper, id, ref } = await bookSlot(world);
  await world.sandbox.webhookFault({
    kind: 'drop',
    event: 'charge.dispute.funds_withdrawn',
    times: null,
    match: { paymentIntent: ref },
  });
  await world.sandbox.dispute(ref);
  await shopper.until(id, 'needs_attention');
  expect(await reconciled(world, ref)).toBe('a case');
  await keepHistory(world, 'reconcile-dispute', reconcileWorkflowId('stripe', ref));
  const [found] = await casesOf(world, id);
  await decide(world, found?.id ?? '', 'mark-settled');
  const keeper = caseWorkflowId(found?.id ?? '');
  await world.temporal.workflow.getHandle(keeper).result();
  await keepHistory(world, 'case-dispute', keeper);
});

test('the comparison of a day is at most 30 events where nothing differs', async () => {
  expect(await compareDay(world, '2026-01-01')).toMatchObject([{ gateway: 'stripe', caseIds: [] }]);
  const query = `WorkflowType = 'compare' AND TaskQueue = '${world.taskQueue}'`;
  const workflowId = await eventually('the comparison is listed', async () => {
    for await (const run of world.temporal.workflow.list({ query })) return run.workflowId;
    return undefined;
  });
  expect((await keepHistory(world, 'compare', workflowId)).events?.length).toBeLessThanOrEqual(30);
});

test('every history of this run replays', expectReplay);
