/** One line per request, with ids only: no body, no query, no header, no address. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { RequestHandler, Response } from 'express';
import { pinoHttp } from 'pino-http';
import type { Logger } from '../telemetry';
import { requestIdOf } from './problem';

/** Names the request: by its own `X-Request-Id` when that is harmless. Echoed, logged, and inside problems. */
export const nameRequest: RequestHandler = (request, response, next) => {
  const given = request.get('X-Request-Id');
  const requestId = given !== undefined && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
  (response.locals as { requestId?: string }).requestId = requestId;
  response.set('X-Request-Id', requestId);
  next();
};

/** Ids in a path are opaque; anything else in it is the caller's text and stays out of the log. */
function idIn(path: string): string | undefined {
  return /\/((?:off|bkg|cas|crt)_[0-9a-z]{24})(?:\/|$)/.exec(path)?.[1];
}

/** A client that went before its answer was told nothing, whatever status the response still bears. */
const eventOf = (response: ServerResponse): string =>
  response.headersSent ? 'http.answered' : 'http.abandoned';

/**
 * Logs each request when it has been answered, or when nobody waits for the answer any more. Probes are left out: they come
 * every few seconds and say nothing.
 */
export function logRequests(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    quietReqLogger: true,
    quietResLogger: true,
    genReqId: (_request, response) => requestIdOf(response as unknown as Response),
    autoLogging: { ignore: (request) => /^\/(healthz|readyz|metrics)$/.test(request.url ?? '') },
    serializers: { req: () => undefined, res: () => undefined, err: () => undefined },
    customAttributeKeys: { reqId: 'requestId', responseTime: 'ms' },
    customLogLevel: (_request, response) => (response.statusCode >= 500 ? 'warn' : 'info'),
    customSuccessMessage: (_request, response) => eventOf(response),
    customErrorMessage: (_request, response) => eventOf(response),
    customProps: (request, response) => {
      const { locals } = response as unknown as Response<unknown, { route?: string }>;
      return {
        method: request.method,
        route: locals.route ?? 'none',
        subject: idIn(request.url ?? ''),
        ...(response.headersSent ? { status: response.statusCode } : {}),
      };
    },
  }) as RequestHandler;
}
