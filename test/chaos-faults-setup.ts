/** What the faults of the chaos runs are played on in tests: the real sandboxes in this process, a receiver, and no stack. */
import Stripe from 'stripe';
import type { Fault, Pass } from '../chaos/faults/fault';
import type { Ground } from '../chaos/stack/stack';
import { gatewayNames, type GatewayName } from '../dev/gateways';
import type { Delivery } from '../sandbox/gateway/deliveries';
import { startMailSink, type MailSink } from '../sandbox/mail/sink';
import { startPhonepeSandbox, type PhonepeSandbox } from '../sandbox/phonepe/sandbox';
import { startRazorpaySandbox, type RazorpaySandbox } from '../sandbox/razorpay/sandbox';
import { startStripeSandbox, type StripeSandbox } from '../sandbox/stripe/sandbox';
import { asTheyCame, Receiver, until } from './sandbox-receiver';

/** The settings that tell of webhooks' secrets. */
export const env = {
  STRIPE_WEBHOOK_SECRET: 'whsec_test',
  RAZORPAY_WEBHOOK_SECRET: 'first,next',
  PHONEPE_WEBHOOK_USERNAME: 'user,user-next',
  PHONEPE_WEBHOOK_PASSWORD: 'password1,password2',
};

export let receiver: Receiver;
export let stripe: StripeSandbox;
export let razorpay: RazorpaySandbox;
export let phonepe: PhonepeSandbox;
export let mail: MailSink;
/** Of a stack, only what these faults touch. */
export let ground: Ground;
export let api: Stripe;

/** Gives each test of a file sandboxes, a receiver and a ground of its own. */
export function useGround(): void {
  beforeEach(async () => {
    receiver = await Receiver.start(asTheyCame);
    // The ledger tells times in whole ms: of an answer within the same one, nobody could say who overtook whom.
    receiver.answerMs = 3;
    const webhookUrl = receiver.url;
    const login = { webhookUsername: 'user', webhookPassword: 'password1' };
    stripe = await startStripeSandbox({ webhookUrl, webhookSecret: env.STRIPE_WEBHOOK_SECRET });
    razorpay = await startRazorpaySandbox({ webhookUrl, webhookSecret: 'first' });
    phonepe = await startPhonepeSandbox({ webhookUrl, ...login });
    mail = await startMailSink();
    const part: Partial<Ground> = { sandboxes: { stripe, razorpay, phonepe }, mail, env };
    ground = part as Ground;
    api = new Stripe('sk_test_sandbox', {
      host: '127.0.0.1',
      port: stripe.port,
      protocol: 'http',
      maxNetworkRetries: 0,
      timeout: 2_000,
      telemetry: false,
    });
  });
  afterEach(async () => {
    await Promise.all([stripe.close(), razorpay.close(), phonepe.close(), mail.close()]);
    await receiver.close();
  });
}

/** An intent that waits for its payer. */
export async function openIntent(): Promise<{ id: string }> {
  const form = { amount: '1500', currency: 'eur', 'payment_method_types[]': 'card' };
  // Not by Stripe's package, which tries once more when a connection is lost.
  const intent = await posted(
    `${stripe.url}/v1/payment_intents`,
    { authorization: 'Bearer sk_test_sandbox' },
    new URLSearchParams(form),
  );
  return { id: String(intent['id']) };
}
/** The payer's own call. */
export const confirm = (id: string, card = 'pm_card_visa') =>
  api.paymentIntents.confirm(id, { payment_method: card });

const json = { 'Content-Type': 'application/json' };
const basic = `Basic ${Buffer.from('rzp_test_sandbox:razorpay_sandbox_secret').toString('base64')}`;

async function posted(
  url: string,
  headers: Record<string, string>,
  body: string | URLSearchParams,
): Promise<Record<string, unknown>> {
  return (await (await fetch(url, { method: 'POST', headers, body })).json()) as Record<string, unknown>;
}

/** Calls Razorpay's API as the merchant. */
export const postRazorpay = (path: string, body: object) =>
  posted(`${razorpay.url}/v1${path}`, { ...json, authorization: basic }, JSON.stringify(body));

/** An order that waits for its payer. */
export async function openOrder(): Promise<string> {
  const wanted = { amount: 25_000, currency: 'INR', payment: { capture: 'automatic' } };
  return String((await postRazorpay('/orders', wanted))['id']);
}

async function token(): Promise<string> {
  const form = new URLSearchParams({
    client_id: 'phonepe_sandbox_client',
    client_version: '1',
    client_secret: 'phonepe_sandbox_secret',
    grant_type: 'client_credentials',
  });
  return String((await posted(`${phonepe.url}/apis/pg-sandbox/v1/oauth/token`, {}, form))['access_token']);
}

let checkouts = 0;

/** An order at PhonePe that waits for its payer. */
export async function openCheckout(): Promise<string> {
  const merchantOrderId = `bkg_${++checkouts}_1`;
  await posted(
    `${phonepe.url}/apis/pg-sandbox/checkout/v2/pay`,
    { ...json, authorization: `O-Bearer ${await token()}` },
    JSON.stringify({ merchantOrderId, amount: 25_000, paymentFlow: { type: 'PG_CHECKOUT' } }),
  );
  return merchantOrderId;
}

/** One call of the service, and a payment with all its webhooks, of which there are `told`. */
export const deeds: Record<
  GatewayName,
  { call: () => Promise<unknown>; pay: () => Promise<unknown>; told: number }
> = {
  stripe: { call: openIntent, pay: async () => confirm((await openIntent()).id), told: 3 },
  razorpay: { call: openOrder, pay: async () => razorpay.pay(await openOrder(), 'ok'), told: 3 },
  phonepe: { call: token, pay: async () => phonepe.pay(await openCheckout(), 'ok'), told: 1 },
};

/** The die that picks a gateway, of all or of some. */
export const die = (name: GatewayName, among: readonly GatewayName[] = gatewayNames): number =>
  (among.indexOf(name) + 0.5) / among.length;

/** The fault of this kind. */
export function named(all: readonly Fault[], kind: string): Fault {
  const found = all.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`There is no fault ${kind}`);
  return found;
}

let meanwhile: () => Promise<unknown>;

/** The time of a fault is as long as what is done meanwhile. */
export const pass: Pass = () => meanwhile();

/** Plays a fault, and does something meanwhile. What goes wrong about that is the fault's doing. */
export async function during(
  fault: Fault,
  first: number,
  deed: () => Promise<unknown>,
): Promise<string | undefined> {
  meanwhile = () => deed().catch(() => undefined);
  return fault.play(ground, [first, 0]);
}

/** Waits until a gateway's webhooks have been answered so often. */
export async function answered(name: GatewayName, times: number): Promise<void> {
  await until(async () => {
    const { events } = await { stripe, razorpay, phonepe }[name].ledger();
    const sent: readonly Delivery[] = events.flatMap(({ deliveries }) => deliveries);
    return sent.filter(({ status }) => status !== null).length >= times;
  });
}
