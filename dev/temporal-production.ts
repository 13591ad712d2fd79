/**
 * The Temporal server that production runs, for measuring and for breaking things: on PostgreSQL, with the schema, the
 * settings and the four services of `docker-compose.yml`, all in one process. Go builds it and its schema tool, from
 * the module that pins the CLI, in half a minute once the CLI was built here and some four minutes otherwise.
 */
import { execFile } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { Connection } from '@temporalio/client';
import { google } from '@temporalio/proto';

import { registerSearchAttributes } from '../src/migrate';
import {
  buildByGo,
  type Builder,
  buildOnce,
  type GoProgram,
  onPath,
  pinnedName,
  temporalCache,
} from './go-build';
import { LOOPBACK, onFreePorts } from './ports';
import type { Postgres } from './postgres';
import type { Processes } from './processes';
import { type Progress, projectRoot } from './project';
import { temporalAnswers, type TemporalServer } from './temporal-server';

const run = promisify(execFile);

/** Absolute paths of what runs Temporal in production. */
export interface ProductionTemporal {
  server: string;
  /** `temporal-sql-tool`, which sets up the server's databases. */
  schemaTool: string;
}

/** What a test replaces. */
export interface FindOptions {
  env?: NodeJS.ProcessEnv;
  build?: Builder;
}

const TAKES = 'half a minute after the CLI, else about 4 minutes on two cores';
const SERVER = {
  package: 'go.temporal.io/server/cmd/server',
  called: 'the production Temporal server',
  takes: TAKES,
};
const SCHEMA_TOOL = {
  package: 'go.temporal.io/server/cmd/tools/sql',
  called: "the Temporal server's schema tool",
  takes: TAKES,
};

const NOTHING_THERE =
  'No production Temporal server: there is no Go to build it with. Install Go (1.21 or newer); the first build loads ' +
  "its modules from Go's module proxy.";

/**
 * The production server and its schema tool, from the cache or built by Go.
 * @param progress is told what takes long
 * @throws Error with what to install, or with Go's last lines, when they are not there and cannot be built
 */
export async function findProductionTemporal(
  progress: Progress,
  options: FindOptions = {},
): Promise<ProductionTemporal> {
  const env = options.env ?? process.env;
  const folder = join(temporalCache(env), pinnedName('temporal-server', 'go.temporal.io/server'));
  const find = async (name: string, program: GoProgram): Promise<string> => {
    const path = join(folder, name);
    if (await runs(path)) return path;
    // Half a file, or one of another machine that shares this cache.
    rmSync(path, { force: true });
    const go = onPath('go', env);
    const build = options.build ?? (go === undefined ? undefined : buildByGo(go, env, program));
    if (!build) throw new Error(NOTHING_THERE);
    try {
      await buildOnce(path, progress, build);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`No production Temporal server: Go could not build ${program.called}. ${why}`);
    }
    return path;
  };
  return {
    server: await find('temporal-server', SERVER),
    // The name by which the deployment's script calls it.
    schemaTool: await find('temporal-sql-tool', SCHEMA_TOOL),
  };
}

async function runs(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  return run(path, ['--version'], { timeout: 20_000 }).then(
    () => true,
    () => false,
  );
}

/**
 * Starts a production server under the name `temporal`, with namespace `default` and the search attributes, in the
 * databases `temporal` and `temporal_visibility` of `postgres`; what it finds there from before it goes on with.
 * `processes.kill` and `startAgain` are a crash and a restart with the same data, at the same address.
 * @throws Error with the last lines of the schema tool or of the server, when one fails
 */
export async function startProductionTemporal(
  processes: Processes,
  programs: ProductionTemporal,
  postgres: Postgres,
): Promise<TemporalServer> {
  await setUpSchema(processes, programs, postgres);
  const address = await onFreePorts(PORT_NAMES.length, (ports) =>
    serve(processes, programs, postgres, ports),
  );
  const namespace = 'default';
  await setUpNamespace(address, namespace);
  return { address, namespace, uiUrl: undefined };
}

