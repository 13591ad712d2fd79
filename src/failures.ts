/**
 * The one table of failures: every named reason for which Payfirst refuses or cannot answer, whether Temporal may retry
 * it, and what HTTP says about it (RFC 9457). Activities and workflows throw it as `ApplicationFailure.type`, the API
 * renders it as a problem, and `docs/problems.md` explains it; a test compares the page with this table.
 */

interface FailureRow {
  /** HTTP status while the client is on the line. */
  status: number;
  /** Short, fixed sentence for people; the `title` of the problem. */
  title: string;
  /** Whether asking again, unchanged, may succeed. */
  retried: boolean;
}

export const failures = {
  'invalid-request': { status: 400, title: 'The request is not valid', retried: false },
  'idempotency-key-missing': { status: 400, title: 'The Idempotency-Key header is missing', retried: false },
  unauthenticated: { status: 401, title: 'A valid token is needed', retried: false },
  forbidden: { status: 403, title: 'The token does not allow this', retried: false },
  'not-found': { status: 404, title: 'There is nothing here', retried: false },
  'insufficient-funds': { status: 402, title: 'The wallet holds too little', retried: false },
  'slot-unavailable': { status: 409, title: 'The seats are taken', retried: false },
  'offering-closed': { status: 409, title: 'The offering cannot be booked any more', retried: false },
  'cart-converted': { status: 409, title: 'The cart is booked already', retried: false },
  'seats-per-customer': { status: 409, title: 'One customer may not have so many seats', retried: false },
  'not-retryable': { status: 409, title: 'There is no failed payment to retry', retried: false },
  'retry-limit': { status: 409, title: 'No further payment try is possible', retried: false },
  'not-cancelable': { status: 409, title: 'The booking cannot be canceled now', retried: false },
  'case-resolved': { status: 409, title: 'The case is resolved already', retried: false },
  'endpoint-disabled': { status: 409, title: 'The webhook endpoint is disabled', retried: false },
  'attempt-over': { status: 410, title: 'The attempt has ended', retried: false },
  'payload-too-large': { status: 413, title: 'The body is too large', retried: false },
  'idempotency-key-reused': {
    status: 422,
    title: 'The Idempotency-Key was used with another body',
    retried: false,
  },
  'rate-limited': { status: 429, title: 'Too many requests', retried: true },
  internal: { status: 500, title: 'Something went wrong on our side', retried: true },
  'gateway-unavailable': { status: 503, title: 'The payment gateway cannot be reached', retried: true },
  unavailable: { status: 503, title: 'The service cannot answer now', retried: true },
  // The rest never answer a request themselves: they stand in a booking's `failure` or in a refund's `reason`.
  'payment-declined': { status: 402, title: 'The payment was declined', retried: false },
  'payment-canceled': { status: 402, title: 'The payment was canceled', retried: false },
  'amount-mismatch': { status: 409, title: 'The paid amount is not the quoted one', retried: false },
} as const satisfies Record<string, FailureRow>;

export type FailureType = keyof typeof failures;

/** A failure as a booking shows it: a sentence for people and, for a decline, the gateway's own code. */
export interface Failure {
  type: FailureType;
  detail: string;
  code?: string;
}

/** Whether a text names a failure of the table. */
export function isFailureType(type: string | undefined | null): type is FailureType {
  return type !== undefined && type !== null && Object.hasOwn(failures, type);
}
