/**
 * How an operator is known to the codec endpoint while the Temporal UI has no token of ours to send: a cookie, made from
 * an operator's token, that counts for `/codec` only and only on requests of the Temporal UI's own pages.
 */
import { hkdfSync } from 'node:crypto';
import type { CookieOptions, Request, RequestHandler, Response } from 'express';
import { EncryptJWT, jwtDecrypt } from 'jose';
import type { Config } from '../config';
import { identifyBy, unauthenticated, type Caller } from './auth';
import { Problem } from './problem';

/** Longest session in seconds: a working day. A token that ends earlier ends it earlier. */
const longestSeconds = 8 * 60 * 60;

/** Tells these tokens from any other that may ever be made with a key of the same secret. */
const audience = 'payfirst/codec-session';

/** A sign-in that is still good. */
export interface Session {
  sub: string;
  /** Seconds since 1970. */
  expiresAt: number;
}

/** What the routes of signing in, and those that it opens, do with the cookie. */
export interface Sessions {
  /** Takes a good cookie, on a request without `Authorization` from the Temporal UI, for an operator. */
  identify: RequestHandler;
  /** The session of a request's cookie; undefined when there is none, or it is forged, from elsewhere or over. */
  read(request: Request): Promise<Session | undefined>;
  begin(response: Response, operator: Caller): Promise<Session>;
  end(response: Response): void;
  /** @throws Problem `forbidden` unless the request comes from a page of this API or of the Temporal UI */
  refuseOtherPages(request: Request): void;
}

type Settings = Pick<Config, 'http' | 'appSecret' | 'temporalUiOrigins'>;

/**
 * SameSite=None only where it must be: sent along on every cross-site request, and taken over https only. The pages of one
 * host are one site whatever their ports, so plain http on a developer's machine works with Lax.
 */
function sameSiteOf(publicUrl: URL, uiOrigins: readonly string[]): 'lax' | 'none' {
  const elsewhere = uiOrigins.some((origin) => new URL(origin).hostname !== publicUrl.hostname);
  return publicUrl.protocol === 'https:' && elsewhere ? 'none' : 'lax';
}

/** Name and attributes of the cookie. `__Host-` makes browsers refuse one that another host or plain http has set. */
function cookieOf({ http, temporalUiOrigins }: Settings): { name: string; options: CookieOptions } {
  const publicUrl = new URL(http.publicUrl);
  const secure = publicUrl.protocol === 'https:';
  return {
    name: secure ? '__Host-payfirst-codec' : 'payfirst-codec',
    options: { path: '/', httpOnly: true, secure, sameSite: sameSiteOf(publicUrl, temporalUiOrigins) },
  };
}

/** Encrypts and opens sessions. The key is derived, so that nothing made with APP_SECRET elsewhere is taken for one. */
function sealOf(appSecret: string) {
  const key = new Uint8Array(hkdfSync('sha256', appSecret, '', audience, 32));
  return {
    close: ({ sub, expiresAt }: Session): Promise<string> =>
      new EncryptJWT()
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
        .setSubject(sub)
        .setAudience(audience)
        .setExpirationTime(expiresAt)
        .encrypt(key),
    open: async (text: string): Promise<Session | undefined> => {
      try {
        const { payload } = await jwtDecrypt(text, key, {
          audience,
          requiredClaims: ['sub', 'exp'],
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
        });
        return { sub: payload.sub ?? '', expiresAt: payload.exp ?? 0 };
      } catch {
        return undefined;
      }
    },
  };
}

/** Makes the sessions of one API process; every process with the same APP_SECRET knows the others'. */
export function makeSessions(settings: Settings): Sessions {
  const { name, options } = cookieOf(settings);
  const seal = sealOf(settings.appSecret);
  const uiOrigins = new Set(settings.temporalUiOrigins);
  const ownOrigins = new Set([new URL(settings.http.publicUrl).origin, ...uiOrigins]);
  // Our values have neither quotes nor escapes, so the header need not be parsed any further.
  const inHeader = new RegExp(`(?:^|;) *${name}=([\\w.-]+)`);

  const valueIn = (request: Request): string | undefined => inHeader.exec(request.headers.cookie ?? '')?.[1];

  async function read(request: Request): Promise<Session | undefined> {
    const value = valueIn(request);
    return value === undefined ? undefined : seal.open(value);
  }

  async function callerOf(request: Request): Promise<Caller | Problem> {
    const where = `Sign in at ${settings.http.publicUrl}/codec/sign-in, or send “Authorization: Bearer <token>”.`;
    if (valueIn(request) === undefined) return unauthenticated(where, false);
    const session = await read(request);
    if (session === undefined) return unauthenticated(`The sign-in has ended. ${where}`, false);
    if (!uiOrigins.has(request.headers.origin ?? '')) {
      return new Problem('forbidden', 'The sign-in counts only on pages of TEMPORAL_UI_ORIGIN.');
    }
    return { sub: session.sub, scopes: new Set(['ops'] as const) };
  }

  return {
    identify: async (request, response, next) => {
      // A token that is sent is meant: a bad one is told so, whatever the cookie says.
      if (request.headers.authorization === undefined) identifyBy(response, await callerOf(request));
      next();
    },
    read,
    begin: async (response, { sub, expiresAt: tokenEnds }) => {
      const latest = Math.floor(Date.now() / 1000) + longestSeconds;
      const session = { sub, expiresAt: Math.min(tokenEnds ?? latest, latest) };
      response.cookie(name, await seal.close(session), {
        ...options,
        expires: new Date(session.expiresAt * 1000),
      });
      return session;
    },
    end: (response) => {
      response.clearCookie(name, options);
    },
    refuseOtherPages: (request) => {
      if (ownOrigins.has(request.headers.origin ?? '')) return;
      throw new Problem(
        'forbidden',
        'Sign in and out on the page /codec/sign-in, under the address PUBLIC_URL.',
      );
    },
  };
}
