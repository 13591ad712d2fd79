/** Who is calling: JSON Web Tokens, checked by a shared secret or by the issuer's published keys. */
import type { RequestHandler, Response } from 'express';
import { createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose';
import type { Config } from '../config';
import { asProblem, Problem, unavailable } from './problem';

/** What a token may allow: customers, providers, operators. */
const scopes = ['bookings', 'catalog', 'ops'] as const;
export type Scope = (typeof scopes)[number];

export interface Caller {
  /** Subject of the token: the customer's, provider's or operator's id. */
  sub: string;
  scopes: ReadonlySet<Scope>;
  /** When the token ends, in seconds since 1970; undefined where it says none. */
  expiresAt?: number | undefined;
}

/** Pinned, or a token could name a weaker one. A shared secret proves nothing about a public key and the other way round. */
const secretAlgorithms = ['HS256'];
const publicKeyAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']; // prettier-ignore

/** How long the issuer's keys may take, in ms; they are cached afterwards. */
const keysTimeoutMs = 3_000;

/** A 401, with the challenge that RFC 6750 asks for. */
export function unauthenticated(detail: string, tokenGiven: boolean): Problem {
  const challenge = tokenGiven ? 'Bearer realm="payfirst", error="invalid_token"' : 'Bearer realm="payfirst"';
  return new Problem('unauthenticated', detail, { headers: { 'WWW-Authenticate': challenge } });
}

/**
 * Whether a text can be the subject of a token, and so name a customer, provider or operator. PostgreSQL takes no NUL, and
 * a subject with control characters is nobody's.
 */
export function isSubject(text: string): boolean {
  return /^[^\p{Cc}\p{Surrogate}]{1,255}$/u.test(text);
}

function callerFrom(payload: JWTPayload): Caller {
  const { sub } = payload;
  const scope = payload['scope'];
  if (typeof sub !== 'string' || !isSubject(sub)) {
    throw unauthenticated('The token names no usable subject.', true);
  }
  const granted = new Set(typeof scope === 'string' ? scope.split(' ') : []);
  return { sub, scopes: new Set(scopes.filter((known) => granted.has(known))), expiresAt: payload.exp };
}

/** The issuer's keys could not be fetched: nothing is known about the token. */
function isKeyOutage(error: unknown): boolean {
  if (error instanceof errors.JWKSTimeout) return true;
  return !(error instanceof errors.JOSEError) || error.code === 'ERR_JOSE_GENERIC';
}

/**
 * Makes the function that turns an `Authorization` header into its caller.
 * @throws (the function) Problem `unauthenticated`; `unavailable` when the issuer's keys cannot be fetched
 */
export function makeAuthenticator(
  auth: Config['auth'],
): (authorization: string | undefined) => Promise<Caller> {
  const secret = auth.secret === undefined ? undefined : new TextEncoder().encode(auth.secret);
  const published =
    auth.jwksUrl === undefined
      ? undefined
      : createRemoteJWKSet(new URL(auth.jwksUrl), { timeoutDuration: keysTimeoutMs });
  const expected = {
    ...(auth.issuer === undefined ? {} : { issuer: auth.issuer }),
    ...(auth.audience === undefined ? {} : { audience: auth.audience }),
  };

  async function verify(token: string): Promise<JWTPayload> {
    const byPublicKey = published !== undefined && decodeProtectedHeader(token).alg !== 'HS256';
    if (byPublicKey) {
      return (await jwtVerify(token, published, { ...expected, algorithms: publicKeyAlgorithms })).payload;
    }
    if (secret === undefined) throw new errors.JWTInvalid('No shared secret is configured');
    return (await jwtVerify(token, secret, { ...expected, algorithms: secretAlgorithms })).payload;
  }

  return async (authorization) => {
    if (authorization === undefined) throw unauthenticated('Send “Authorization: Bearer <token>”.', false);
    const token = /^Bearer +([\w.~+/=-]+) *$/i.exec(authorization)?.[1];
    if (token === undefined) throw unauthenticated('Send “Authorization: Bearer <token>”.', true);
    let payload: JWTPayload;
    try {
      payload = await verify(token);
    } catch (error) {
      if (error instanceof TypeError || !isKeyOutage(error)) {
        // decodeProtectedHeader throws a TypeError for what is no token at all; so does fetch, but with a cause.
        if (!(error instanceof TypeError && error.cause !== undefined)) {
          const expired = error instanceof errors.JWTExpired;
          throw unauthenticated(expired ? 'The token has expired.' : 'The token is not valid.', true);
        }
      }
      throw unavailable('The keys that sign tokens cannot be fetched right now.');
    }
    return callerFrom(payload);
  };
}

interface Identity {
  caller?: Caller;
  refusal?: Problem;
}

/** Finds out who calls, and remembers why not; whether that matters is the route's affair. */
export function identify(auth: Config['auth']): RequestHandler {
  const authenticate = makeAuthenticator(auth);
  return async (request, response, next) => {
    const identity = response.locals as Identity;
    try {
      identity.caller = await authenticate(request.headers.authorization);
    } catch (error) {
      identity.refusal = asProblem(error);
    }
    next();
  };
}

/** Says who calls, or why nobody does, where that is not told by a token. */
export function identifyBy(response: Response, found: Caller | Problem): void {
  const identity = response.locals as Identity;
  if (found instanceof Problem) identity.refusal = found;
  else identity.caller = found;
}

/** Whether the request carries a valid token. */
export function isIdentified(response: Response): boolean {
  return (response.locals as Identity).caller !== undefined;
}

/**
 * The caller of a route that asks for one of these scopes.
 * @throws Problem `unauthenticated`, or `forbidden` when the token has none of them
 */
export function callerWith(response: Response, anyOf: readonly Scope[]): Caller {
  const { caller, refusal } = response.locals as Identity;
  if (caller === undefined) throw refusal ?? new Problem('unauthenticated');
  if (anyOf.some((scope) => caller.scopes.has(scope))) return caller;
  const needed = anyOf.join(' or ');
  throw new Problem('forbidden', `The token needs the scope ${needed}.`, {
    headers: {
      'WWW-Authenticate': `Bearer realm="payfirst", error="insufficient_scope", scope="${anyOf.join(' ')}"`,
    },
  });
}