const DEPLOYMENT = join(projectRoot, 'deploy', 'temporal');
/** The driver of the deployment. */
const PLUGIN = 'postgres12_pgx';

/** The deployment's own script, with the tool it expects first on the PATH. */
async function setUpSchema(
  processes: Processes,
  { schemaTool }: ProductionTemporal,
  postgres: Postgres,
): Promise<void> {
  const { hostname, port, username, password } = new URL(postgres.adminUrl);
  const { PATH: path = '' } = process.env;
  await processes.run({
    name: 'temporal-schema',
    command: 'sh',
    args: [join(DEPLOYMENT, 'setup-schema.sh')],
    // Nothing else, here and for the server: a developer's SQL_* and TEMPORAL_* settings are for other servers.
    env: {
      PATH: `${join(schemaTool, '..')}:${path}`,
      SQL_PLUGIN: PLUGIN,
      SQL_HOST: hostname,
      SQL_PORT: port || '5432',
      SQL_USER: decodeURIComponent(username),
      SQL_PASSWORD: decodeURIComponent(password),
    },
  });
}

/** Every port that the server opens, by the variable that its built-in configuration reads (server 1.31.2, config_template_embedded.yaml). */
const PORT_NAMES = [
  'FRONTEND_GRPC_PORT',
  'FRONTEND_HTTP_PORT',
  'FRONTEND_MEMBERSHIP_PORT',
  'MATCHING_GRPC_PORT',
  'MATCHING_MEMBERSHIP_PORT',
  'HISTORY_GRPC_PORT',
  'HISTORY_MEMBERSHIP_PORT',
  'WORKER_GRPC_PORT',
  'WORKER_MEMBERSHIP_PORT',
];

/** Starts the server process; the address of its frontend once it answers. */
async function serve(
  processes: Processes,
  { server }: ProductionTemporal,
  postgres: Postgres,
  ports: number[],
): Promise<string> {
  const { hostname, port, username, password } = new URL(postgres.adminUrl);
  const address = `${LOOPBACK}:${ports[0]}`;
  await processes.start({
    name: 'temporal',
    command: server,
    args: ['start'],
    env: {
      ...Object.fromEntries(PORT_NAMES.map((name, index) => [name, String(ports[index])])),
      BIND_ON_IP: LOOPBACK,
      DB: PLUGIN,
      DB_PORT: port || '5432',
      POSTGRES_SEEDS: hostname,
      POSTGRES_USER: decodeURIComponent(username),
      POSTGRES_PWD: decodeURIComponent(password),
      NUM_HISTORY_SHARDS: '4',
      DYNAMIC_CONFIG_FILE_PATH: join(DEPLOYMENT, 'dynamic-config.yaml'),
      LOG_LEVEL: 'warn',
    },
    // The server makes this namespace by itself, and reads it from its database: it is there also before ours is.
    ready: { probe: () => temporalAnswers(address, 'temporal-system') },
  });
  return address;
}

/** As the development server keeps what is over. */
const RETENTION_SECONDS = 86_400;
/** The gRPC status of a namespace that is there already. */
const ALREADY_EXISTS = 6;
/**
 * Each of the four services reads the namespaces anew every 2 s (`system.namespaceCacheRefreshInterval`), and none
 * tells when it has. Before that it refuses the search attributes.
 */
const NAMESPACE_KNOWN_MS = 2_500;

async function setUpNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService
      .registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: google.protobuf.Duration.fromObject({ seconds: RETENTION_SECONDS }),
      })
      .catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === ALREADY_EXISTS)) throw error;
      });
    const added = await registerSearchAttributes(connection, namespace);
    if (added.length > 0) await sleep(NAMESPACE_KNOWN_MS);
  } finally {
    await connection.close();
  }
}
