/** What docs/operate.md tells an operator about a stuck refund, as it stands there: queries, where a case is kept, who and why. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bookSlot } from './cancel-setup';
import { casesOf } from './reversals-setup';
import { reconcileWorkflowId, resolveCaseSignal } from '../src/workflows/messages';
import { eventually, startWorld, type Json, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const page = readFileSync(join(__dirname, '..', 'docs', 'operate.md'), 'utf8');

/** The query that stands beside a question in the table of the page. */
function queryFor(question: string): string {
  const found = new RegExp(`^\\| ${question} +\\| \`([^\`]+)\``, 'm').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/operate.md has no query for: ${question}`);
  return found;
}

async function found(query: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { workflowId } of world.temporal.workflow.list({ query })) ids.push(workflowId);
  return ids;
}

/** The text under "Current Details" in the Temporal UI. */
async function currentDetails(workflowId: string): Promise<string> {
  const told = await world.temporal.workflow
    .getHandle(workflowId)
    .query<{ currentDetails?: string }>('__temporal_workflow_metadata');
  return told.currentDetails ?? '';
}

/** A booking that was canceled, and whose refund does as told. */
async function canceled(mode: 'failed' | 'pending' | 'succeeded', until: string) {
  const booked = await bookSlot(world);
  await world.sandbox.refundMode({ mode, times: 1, match: { paymentIntent: booked.ref } });
  await booked.shopper.cancel(booked.id);
  await booked.shopper.until(booked.id, until);
  return { ...booked, keeper: reconcileWorkflowId('stripe', booked.ref) };
}

test('a refund that failed is found, its workflow names the case, and the signal keeps who and why', async () => {
  const { shopper, id, keeper } = await canceled('failed', 'needs_attention');
  const query = `${queryFor('What needs a person\\?')} AND BookingId = '${id}'`;
  await eventually('the case is listed', async () => (await found(query)).includes(keeper));
  const [open] = await casesOf(world, id);
  expect(await currentDetails(keeper)).toContain(String(open?.id));
  await world.temporal.workflow.getHandle(keeper).signal(resolveCaseSignal, {
    caseId: String(open?.id),
    action: 'retry-refund',
    by: 'ulla',
    note: 'The card works again',
  });
  await shopper.until(id, 'refunded');
  const token = await world.token('olga', 'ops');
  const shown: Json = (await world.call('GET', `/v1/cases/${String(open?.id)}`, { token })).body;
  expect(shown).toMatchObject({
    status: 'resolved',
    resolvedBy: 'ulla',
    resolution: 'retry-refund',
    note: 'The card works again',
  });
  await world.temporal.workflow.getHandle(keeper).result();
  expect(await currentDetails(keeper)).toBe('The money went back.');
  await eventually('nothing is listed any more', async () => (await found(query)).length === 0);
});

test('the query for refunds under way finds those that are, and none that arrived', async () => {
  const stuck = await canceled('pending', 'refunding');
  const arrived = await canceled('succeeded', 'refunded');
  const stands = queryFor('Refunds that did not arrive in a day');
  // "A day ago" is tomorrow: what began just now is older than that.
  const query = stands.replace(/StartTime < '[^']+'/, () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    return `StartTime < '${tomorrow}'`;
  });
  expect(query).not.toBe(stands);
  const mine = async (id: string) => (await found(`${query} AND BookingId = '${id}'`)).join();
  await eventually('the stuck one is listed', async () => (await mine(stuck.id)) === stuck.keeper);
  await eventually('the other is not', async () => (await mine(arrived.id)) === '');
  const all = await found(`BookingId = '${arrived.id}'`);
  expect(all).toContain(arrived.keeper);
});
