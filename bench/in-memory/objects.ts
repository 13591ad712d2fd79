/** Payment objects: made, and closed when their time is over. */
import { Problem } from '../../src/api/problem';
import { isOpen } from '../../src/booking';
import { become, inTurn, type Intent, type Memory } from './intents';
import { look } from './money';

/**
 * Makes a payment object, and starts its window.
 * @throws Problem `gateway-unavailable`
 */
export async function openObject(memory: Memory, intent: Intent): Promise<void> {
  const { payment, log } = memory.parts;
  const opened = await memory.gatewayOf(intent).open({
    bookingId: intent.bookingId,
    try: intent.objects + 1,
    keyNumber: 1,
    total: intent.total,
    payWithinSeconds: payment.windowSeconds,
    ...(intent.returnUrl === undefined ? {} : { returnUrl: intent.returnUrl }),
  });
  if (opened.status !== 'opened') {
    log.warn({ event: 'open.failed', bookingId: intent.bookingId, reason: opened.reason });
    throw new Problem('gateway-unavailable');
  }
  intent.objects += 1;
  Object.assign(intent, { ref: opened.ref, howToPay: opened.howToPay, payable: true });
  memory.remember(intent);
  startWindow(memory, intent);
}

/** Gives the customer the whole window to pay, from now. */
export function startWindow(memory: Memory, intent: Intent): void {
  const ms = memory.parts.payment.windowSeconds * 1000;
  clearTimeout(intent.timer);
  intent.expiresAt = new Date(Date.now() + ms);
  intent.timer = setTimeout(() => {
    inTurn(intent, () => end(memory, intent, 'expired')).catch((error: unknown) => {
      memory.failed('expiry', intent, error);
    });
  }, ms);
}

/**
 * Ends an open attempt without money, unless the customer was faster.
 * @throws Problem `unavailable` when the gateway does not say
 */
export async function end(memory: Memory, intent: Intent, as: 'expired' | 'canceled'): Promise<void> {
  if (!isOpen(intent.status)) return;
  const closed = intent.ref && (await memory.gatewayOf(intent).close(intent.ref)).status;
  if (closed === 'unknown') throw new Problem('unavailable');
  if (closed === 'paid' || closed === 'processing') await look(memory, intent);
  else become(intent, as, { payable: false });
}
