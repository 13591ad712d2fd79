/**
 * Jest's global set-up: one PostgreSQL and one Temporal server for the whole run, really running, addressed by
 * `TEST_DATABASE_URL` (superuser, database `postgres`) and `TEST_TEMPORAL_ADDRESS` (namespace `default`). Where both
 * are set already, those servers are used. What is started here ends with Jest, however Jest ends.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Postgres, startPostgres } from '../dev/postgres';
import { Processes } from '../dev/processes';
import { findTemporalCli } from '../dev/temporal-cli';
import { startTemporalServer } from '../dev/temporal-server';

/** What the tear-down must stop. Jest runs both in one process, each in a module registry of its own. */
export interface TestServers {
  processes: Processes;
  postgres: Postgres;
}

declare global {
  // Only `var` makes a property of the global object.
  var payfirstTestServers: TestServers | undefined;
}

/** Starts the servers; called by Jest once, before any test file. */
export default async function startServers(): Promise<void> {
  const { TEST_DATABASE_URL: database, TEST_TEMPORAL_ADDRESS: temporal } = process.env;
  if (database && temporal) return;
  const say = (line: string): void => void process.stderr.write(`test servers: ${line}\n`);
  const processes = new Processes(mkdtempSync(join(tmpdir(), 'payfirst-test-logs-')), say);
  const startTemporal = async (): Promise<string> => {
    const { address } = await startTemporalServer(processes, await findTemporalCli(say), { ui: false });
    return address;
  };
  try {
    const postgresUp = startPostgres(processes);
    const temporalUp = startTemporal();
    // Both to their end first: one that still starts could not be stopped.
    await Promise.allSettled([postgresUp, temporalUp]);
    const postgres = await postgresUp;
    const address = await temporalUp;
    process.env['TEST_DATABASE_URL'] = postgres.adminUrl;
    process.env['TEST_TEMPORAL_ADDRESS'] = address;
    globalThis.payfirstTestServers = { processes, postgres };
  } catch (error) {
    await processes.stopAll();
    throw error;
  }
}
