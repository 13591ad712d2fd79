/** Comparing what a caller claims with what only the gateway could know. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** HMAC-SHA256 of a message, in hexadecimal. */
export function hmacHex(key: string, message: Buffer | string): string {
  return createHmac('sha256', key).update(message).digest('hex');
}

/** SHA-256 in hexadecimal. */
export function sha256Hex(message: Buffer | string): string {
  return createHash('sha256').update(message).digest('hex');
}

/** Whether two texts are the same, in a time that does not tell where they differ, nor whether their lengths do. */
export function isSame(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

/** Whether any of the expected texts is the one given; all are compared, so the time does not tell which. */
export function isAmong(given: string, expected: readonly string[]): boolean {
  return expected.map((one) => isSame(given, one)).includes(true);
}
