/**
 * The CLI's development server: Temporal in one process, on SQLite. For stories and tests, never for measuring;
 * `temporal-production.ts` starts what production runs.
 */
import { join } from 'node:path';

import { Connection } from '@temporalio/client';

import { searchAttributes } from '../src/workflows/messages';
import { freePorts, LOOPBACK, onFreePorts } from './ports';
import type { Processes } from './processes';
import type { TemporalCli } from './temporal-cli';

/** Where a Temporal server is. */
export interface TemporalServer {
  /** `host:port` of its gRPC frontend. */
  address: string;
  namespace: string;
  /** Address of the web UI; undefined when it has none. */
  uiUrl: string | undefined;
}

/** How the development server is started. */
export interface TemporalServerOptions {
  /** A free one if missing. */
  port?: number;
  /** `false`: no web UI. A number: its port. Missing: a free port. */
  ui?: number | false;
  /** Folder of its database file; without it everything is kept in memory and a restart forgets it. */
  folder?: string;
  /** Where the UI can have payloads decrypted. */
  codecEndpoint?: string;
}

/** How the CLI spells the types of search attributes. */
const TYPE_NAMES = {
  TEXT: 'Text',
  KEYWORD: 'Keyword',
  KEYWORD_LIST: 'KeywordList',
  INT: 'Int',
  DOUBLE: 'Double',
  BOOL: 'Bool',
  DATETIME: 'Datetime',
} as const;

/** Whether a Temporal server at `address` knows `namespace`; false also when it does not answer within 2 s. */
export async function temporalAnswers(address: string, namespace: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: '2s' });
    await connection.workflowService.describeNamespace({ namespace });
    return true;
  } catch {
    return false;
  } finally {
    await connection?.close();
  }
}

/**
 * Starts a development server under the name `temporal`, with namespace `default` and the search attributes.
 * @throws Error with its log's last lines when it does not start
 */
export async function startTemporalServer(
  processes: Processes,
  cli: TemporalCli,
  options: TemporalServerOptions = {},
): Promise<TemporalServer> {
  const start = ([freeGrpc, freeUi]: number[]): Promise<TemporalServer> =>
    startOn(processes, cli, options, {
      port: options.port ?? (freeGrpc as number),
      uiPort: options.ui === false ? undefined : (options.ui ?? freeUi),
    });
  // What was prescribed would be taken the next time, too.
  const prescribed = options.port !== undefined || typeof options.ui === 'number';
  return prescribed ? start(await freePorts(2)) : onFreePorts(2, start);
}

async function startOn(
  processes: Processes,
  cli: TemporalCli,
  options: TemporalServerOptions,
  { port, uiPort }: { port: number; uiPort: number | undefined },
): Promise<TemporalServer> {
  const namespace = 'default';
  const address = `${LOOPBACK}:${port}`;
  const args = ['server', 'start-dev', '--ip', LOOPBACK, '--port', `${port}`, '--namespace', namespace];
  if (uiPort === undefined) args.push('--headless');
  else args.push('--ui-port', `${uiPort}`);
  // Newer than CLI 1.5; without it the UI asks the internet for news at every start.
  if (cli.flags.has('--ui-disable-news-fetch')) args.push('--ui-disable-news-fetch');
  if (options.codecEndpoint !== undefined) args.push('--ui-codec-endpoint', options.codecEndpoint);
  if (options.folder !== undefined) args.push('--db-filename', join(options.folder, 'temporal.db'));
  // The server registers them only when it makes its namespace; `npm run migrate` would do it later.
  for (const { name, type } of Object.values(searchAttributes)) {
    args.push('--search-attribute', `${name}=${TYPE_NAMES[type]}`);
  }
  // Off by default before server 1.32: an activity then waits for a poll although its worker has a free slot.
  args.push('--dynamic-config-value', 'system.enableActivityEagerExecution=true');
  await processes.start({
    name: 'temporal',
    command: cli.path,
    args,
    // A developer's TEMPORAL_* settings are for clients; the server must be what the arguments say.
    env: withoutTemporalSettings(process.env),
    ...(options.folder === undefined ? {} : { remove: [options.folder] }),
    ready: { probe: () => temporalAnswers(address, namespace) },
  });
  return { address, namespace, uiUrl: uiPort === undefined ? undefined : `http://${LOOPBACK}:${uiPort}` };
}

function withoutTemporalSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}
