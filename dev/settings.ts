/** The settings of one development stack: what the environment says, and made-up secrets for everything else. */
import { randomBytes } from 'node:crypto';

/** Secrets that every stack has, and that no two stacks share. */
export interface Secrets {
  authJwtSecret: string;
  appSecret: string;
  payloadKeys: string;
  stripeSecretKey: string;
  /** Several, comma-separated, during rotation. */
  stripeWebhookSecret: string;
}

/** Which Stripe the stack talks to. */
export type StripeChoice = 'sandbox' | 'stand-in' | 'test account';

const random = (bytes: number): string => randomBytes(bytes).toString('base64url');

/** The secrets set in `env`, and fresh ones for those that are not. */
export function secretsFrom(env: NodeJS.ProcessEnv): Secrets {
  const { AUTH_JWT_SECRET, APP_SECRET, PAYLOAD_KEYS, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET } = env;
  return {
    authJwtSecret: AUTH_JWT_SECRET || random(32),
    appSecret: APP_SECRET || random(32),
    payloadKeys: PAYLOAD_KEYS || `k1:${randomBytes(32).toString('base64')}`,
    stripeSecretKey: STRIPE_SECRET_KEY || `sk_test_sandbox${randomBytes(12).toString('hex')}`,
    stripeWebhookSecret: STRIPE_WEBHOOK_SECRET || `whsec_${random(24)}`,
  };
}

/**
 * The sandbox unless the environment names a stand-in or an account.
 * @throws Error for a key of a live account: nothing in this folder may ever move real money
 */
export function stripeChoice(env: NodeJS.ProcessEnv): StripeChoice {
  const { STRIPE_SECRET_KEY: key, STRIPE_API_BASE: base } = env;
  if (base) return 'stand-in';
  if (!key) return 'sandbox';
  // Stripe marks the mode in the key: sk_test_, rk_test_ (restricted), against sk_live_ (docs.stripe.com/keys).
  if (!/^[sr]k_test_/.test(key)) {
    throw new Error(
      'STRIPE_SECRET_KEY is not a test key. The development stack only runs with sk_test_… keys.',
    );
  }
  return 'test account';
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
