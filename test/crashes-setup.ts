/** Starts workers that will die at a named point, and waits for their death. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from '@swc/core';
import { NativeConnection } from '@temporalio/worker';
import { createActivities } from '../src/activities';
import { makeWorker } from '../src/worker';
import type { CrashPoint, CrashSettings } from './crash-worker';
import type { World } from './world';

const root = join(__dirname, '..');

/** Beside the built tree, so that its `../src` is the built one. */
const program = join(root, 'dist', 'test', 'crash-worker.js');

/** Translates `crash-worker.ts`; it is not part of the build, for production never needs it. */
export function buildCrashWorker(): void {
  const source = readFileSync(join(__dirname, 'crash-worker.ts'), 'utf8');
  const { code } = transformSync(source, {
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type: 'commonjs' },
  });
  mkdirSync(join(program, '..'), { recursive: true });
  // Another test process may be reading it.
  writeFileSync(`${program}.${process.pid}`, code);
  renameSync(`${program}.${process.pid}`, program);
}

function temporalAddress(): string {
  const address = process.env['TEST_TEMPORAL_ADDRESS'];
  if (address === undefined) throw new Error('TEST_TEMPORAL_ADDRESS is missing: run the tests by `npm test`');
  return address;
}

/** A worker that is going to die. */
export interface DyingWorker {
  /** The signal that ended it, and what it said before. */
  death: Promise<{ signal: NodeJS.Signals | null; said: string }>;
  /** Ends it, should it not have died by itself. */
  stop(): void;
}

/** Starts a worker on a queue of its own that dies at the point. */
export function startDyingWorker(world: World, taskQueue: string, point: CrashPoint): DyingWorker {
  const { config } = world;
  const settings: CrashSettings = {
    point,
    temporalAddress: temporalAddress(),
    databaseUrl: config.database.url,
    taskQueue,
    payloadKeys: config.payloadKeys,
    gateways: { stripe: config.stripe, razorpay: config.razorpay, phonepe: config.phonepe },
    payment: config.payment,
    webhooks: { ...config.webhooks, appSecret: config.appSecret },
  };
  const child = spawn(process.execPath, [program], {
    env: { ...process.env, CRASH_SETTINGS: JSON.stringify(settings) },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  const hear = (chunk: Buffer) => {
    said += chunk.toString();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const death = once(child, 'close').then(([, signal]) => ({
    signal: signal as NodeJS.Signals | null,
    said,
  }));
  return { death, stop: () => void child.kill('SIGKILL') };
}

/** The workflows as built; the text may be changed to shorten a wait of days. */
export function bundledWorkflows(): string {
  return readFileSync(join(root, 'dist', 'workflow-bundle.js'), 'utf8');
}

/**
 * Runs an ordinary worker on the queue while `work` goes on.
 * @param code other workflows than the built ones
 */
export async function withWorker<T>(
  world: World,
  taskQueue: string,
  work: () => Promise<T>,
  code = bundledWorkflows(),
): Promise<T> {
  const connection = await NativeConnection.connect({ address: temporalAddress() });
  try {
    const worker = await makeWorker(
      connection,
      { ...world.config, taskQueue, namespace: 'default' },
      createActivities({ ...world.dependencies, taskQueue }),
      {
        workflowBundle: { code },
        shutdownGraceTime: 100,
        shutdownForceTime: 3_000,
        maxCachedWorkflows: 10,
      },
    );
    return await worker.runUntil(work);
  } finally {
    await connection.close();
  }
}
