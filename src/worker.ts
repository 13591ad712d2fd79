/** Process: runs workflows and activities, and keeps the standing workflows alive. Drains on SIGTERM. */
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { Client, ScheduleAlreadyRunning, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DefaultLogger, NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { createTransport } from 'nodemailer';
import { createActivities, type Activities } from './activities';
import type { Dependencies, Mail } from './activities/dependencies';
import { answerWithinMs } from './activities/webhook-courier';
import { readConfigOrExit, type Config } from './config';
import { openDatabase } from './database';
import { configuredGateways } from './gateways/configured';
import { observed } from './gateways/observed';
import { failureConverterPath, makeDataConverter } from './payloads';
import { lookUp } from './public-address';
import { describeTemporalLine, makeLogger, makeMetrics, type Logger, type Metrics } from './telemetry';
import { comparisonId, courierId, paymentWatchId, workflowTypes } from './workflows/messages';

/** How long activities may finish after SIGTERM before they are canceled; orchestrators give 10 s by default. */
const shutdownGraceMs = 5_000;
/** When a canceled activity does not end either, the process goes on ending. */
const shutdownForceMs = 9_000;
/** How often to see that the standing workflows run: the longest they may be missing after somebody terminated them. */
const standingCheckMs = 30_000;
/** A killed worker's cached workflows are given to another one after this time. The server's default is 10 s. */
const stickyQueueTimeoutMs = 2_000;

/** The bundle made by the build; without it (sources run by a test) workflows are bundled at start. */
function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const codePath = join(__dirname, '..', 'workflow-bundle.js');
  return existsSync(codePath)
    ? { workflowBundle: { codePath } }
    : { workflowsPath: require.resolve('./workflows') };
}

/** Makes the function that hands one mail over. Times out in 10 s: the courier comes again. */
export function makeMailer(smtpUrl: string, from: string): (mail: Mail) => Promise<void> {
  const transport = createTransport(
    { url: smtpUrl, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 10_000 },
    { from },
  );
  return async (mail) => {
    await transport.sendMail(mail);
  };
}

/** Makes the worker on an open connection. `options` override what is set here. */
export function makeWorker(
  connection: NativeConnection,
  config: Pick<Config, 'taskQueue' | 'payloadKeys'> & { namespace: string },
  activities: Activities,
  options: Partial<WorkerOptions> = {},
): Promise<Worker> {
  return Worker.create({
    connection,
    namespace: config.namespace,
    taskQueue: config.taskQueue,
    ...workflowCode(),
    activities,
    dataConverter: {
      ...makeDataConverter(config.payloadKeys),
      ...(config.payloadKeys.length > 0 ? { failureConverterPath } : {}),
    },
    shutdownGraceTime: shutdownGraceMs,
    shutdownForceTime: shutdownForceMs,
    stickyQueueScheduleToStartTimeout: stickyQueueTimeoutMs,
    ...options,
  });
}

/** Starts the standing workflows unless they run. Any worker may; their ids let only one of each live. */
export async function keepStandingWorkflows(temporal: Client, taskQueue: string): Promise<void> {
  for (const [type, workflowId] of [
    [workflowTypes.paymentWatch, paymentWatchId],
    [workflowTypes.courier, courierId],
  ] as const) {
    try {
      await temporal.workflow.start(type, {
        workflowId,
        taskQueue,
        workflowIdConflictPolicy: 'USE_EXISTING',
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
}

/** Hour of the day (UTC) of the comparison: the day before is over everywhere, and gateways have written it down. */
const comparisonHour = 3;

/** Makes the Schedule of the daily comparison, once per namespace. An operator's changes to it stay. */
export async function keepSchedule(temporal: Client, taskQueue: string): Promise<void> {
  try {
    await temporal.schedule.create({
      scheduleId: comparisonId,
      spec: { calendars: [{ hour: comparisonHour, comment: 'Every night, UTC' }] },
      action: {
        type: 'startWorkflow',
        workflowType: workflowTypes.compare,
        workflowId: comparisonId,
        taskQueue,
        staticSummary: 'Holds a day at each gateway against our rows',
      },
      // Nights that nobody was up for are made up for, one after the other, each for its own day.
      policies: { overlap: 'BUFFER_ALL', catchupWindow: '3 days' },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}

/** Serves `/metrics` for Prometheus. */
function serveMetrics(metrics: Metrics, port: number, host: string): Server {
  return createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    metrics.registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  }).listen(port, host);
}

function keepAlive(temporal: Client, taskQueue: string, log: Logger): NodeJS.Timeout {
  const keep = () => {
    Promise.all([keepStandingWorkflows(temporal, taskQueue), keepSchedule(temporal, taskQueue)]).catch(
      (error: unknown) => {
        log.warn({
          event: 'standing.not-started',
          reason: error instanceof Error ? error.message : String(error),
        });
      },
    );
  };
  keep();
  return setInterval(keep, standingCheckMs);
}

async function main(): Promise<void> {
  const config = readConfigOrExit();
  const log = makeLogger('worker', config.logLevel);
  const metrics = makeMetrics();
  Runtime.install({
    logger: new DefaultLogger('WARN', (entry) => {
      log[entry.level === 'ERROR' ? 'error' : 'warn'](describeTemporalLine(entry.message, entry.meta));
    }),
  });
  if (config.payloadKeys.length === 0) {
    log.warn({ event: 'payloads.clear', detail: 'PAYLOAD_KEYS is not set: Temporal sees clear text' });
  }
  const gateways = new Map(
    [...configuredGateways(config)].map(([name, gateway]) => [name, observed(gateway, { log, metrics })]),
  );
  log[gateways.size === 0 ? 'warn' : 'info']({ event: 'gateways.offered', gateways: [...gateways.keys()] });
  if (config.mail.smtpUrl === undefined) {
    log.warn({ event: 'mail.off', detail: 'SMTP_URL is not set: messages stay queued' });
  }

  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const connection = await NativeConnection.connect(connectionOptions);
  const temporal = new Client({
    connection,
    namespace,
    dataConverter: makeDataConverter(config.payloadKeys),
  });
  const db = openDatabase(config.database.url, { poolMax: config.database.poolMax, name: 'payfirst-worker' });
  const dependencies: Dependencies = {
    db,
    gateways,
    temporal,
    taskQueue: config.taskQueue,
    sendMail:
      config.mail.smtpUrl === undefined ? undefined : makeMailer(config.mail.smtpUrl, config.mail.from),
    webhooks: { ...config.webhooks, appSecret: config.appSecret, lookUp, timeoutMs: answerWithinMs },
    payment: config.payment,
    log,
    metrics,
  };
  const worker = await makeWorker(connection, { ...config, namespace }, createActivities(dependencies));
  const metricsServer = serveMetrics(metrics, config.http.metricsPort, config.http.host);
  const keeping = keepAlive(temporal, config.taskQueue, log);
  log.info({ event: 'worker.running', taskQueue: config.taskQueue });
  try {
    await worker.run();
  } finally {
    clearInterval(keeping);
    metricsServer.close();
    await connection.close();
    await db.destroy();
  }
  log.info({ event: 'worker.ended' });
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(
      `The worker ended: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(1);
  });
}
