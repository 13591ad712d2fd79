/** What the API is given: built by its process, replaced piece by piece in tests. */
import type { Client } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import type { Knex } from 'knex';
import type { Config } from '../config';
import type { Gateway } from '../gateways/gateway';
import type { LookUp } from '../public-address';
import type { Logger, Metrics } from '../telemetry';
import type { Listener } from './listener';

export interface ApiDependencies {
  config: Config;
  /** The main role: for what the API writes itself, which is offerings, carts, providers and credits. Bookings are written by activities only. */
  db: Knex;
  /** The read-only role: everything else. */
  reading: Knex;
  temporal: Client;
  /** Seals and opens what Temporal stores, for operators; the client above has its own. */
  codec: PayloadCodec;
  gateways: ReadonlyMap<string, Gateway>;
  /** How hosts of webhook endpoints are found; the process's own way when missing. */
  lookUp?: LookUp;
  log: Logger;
  metrics: Metrics;
  /** Aborted when the process is told to end: clients that wait for a change are answered at once. */
  stopping?: AbortSignal;
  /** Hears what others changed; without one the slow poll alone tells those who wait. */
  listener?: Listener;
}
