/** How each of the project's own programs is started, as compiled: by the development stack, and by the one that is broken on purpose. */
import { join } from 'node:path';

import type { GatewayPlan } from './gateways';
import { LOOPBACK } from './ports';
import type { Processes, Spec } from './processes';
import { projectRoot } from './project';

/** API and workers drain on SIGTERM; an activity's own limit is shorter than this, in ms. */
const GRACE_MS = 15_000;
/** The first worker on a cold machine compiles its sandbox. */
const WORKER_READY_MS = 60_000;
/** What a sandbox prints once it listens. */
const LISTENING = { line: /"listening":\s*\d+/ };

/** Where the compiler writes. */
const BUILD = join(projectRoot, 'dist');

function program(name: string, path: string, env: NodeJS.ProcessEnv, rest: Partial<Spec> = {}): Spec {
  // Source maps, so that a stack trace in a log names the TypeScript.
  return {
    name,
    command: process.execPath,
    args: ['--enable-source-maps', path],
    env,
    ...rest,
  };
}

/** Migrations, grants and search attributes; it ends by itself. */
export const migrateProgram = (env: NodeJS.ProcessEnv): Spec =>
  program('migrate', join(BUILD, 'src', 'migrate.js'), env);

/** An API process, or another program that answers like it. @param path of the compiled program */
export function apiProgram(
  name: string,
  env: NodeJS.ProcessEnv,
  port: number,
  path = join(BUILD, 'src', 'api', 'main.js'),
): Spec {
  const url = `http://${LOOPBACK}:${port}/readyz`;
  return program(name, path, { ...env, PORT: `${port}` }, { graceMs: GRACE_MS, ready: { url } });
}

/**
 * A worker process.
 * @param metricsPort it answers there once it works
 * @param path of the compiled program
 */
export function workerProgram(
  name: string,
  env: NodeJS.ProcessEnv,
  metricsPort: number,
  path = join(BUILD, 'src', 'worker.js'),
): Spec {
  const url = `http://${LOOPBACK}:${metricsPort}/metrics`;
  return program(
    name,
    path,
    { ...env, METRICS_PORT: `${metricsPort}` },
    { graceMs: GRACE_MS, ready: { url }, readyWithinMs: WORKER_READY_MS },
  );
}

/** The sandbox of a gateway, whose webhooks go to `apiUrl`. */
export function gatewayProgram(
  { name, settings }: GatewayPlan,
  env: NodeJS.ProcessEnv,
  port: number,
  apiUrl: string,
): Spec {
  // During rotation the first of several is the one that signs.
  const signing = Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key, value.split(',')[0]?.trim()]),
  );
  return program(
    name,
    join(BUILD, 'sandbox', name, 'main.js'),
    {
      ...env,
      ...signing,
      HOST: LOOPBACK,
      PORT: `${port}`,
      [`${name.toUpperCase()}_WEBHOOK_URL`]: `${apiUrl}/webhooks/${name}`,
      EXIT_WITH_STDIN: '1',
    },
    { ready: LISTENING },
  );
}

/** Starts the mail sink, under the name `mail`. */
export async function startMailSink(
  processes: Processes,
  env: NodeJS.ProcessEnv,
  ports: { smtp: number; mail: number },
): Promise<{ smtpUrl: string; url: string }> {
  const settings = {
    HOST: LOOPBACK,
    PORT: `${ports.smtp}`,
    HTTP_PORT: `${ports.mail}`,
    EXIT_WITH_STDIN: '1',
  };
  const { readyLine } = await processes.start(
    program('mail', join(BUILD, 'sandbox', 'mail', 'main.js'), { ...env, ...settings }, { ready: LISTENING }),
  );
  const { listening, http } = JSON.parse(readyLine) as { listening: number; http: number };
  return { smtpUrl: `smtp://${LOOPBACK}:${listening}`, url: `http://${LOOPBACK}:${http}` };
}
