/** Who keeps a case open: one workflow at a time, and none once it is resolved. */
import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { Activities } from '../src/activities';
import { makeWorker } from '../src/worker';
import { caseWorkflowId, resolveCaseSignal, workflowTypes, type Resolution } from '../src/workflows/messages';
import { bundle } from './histories-setup';
import { eventually, quietRuntime } from './world';

test('a case that was resolved since it was seen open gets no second keeper, and one whose keeper was ended by mistake does', async () => {
  const address = process.env['TEST_TEMPORAL_ADDRESS'] ?? '';
  quietRuntime();
  const [connection, native] = await Promise.all([
    Connection.connect({ address }),
    NativeConnection.connect({ address }),
  ]);
  const temporal = new Client({ connection });
  const run = randomBytes(6).toString('hex');
  const taskQueue = `keepers-${run}`;
  const caseId = `cas_${run}`;
  const decided: Resolution[] = [];
  const worker = await makeWorker(
    native,
    { taskQueue, payloadKeys: [], namespace: 'default' },
    {
      // Each look saw the case open, as one does that is done a moment before somebody decides.
      reconcile: () => Promise.resolve({ refundIds: [], caseIds: [caseId], bookingId: null }),
      resolveCase: (resolution: Resolution) => {
        decided.push(resolution);
        return Promise.resolve({ accepted: true, sendAgain: null });
      },
    } as unknown as Activities,
    { workflowBundle: bundle, shutdownGraceTime: 100 },
  );
  const working = worker.run();
  const keeper = temporal.workflow.getHandle(caseWorkflowId(caseId));
  const look = async (): Promise<void> => {
    const input = { gateway: 'stripe', ref: `pi_${run}`, bookingId: null };
    const workflowId = `reconcile/stripe/pi_${run}`;
    const result = await temporal.workflow.execute(workflowTypes.reconcile, {
      taskQueue,
      workflowId,
      args: [input],
    });
    expect(result).toBe('a case');
  };
  const runOf = async () => (await keeper.describe()).runId;
  try {
    await look();
    const first = await runOf();
    await look();
    expect(await runOf()).toBe(first);
    await keeper.terminate('by mistake');
    await look();
    const second = await runOf();
    expect(second).not.toBe(first);
    await keeper.signal(resolveCaseSignal, { caseId, action: 'mark-settled', by: 'an operator' });
    await eventually('its end', async () => (await keeper.describe()).status.name === 'COMPLETED');
    await look();
    expect(await runOf()).toBe(second);
    expect(decided).toHaveLength(1);
  } finally {
    worker.shutdown();
    await working;
    await Promise.all([native.close(), connection.close()]);
  }
});
