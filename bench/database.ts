/** A fresh, migrated database for one bench: on `DATABASE_URL`'s server when set, else on a PostgreSQL of its own. */
import { randomBytes } from 'node:crypto';
import { connectPostgres, runSql, startPostgres } from '../dev/postgres';
import type { Processes } from '../dev/processes';
import { openDatabase } from '../src/database';
import { migrateSchema } from '../src/migrate';
import { withProcesses } from './program';

/** Runs with the URL of a database that is gone afterwards, and with a place for further processes, which are ended then too. */
export async function withDatabase(use: (url: string, processes: Processes) => Promise<void>): Promise<void> {
  const { DATABASE_URL: given } = process.env;
  await withProcesses(async (processes) => {
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
  });
}
