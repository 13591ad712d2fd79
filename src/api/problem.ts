/** Problems: what HTTP says when something is refused or cannot be answered (RFC 9457). One place renders all of them. */
import type { ErrorRequestHandler, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { failures, type FailureType } from '../failures';
import { describeError, type Logger } from '../telemetry';
import { isDatabaseAway, isTemporalAway } from './outage';

/** The body of every answer that is not a success. */
export const problemSchema = z
  .object({
    type: z.string().meta({ example: '/problems/invalid-request' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().meta({ description: 'The path that was asked.' }),
    requestId: z.string(),
    errors: z
      .array(
        z.object({
          pointer: z
            .string()
            .meta({ description: 'JSON Pointer into the body, or the name of a parameter.' }),
          detail: z.string(),
        }),
      )
      .optional(),
    links: z.object({ self: z.string().optional(), alternatives: z.string().optional() }).optional(),
  })
  .meta({ id: 'Problem' });

/** One fault of a request and where it stands. */
export interface Fault {
  pointer: string;
  detail: string;
}

interface Extras {
  errors?: Fault[];
  links?: { self?: string; alternatives?: string };
  headers?: Record<string, string>;
}

/** Thrown by handlers; rendered by `renderProblems`. */
export class Problem extends Error {
  override readonly name = 'Problem';

  /** @param detail a sentence for the caller; never anything private */
  constructor(
    readonly type: FailureType,
    readonly detail: string = failures[type].title + '.',
    readonly extras: Extras = {},
  ) {
    super(type);
  }
}

/** A 400 that points at one fault. */
export function invalid(pointer: string, detail: string): Problem {
  return new Problem('invalid-request', detail, { errors: [{ pointer, detail }] });
}

/** Something is away that comes back: the same request may be sent again. */
export function unavailable(detail = 'Please send the same request again in a moment.'): Problem {
  return new Problem('unavailable', detail, { headers: { 'Retry-After': '2' } });
}

/** What body-parser and the router throw: the client's mistakes, with a 4xx. */
function clientError(error: unknown): { status: number; type?: string } | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  if (error.status < 400 || error.status >= 500) return undefined;
  const type = 'type' in error && typeof error.type === 'string' ? error.type : undefined;
  return { status: error.status, ...(type === undefined ? {} : { type }) };
}

/** Names what went wrong. Anything unforeseen is `internal`, and says nothing about itself. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (isDatabaseAway(error) || isTemporalAway(error)) return unavailable();
  const mistake = clientError(error);
  if (mistake?.status === 413) return new Problem('payload-too-large');
  if (mistake?.type === 'entity.parse.failed') return new Problem('invalid-request', 'The body is not JSON.');
  if (mistake !== undefined) return new Problem('invalid-request', 'The request cannot be read.');
  return new Problem('internal', 'Please try again later and tell us the requestId if it happens again.');
}

function send(response: Response, path: string, problem: Problem): void {
  const { status, title } = failures[problem.type];
  const { errors, links, headers } = problem.extras;
  response
    .status(status)
    .set(headers ?? {})
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: `/problems/${problem.type}`,
        title,
        status,
        detail: problem.detail,
        instance: path,
        requestId: requestIdOf(response),
        ...(errors === undefined ? {} : { errors }),
        ...(links === undefined ? {} : { links }),
      }),
    );
}

/** The id under which this request stands in the log; clients find it in `X-Request-Id` and in problems. */
export function requestIdOf(response: Response): string {
  const { requestId } = response.locals as { requestId?: string };
  return requestId ?? '';
}

/** Answers what no route knows. */
export const nothingHere: RequestHandler = () => {
  throw new Problem('not-found', 'There is no such route, or not with this method.');
};

/** The last handler: every error becomes a problem document; those that are ours are logged. */
export function renderProblems(log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    const problem = asProblem(error);
    const requestId = requestIdOf(response);
    if (problem.type === 'internal') {
      log.error({ event: 'http.bug', requestId, error: describeError(error) });
    } else if (problem !== error && failures[problem.type].status >= 500) {
      log.warn({ event: 'http.outage', requestId, error: describeError(error) });
    }
    if (response.headersSent) {
      next(error);
      return;
    }
    send(response, request.path, problem);
  };
}
