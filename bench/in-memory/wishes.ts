/** What customers ask for after the start. */
import { invalid, Problem } from '../../src/api/problem';
import { cancelVerdict, isOpen, walletMethod } from '../../src/booking';
import { become, type Intent, type Memory } from './intents';
import { giveBack, isBack, write } from './money';
import { end, openObject, startWindow } from './objects';
import { freeSeats, undo } from './rows';

/**
 * Cancels an attempt, or the booking it became, and then gives the whole price back.
 * @throws Problem `not-cancelable`, `attempt-over`, `unavailable`
 */
export async function cancel(memory: Memory, intent: Intent): Promise<void> {
  if (isOpen(intent.status)) {
    await end(memory, intent, 'canceled');
    if (isOpen(intent.status)) throw new Problem('not-cancelable');
    return;
  }
  const verdict = cancelVerdict(intent.status);
  if (verdict === 'granted') return;
  if (verdict !== 'by-policy') throw new Problem(verdict);
  const payment = await undo(memory.parts.db, intent.bookingId);
  if (payment === undefined) return;
  const reason = 'canceled-by-customer';
  become(intent, 'refunding');
  await write(memory, intent, 'booking-canceled', reason);
  if (payment.gateway !== walletMethod) return giveBack(memory, intent, payment, reason);
  await isBack(memory, intent, { status: 'pending', amountMinor: payment.amount_minor, reason });
}

/**
 * Another try to pay after a failure: at the same payment object while it can be paid, else at a new one.
 * @param method must be the one it has, where it is given
 * @throws Problem `attempt-over`, `not-retryable`, `retry-limit`, `slot-unavailable`, `gateway-unavailable`
 */
export async function retry(memory: Memory, intent: Intent, method = intent.method): Promise<void> {
  const { db, payment } = memory.parts;
  if (intent.status === 'processing') throw new Problem('not-retryable');
  if (!isOpen(intent.status)) throw new Problem('attempt-over');
  if (method !== intent.method) throw invalid('/payment/method', 'No other way to pay here.');
  if (intent.failure === undefined) return;
  if (intent.tries >= payment.triesMax) throw new Problem('retry-limit');
  const slots = intent.items.filter(({ kind }) => kind === 'slot');
  const ids = slots.map(({ offeringId }) => offeringId);
  const free = await freeSeats(db, ids);
  if (slots.some(({ offeringId, seats }) => (free.get(offeringId) ?? 0) < seats)) {
    throw new Problem('slot-unavailable');
  }
  if (intent.payable) startWindow(memory, intent);
  else await openObject(memory, intent);
  delete intent.failure;
  become(intent, 'awaiting_payment', { tries: intent.tries + 1 });
}
