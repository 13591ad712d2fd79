/**
 * Log and metrics, for everyone but workflows. One JSON line per event with a fixed name and ids only: never a secret, a
 * card or a contact.
 */
import { types } from 'node:util';
import pino, { type Logger } from 'pino';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

export type { Logger };

/** Makes the process's logger. Lines go to stdout; `redact` is a second net under "log ids only". */
export function makeLogger(process: string, level: string): Logger {
  return pino({
    level,
    base: { process },
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: 'event',
    redact: {
      paths: [
        'req.headers.authorization',
        'req.headers["stripe-signature"]',
        '*.clientSecret',
        '*.email',
        '*.contact',
        '*.details',
      ],
      censor: '[private]',
    },
  });
}

/** What may be said of an error in a log: messages of PostgreSQL can quote a customer's values, frames cannot. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!types.isNativeError(error)) return { name: typeof error };
  const code: unknown = 'code' in error ? error.code : undefined;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    name: error.name,
    code,
    frames: frames.slice(0, 12),
    ...(types.isNativeError(error.cause) ? { cause: describeError(error.cause) } : {}),
  };
}

/**
 * A line of the Temporal SDK's own log. What its parts say of a connection or a task may be read; what an activity threw may
 * quote a customer, as `describeError` says.
 */
export function describeTemporalLine(
  message: string,
  meta: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const describe = (value: unknown): unknown =>
    value instanceof Error
      ? { ...describeError(value), ...('activityId' in meta ? {} : { message: value.message }) }
      : value;
  const told = Object.entries(meta).map(([name, value]) => [name, describe(value)] as const);
  return { event: 'temporal', message, ...Object.fromEntries(told) };
}

export type Metrics = ReturnType<typeof makeMetrics>;

/** Makes the process's metrics, in Prometheus' conventions. Each process has its own registry; sums are the dashboard's. */
export function makeMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  return {
    registry,
    attempts: counter('payfirst_attempts_total', 'Attempts that ended, by outcome.', ['outcome']),
    tries: counter('payfirst_tries_total', 'Payment objects by gateway and what became of them.', [
      'gateway',
      'result',
    ]),
    failures: counter('payfirst_failures_total', 'Named failures, by type.', ['type']),
    cancellations: counter('payfirst_cancellations_total', 'Confirmed bookings undone, by whom.', ['by']),
    retries: counter('payfirst_retries_total', 'Accepted retries of a payment.', []),
    refunds: counter('payfirst_refunds_total', 'Refunds by cause and status reached.', ['reason', 'status']),
    webhooks: counter('payfirst_webhooks_total', 'Webhooks by gateway and verdict: rung, unheard, refused.', [
      'gateway',
      'verdict',
    ]),
    webhooksSent: counter(
      'payfirst_webhook_deliveries_total',
      'Webhooks posted to API clients’ backends, by result: delivered, retried later, given up.',
      ['result'],
    ),
    notOurs: counter(
      'payfirst_payments_not_ours_total',
      'Payments found at a gateway that carry no id of ours.',
      ['gateway'],
    ),
    unanswered: counter(
      'payfirst_gateway_unanswered_total',
      'Calls to a gateway that got no usable answer, by call: time-outs, broken answers, 5xx, wrong keys.',
      ['gateway', 'call'],
    ),
    foundByWatch: counter(
      'payfirst_payments_found_by_watch_total',
      'Changes the payment watch saw before any webhook told of them.',
      ['gateway'],
    ),
    webhookToConfirmed: new Histogram({
      name: 'payfirst_webhook_to_confirmed_seconds',
      help: 'From the first ring of a settlement (webhook, return, watch) to the confirmed booking.',
      // From the floor of one workflow task (about 15 ms) to a gateway's outage.
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
      registers: [registry],
    }),
    liveStreams: gauge('payfirst_live_streams', 'Event streams open in this process.', []),
    casesOpen: gauge('payfirst_cases_open', 'Cases that wait for an operator.', []),
    refundsUnderWay: gauge('payfirst_refunds_under_way', 'Refunds unsent or pending.', []),
    refundOldestSeconds: gauge('payfirst_refund_oldest_seconds', 'Age of the oldest refund under way.', []),
    messagesQueued: gauge('payfirst_messages_queued', 'Messages not sent yet.', []),
    webhooksQueued: gauge(
      'payfirst_webhook_deliveries_queued',
      'Webhooks to API clients’ backends that are not delivered yet.',
      [],
    ),
    webhookEndpointsDisabled: gauge(
      'payfirst_webhook_endpoints_disabled',
      'Webhook endpoints that are told nothing any more, until an operator enables or deletes them.',
      [],
    ),
    moneyImbalance: gauge(
      'money_imbalance_minor',
      'Captured minus kept, returned, on its way and in open cases; 0 at rest.',
      ['currency'],
    ),
  };
}
