/** Who asks: those whom no token lets in, and those whom one does. */
import { createHmac } from 'node:crypto';
import { SignJWT } from 'jose';
import type { World } from './world';

/** Subject and scopes of a good token. */
const identities = {
  'no scope': ['ada', ''],
  customer: ['ada', 'bookings'],
  provider: ['doctor', 'catalog'],
  operator: ['olga', 'ops'],
  everything: ['ada', 'bookings catalog ops'],
  // Owns nothing.
  other: ['eve', 'bookings catalog ops unknown'],
} as const;

/** Those whose token does not count, if they send one. */
const strangers = [
  'nobody',
  'basic',
  'garbage',
  'broken',
  'expired',
  'forged',
  'unsigned',
  'no subject',
] as const;

export type CallerName = (typeof strangers)[number] | keyof typeof identities;

export const callers = [...strangers, ...Object.keys(identities)] as readonly CallerName[];

function isKnown(name: CallerName): name is keyof typeof identities {
  return Object.hasOwn(identities, name);
}

/** The scopes that a caller’s token grants; undefined where it does not count. */
export function scopesOf(name: CallerName): readonly string[] | undefined {
  return isKnown(name) ? identities[name][1].split(' ') : undefined;
}

/** Those whom any of these scopes lets in. */
export function holdersOf(scopes: readonly string[]): readonly CallerName[] {
  return callers.filter((name) => scopesOf(name)?.some((scope) => scopes.includes(scope)) === true);
}

const everyScope = 'bookings catalog ops';

/** The `Authorization` header of a caller in this world; undefined where none is sent. */
export async function authorizationOf(world: World, name: CallerName): Promise<string | undefined> {
  const signed = (sub: string, expires: string, secret = world.config.auth.secret ?? '') =>
    new SignJWT({ scope: everyScope })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(sub)
      .setExpirationTime(expires)
      .sign(new TextEncoder().encode(secret));
  if (isKnown(name)) {
    const [sub, scope] = identities[name];
    return `Bearer ${await world.token(sub, scope)}`;
  }
  switch (name) {
    case 'nobody':
      return undefined;
    case 'basic':
      return 'Basic YWRhOmFkYQ==';
    case 'garbage':
      return 'Bearer a.b.c';
    case 'broken':
      return `Bearer ${(await signed('ada', '1h')).slice(0, -4)}`;
    case 'expired':
      return `Bearer ${await signed('ada', '-1s')}`;
    case 'forged':
      return `Bearer ${await signed('ada', '1h', 'another secret, long enough for HS256!')}`;
    case 'unsigned':
      return `Bearer ${unsigned({ sub: 'ada', scope: everyScope, exp: 4_000_000_000 })}`;
    case 'no subject':
      return `Bearer ${await signed('', '1h')}`;
  }
}

/** A token that asks to be believed (RFC 7519, 6), with a signature all the same. */
function unsigned(claims: object): string {
  const part = (json: object): string => Buffer.from(JSON.stringify(json)).toString('base64url');
  const text = `${part({ alg: 'none' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', 'x').update(text).digest('base64url')}`;
}
