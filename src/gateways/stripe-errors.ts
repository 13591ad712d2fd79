/** What an error of the `stripe` package means for us. */
import Stripe from 'stripe';
import type { Refused, Unknown } from './gateway';

/**
 * The package's own client, save that no failure passes for an answer. The package takes every JSON without an `error` for
 * the object it asked for, whatever the HTTP status: a proxy's 503 would read as a canceled intent. Whatever Stripe itself
 * refuses has one: docs.stripe.com/api/errors (read 2026-11).
 */
export function strictClient(): NonNullable<Stripe.StripeConfig['httpClient']> {
  const client = Stripe.createNodeHttpClient();
  return {
    getClientName: () => client.getClientName(),
    makeRequest: async (...request) => {
      const response = await client.makeRequest(...request);
      const status = response.getStatusCode();
      const read = response.toJSON.bind(response);
      response.toJSON = async () => {
        const body = (await read()) as { error?: unknown } | null;
        if ((status >= 200 && status < 300) || body?.error) return body;
        return { error: { type: 'api_error', message: `HTTP ${status}` } };
      };
      return response;
    },
  };
}

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
