/** What stands in a database, to see that something wrote nothing. */
import type { Knex } from 'knex';

/**
 * A digest of each table: of its rows and of the transactions that wrote them, so that a row written anew as it was differs.
 * @param except tables that are not looked at
 */
export async function rowsOf(db: Knex, except: readonly string[] = []): Promise<Record<string, string>> {
  const { rows: tables } = await db.raw<{ rows: { name: string }[] }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
  );
  const digests = tables
    .filter(({ name }) => !except.includes(name))
    .map(
      ({ name }) =>
        `SELECT '${name}' AS name, (SELECT md5(string_agg(t.xmin::text || t::text, '|' ORDER BY t.xmin::text, t::text)) FROM "${name}" AS t) AS digest`,
    );
  const { rows } = await db.raw<{ rows: { name: string; digest: string }[] }>(digests.join(' UNION ALL '));
  return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
}
