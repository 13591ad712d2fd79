/**
 * Process: the design that everyone starts with, as a fair small program, to be measured beside Payfirst under the same
 * faults. The intent to book is remembered by the process; the webhook books, in one transaction under row locks; a payer who
 * lost the last seat is given the money back by one call; a timer ends what nobody paid. It sells no seat twice, checks
 * every signature, and has its unique keys and the gateways' idempotency keys. What it lacks: the intent dies with the
 * process, a booking is tried only as often as the gateway sends its webhook, and neither a refund nor a mail is tried again.
 *
 * It is started as `src/api/main.ts` is, by the same settings, with an empty database of its own, and speaks the part of
 * the API that a customer needs. Left out: carts, holds, limits per customer, refund policies, other ways to pay at a
 * retry, waiting and streams, rate limits.
 */
import express from 'express';
import type { Server } from 'node:http';
import { createTransport } from 'nodemailer';
import { identify } from '../src/api/auth';
import { nothingHere, Problem, renderProblems } from '../src/api/problem';
import { logRequests, nameRequest } from '../src/api/request-log';
import { mount } from '../src/api/route';
import { readConfigOrExit, type Config } from '../src/config';
import { openDatabase } from '../src/database';
import { configuredGateways } from '../src/gateways/configured';
import { makeLogger } from '../src/telemetry';
import { Memory, type Parts } from './in-memory/intents';
import { routesOf } from './in-memory/routes';
import { makeTables } from './in-memory/tables';

/** How often to see whether PostgreSQL is there at the start, in ms: it may be restarting, as this process was. */
const untilDatabaseMs = 500;

/** How long a mail server may take for each step, in ms: as long as Payfirst gives it. */
const mailTimeoutMs = 10_000;

function makeApp(parts: Parts, auth: Config['auth']): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(nameRequest, logRequests(parts.log));
  app.get('/readyz', async (_request, response) => {
    await parts.db.raw('SELECT 1').catch(() => {
      throw new Problem('unavailable');
    });
    response.json({ status: 'ok' });
  });
  app.use(identify(auth));
  mount(app, routesOf(new Memory(parts)));
  app.use(nothingHere, renderProblems(parts.log));
  return app;
}

function makeMailer({ smtpUrl, from }: Config['mail']): Parts['sendMail'] {
  if (smtpUrl === undefined) return undefined;
  const timeouts = {
    connectionTimeout: mailTimeoutMs,
    greetingTimeout: mailTimeoutMs,
    socketTimeout: mailTimeoutMs,
  };
  const transport = createTransport({ url: smtpUrl, ...timeouts }, { from });
  return (mail) => transport.sendMail(mail);
}

async function main(): Promise<void> {
  const config = readConfigOrExit();
  const log = makeLogger('in-memory', config.logLevel);
  const db = openDatabase(config.database.url, { poolMax: config.database.poolMax, name: 'in-memory' });
  for (;;) {
    const made = await makeTables(db).then(
      () => true,
      (error: Error) => void log.warn({ event: 'database.away', message: error.message }),
    );
    if (made === true) break;
    await new Promise((resolve) => setTimeout(resolve, untilDatabaseMs));
  }
  const gateways = configuredGateways(config);
  const { returnUrl, port, host } = config.http;
  const sendMail = makeMailer(config.mail);
  const app = makeApp({ db, gateways, payment: config.payment, returnUrl, sendMail, log }, config.auth);
  const server = await new Promise<Server>((resolve, reject) => {
    const listening = app.listen(port, host, (error?: Error) => (error ? reject(error) : resolve(listening)));
  });
  const address = server.address();
  const at = typeof address === 'object' && address !== null ? address.port : port;
  log.info({ event: 'api.listening', port: at });
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  server.close();
  server.closeIdleConnections();
  // Whoever still waits for an answer gets it; open windows end with the process.
  await new Promise((resolve) => server.once('close', resolve));
  await db.destroy();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(
      `The program ended: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(1);
  },
);
