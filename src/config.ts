/**
 * The only reader of `process.env`. Everything wrong is listed at once, then the process stops: a half-configured
 * payment service must not start. Each setting stands with its unit in `.env.example`; a test compares the two.
 */
import { z } from 'zod';

const list = z
  .string()
  .optional()
  .transform((text) =>
    (text ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  );
const whole = (min: number, max: number, value: number) =>
  z.coerce.number().int().min(min).max(max).default(value);
/** Origins as browsers send them. An address with a path would never equal one, and the refusal would be a riddle. */
const origins = list.pipe(
  z.array(
    z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
      message: 'origins, comma-separated, without a path: https://temporal.example',
    }),
  ),
);
const secret = z.string().min(16, 'at least 16 characters');

const environment = z.object({
  PORT: whole(0, 65535, 3000),
  HOST: z.string().default('0.0.0.0'),
  PUBLIC_URL: z.url().default('http://localhost:3000'),
  WEB_ORIGINS: list,
  RETURN_URL: z.url().optional(),
  DATABASE_URL: z.url(),
  DATABASE_READONLY_URL: z.url().optional(),
  // Two cores serve 8 to 16 connections best; more only make a hot slot's payers wait for each other.
  DATABASE_POOL_MAX: whole(2, 200, 12),
  TEMPORAL_TASK_QUEUE: z.string().min(1).default('payfirst'),
  TEMPORAL_UI_ORIGIN: origins,
  PAYMENT_WINDOW_SECONDS: whole(5, 86_400, 900),
  PAYMENT_TRIES_MAX: whole(1, 100, 5),
  AUTH_JWT_SECRET: z.string().min(32, 'at least 32 characters').optional(),
  AUTH_JWKS_URL: z.url().optional(),
  AUTH_ISSUER: z.string().optional(),
  AUTH_AUDIENCE: z.string().optional(),
  STRIPE_SECRET_KEY: z.string().optional(),
  STRIPE_PUBLISHABLE_KEY: z.string().optional(),
  STRIPE_WEBHOOK_SECRET: list,
  STRIPE_API_BASE: z.url().optional(),
  RAZORPAY_KEY_ID: z.string().optional(),
  RAZORPAY_KEY_SECRET: z.string().optional(),
  RAZORPAY_WEBHOOK_SECRET: list,
  RAZORPAY_API_BASE: z.url().default('https://api.razorpay.com'),
  PHONEPE_CLIENT_ID: z.string().optional(),
  // The one of the sandbox; production's is shown in the dashboard.
  PHONEPE_CLIENT_VERSION: z.string().default('1'),
  PHONEPE_CLIENT_SECRET: z.string().optional(),
  PHONEPE_WEBHOOK_USERNAME: list,
  PHONEPE_WEBHOOK_PASSWORD: list,
  PHONEPE_API_BASE: z.url().default('https://api.phonepe.com/apis'),
  APP_SECRET: secret,
  SMTP_URL: z.url().optional(),
  MAIL_FROM: z.string().default('Payfirst <no-reply@localhost>'),
  PAYLOAD_KEYS: list.pipe(
    z.array(z.string().regex(/^[A-Za-z0-9_-]{1,32}:[A-Za-z0-9+/]{43}=$/, '<keyId>:<base64 of 32 bytes>')),
  ),
  WEBHOOKS_ALLOW_PRIVATE: z.stringbool().default(false),
  METRICS_PORT: whole(0, 65535, 9464),
  RATE_STARTS_PER_MINUTE: whole(1, 1_000_000, 20),
  RATE_RETRIES_PER_MINUTE: whole(1, 1_000_000, 30),
  RATE_ANONYMOUS_PER_MINUTE: whole(1, 1_000_000, 300),
  STREAMS_MAX: whole(1, 1_000_000, 10_000),
  TRUST_PROXY: whole(0, 32, 0),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** Settings of the Stripe adapter. */
export interface StripeSettings {
  secretKey: string;
  publishableKey: string | undefined;
  /** Every secret that signs now: several during rotation. */
  webhookSecrets: string[];
  /** Origin to call instead of Stripe's, for a stand-in. */
  apiBase: string | undefined;
}

/** Settings of the Razorpay adapter. */
export interface RazorpaySettings {
  keyId: string;
  keySecret: string;
  /** Every secret that signs now: several during rotation. */
  webhookSecrets: string[];
  /** Origin of the API, without `/v1`. */
  apiBase: string;
}

/** Settings of the PhonePe adapter. */
export interface PhonepeSettings {
  clientId: string;
  clientVersion: string;
  clientSecret: string;
  /** What webhooks authenticate with: several during rotation. */
  webhookLogins: { username: string; password: string }[];
  /** `…/apis`, under which the parts of the API have their own folders, or `…/apis/pg-sandbox`, which holds them all. */
  apiBase: string;
}

/** All settings, grouped by who needs them. Frozen, and passed in by the processes; nothing else reads the environment. */
export type Config = ReturnType<typeof parse>;

/** Thrown by `readConfig`; the message lists every wrong setting on a line of its own, never a value. */
class ConfigError extends Error {}

/** What no single setting can tell. Looked at beside the rest, so that everything wrong is listed at once. */
function missingTogether(given: NodeJS.ProcessEnv): string[] {
  const faults: string[] = [];
  if (!given['AUTH_JWT_SECRET'] && !given['AUTH_JWKS_URL'])
    faults.push('AUTH_JWT_SECRET or AUTH_JWKS_URL: one is needed');
  if (given['STRIPE_SECRET_KEY'] && isEmpty(given['STRIPE_WEBHOOK_SECRET'])) {
    faults.push('STRIPE_WEBHOOK_SECRET: needed beside STRIPE_SECRET_KEY, or no webhook can be believed');
  }
  faults.push(...onlyTogether(given, ['RAZORPAY_KEY_ID', 'RAZORPAY_KEY_SECRET', 'RAZORPAY_WEBHOOK_SECRET']));
  faults.push(
    ...onlyTogether(given, [
      'PHONEPE_CLIENT_ID',
      'PHONEPE_CLIENT_SECRET',
      'PHONEPE_WEBHOOK_USERNAME',
      'PHONEPE_WEBHOOK_PASSWORD',
    ]),
  );
  const [usernames, passwords] = ['PHONEPE_WEBHOOK_USERNAME', 'PHONEPE_WEBHOOK_PASSWORD'].map(
    (name) => list.parse(given[name]).length,
  );
  if (usernames !== passwords) {
    faults.push('PHONEPE_WEBHOOK_USERNAME, PHONEPE_WEBHOOK_PASSWORD: as many of the one as of the other');
  }
  return faults;
}

/** Commas alone are no setting either: of no secret, no webhook could be believed. */
function isEmpty(text: string | undefined): boolean {
  return list.parse(text).length === 0;
}

/** A gateway with half of its settings would start, and fail its first customer. */
function onlyTogether(given: NodeJS.ProcessEnv, names: string[]): string[] {
  const missing = names.filter((name) => isEmpty(given[name]));
  if (missing.length === 0 || missing.length === names.length) return [];
  return missing.map((name) => `${name}: needed beside ${names.filter((one) => one !== name).join(', ')}`);
}

function faultOf(issue: z.core.$ZodIssue, given: NodeJS.ProcessEnv): string {
  const [name, place] = issue.path;
  // Of several, comma-separated, the one that is wrong is counted, not quoted: it may be a key.
  const which = typeof place === 'number' ? `, number ${place + 1}` : '';
  return `${String(name)}${which}: ${given[String(name)] === undefined ? 'missing' : issue.message}`;
}

type Environment = z.infer<typeof environment>;

function stripeSettings(read: Environment): StripeSettings | undefined {
  if (read.STRIPE_SECRET_KEY === undefined) return undefined;
  return {
    secretKey: read.STRIPE_SECRET_KEY,
    publishableKey: read.STRIPE_PUBLISHABLE_KEY,
    webhookSecrets: read.STRIPE_WEBHOOK_SECRET,
    apiBase: read.STRIPE_API_BASE,
  };
}

function razorpaySettings(read: Environment): RazorpaySettings | undefined {
  const { RAZORPAY_KEY_ID: keyId, RAZORPAY_KEY_SECRET: keySecret } = read;
  if (keyId === undefined || keySecret === undefined) return undefined;
  return {
    keyId,
    keySecret,
    webhookSecrets: read.RAZORPAY_WEBHOOK_SECRET,
    apiBase: read.RAZORPAY_API_BASE.replace(/\/+$/, ''),
  };
}

function phonepeSettings(read: Environment): PhonepeSettings | undefined {
  const { PHONEPE_CLIENT_ID: clientId, PHONEPE_CLIENT_SECRET: clientSecret } = read;
  if (clientId === undefined || clientSecret === undefined) return undefined;
  return {
    clientId,
    clientVersion: read.PHONEPE_CLIENT_VERSION,
    clientSecret,
    webhookLogins: read.PHONEPE_WEBHOOK_USERNAME.map((username, n) => ({
      username,
      password: read.PHONEPE_WEBHOOK_PASSWORD[n] ?? '',
    })),
    apiBase: read.PHONEPE_API_BASE.replace(/\/+$/, ''),
  };
}

function parse(env: NodeJS.ProcessEnv) {
  // An empty line in a .env file means "not set", as docker compose hands it over.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const result = environment.safeParse(given);
  const faults = missingTogether(given);
  if (!result.success) faults.push(...result.error.issues.map((issue) => faultOf(issue, given)));
  if (!result.success || faults.length > 0) {
    throw new ConfigError(
      `These settings are wrong (see .env.example):\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
  const read = result.data;
  return Object.freeze({
    http: {
      port: read.PORT,
      host: read.HOST,
      publicUrl: read.PUBLIC_URL.replace(/\/$/, ''),
      webOrigins: read.WEB_ORIGINS,
      returnUrl: read.RETURN_URL,
      trustProxy: read.TRUST_PROXY,
      metricsPort: read.METRICS_PORT,
    },
    database: {
      url: read.DATABASE_URL,
      readonlyUrl: read.DATABASE_READONLY_URL,
      poolMax: read.DATABASE_POOL_MAX,
    },
    taskQueue: read.TEMPORAL_TASK_QUEUE,
    temporalUiOrigins: read.TEMPORAL_UI_ORIGIN,
    payment: { windowSeconds: read.PAYMENT_WINDOW_SECONDS, triesMax: read.PAYMENT_TRIES_MAX },
    auth: {
      secret: read.AUTH_JWT_SECRET,
      jwksUrl: read.AUTH_JWKS_URL,
      issuer: read.AUTH_ISSUER,
      audience: read.AUTH_AUDIENCE,
    },
    stripe: stripeSettings(read),
    razorpay: razorpaySettings(read),
    phonepe: phonepeSettings(read),
    appSecret: read.APP_SECRET,
    mail: { smtpUrl: read.SMTP_URL, from: read.MAIL_FROM },
    webhooks: { allowPrivate: read.WEBHOOKS_ALLOW_PRIVATE },
    payloadKeys: read.PAYLOAD_KEYS,
    rates: {
      startsPerMinute: read.RATE_STARTS_PER_MINUTE,
      retriesPerMinute: read.RATE_RETRIES_PER_MINUTE,
      anonymousPerMinute: read.RATE_ANONYMOUS_PER_MINUTE,
    },
    streamsMax: read.STREAMS_MAX,
    logLevel: read.LOG_LEVEL,
  });
}

/**
 * Reads and checks the environment.
 * @throws ConfigError naming every wrong setting
 */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return parse(env);
}

/** Reads the environment for a process: on a wrong one it prints every fault and exits with 78 (EX_CONFIG of sysexits.h). */
export function readConfigOrExit(): Config {
  try {
    return parse(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(78);
  }
}
