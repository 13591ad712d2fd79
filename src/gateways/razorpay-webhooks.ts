/**
 * What Razorpay, or its page in the customer's browser, tells us, and whether it was Razorpay. Facts:
 * razorpay.com/docs/webhooks/validate-test, …/webhooks/best-practices, …/webhooks/payloads,
 * …/payments/payment-gateway/web-integration/standard/integration-steps (read 2026-11).
 */
import { z } from 'zod';
import type { Heard, WebhookHeaders } from './gateway';
import { orderShape, paymentShape, refundShape } from './razorpay-api';
import { hmacHex, isAmong, isSame, sha256Hex } from './signatures';
import { parsedBody } from './webhook-body';

/** Events after which the order or one of its refunds may stand differently. */
const ringingEvents = new Set([
  'payment.authorized',
  'payment.captured',
  'payment.failed',
  'order.paid',
  'refund.created',
  'refund.processed',
  'refund.failed',
  'refund.speed_changed',
]);

/** Only what is needed to know where to look: an event of a new shape is still one that rings. */
const eventShape = z.object({
  event: z.string(),
  payload: z
    .object({
      order: entity(orderShape.pick({ id: true, notes: true })),
      payment: entity(paymentShape.pick({ order_id: true, captured: true, notes: true })),
      refund: entity(refundShape.pick({ notes: true })),
    })
    .catch({}),
});

function entity<Shape extends z.ZodObject>(shape: Shape) {
  return z.object({ entity: shape }).optional().catch(undefined);
}

/**
 * Checks a webhook against every secret in force: the secret of an old delivery stays the old one. There is no time in what
 * is signed, and the dashboard sends events of the last 7 days again; so age proves nothing, and an old event that rings
 * anew only makes us look.
 * @throws when the signature is missing or wrong, or the body is no event
 */
export function verifiedWebhook(rawBody: Buffer, headers: WebhookHeaders, secrets: readonly string[]): Heard {
  const signature = headers['x-razorpay-signature'];
  if (typeof signature !== 'string') throw new Error('The X-Razorpay-Signature header is missing');
  const expected = secrets.map((secret) => hmacHex(secret, rawBody));
  if (!isAmong(signature, expected)) throw new Error('The signature is not Razorpay’s');
  const { event, payload } = eventShape.parse(parsedBody(rawBody));
  const [order, payment, refund] = [payload.order?.entity, payload.payment?.entity, payload.refund?.entity];
  const dispute = event.startsWith('payment.dispute.');
  return {
    eventId: eventId(headers['x-razorpay-event-id'], rawBody),
    type: event,
    ref: asRef(order?.id ?? payment?.order_id),
    // Notes of a payment come from the customer's browser: a hint where to ring, like everything here.
    bookingId: order?.notes['bookingId'] ?? payment?.notes['bookingId'] ?? refund?.notes['bookingId'] ?? null,
    rings: dispute || ringingEvents.has(event),
    reversal: dispute || isReversal(event, payment?.captured, refund?.notes),
  };
}

/** A refund that bears our id is no news of others, and one of money that was never captured took nothing back. */
function isReversal(
  event: string,
  captured: boolean | null | undefined,
  notes: Record<string, string> | undefined,
): boolean {
  return event.startsWith('refund.') && notes?.['refundId'] === undefined && captured !== false;
}

/**
 * Stays the same on each delivery of an event. The signature does not cover it: whoever sends a body again under another id
 * only makes us look once more. Where it is missing, the body names the event.
 */
function eventId(header: string | string[] | undefined, rawBody: Buffer): string {
  return typeof header === 'string' && /^[\w-]{1,64}$/.test(header) ? header : sha256Hex(rawBody);
}

/** An id as Razorpay makes them; it becomes part of a workflow id, so anything else is none. */
function asRef(id: string | null | undefined): string | null {
  return id && /^[\w-]{1,64}$/.test(id) ? id : null;
}

/**
 * Checks what Razorpay's page gave the browser: HMAC-SHA256 of `order|payment` under the key's secret, not a webhook's.
 * @throws when a signature is there and is not of that order and payment
 */
export function verifyRazorpayReturn(returned: Readonly<Record<string, unknown>>, keySecret: string): void {
  const { razorpay_order_id: order, razorpay_payment_id: payment, razorpay_signature: signature } = returned;
  if (signature === undefined) return;
  const signed = [order, payment].map((part) => (typeof part === 'string' ? part : '')).join('|');
  if (typeof signature !== 'string' || !isSame(signature, hmacHex(keySecret, signed))) {
    throw new Error('The signature of the return is not Razorpay’s');
  }
}
