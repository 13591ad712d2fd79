/**
 * The ids we give at PhonePe, which serve as its keys: the same id is the same order or refund. Unique for good, at most 63
 * letters, digits, `_` and `-`: developer.phonepe.com …/standard-checkout/api-integration/api-reference/create-payment and
 * …/refund (read 2026-11).
 */
import { isId } from '../booking';
import type { RefundToSend, TryToOpen } from './gateway';

/** `merchantOrderId` of a try. */
export function orderIdOf(wanted: Pick<TryToOpen, 'bookingId' | 'try' | 'keyNumber'>): string {
  const first = `${wanted.bookingId}_${wanted.try}`;
  return wanted.keyNumber === 1 ? first : `${first}_${wanted.keyNumber}`;
}

/** The booking that an order was made for; null for an order that is none of ours. */
export function bookingOf(orderId: string): string | null {
  const [, bookingId] = /^(.+?)_[1-9]\d{0,5}(?:_[1-9]\d{0,5})?$/.exec(orderId) ?? [];
  return bookingId !== undefined && isId('booking', bookingId) ? bookingId : null;
}

/** `merchantRefundId` of a refund. One go is one refund, so a repeat gives that refund again. */
export function refundIdOf({ refundId, go, keyNumber }: RefundToSend): string {
  return `${refundId}_${go}_${keyNumber}`;
}
