/** Webhooks that no gateway sent: believable news of money for what is really open, under a signature that must not be believed. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import Stripe from 'stripe';
import type { GatewayName } from '../../dev/gateways';
import { newId as newRazorpayId } from '../../sandbox/razorpay/account';
import { newId as newStripeId } from '../../sandbox/stripe/ids';
import { apiVersion } from '../../sandbox/stripe/wire';
import { Harm, type Fault } from './fault';
import type { Ground } from '../stack/stack';

/**
 * How long to look for something open, and for somebody who answers, in ms: another fault may have taken the APIs away, for
 * up to 3 s and their restart.
 */
const patienceMs = 15_000;
/** Between two looks, in ms. */
const againMs = 250;
/** How long one answer may take, in ms: an API that stands still does so for 2 s. */
const answerWithinMs = 5_000;
/** Age of the event that is well signed and too old, in s: twice what is believed (300 s, Stripe's own default). */
const oldSeconds = 600;

/** What the API says to a signature that it does not believe. Not 404 nor 429: those would say nothing about it. */
const refusals: readonly number[] = [400, 401, 403];

/** A webhook as it travels. */
interface Forgery {
  gateway: GatewayName;
  body: string;
  headers: Record<string, string>;
}

/** Looks again until there is something, or patience ends. */
async function lookFor<T>(look: () => Promise<T | undefined>, ms: number): Promise<T | undefined> {
  const until = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined || Date.now() >= until) return found;
    await sleep(againMs);
  }
}

/** "Paid", twice: signed by nobody we know, and signed well but long ago. */
async function stripeForgeries({ sandboxes, env }: Ground): Promise<Forgery[]> {
  const { intents } = await sandboxes.stripe.ledger();
  const open = intents.findLast(({ status }) => status === 'requires_payment_method');
  if (open === undefined) return [];
  const { id, amount, currency, metadata } = open;
  const forged = (secret: string, created: number): Forgery => {
    const object = { id, object: 'payment_intent', amount, amount_received: amount, currency };
    const body = JSON.stringify({
      id: newStripeId('evt'),
      object: 'event',
      api_version: apiVersion,
      created,
      data: { object: { ...object, status: 'succeeded', latest_charge: newStripeId('ch'), metadata } },
      livemode: false,
      pending_webhooks: 1,
      type: 'payment_intent.succeeded',
    });
    const signature = Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: created });
    return { gateway: 'stripe', body, headers: { 'Stripe-Signature': signature } };
  };
  const now = Math.floor(Date.now() / 1000);
  const right = env['STRIPE_WEBHOOK_SECRET']?.split(',')[0] ?? '';
  return [forged(`whsec_${randomBytes(18).toString('base64url')}`, now), forged(right, now - oldSeconds)];
}

async function razorpayForgeries({ sandboxes }: Ground): Promise<Forgery[]> {
  const { orders } = await sandboxes.razorpay.ledger();
  const open = orders.findLast(({ status }) => status !== 'paid');
  if (open === undefined) return [];
  const { id, amount, currency, metadata: notes } = open;
  const entity = { id: newRazorpayId('pay'), entity: 'payment', amount, currency, status: 'captured', notes };
  const body = JSON.stringify({
    entity: 'event',
    account_id: newRazorpayId('acc'),
    event: 'payment.captured',
    contains: ['payment'],
    payload: { payment: { entity: { ...entity, order_id: id, captured: true } } },
    created_at: Math.floor(Date.now() / 1000),
  });
  const signature = createHmac('sha256', randomBytes(16)).update(body).digest('hex');
  const headers = { 'X-Razorpay-Signature': signature, 'x-razorpay-event-id': newRazorpayId('evt') };
  return [{ gateway: 'razorpay', body, headers }];
}

/** PhonePe signs nothing: its header is the digest of a login, and here of the right name with a wrong password. */
async function phonepeForgeries({ sandboxes, env }: Ground): Promise<Forgery[]> {
  const { orders } = await sandboxes.phonepe.ledger();
  const open = orders.findLast(({ status }) => status === 'PENDING');
  if (open === undefined) return [];
  const { id: merchantOrderId, orderId, amount, metadata: metaInfo } = open;
  const body = JSON.stringify({
    event: 'checkout.order.completed',
    type: 'CHECKOUT_ORDER_COMPLETED',
    payload: { merchantOrderId, orderId, state: 'COMPLETED', amount, metaInfo },
  });
  const username = env['PHONEPE_WEBHOOK_USERNAME']?.split(',')[0] ?? '';
  const login = createHash('sha256').update(`${username}:${randomBytes(8).toString('hex')}`);
  return [{ gateway: 'phonepe', body, headers: { Authorization: login.digest('hex') } }];
}

/** Brings one to the door until somebody answers who is not broken. @returns the status; undefined when nobody did */
async function answerTo(
  api: string,
  { gateway, body, headers }: Forgery,
  ms: number,
): Promise<number | undefined> {
  return lookFor(async () => {
    const status = await fetch(`${api}/webhooks/${gateway}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body,
      signal: AbortSignal.timeout(answerWithinMs),
    }).then(
      (response) => response.status,
      () => undefined,
    );
    return status === undefined || status >= 500 ? undefined : status;
  }, ms);
}

/**
 * Forgeries of every gateway. Their ids are new, so that the judge finds any that was heard (S10).
 * @param patience in ms
 * @throws Harm when one is believed
 */
export const forgedWebhooks = (patience = patienceMs): Fault => ({
  kind: 'webhooks-forged',
  part: 'gateway',
  weight: 2,
  play: async (stack) => {
    const statuses: (number | undefined)[] = [];
    for (const make of [stripeForgeries, razorpayForgeries, phonepeForgeries]) {
      const forgeries = await lookFor(async () => {
        const made = await make(stack);
        return made.length === 0 ? undefined : made;
      }, patience);
      // Nothing is open there: there is nobody to lie about.
      if (forgeries === undefined) return undefined;
      for (const forgery of forgeries) {
        const status = await answerTo(stack.api, forgery, patience);
        if (status !== undefined && status < 300)
          throw new Harm(`A forged webhook of ${forgery.gateway} was answered ${status}`);
        statuses.push(status);
      }
    }
    const refused = statuses.every((status) => status !== undefined && refusals.includes(status));
    return refused
      ? `${statuses.length} forged events were answered ${[...new Set(statuses)].join(', ')}`
      : undefined;
  },
});
