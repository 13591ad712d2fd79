/**
 * The production Temporal server of `dev/temporal-production.ts`: what chaos and bench break and measure. It needs Go,
 * which nothing else does where the Temporal CLI can be had; without Go its story is skipped. `TEST_TIER=long` plays it:
 * `npm run chaos`, a part of every `.ci/run`, starts, kills and asks the same server.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { onPath } from '../dev/go-build';
import { startPostgres } from '../dev/postgres';
import { Processes } from '../dev/processes';
import { findProductionTemporal, startProductionTemporal } from '../dev/temporal-production';
import { searchAttributes } from '../src/workflows/messages';
import { outcomeOf, pay, publish, Shopper } from './book-setup';
import { isLong } from './tiers';
import { eventually, startWorld, type World } from './world';

const quiet = (): void => undefined;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'payfirst-production-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('without Go it is asked for in a clear sentence', async () => {
  const finding = findProductionTemporal(quiet, { env: { PAYFIRST_CACHE: folder, PATH: '' } });
  await expect(finding).rejects.toThrow(/no Go to build it with\. Install Go/);
});

test('what Go said is told when it could not build it', async () => {
  const build = (): Promise<void> => Promise.reject(new Error('dial tcp: no route to the proxy'));
  const finding = findProductionTemporal(quiet, { env: { PAYFIRST_CACHE: folder, PATH: '' }, build });
  await expect(finding).rejects.toThrow(/Go could not build .*no route to the proxy/);
});

(isLong && onPath('go') !== undefined ? describe : describe.skip)('the production server', () => {
  let processes: Processes;
  let world: World;
  let address: string;

  beforeAll(async () => {
    processes = new Processes(join(folder, 'logs'), quiet);
    const programs = await findProductionTemporal((line) => void process.stderr.write(`${line}\n`));
    // Not the run's own PostgreSQL, where the server's databases would outlast this file.
    const postgres = await startPostgres(processes);
    ({ address } = await startProductionTemporal(processes, programs, postgres));
    world = await startWorld({ temporalAddress: address });
    // A build from nothing takes minutes; everything else, seconds.
  }, 900_000);
  afterAll(async () => {
    try {
      await world.stop();
    } finally {
      await processes.stopAll();
    }
  });

  test('has what the deployment has: four shards, our search attributes, one partition', async () => {
    const { historyShardCount, serverVersion } = await world.temporal.workflowService.getClusterInfo({});
    expect([historyShardCount, serverVersion]).toEqual([4, '1.31.2']);
    const known = await world.temporal.connection.operatorService.listSearchAttributes({
      namespace: 'default',
    });
    expect(Object.keys(known.customAttributes ?? {}).sort()).toEqual(
      Object.values(searchAttributes)
        .map(({ name }) => name)
        .sort(),
    );
    const { activityTaskQueuePartitions } = await world.temporal.workflowService.listTaskQueuePartitions({
      namespace: 'default',
      taskQueue: { name: world.taskQueue },
    });
    expect(activityTaskQueuePartitions).toHaveLength(1);
  });

  test('an attempt that is open when it is killed is paid and confirmed after it is there again', async () => {
    const ada = new Shopper(world);
    const booking = await ada.start(await publish(world));
    await processes.kill('temporal');
    expect((await ada.cancel(booking.id)).status).toBe(503);
    await processes.startAgain('temporal');
    expect(await pay(world, booking)).toBe(200);
    await ada.until(booking.id, 'confirmed', 40_000);
    expect(await outcomeOf(world, booking.id)).toBe('confirmed');
    // Found by its attribute, as operators look for it.
    await eventually('the booking in the list', async () => {
      const query = `BookingId = '${booking.id}' AND BookingStatus = 'confirmed'`;
      return (await world.temporal.workflow.count(query)).count === 1;
    });
  }, 120_000);
});
