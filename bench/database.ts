/** A fresh, migrated database for one bench: on `DATABASE_URL`'s server when set, else on a PostgreSQL of its own. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPostgres, runSql, startPostgres } from '../dev/postgres';
import { Processes, stopOnSignals } from '../dev/processes';
import { openDatabase } from '../src/database';
import { migrateSchema } from '../src/migrate';

/** Runs with the URL of a database that is gone afterwards, and with a place for further processes, which are ended then too. */
export async function withDatabase(use: (url: string, processes: Processes) => Promise<void>): Promise<void> {
  const { DATABASE_URL: given } = process.env;
  const logs = mkdtempSync(join(tmpdir(), 'payfirst-bench-logs-'));
  const processes = new Processes(logs);
  const forget = stopOnSignals(() => processes.stopAll());
  try {
    const postgres = given ? await connectPostgres(given) : await startPostgres(processes);
    const name = `bench_${randomBytes(6).toString('hex')}`;
    await postgres.createDatabase(name);
    try {
      const url = postgres.url(name);
      const db = openDatabase(url, { poolMax: 1, name: 'bench-setup' });
      await migrateSchema(db);
      await db.destroy();
      await use(url, processes);
    } finally {
      await runSql(postgres.adminUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    }
  } finally {
    await processes.stopAll();
    forget();
    rmSync(logs, { recursive: true, force: true });
  }
}
