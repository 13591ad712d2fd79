/** Jest's global tear-down: stops what `servers.ts` started. */
import { rmSync } from 'node:fs';

import './servers';

/** Stops the servers; called by Jest once, after the last test file. Their logs go too: the run has ended in order. */
export default async function stopServers(): Promise<void> {
  const servers = globalThis.payfirstTestServers;
  if (!servers) return;
  globalThis.payfirstTestServers = undefined;
  delete process.env['TEST_DATABASE_URL'];
  delete process.env['TEST_TEMPORAL_ADDRESS'];
  await servers.processes.stopAll();
  await servers.postgres.stop();
  rmSync(servers.processes.logFolder, { recursive: true, force: true });
}
