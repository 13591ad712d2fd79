/** A fresh, migrated database for a test file, copied from a template that the first file of a run makes. */
import { randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { openDatabase } from '../src/database';
import { grantReading, migrateSchema } from '../src/migrate';

export interface FreshDatabase {
  url: string;
  /** Logs in as a role that may only read. */
  readonlyUrl: string;
  db: Knex;
  close(): Promise<void>;
}

const template = 'payfirst_template';
const reader = 'payfirst_reader';
const readerPassword = 'reading-only';

function inDatabase(adminUrl: string, name: string, login?: { user: string; password: string }): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  if (login !== undefined) {
    url.username = login.user;
    url.password = login.password;
  }
  return url.toString();
}

/** Makes the template once per server, whichever test process comes first. */
async function makeTemplate(admin: Knex, adminUrl: string): Promise<void> {
  const found = await admin('pg_database').where({ datname: template }).first<unknown>();
  if (found !== undefined) return;
  await admin.raw(
    `DO $$ BEGIN CREATE ROLE ${reader} LOGIN PASSWORD '${readerPassword}'; EXCEPTION WHEN duplicate_object THEN END $$`,
  );
  const building = `${template}_building`;
  await admin.raw('DROP DATABASE IF EXISTS ??', [building]);
  await admin.raw('CREATE DATABASE ??', [building]);
  const db = openDatabase(inDatabase(adminUrl, building), { poolMax: 2, name: 'test-template' });
  try {
    await migrateSchema(db);
    await grantReading(db, reader);
  } finally {
    await db.destroy();
  }
  await admin.raw('ALTER DATABASE ?? RENAME TO ??', [building, template]);
}

/**
 * Fifty stories of a file share a pool, and four files two cores: there a long wait for a connection is no failure, as it is in
 * production.
 */
export function bePatient({ client }: Knex): void {
  const patienceMs = 60_000;
  const { pool, connectionSettings } = client as {
    pool: { acquireTimeoutMillis: number };
    connectionSettings: { connectionTimeoutMillis: number };
  };
  pool.acquireTimeoutMillis = patienceMs;
  connectionSettings.connectionTimeoutMillis = patienceMs;
}

/** Makes a database of its own for the caller. */
export async function freshDatabase(poolMax = 12): Promise<FreshDatabase> {
  const adminUrl = process.env['TEST_DATABASE_URL'];
  if (adminUrl === undefined) throw new Error('TEST_DATABASE_URL is missing: run the tests by `npm test`');
  const admin = openDatabase(adminUrl, { poolMax: 1, name: 'test-admin' });
  const name = `test_${randomBytes(6).toString('hex')}`;
  try {
    // One connection: the lock and what it guards are one session's. Copying a template wants it unused, too.
    await admin.raw(`SELECT pg_advisory_lock(hashtext('${template}'))`);
    await makeTemplate(admin, adminUrl);
    await admin.raw('CREATE DATABASE ?? TEMPLATE ??', [name, template]);
    await admin.raw(`SELECT pg_advisory_unlock(hashtext('${template}'))`);
  } finally {
    await admin.destroy();
  }
  const url = inDatabase(adminUrl, name);
  const db = openDatabase(url, { poolMax, name: 'test' });
  bePatient(db);
  return {
    url,
    readonlyUrl: inDatabase(adminUrl, name, { user: reader, password: readerPassword }),
    db,
    close: async () => {
      await db.destroy();
      const dropping = openDatabase(adminUrl, { poolMax: 1, name: 'test-admin' });
      await dropping.raw('DROP DATABASE IF EXISTS ?? WITH (FORCE)', [name]);
      await dropping.destroy();
    },
  };
}
