/** The migrations in their order, as Knex wants them. Listed by hand, so that sources and the compiled tree agree. */
import type { Knex } from 'knex';
import * as tables from './001_tables';
import * as settling from './002_settling';
import * as everyWay from './003_every_way_to_book';
import * as oneSettlement from './004_one_settlement';
import * as afterBooking from './005_after_booking';
import * as numbers from './006_numbers';
import * as outgoingWebhooks from './008_outgoing_webhooks';
import * as otherMethods from './009_other_methods';

interface Migration {
  name: string;
  up(knex: Knex): Promise<void>;
  down(knex: Knex): Promise<void>;
}

const migrations: Migration[] = [
  { name: '001_tables', up: tables.up, down: tables.down },
  { name: '002_settling', up: settling.up, down: settling.down },
  { name: '003_every_way_to_book', up: everyWay.up, down: everyWay.down },
  { name: '004_one_settlement', up: oneSettlement.up, down: oneSettlement.down },
  { name: '005_after_booking', up: afterBooking.up, down: afterBooking.down },
  { name: '006_numbers', up: numbers.up, down: numbers.down },
  { name: '008_outgoing_webhooks', up: outgoingWebhooks.up, down: outgoingWebhooks.down },
  { name: '009_other_methods', up: otherMethods.up, down: otherMethods.down },
];

/** Knex's source of migrations. Names are kept in `knex_migrations`: never rename one that has shipped. */
export const migrationSource: Knex.MigrationSource<Migration> = {
  getMigrations: () => Promise.resolve(migrations),
  getMigrationName: (migration) => migration.name,
  getMigration: (migration) => Promise.resolve(migration),
};
