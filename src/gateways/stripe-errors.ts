/** What an error of the `stripe` package means for us. */
import Stripe from 'stripe';
import type { Refused, Unknown } from './gateway';

/** Whether Stripe knows no object of the id that was sent. */
export function isMissing(error: unknown): boolean {
  return error instanceof Stripe.errors.StripeInvalidRequestError && error.code === 'resource_missing';
}

/**
 * A 4xx about the request itself is final. A 500 is kept for its key, so only another key number can pass. Everything
 * else may have happened or not: time-outs, broken connections, rate limits, a key in use, and wrong credentials, which
 * an operator mends while we wait.
 */
export function refusedOrUnknown(error: unknown): Refused | Unknown {
  if (
    error instanceof Stripe.errors.StripeInvalidRequestError ||
    error instanceof Stripe.errors.StripeCardError
  ) {
    return { status: 'refused', replayed: false, reason: error.code ?? error.type };
  }
  if (error instanceof Stripe.errors.StripeAPIError && (error.statusCode ?? 0) >= 500) {
    return { status: 'refused', replayed: true, reason: `status ${error.statusCode ?? 500}` };
  }
  return unknown(error);
}

/**
 * Every other fault of the gateway, with the wait it asked for. Anything that is not the gateway's is thrown.
 * @throws what is no error of the `stripe` package
 */
export function unknown(error: unknown): Unknown {
  if (!(error instanceof Stripe.errors.StripeError)) throw error;
  const after = Number(error.headers?.['retry-after']);
  return {
    status: 'unknown',
    reason: error.code ?? error.type,
    ...(Number.isFinite(after) && after > 0 ? { retryAfterMs: after * 1000 } : {}),
  };
}
