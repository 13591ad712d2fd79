/** What activities are given: built by the worker's process, replaced piece by piece in tests. */
import { createHash } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { Knex } from 'knex';
import { makeId, type AttemptStatus, type IdKind } from '../booking';
import type { AttemptRow } from '../database';
import type { FailureType } from '../failures';
import type { Gateway, Unknown } from '../gateways/gateway';
import type { Logger, Metrics } from '../telemetry';
import type { WebhookSettings } from './webhook-courier';

export interface Dependencies {
  db: Knex;
  gateways: ReadonlyMap<string, Gateway>;
  /** To ring attempts and to start cases from the standing activities. */
  temporal: Client;
  taskQueue: string;
  /** Sends one mail; undefined without `SMTP_URL`, and then messages stay queued. */
  sendMail: ((mail: Mail) => Promise<void>) | undefined;
  /** How API clients' backends are told what happens. */
  webhooks: WebhookSettings;
  payment: { windowSeconds: number; triesMax: number };
  log: Logger;
  metrics: Metrics;
}

/** One mail, ready to hand over. */
export interface Mail {
  to: string;
  subject: string;
  text: string;
  /** Fixed per message, so that a mailbox can drop a copy. */
  messageId: string;
}

/** Where an attempt stands after an activity: what the story needs to go on, and nothing private. */
export interface Standing {
  status: AttemptStatus;
  version: number;
  /** Ms until the payment window ends, by PostgreSQL's clock; 0 when it has ended or was never opened. */
  windowMs: number;
  failure?: FailureType;
  /** The way to pay that was chosen last; missing for what is free. */
  method?: string;
  /** Refunds that have not reached their end. */
  refundIds: string[];
}

/** A refusal that leaves the attempt as it is. */
export interface Refusal {
  refused: FailureType;
}

/** Reads where an attempt stands. */
export async function readStanding(db: Knex, bookingId: string): Promise<Standing> {
  const result = await db.raw<{
    rows: {
      status: AttemptStatus;
      version: number;
      window_ms: number;
      failure: string | null;
      method: string | null;
      refund_ids: string[];
    }[];
  }>(
    `SELECT a.status, a.version, a.failure ->> 'type' AS failure, a.method,
       greatest(0, coalesce(ceil(extract(epoch FROM a.expires_at - now()) * 1000), 0))::integer AS window_ms,
       array(SELECT r.id FROM refunds r JOIN payments p ON p.id = r.payment_id
         WHERE p.booking_id = a.booking_id AND r.status <> 'succeeded'
           -- What a case's keeper gives back is its business alone.
           AND NOT EXISTS (SELECT FROM cases c
             WHERE c.payment_id = r.payment_id AND c.refund_id = r.id AND c.workflow_id LIKE 'case/%'
               AND (c.resolved_at IS NULL OR (c.resolution = 'retry-refund' AND r.status <> 'failed')))
         ORDER BY r.created_at, r.id) AS refund_ids
     FROM attempts a WHERE a.booking_id = ?`,
    [bookingId],
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error(`Bug: no attempt ${bookingId}`);
  return {
    status: row.status,
    version: row.version,
    windowMs: row.window_ms,
    refundIds: row.refund_ids,
    ...(row.failure === null ? {} : { failure: row.failure as FailureType }),
    ...(row.method === null ? {} : { method: row.method }),
  };
}

/**
 * Locks the attempt's row, which every transaction about an attempt does first: a local activity that timed out may
 * still be running, and whoever comes second finds what the other did.
 */
export async function lockAttempt(trx: Knex.Transaction, bookingId: string): Promise<AttemptRow | undefined> {
  return trx<AttemptRow>('attempts').where({ booking_id: bookingId }).forUpdate().first();
}

/** Derives an id from its cause, so that the same cause found twice is one row. */
export function deriveId(kind: IdKind, ...cause: string[]): string {
  return makeId(kind, createHash('sha256').update(cause.join('\0')).digest());
}

/** The gateway of that name. An attempt may outlive a gateway's keys: then the activity waits for an operator to put them back. */
export function gatewayNamed(gateways: ReadonlyMap<string, Gateway>, name: string): Gateway {
  const gateway = gateways.get(name);
  if (gateway === undefined) throw notConfigured(name);
  return gateway;
}

/** "Ask again later", for a gateway whose keys are gone. */
export function notConfigured(name: string): ApplicationFailure {
  return retryLater('gateway-unavailable', `Gateway ${name} is not configured`);
}

/** "Ask again later": Temporal retries the activity, after the wait the gateway asked for when it named one. */
export function retryLater(type: FailureType, message: string, afterMs?: number): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: false,
    ...(afterMs === undefined ? {} : { nextRetryDelay: afterMs }),
  });
}

/** An unknown outcome is never a decline: the activity is run again and reads back with the same key. */
export function readBackLater(gateway: Gateway, answer: Unknown): ApplicationFailure {
  return retryLater(
    'gateway-unavailable',
    `${gateway.name} gave no usable answer: ${answer.reason}`,
    answer.retryAfterMs,
  );
}
