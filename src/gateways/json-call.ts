/** One call to a gateway that speaks JSON over HTTP, for those whose own package does not serve. */
import type { z } from 'zod';
import { callTimeoutMs, type Unknown } from './gateway';

/** An answer that can be relied on: the deed was done, or was turned down for a reason that the gateway tells. */
export type Answer<Result> =
  { status: 'ok'; result: Result } | { status: 'rejected'; httpStatus: number; error: unknown } | Unknown;

/** A request. Without a body it is a GET. */
export interface Call {
  url: string;
  headers: Record<string, string>;
  /** Sent as JSON, or as a form. */
  body?: object | URLSearchParams;
}

/** Statuses in the 400s by which a gateway says "not now", not "no". */
const notNow = new Set([408, 425, 429]);

/**
 * Calls a gateway once. Whatever leaves the deed in doubt is `unknown`: no answer, one that is late or cut off, a 5xx, a
 * rate limit, a redirect, an answer that is not of the shape it should have. Neither headers nor URL get into a reason.
 * @param shape what an answer of 2xx must be; fields it does not name are ignored
 */
export async function callJson<Result>(call: Call, shape: z.ZodType<Result>): Promise<Answer<Result>> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(call.url, request(call));
    const text = await response.text();
    body = parsed(text);
  } catch (error) {
    return { status: 'unknown', reason: reasonOf(error) };
  }
  const { status: httpStatus } = response;
  if (httpStatus >= 500 || notNow.has(httpStatus)) {
    return { status: 'unknown', reason: `HTTP ${httpStatus}`, ...retryAfter(response) };
  }
  if (!response.ok) return { status: 'rejected', httpStatus, error: body };
  const read = shape.safeParse(body);
  if (read.success) return { status: 'ok', result: read.data };
  const [issue] = read.error.issues;
  return {
    status: 'unknown',
    reason: `HTTP ${httpStatus} with an unexpected ${issue?.path.join('.') || 'body'}`,
  };
}

function request({ headers, body }: Call): RequestInit {
  const shared = {
    // A gateway's API sends nobody elsewhere, and our credentials must not follow.
    redirect: 'error',
    signal: AbortSignal.timeout(callTimeoutMs),
  } as const;
  if (body === undefined) return { ...shared, headers };
  if (body instanceof URLSearchParams) return { ...shared, method: 'POST', headers, body };
  return {
    ...shared,
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  };
}

/** What is not JSON is nothing, which no shape fits. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** `fetch` hides why it failed in the cause; a code such as ECONNREFUSED says enough, and no more. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no answer';
  const { cause } = error as { cause?: { code?: unknown } };
  return typeof cause?.code === 'string' ? cause.code : error.name;
}

/** `Retry-After` in seconds; the form with a date is sent by neither gateway, and means no wish here. */
function retryAfter(response: Response): { retryAfterMs?: number } {
  const seconds = Number(response.headers.get('retry-after'));
  return Number.isFinite(seconds) && seconds > 0 ? { retryAfterMs: seconds * 1000 } : {};
}
