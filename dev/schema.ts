/**
 * `npm run schema`: writes `migrations/schema.sql`, what the migrations make, as one text that a reviewer can read and a
 * database can load. `-- --check` only compares, and fails when they differ. Read from the catalog, in PostgreSQL's own
 * words: `pg_dump` is not on every machine, and its text changes with its version.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Knex } from 'knex';

import { openDatabase } from '../src/database';
import { migrateSchema } from '../src/migrate';
import { connectPostgres, type Postgres, runSql, startPostgres } from './postgres';
import { Processes } from './processes';
import { projectRoot } from './project';

/** The committed dump. */
export const schemaFile = join(projectRoot, 'migrations', 'schema.sql');

const preamble = `-- What the migrations make. Written by \`npm run schema\`; do not edit.

-- Functions come first, for the tables' triggers need them; their bodies name tables that come later.
SET check_function_bodies = false;
`;

/** Our tables and functions: in `public`, without Knex's own two tables. */
const ours = `
  WITH tables AS (
    SELECT c.oid, c.relname FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'knex\\_migrations%'),
  functions AS (
    SELECT p.oid, p.oid::regprocedure::text AS signature FROM pg_proc AS p
    WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f')`;

/** Each answers rows of `statement`, in the order in which a database can load them. */
const parts = {
  functions: `${ours}
    SELECT rtrim(pg_get_functiondef(oid), E' \\n') || E';\\n' ||
      coalesce(format('COMMENT ON FUNCTION %s IS ', signature) || quote_literal(obj_description(oid, 'pg_proc')) || E';\\n', '') AS statement
    FROM functions ORDER BY signature COLLATE "C"`,
  // Foreign keys come last, because tables name each other; the other constraints stand in their table.
  tables: `${ours},
  lines AS (
    SELECT a.attrelid AS oid, 1 AS part, a.attnum::integer AS place, '' AS name,
      format('%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
        coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid, true), '')) AS line
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT conrelid, 2, position(contype::text IN 'puc'), conname,
      format('CONSTRAINT %I %s', conname, pg_get_constraintdef(oid, true))
    FROM pg_constraint WHERE contype IN ('p', 'u', 'c')),
  indexes AS (
    SELECT i.indrelid AS oid, c.relname, pg_get_indexdef(i.indexrelid, 0, true) || E';\\n' ||
      coalesce(format('COMMENT ON INDEX %I IS ', c.relname) || quote_literal(obj_description(c.oid, 'pg_class')) || E';\\n', '') AS text
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))),
  comments AS (
    SELECT a.attrelid AS oid, a.attnum::integer AS place,
      format('COMMENT ON COLUMN %I.%I IS ', t.relname, a.attname) || quote_literal(col_description(t.oid, a.attnum)) || E';\\n' AS text
    FROM pg_attribute AS a JOIN tables AS t ON t.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND col_description(t.oid, a.attnum) IS NOT NULL)
    SELECT format(E'CREATE TABLE %I (\\n  %s\\n);\\n', t.relname,
        (SELECT string_agg(line, E',\\n  ' ORDER BY part, place, name COLLATE "C") FROM lines AS l WHERE l.oid = t.oid)) ||
      coalesce(format('COMMENT ON TABLE %I IS ', t.relname) || quote_literal(obj_description(t.oid, 'pg_class')) || E';\\n', '') ||
      coalesce((SELECT string_agg(text, '' ORDER BY place) FROM comments AS m WHERE m.oid = t.oid), '') ||
      coalesce((SELECT string_agg(text, '' ORDER BY relname COLLATE "C") FROM indexes AS i WHERE i.oid = t.oid), '')
      AS statement
    FROM tables AS t ORDER BY t.relname COLLATE "C"`,
  foreignKeys: `${ours}
    SELECT format(E'ALTER TABLE %I ADD CONSTRAINT %I %s;\\n', t.relname, k.conname, pg_get_constraintdef(k.oid, true))
      AS statement
    FROM pg_constraint AS k JOIN tables AS t ON t.oid = k.conrelid WHERE k.contype = 'f'
    ORDER BY t.relname COLLATE "C", k.conname COLLATE "C"`,
  triggers: `${ours}
    SELECT pg_get_triggerdef(g.oid, true) || E';\\n' ||
      coalesce(format('COMMENT ON TRIGGER %I ON %I IS ', g.tgname, t.relname) || quote_literal(obj_description(g.oid, 'pg_trigger')) || E';\\n', '')
      AS statement
    FROM pg_trigger AS g JOIN tables AS t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal
    ORDER BY t.relname COLLATE "C", g.tgname COLLATE "C"`,
  constraintComments: `${ours}
    SELECT format('COMMENT ON CONSTRAINT %I ON %I IS ', k.conname, t.relname) || quote_literal(obj_description(k.oid, 'pg_constraint')) || E';\\n'
      AS statement
    FROM pg_constraint AS k JOIN tables AS t ON t.oid = k.conrelid
    WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL
    ORDER BY t.relname COLLATE "C", k.conname COLLATE "C"`,
};

/** Writes down everything in the database's `public` schema; the same schema is always the same text. */
export async function dumpSchema(db: Knex): Promise<string> {
  const statementsOf = async (sql: string): Promise<string[]> => {
    const { rows } = await db.raw<{ rows: { statement: string }[] }>(sql);
    return rows.map(({ statement }) => statement);
  };
  const functions = await statementsOf(parts.functions);
  const tables = await statementsOf(parts.tables);
  const foreignKeys = await statementsOf(parts.foreignKeys);
  const triggers = await statementsOf(parts.triggers);
  const comments = await statementsOf(parts.constraintComments);
  // Functions take rows of tables, and triggers call functions.
  const sections = [...tables, ...functions, foreignKeys.join(''), triggers.join(''), comments.join('')];
  return [preamble, ...sections.filter((section) => section !== '')].join('\n');
}

async function dumpMigrations(postgres: Postgres): Promise<string> {
  const name = `schema_${randomBytes(6).toString('hex')}`;
  await postgres.createDatabase(name);
  try {
    const db = openDatabase(postgres.url(name), { poolMax: 1, name: 'payfirst-schema' });
    try {
      await migrateSchema(db);
      return await dumpSchema(db);
    } finally {
      await db.destroy();
    }
  } finally {
    await runSql(postgres.adminUrl, `DROP DATABASE ${name} WITH (FORCE)`);
  }
}

function compare(dump: string): void {
  if (readFileSync(schemaFile, 'utf8') === dump) {
    process.stdout.write('migrations/schema.sql is what the migrations make.\n');
    return;
  }
  process.stderr.write('migrations/schema.sql is not what the migrations make: run `npm run schema`.\n');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { DATABASE_URL: given } = process.env;
  const logs = mkdtempSync(join(tmpdir(), 'payfirst-schema-logs-'));
  const processes = new Processes(logs, () => undefined);
  try {
    const postgres = given ? await connectPostgres(given) : await startPostgres(processes);
    const dump = await dumpMigrations(postgres);
    if (process.argv.includes('--check')) compare(dump);
    else {
      writeFileSync(schemaFile, dump);
      process.stdout.write('Wrote migrations/schema.sql.\n');
    }
    await postgres.stop();
  } finally {
    await processes.stopAll();
    rmSync(logs, { recursive: true, force: true });
  }
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(
      `The schema could not be dumped: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  });
}
