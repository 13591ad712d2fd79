/** Events as gateways post them, and what proves that they come from there. */
import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { phonepeLogin } from './at-phonepe';
import { named } from './api-fuzz-values';
import { gatewayOf } from './book-setup';
import type { Json, World } from './world';

const refs = fc.constantFrom(
  named('gatewayRef'),
  'pi_unknown',
  'order_unknown',
  `${named('bkg:awaiting')}_1`,
);
const bookings = fc.constantFrom(named('bkg:awaiting'), named('bkg:confirmed'), named('bkg:unknown'), 'x');

/** What an honest gateway would post, by the path of its webhooks. */
export const events: Readonly<Record<string, fc.Arbitrary<Json>>> = {
  '/webhooks/stripe': fc
    .record({
      type: fc.constantFrom('payment_intent.succeeded', 'refund.failed', 'charge.dispute.created', 'x.y'),
      ref: refs,
      bookingId: bookings,
    })
    .map(({ type, ref, bookingId }) => ({
      id: `evt_${named('fresh')}`,
      object: 'event',
      type,
      data: { object: { object: 'payment_intent', id: ref, metadata: { bookingId } } },
    })),
  '/webhooks/razorpay': fc
    .record({
      event: fc.constantFrom('payment.captured', 'order.paid', 'refund.failed', 'x.y'),
      ref: refs,
      bookingId: bookings,
    })
    .map(({ event, ref, bookingId }) => ({
      entity: 'event',
      event,
      contains: ['payment'],
      payload: { payment: { entity: { id: 'pay_x', order_id: ref, notes: { bookingId } } } },
      created_at: 1_790_000_000,
    })),
  '/webhooks/phonepe': fc
    .record({
      event: fc.constantFrom('checkout.order.completed', 'pg.refund.failed', 'x.y'),
      ref: refs,
      bookingId: bookings,
    })
    .map(({ event, ref, bookingId }) => ({
      event,
      payload: { merchantOrderId: ref, state: 'COMPLETED', metaInfo: { udf1: bookingId } },
    })),
};

const hmac = (secret: string, text: string): string =>
  createHmac('sha256', secret).update(text).digest('hex');

/** The headers by which each gateway proves a body, with the secrets of this world. */
export function signatureOf(world: World, path: string, body: string): Record<string, string> {
  const secret = (method: string, name: string) => String(gatewayOf(world, method).env[name]);
  switch (path) {
    case '/webhooks/stripe': {
      const at = Math.floor(Date.now() / 1000);
      return {
        'stripe-signature': `t=${at},v1=${hmac(secret('stripe', 'STRIPE_WEBHOOK_SECRET'), `${at}.${body}`)}`,
      };
    }
    case '/webhooks/razorpay':
      return { 'x-razorpay-signature': hmac(secret('razorpay', 'RAZORPAY_WEBHOOK_SECRET'), body) };
    default: {
      const login = `${phonepeLogin.username}:${phonepeLogin.password}`;
      return { authorization: createHash('sha256').update(login).digest('hex') };
    }
  }
}
