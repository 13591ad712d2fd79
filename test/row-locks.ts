/** Switches off the row locks that activities ask for, to show what they are for. */
import type { Knex } from 'knex';

interface Query {
  sql: string;
}
interface Driver {
  _query: (connection: unknown, query: Query) => Promise<unknown>;
}

/** Rows that activities ask to lock are only read, until `jest.restoreAllMocks()`. Locks inside SQL functions stay. */
export function withoutRowLocks(db: Knex): void {
  // Transactions have a driver of their own, made from the same class.
  const driver = Object.getPrototypeOf(db.client) as Driver;
  const send = driver._query;
  jest.spyOn(driver, '_query').mockImplementation(function (this: Driver, connection, query) {
    query.sql = query.sql.replace(/ for update$/, '');
    return send.call(this, connection, query);
  });
}
