/** The settings of one development stack: what the environment says, and made-up secrets for everything else. */
import { randomBytes } from 'node:crypto';

/** Secrets that every stack has, and that no two stacks share. */
export interface Secrets {
  authJwtSecret: string;
  appSecret: string;
  payloadKeys: string;
}

const random = (bytes: number): string => randomBytes(bytes).toString('base64url');

/** The secrets set in `env`, and fresh ones for those that are not. */
export function secretsFrom(env: NodeJS.ProcessEnv): Secrets {
  const { AUTH_JWT_SECRET, APP_SECRET, PAYLOAD_KEYS } = env;
  return {
    authJwtSecret: AUTH_JWT_SECRET || random(32),
    appSecret: APP_SECRET || random(32),
    payloadKeys: PAYLOAD_KEYS || `k1:${randomBytes(32).toString('base64')}`,
  };
}

/** `env` without what is undefined: a child's environment has no such values. */
export function defined(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
    ),
  );
}

/**
 * A port from the environment.
 * @throws Error when it is set and no port
 */
export function portFrom(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new Error(`${name} is ${text}, which is no port.`);
  return port;
}
