/** An outage of PostgreSQL, for one world alone. */
import { openDatabase } from '../src/database';
import { eventually, type World } from './world';

/** Takes the database away from everybody, open connections included, while something happens. */
export async function withoutDatabase<T>(world: World, happens: () => Promise<T>): Promise<T> {
  const url = new URL(world.config.database.url);
  const name = url.pathname.slice(1);
  url.pathname = '/postgres';
  const admin = openDatabase(url.toString(), { poolMax: 1, name: 'test-outage' });
  try {
    // Somebody may connect between the two statements; then again.
    await eventually('the database is away', async () => {
      await admin.raw('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ?', [name]);
      return admin.raw('ALTER DATABASE ?? RENAME TO ??', [name, `${name}_away`]).then(
        () => true,
        () => false,
      );
    });
    try {
      return await happens();
    } finally {
      await admin.raw('ALTER DATABASE ?? RENAME TO ??', [`${name}_away`, name]);
    }
  } finally {
    await admin.destroy();
  }
}
