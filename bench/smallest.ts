/**
 * Process: API and worker of the smallest workflow. `POST /start/<id>` opens, `POST /webhook/<id>` tells of the money and is
 * answered once Temporal has the signal. Settings: DATABASE_URL, TEMPORAL_ADDRESS, PORT.
 */
import { createServer } from 'node:http';
import { Client, Connection, WithStartWorkflowOperation } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { Pool } from 'pg';
import { LOOPBACK } from '../dev/ports';
import type { smallest } from './smallest-workflow';

/** Its tables; one of the slots is taken at random. */
export const smallestSchema = `
  create table attempts (id text primary key, opened_at timestamptz not null default now());
  create table slots (id int primary key, taken int not null default 0, capacity int not null);
  create table bookings (id text primary key references attempts, slot int not null);
  insert into slots select n, 0, 10000 from generate_series(1, 20) as n;`;

const taskQueue = 'smallest';

function activities(pool: Pool) {
  return {
    async open(id: string): Promise<string> {
      await pool.query('insert into attempts (id) values ($1) on conflict do nothing', [id]);
      return `https://pay.test/${id}`;
    },
    /** One statement is one transaction: the seat and the booking, or neither. */
    async confirm(id: string): Promise<void> {
      await pool.query(
        `with seat as (
           update slots set taken = taken + 1
           where id = $2 and taken < capacity and not exists (select from bookings where bookings.id = $1)
           returning id)
         insert into bookings select $1, id from seat`,
        [id, 1 + Math.floor(Math.random() * 20)],
      );
    },
  };
}

export type SmallestActivities = ReturnType<typeof activities>;

async function start(client: Client, id: string): Promise<string> {
  const startWorkflowOperation = new WithStartWorkflowOperation<typeof smallest>('smallest', {
    workflowId: id,
    taskQueue,
    args: [id],
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  return client.workflow.executeUpdateWithStart<typeof smallest, string, []>('opened', {
    updateId: 'opened',
    args: [],
    startWorkflowOperation,
  });
}

async function main(): Promise<void> {
  const { DATABASE_URL: url, TEMPORAL_ADDRESS: address, PORT: port } = process.env;
  if (!url || !address) throw new Error('DATABASE_URL and TEMPORAL_ADDRESS are missing.');
  const pool = new Pool({ connectionString: url, max: 12 });
  const client = new Client({ connection: await Connection.connect({ address }) });
  const worker = await Worker.create({
    connection: await NativeConnection.connect({ address }),
    namespace: 'default',
    taskQueue,
    workflowsPath: require.resolve('./smallest-workflow'),
    activities: activities(pool),
  });
  const server = createServer((request, response) => {
    const [, wish, id = ''] = (request.url ?? '').split('/');
    const done = wish === 'start' ? start(client, id) : client.workflow.getHandle(id).signal<[]>('paid');
    done.then(
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(Number(port), LOOPBACK);
  await worker.run();
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
