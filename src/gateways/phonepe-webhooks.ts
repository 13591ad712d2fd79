/**
 * What PhonePe tells us. Its `Authorization` is one constant for all calls, and does not cover the body: whoever has seen one
 * call can write any other. Facts: developer.phonepe.com …/standard-checkout/api-integration/api-reference/webhook,
 * …/v1/reference/handling-webhooks-standard-checkout (read 2026-11).
 */
import { z } from 'zod';
import type { PhonepeSettings } from '../config';
import type { Heard, WebhookHeaders } from './gateway';
import { bookingOf } from './phonepe-ids';
import { isAmong, sha256Hex } from './signatures';
import { parsedBody } from './webhook-body';

const id = z.string().optional().catch(undefined);

/** `type` is what `event` was called, and is being given up. */
const bodyShape = z.object({
  event: id,
  type: id,
  payload: z.object({ merchantOrderId: id, originalMerchantOrderId: id }).catch({}),
});

/**
 * Checks who calls, against every login in force, and takes from the body only where to look.
 * @throws when the header is missing or wrong, or the body is no JSON object
 */
export function verifiedWebhook(
  rawBody: Buffer,
  headers: WebhookHeaders,
  logins: PhonepeSettings['webhookLogins'],
): Heard {
  const { authorization } = headers;
  if (typeof authorization !== 'string') throw new Error('The Authorization header is missing');
  const expected = logins.map(({ username, password }) => sha256Hex(`${username}:${password}`));
  if (!isAmong(authorization.toLowerCase(), expected)) throw new Error('The Authorization is not PhonePe’s');
  const body = bodyShape.safeParse(parsedBody(rawBody));
  if (!body.success) throw new Error('The body is no object');
  const { event, type, payload } = body.data;
  // A refund names its order as the original one.
  const ref = payload.originalMerchantOrderId ?? payload.merchantOrderId;
  const bookingId = ref === undefined ? null : bookingOf(ref);
  return {
    // PhonePe gives none. A forger can make up any number of them; each only makes us look.
    eventId: sha256Hex(rawBody),
    type: typeShown(event ?? type),
    ref: bookingId === null ? null : (ref ?? null),
    bookingId,
    // Which events there are depends on the product and its age, so an order of ours is all that counts.
    rings: bookingId !== null,
    // PhonePe tells of no refunds but those made by its API, and of no disputes.
    reversal: false,
  };
}

/** A name goes to the log and into a row, so it must look like one. */
function typeShown(type: string | undefined): string {
  return type !== undefined && /^[\w.]{1,64}$/.test(type) ? type : 'unknown';
}
