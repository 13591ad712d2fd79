/**
 * `npm run token -- --sub alice --scope "bookings catalog" [--minutes 60]`: prints a token for development, signed with
 * the secret of the running demo, or with AUTH_JWT_SECRET.
 */
import { parseArgs } from 'node:util';

import { SignJWT } from 'jose';

import { defined } from './settings';
import { readStackState } from './state-file';

/** What a development token says. */
export interface TokenClaims {
  /** Who it speaks for: the customer's or provider's id. */
  sub: string;
  /** Space-separated: `bookings`, `catalog`, `ops`. */
  scope: string;
  /** How long it is valid; 60 if missing. */
  minutes?: number;
}

/**
 * An HS256 token as the API accepts it.
 * @param env holds AUTH_JWT_SECRET, and AUTH_ISSUER and AUTH_AUDIENCE where the API checks them
 * @throws Error when there is no secret
 */
export async function makeToken(claims: TokenClaims, env: NodeJS.ProcessEnv): Promise<string> {
  const { AUTH_JWT_SECRET: secret, AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience } = env;
  if (!secret) {
    throw new Error(
      'No demo runs in this checkout, and AUTH_JWT_SECRET is not set. Start one with `npm run demo`.',
    );
  }
  const token = new SignJWT({ scope: claims.scope })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(claims.sub)
    .setIssuedAt()
    .setExpirationTime(`${claims.minutes ?? 60}m`);
  if (issuer) token.setIssuer(issuer);
  if (audience) token.setAudience(audience);
  return token.sign(new TextEncoder().encode(secret));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sub: { type: 'string' },
      scope: { type: 'string', default: 'bookings' },
      minutes: { type: 'string', default: '60' },
    },
  });
  const minutes = Number(values.minutes);
  if (!values.sub || !(minutes > 0)) {
    throw new Error('Usage: npm run token -- --sub <id> [--scope "bookings catalog ops"] [--minutes 60]');
  }
  // What is set by hand is meant; else the demo's.
  const env = { ...readStackState()?.env, ...defined(process.env) };
  console.log(await makeToken({ sub: values.sub, scope: values.scope, minutes }, env));
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
