/** What others do with our payments at the gateway, told to us in any order, and what must then be true. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { reconcileWorkflowId } from '../src/workflows/messages';
import type { CaseRow } from '../src/database';
import type { Booked } from './cancel-setup';
import { eventually, type Json, type World } from './world';

/** In which order events arrive; each arrives twice. */
export const orders = ['as they happened', 'in reverse'] as const;
export type Order = (typeof orders)[number];

/** Keeps everything about a payment from us until it is told. */
export async function holdBack(world: World, ref: string): Promise<void> {
  await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null, match: { paymentIntent: ref } });
}

/** Tells, twice each, what happened to a payment since `from`. @returns how much has happened so far */
export async function tell(world: World, ref: string, order: Order, from = 0): Promise<number> {
  const { events } = await world.sandbox.ledger();
  const about = events.filter((one) => one.paymentIntent === ref);
  const untold = about.slice(from);
  for (const { id } of order === 'in reverse' ? untold.reverse() : untold) await world.sandbox.resend(id, 2);
  return about.length;
}

/** As `tell`, and waits until nobody works on it any more. */
export async function tellToRest(world: World, ref: string, order: Order, from = 0): Promise<number> {
  const told = await tell(world, ref, order, from);
  await atRest(world, ref);
  return told;
}

/** Waits until the workflow that looks after a payment waits for nothing, or for a person or the gateway. */
export async function atRest(world: World, ref: string): Promise<void> {
  await restOf(world, reconcileWorkflowId('stripe', ref));
}

/** The same of any workflow. */
export async function restOf(world: World, workflowId: string): Promise<void> {
  const handle = world.temporal.workflow.getHandle(workflowId);
  await eventually(`rest of ${workflowId}`, async () => {
    const now = await handle.describe().catch(() => undefined);
    if (now === undefined || now.status.name !== 'RUNNING') return true;
    const { pendingActivities, pendingWorkflowTask } = now.raw;
    return (pendingActivities ?? []).length === 0 && !pendingWorkflowTask;
  });
}

/** The cases of a booking, oldest first, and how each stands. */
export async function casesOf(
  world: World,
  bookingId: string,
): Promise<Pick<CaseRow, 'id' | 'kind' | 'resolved_by' | 'amount_minor' | 'workflow_id'>[]> {
  return world
    .db<CaseRow>('cases')
    .where({ booking_id: bookingId })
    .orderBy('opened_at')
    .select('id', 'kind', 'resolved_by', 'amount_minor', 'workflow_id');
}

/** Waits until the workflow that keeps a case is so: it is started after the case is written. */
export async function untilKeeperIs(
  world: World,
  kept: Json,
  status: 'RUNNING' | 'COMPLETED',
): Promise<void> {
  await eventually(`a keeper that is ${status}`, async () => {
    try {
      const { workflow_id: keeper } = kept;
      return (await world.temporal.workflow.getHandle(keeper).describe()).status.name === status;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  });
}

/** Refund rows of a booking's payments: reason, status and amount. */
export async function refundRows(world: World, bookingId: string): Promise<[string, string, number][]> {
  const rows = await world
    .db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where({ booking_id: bookingId })
    .orderBy(['refunds.reason', 'refunds.created_at'])
    .select<{ reason: string; status: string; amount_minor: number }[]>(
      'reason',
      'refunds.status',
      'refunds.amount_minor',
    );
  return rows.map((row) => [row.reason, row.status, row.amount_minor]);
}

/** Refunds that the sandbox made of a payment and that did not fail: ours, and those made by hand. */
export async function atTheGateway(world: World, ref: string): Promise<{ ours: number[]; byHand: number[] }> {
  const refunds = (await world.sandbox.ledger()).refunds.filter(
    (one) => one.paymentIntent === ref && one.status !== 'failed',
  );
  return {
    ours: refunds.filter((one) => !one.byHand).map((one) => one.amount),
    byHand: refunds.filter((one) => one.byHand).map((one) => one.amount),
  };
}

/** An operator decides a case through the API. */
export async function decide(world: World, caseId: string, action: string): Promise<Json> {
  const answer = await world.call('POST', `/v1/cases/${caseId}/resolve`, {
    token: await world.token('olga', 'ops'),
    body: { action, note: 'looked into it' },
  });
  if (answer.status !== 200)
    throw new Error(`Deciding ${caseId}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** The status of a booking as its customer sees it. */
export async function statusOf({ shopper, id }: Booked): Promise<string> {
  return (await shopper.read(id)).body.status as string;
}
