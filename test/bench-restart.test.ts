/** What the bench and its measure of a restart (P8) lean on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client } from 'pg';

import { startUntilUp } from '../bench/restart';
import { startPostgres } from '../dev/postgres';
import { Processes } from '../dev/processes';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'payfirst-bench-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Busy without ever waiting, which is when a session would see that its server's main process is gone. */
const busyForSeconds = (seconds: number): string =>
  `do $$ begin while clock_timestamp() < now() + interval '${seconds} s' loop null; end loop; end $$`;

test('a PostgreSQL that was killed is started until the sessions that were at work have ended', async () => {
  const processes = new Processes(join(folder, 'logs'));
  const postgres = await startPostgres(processes, { name: 'killed' });
  const client = new Client({ connectionString: postgres.adminUrl });
  // Its connection is cut when its work ends.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const atWork = client.query(busyForSeconds(5));
    // The session is at work by the time another one has made a database.
    await postgres.createDatabase('later');
    await processes.kill('killed');
    // The control: started once, it does not come up.
    await expect(processes.startAgain('killed')).rejects.toThrow('pre-existing shared memory block');
    await startUntilUp(processes, 'killed');
    await postgres.createDatabase('after');
    // It even ends well: what it was at is finished under the dead server.
    await atWork;
  } finally {
    await client.end().catch(() => undefined);
    await postgres.stop();
  }
});
