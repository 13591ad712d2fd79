/** Process: brings the schema up to date, grants the read-only role, and registers the search attributes where it may. */
import { Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { temporal } from '@temporalio/proto';
import type { Knex } from 'knex';
import { migrationSource } from '../migrations';
import { readConfigOrExit } from './config';
import { openDatabase } from './database';
import { searchAttributes } from './workflows/messages';

const { IndexedValueType } = temporal.api.enums.v1;

/** Server types of the search attributes. */
const indexedTypes = {
  KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
  KEYWORD_LIST: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
  BOOL: IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
} as const;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Applies the missing migrations; several at once wait for each other (Knex's lock). Returns their names. */
export async function migrateSchema(db: Knex): Promise<string[]> {
  const [, applied] = (await db.migrate.latest({ migrationSource })) as [number, string[]];
  return applied;
}

/** Lets the role read everything, now and later. The role itself is the deployer's to make. */
export async function grantReading(db: Knex, role: string): Promise<void> {
  await db.raw('GRANT USAGE ON SCHEMA public TO ??', [role]);
  await db.raw('GRANT SELECT ON ALL TABLES IN SCHEMA public TO ??', [role]);
  await db.raw('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ??', [role]);
}

function attributeList(): { name: string; type: keyof typeof indexedTypes }[] {
  return Object.values(searchAttributes).map(({ name, type }) => ({
    name,
    type: type,
  }));
}

/** Registers the missing search attributes. @throws when the server refuses */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const known = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = attributeList().filter(({ name }) => !(name in (known.customAttributes ?? {})));
  if (missing.length > 0) {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(({ name, type }) => [name, indexedTypes[type]])),
    });
  }
  return missing.map(({ name }) => name);
}

async function registerOrExplain(): Promise<void> {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  try {
    const connection = await Connection.connect({ ...connectionOptions, connectTimeout: 5_000 });
    try {
      const added = await registerSearchAttributes(connection, namespace);
      say(
        added.length === 0 ? 'Search attributes: all there' : `Search attributes: added ${added.join(', ')}`,
      );
    } finally {
      await connection.close();
    }
  } catch (error) {
    say(
      `Search attributes could not be registered (${error instanceof Error ? error.message : String(error)}). Run:`,
    );
    const cliTypes = { KEYWORD: 'Keyword', KEYWORD_LIST: 'KeywordList', BOOL: 'Bool' } as const;
    for (const { name, type } of attributeList()) {
      say(
        `  temporal operator search-attribute create --namespace ${namespace} --name ${name} --type ${cliTypes[type]}`,
      );
    }
  }
}

async function main(): Promise<void> {
  const config = readConfigOrExit();
  const db = openDatabase(config.database.url, { poolMax: 2, name: 'payfirst-migrate' });
  try {
    const applied = await migrateSchema(db);
    say(applied.length === 0 ? 'Schema: up to date' : `Schema: applied ${applied.join(', ')}`);
    const { readonlyUrl } = config.database;
    if (readonlyUrl !== undefined) {
      const role = decodeURIComponent(new URL(readonlyUrl).username);
      await grantReading(db, role);
      say(`Reading: granted to ${role}`);
    }
  } finally {
    await db.destroy();
  }
  await registerOrExplain();
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(`Migration failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
}
