/** Hashes by which requests and people are recognized without being named. */
import { createHash, createHmac } from 'node:crypto';
import canonicalize from 'canonicalize';

/** SHA-256 of a value's canonical JSON (RFC 8785), hexadecimal: the order of fields does not matter. */
export function hashOf(body: unknown): string {
  const text = canonicalize(body);
  if (text === undefined) throw new Error('Bug: nothing to hash');
  return createHash('sha256').update(text).digest('hex');
}

/**
 * A mark that only we can make, for places Temporal shows in clear. The purpose keeps marks of one kind from being
 * taken for another.
 */
function mark(appSecret: string, purpose: string, text: string): string {
  return createHmac('sha256', appSecret).update(`${purpose}\0${text}`).digest('base64url');
}

/** Id of the update that opens an attempt: the same body again is the same update. */
export function openUpdateId(appSecret: string, requestHash: string): string {
  return mark(appSecret, 'open', requestHash);
}

/** Who owns an attempt, in its workflow's memo: answers its owner before the record exists. */
export function ownerMark(appSecret: string, customerId: string): string {
  return mark(appSecret, 'owner', customerId);
}

/** What makes a ticket genuine: which booking it lets one follow, and until when (seconds since 1970) one may connect. */
export function ticketMark(appSecret: string, bookingId: string, until: number): string {
  return mark(appSecret, 'ticket', `${bookingId}\0${until}`);
}
