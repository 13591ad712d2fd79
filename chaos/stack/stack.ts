/**
 * The stacks that are broken, every part a process of its own. Payfirst: two APIs behind a load balancer, two workers,
 * Temporal's production server, and a proxy on each way over which a network could fail. And the design that everyone
 * starts with, on the same surroundings. All of it goes with the run.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, LOOPBACK } from '../../dev/ports';
import { runSql, type Postgres } from '../../dev/postgres';
import { Processes, type Spec } from '../../dev/processes';
import { apiProgram, migrateProgram, workerProgram } from '../../dev/programs';
import { projectRoot, type Progress } from '../../dev/project';
import { findProductionTemporal, startProductionTemporal } from '../../dev/temporal-production';
import type { TemporalServer } from '../../dev/temporal-server';
import type { MailControl } from '../../sandbox/mail/control';
import type { Proxy } from './proxy';
import { Supervisor } from './supervisor';
import {
  addProxy,
  bareEnvironment,
  startAll,
  startSurroundings,
  targetOf,
  type Sandboxes,
  type Surroundings,
  type Undo,
} from './surroundings';

/** Ways over which a network could fail. */
export const linkNames = ['api-temporal', 'worker-temporal', 'worker-postgres', 'worker-gateways'] as const;
export type LinkName = (typeof linkNames)[number];

/** A stack that is up, and supervised: what can be broken about any design. */
export interface Ground {
  /** Origin of the load balancer in front of the APIs. */
  api: string;
  /** What signs tokens, and where payers find the gateways: not behind the proxies. */
  env: Record<string, string>;
  postgres: Postgres;
  sandboxes: Sandboxes;
  mail: MailControl;
  supervisor: Supervisor;
  /** Names of the processes that answer HTTP, and of those that settle payments; one may be both. */
  apis: readonly string[];
  workers: readonly string[];
  /** The proxies of each way; none where a design has no such way. */
  links: Record<LinkName, Proxy[]>;
  /** How one of the workers is started, for one that is to be started otherwise. */
  worker: (name: string, env?: Record<string, string>) => Spec;
  logFolder: string;
  stop: () => Promise<void>;
}

/** Payfirst, ready to be broken. */
export interface ChaosStack extends Ground {
  temporal: TemporalServer;
}

/** What a run changes about its stack. */
export interface ChaosOptions {
  progress: Progress;
  /** Folder of the compiled programs; `dist` if missing. */
  build?: string;
  /** Run on the migrated database, as its superuser, before the first process of ours starts. */
  sql?: string;
}

/** What a stack is made of, and how it is taken down again: once, however often that is asked. */
interface Held {
  processes: Processes;
  supervisor: Supervisor;
  undo: Undo;
  logFolder: string;
  stop: () => Promise<void>;
}

/** Starts something, and takes it down again when the start fails half-way. The logs stay: they may say why. */
async function held<T>(progress: Progress, start: (held: Held) => Promise<T>): Promise<T> {
  const logFolder = mkdtempSync(join(tmpdir(), 'payfirst-chaos-logs-'));
  const processes = new Processes(logFolder, progress);
  const supervisor = new Supervisor(processes);
  const undo: Undo = [];
  const takeDown = async (): Promise<void> => {
    await supervisor.end();
    await processes.stopAll();
    await Promise.all(undo.map((one) => one()));
  };
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= takeDown());
  progress(`logs: ${logFolder}`);
  try {
    return await start({ processes, supervisor, undo, logFolder, stop });
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Starts Payfirst and waits until all of it answers.
 * @throws Error with the failing process's last log lines; what was started is stopped again
 */
export function startChaosStack({
  progress,
  build = join(projectRoot, 'dist'),
  sql,
}: ChaosOptions): Promise<ChaosStack> {
  return held(progress, async (standing) => {
    const { processes, undo } = standing;
    const programs = await findProductionTemporal(progress);
    const ports = (await freePorts(4)) as [number, number, number, number];
    const around = await startSurroundings(processes, ports.slice(0, 2), undo);
    const temporal = await startProductionTemporal(processes, programs, around.postgres);
    const [apiTemporal, workerTemporal] = [
      await addProxy(undo, [targetOf(temporal.address)]),
      await addProxy(undo, [targetOf(temporal.address)]),
    ];

    const env: NodeJS.ProcessEnv = {
      ...bareEnvironment(),
      ...around.straight,
      TEMPORAL_NAMESPACE: temporal.namespace,
      TEMPORAL_ADDRESS: temporal.address,
    };
    const api = (name: string, port: number): Spec =>
      apiProgram(
        name,
        { ...env, TEMPORAL_ADDRESS: `${LOOPBACK}:${apiTemporal.port}` },
        port,
        join(build, 'src', 'api', 'main.js'),
      );
    const worker: Ground['worker'] = (name, changes = {}) =>
      workerProgram(
        name,
        { ...env, ...around.proxied, TEMPORAL_ADDRESS: `${LOOPBACK}:${workerTemporal.port}`, ...changes },
        name === 'worker' ? ports[2] : ports[3],
        join(build, 'src', 'worker.js'),
      );
    await processes.run(migrateProgram(env));
    if (sql !== undefined) await runSql(around.postgres.url('payfirst'), sql);
    const specs = [api('api', ports[0]), api('api-2', ports[1]), worker('worker'), worker('worker-2')];
    await startAll(processes, specs);
    const ground = ready(around, standing, ['postgres', 'temporal', ...specs.map(({ name }) => name)]);
    return {
      ...ground,
      temporal,
      apis: ['api', 'api-2'],
      workers: ['worker', 'worker-2'],
      links: {
        'api-temporal': [apiTemporal],
        'worker-temporal': [workerTemporal],
        'worker-postgres': [around.toPostgres],
        'worker-gateways': around.toGateways,
      },
      worker,
    };
  });
}

/**
 * Starts the design that everyone starts with: one process, for two would not find each other's intents. What breaks a
 * worker of Payfirst breaks this process.
 */
export function startInMemoryStack({ progress }: ChaosOptions): Promise<Ground> {
  return held(progress, async (standing) => {
    const { processes, undo } = standing;
    const [port] = (await freePorts(1)) as [number];
    const around = await startSurroundings(processes, [port], undo);
    const worker: Ground['worker'] = (name, changes = {}) =>
      apiProgram(
        name,
        { ...bareEnvironment(), ...around.straight, ...around.proxied, ...changes },
        port,
        join(projectRoot, 'dist', 'bench', 'in-memory.js'),
      );
    await processes.start(worker('api'));
    return {
      ...ready(around, standing, ['postgres', 'api']),
      apis: ['api'],
      workers: ['api'],
      links: {
        'api-temporal': [],
        'worker-temporal': [],
        'worker-postgres': [around.toPostgres],
        'worker-gateways': around.toGateways,
      },
      worker,
    };
  });
}

/** Supervises what is up. */
function ready(
  { api, postgres, sandboxes, mail, straight }: Surroundings,
  { supervisor, logFolder, stop }: Held,
  names: readonly string[],
): Pick<Ground, 'api' | 'postgres' | 'sandboxes' | 'mail' | 'env' | 'supervisor' | 'logFolder' | 'stop'> {
  supervisor.keep(names);
  return { api, postgres, sandboxes, mail, env: straight, supervisor, logFolder, stop };
}
