/** Tells an outage of PostgreSQL or Temporal, which passes and is answered 503, from a fault of ours, which is not. */
import { types } from 'node:util';
import {
  isGrpcServiceError,
  ServiceError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';

/** Errors of sockets and name resolution. Source: nodejs.org/api/errors.html#common-system-errors */
const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/**
 * Classes of SQLSTATE that speak of the server and not of the statement: connection (08), authorization (28), no such
 * database (3D), resources (53), operator intervention, time-outs and shutdown included (57).
 * Source: postgresql.org/docs/17/errcodes-appendix.html
 */
const awayClasses = new Set(['08', '28', '3D', '53', '57']);
/** A write on a server that has become a standby. */
const readOnlyTransaction = '25006';

function codeOf(error: unknown): string | undefined {
  const code: unknown = types.isNativeError(error) && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Whether PostgreSQL could not be asked. False for a statement it understood and refused: that is a bug of ours. */
export function isDatabaseAway(error: unknown): boolean {
  if (!types.isNativeError(error)) return false;
  const code = codeOf(error);
  if (code !== undefined && networkCodes.has(code)) return true;
  if (code?.length === 5 && (awayClasses.has(code.slice(0, 2)) || code === readOnlyTransaction)) return true;
  // Knex and pg name these by text only, Knex after the statement and a dash.
  return (
    error.name === 'KnexTimeoutError' ||
    /(?:^| - )(?:Connection terminated|Client has encountered a connection error|timeout e|Query read timeout|The server does not support SSL)/.test(
      error.message,
    )
  );
}

/** Whether Temporal could not be asked, or gave no answer in time. */
export function isTemporalAway(error: unknown): boolean {
  return (
    error instanceof ServiceError ||
    error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
    isGrpcServiceError(error) ||
    (types.isNativeError(error) && error.name === 'NamespaceNotFoundError')
  );
}
