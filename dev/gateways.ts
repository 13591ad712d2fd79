/** Which gateways a development stack talks to: the sandboxes, unless the environment names test accounts or other stand-ins. */
import { randomBytes } from 'node:crypto';
import { LOOPBACK } from './ports';

/** The gateways there are. */
export const gatewayNames = ['stripe', 'razorpay', 'phonepe'] as const;
export type GatewayName = (typeof gatewayNames)[number];

/** One gateway of a stack. */
export interface GatewayPlan {
  name: GatewayName;
  /** Origin of its sandbox, or whatever the environment names; undefined with a test account. */
  url: string | undefined;
  /** Whether the stack starts its sandbox. */
  sandbox: boolean;
  /** Settings of the API and the worker, and of the sandbox. */
  settings: Record<string, string>;
}

interface Kind {
  name: GatewayName;
  /** The setting without which an account is not meant. */
  key: string;
  base: string;
  /** The sandbox's API under its origin. */
  under: string;
  /** Why these settings could move real money, if so. */
  live(env: NodeJS.ProcessEnv): string | undefined;
  /** Made up anew for each stack. */
  secrets(): Record<string, string>;
}

const random = (bytes: number): string => randomBytes(bytes).toString('base64url');

const kinds: readonly Kind[] = [
  {
    name: 'stripe',
    key: 'STRIPE_SECRET_KEY',
    base: 'STRIPE_API_BASE',
    under: '',
    // Stripe marks the mode in the key: sk_test_, rk_test_ (restricted), against sk_live_ (docs.stripe.com/keys).
    live: ({ STRIPE_SECRET_KEY: key, STRIPE_API_BASE: base }) =>
      !base && key && !/^[sr]k_test_/.test(key)
        ? 'STRIPE_SECRET_KEY is not a test key (sk_test_…)'
        : undefined,
    secrets: () => ({
      STRIPE_SECRET_KEY: `sk_test_sandbox${randomBytes(12).toString('hex')}`,
      STRIPE_WEBHOOK_SECRET: `whsec_${random(24)}`,
    }),
  },
  {
    name: 'razorpay',
    key: 'RAZORPAY_KEY_ID',
    base: 'RAZORPAY_API_BASE',
    under: '',
    // Razorpay marks the mode in the key: rzp_test_ against rzp_live_ (razorpay.com/docs/payments/dashboard/account-settings/api-keys).
    live: ({ RAZORPAY_KEY_ID: key, RAZORPAY_API_BASE: base }) =>
      !base && key && !key.startsWith('rzp_test_')
        ? 'RAZORPAY_KEY_ID is not a test key (rzp_test_…)'
        : undefined,
    secrets: () => ({
      RAZORPAY_KEY_ID: `rzp_test_${randomBytes(7).toString('hex')}`,
      RAZORPAY_KEY_SECRET: random(18),
      RAZORPAY_WEBHOOK_SECRET: random(18),
    }),
  },
  {
    name: 'phonepe',
    key: 'PHONEPE_CLIENT_ID',
    base: 'PHONEPE_API_BASE',
    under: '/apis/pg-sandbox',
    // PhonePe's keys tell nothing; its production has a host of its own, which is the default.
    live: ({ PHONEPE_CLIENT_ID: id, PHONEPE_API_BASE: base }) =>
      (id && !base) || (base && new URL(base).hostname === 'api.phonepe.com')
        ? 'PHONEPE_API_BASE is production; set it to https://api-preprod.phonepe.com/apis/pg-sandbox'
        : undefined,
    secrets: () => ({
      PHONEPE_CLIENT_ID: `SANDBOX_${randomBytes(6).toString('hex')}`,
      PHONEPE_CLIENT_VERSION: '1',
      PHONEPE_CLIENT_SECRET: random(18),
      PHONEPE_WEBHOOK_USERNAME: 'payfirst',
      // 8 to 20 characters.
      PHONEPE_WEBHOOK_PASSWORD: randomBytes(8).toString('hex'),
    }),
  },
];

/**
 * Plans every gateway of a stack.
 * @param ports where the sandboxes listen
 * @throws Error for settings of a live account: nothing in this folder may ever move real money
 */
export function planGateways(
  env: NodeJS.ProcessEnv,
  ports: Readonly<Record<GatewayName, number>>,
): GatewayPlan[] {
  return kinds.map((kind) => {
    const danger = kind.live(env);
    if (danger !== undefined)
      throw new Error(`${danger}. The development stack only runs with test accounts.`);
    const { name } = kind;
    const secrets = kind.secrets();
    const given = Object.keys(secrets).filter((setting) => env[setting]);
    const own = Object.fromEntries(given.map((setting) => [setting, env[setting] as string]));
    const base = env[kind.base];
    if (base) return { name, url: base, sandbox: false, settings: { ...secrets, ...own, [kind.base]: base } };
    if (env[kind.key]) return { name, url: undefined, sandbox: false, settings: own };
    const url = `http://${LOOPBACK}:${ports[name]}`;
    return { name, url, sandbox: true, settings: { ...secrets, ...own, [kind.base]: `${url}${kind.under}` } };
  });
}
