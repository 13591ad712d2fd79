/** Rate limits, by library, kept per process: two API processes together allow twice as much. */
import type { Request, RequestHandler } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import type { Config } from '../config';
import { callerWith, isIdentified } from './auth';
import { Problem } from './problem';

const windowMs = 60_000;
/** Webhooks that failed verification, a minute and address. A gateway's own burst is never refused. */
const forgedWebhooksPerMinute = 60;

export interface Rates {
  /** Requests without a valid token, per address. */
  anonymous: RequestHandler;
  /** New attempts, per customer. Asked by the start itself, for a repeat of a known key is not a start. */
  starts: RequestHandler;
  /** Retries, per customer; returns and cancels have the same limit each, for they make the gateway look as well. */
  retries: RequestHandler;
  returns: RequestHandler;
  cancels: RequestHandler;
  /** Webhooks that failed verification, per address. */
  forgeries: RequestHandler;
}

/** Whoever shares an address: one for IPv4, a network of 56 bits for IPv6 (the library's choice). */
export function addressOf(request: Request): string {
  return ipKeyGenerator(request.ip ?? 'unknown');
}

function limiter(
  limit: number,
  key: (request: Request) => string,
  skip: (request: Request) => boolean = () => false,
): RequestHandler {
  return rateLimit({
    windowMs,
    limit,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: key,
    skip,
    handler: (_request, response, next) => {
      const after = response.getHeader('Retry-After');
      const seconds = after === undefined ? windowMs / 1000 : Number(after);
      next(
        new Problem('rate-limited', `At most ${limit} a minute; try again in ${seconds} s.`, {
          headers: { 'Retry-After': String(seconds) },
        }),
      );
    },
    // TRUST_PROXY decides what is believed; the library's warnings about a header nobody believes go to the console.
    validate: false,
  });
}

function subjectOf(request: Request): string {
  return request.res === undefined ? '' : callerWith(request.res, ['bookings']).sub;
}

/** Makes the limits of one API process. */
export function makeRates(rates: Config['rates']): Rates {
  return {
    anonymous: limiter(
      rates.anonymousPerMinute,
      addressOf,
      ({ res }) => res !== undefined && isIdentified(res),
    ),
    starts: limiter(rates.startsPerMinute, subjectOf),
    retries: limiter(rates.retriesPerMinute, subjectOf),
    returns: limiter(rates.retriesPerMinute, subjectOf),
    cancels: limiter(rates.retriesPerMinute, subjectOf),
    forgeries: limiter(forgedWebhooksPerMinute, addressOf),
  };
}
