/** Starting: the price is fixed, the payment object made, and the intent remembered. No seat is taken. */
import type { NewBooking } from '../../src/api/booking-schemas';
import { invalid, Problem } from '../../src/api/problem';
import { walletMethod, type Money, type QuotedItem } from '../../src/booking';
import type { OfferingRow } from '../../src/database';
import { whyNotTaken } from '../../src/gateways/gateway';
import { inTurn, type Intent, type Memory } from './intents';
import { confirm } from './money';
import { openObject } from './objects';
import { freeSeats, payFromWallet } from './rows';
import { idOf } from './tables';

/** What a customer asked for, and under which key. */
export interface Wanted {
  customerId: string;
  key: string;
  requestHash: string;
  body: NewBooking;
}

/**
 * Starts an attempt, or finds the one that this customer started under this key.
 * @throws Problem why nothing was started; the same key may be used again then
 */
export async function start(memory: Memory, wanted: Wanted): Promise<{ intent: Intent; newly: boolean }> {
  const { starting, intents } = memory;
  const id = idOf('booking', wanted.customerId, wanted.key);
  const known = starting.has(id) ? undefined : await memory.find(id);
  if (known !== undefined) return { intent: sameBody(known, wanted), newly: false };
  const first = starting.get(id) ?? intents.get(id);
  if (first !== undefined) return { intent: sameBody(await first, wanted), newly: false };
  const begun = begin(memory, id, wanted).finally(() => starting.delete(id));
  starting.set(id, begun);
  return { intent: await begun, newly: true };
}

function sameBody(intent: Intent, { requestHash }: Wanted): Intent {
  if (intent.requestHash !== requestHash) throw new Problem('idempotency-key-reused');
  return intent;
}

async function begin(memory: Memory, id: string, { customerId, requestHash, body }: Wanted): Promise<Intent> {
  const { parts, intents } = memory;
  const method = body.payment?.method;
  if (method === undefined || (method !== walletMethod && !parts.gateways.has(method))) {
    throw invalid('/payment/method', 'Not offered here.');
  }
  const { name, email, locale } = body.customer;
  const intent: Intent = {
    bookingId: id,
    customerId,
    requestHash,
    ...(await quote(memory, body)),
    method,
    contact: { name, email, ...(locale === undefined ? {} : { locale }) },
    returnUrl: body.returnUrl ?? parts.returnUrl,
    status: 'awaiting_payment',
    version: 1,
    tries: 1,
    objects: 0,
    payable: false,
    createdAt: new Date(),
    turn: Promise.resolve(),
  };
  if (method === walletMethod) {
    const booking = await payFromWallet(parts.db, intent, intent.total);
    if (typeof booking === 'string') throw new Problem(booking);
    memory.remember(intent);
    await confirm(memory, intent, booking);
    return intent;
  }
  const reason = whyNotTaken(memory.gatewayOf(intent), intent.total);
  if (reason !== undefined) throw invalid('/payment/method', reason);
  // Before the object is made: its webhook may be faster than the answer that names it.
  memory.remember(intent);
  await inTurn(intent, () => openObject(memory, intent)).catch((error: unknown) => {
    intents.delete(id);
    throw error;
  });
  return intent;
}

/** @throws Problem `not-found`, `offering-closed`, `slot-unavailable`, `invalid-request` */
async function quote(
  { parts: { db } }: Memory,
  { items: wanted }: NewBooking,
): Promise<{ items: QuotedItem[]; total: Money }> {
  if (wanted === undefined) throw invalid('/cartId', 'There are no carts here.');
  const ids = wanted.map(({ offeringId }) => offeringId);
  const rows = await db<OfferingRow>('offerings').whereIn('id', ids);
  const free = await freeSeats(db, ids);
  const items = wanted.map(({ offeringId, seats }): QuotedItem => {
    const row = rows.find(({ id }) => id === offeringId);
    if (row === undefined) throw new Problem('not-found', `There is no offering ${offeringId}.`);
    if (row.starts_at !== null && row.starts_at.getTime() <= Date.now()) throw new Problem('offering-closed');
    if (row.kind === 'slot' && (free.get(offeringId) ?? 0) < seats) throw new Problem('slot-unavailable');
    return {
      offeringId,
      kind: row.kind,
      title: row.title,
      seats,
      priceMinor: row.price_minor,
      ...(row.starts_at === null ? {} : { startsAt: row.starts_at.toISOString() }),
      ...(row.ends_at === null ? {} : { endsAt: row.ends_at.toISOString() }),
      ...(row.time_zone === null ? {} : { timeZone: row.time_zone }),
    };
  });
  const [currency, ...others] = new Set(rows.map((row) => row.currency));
  if (currency === undefined || others.length > 0) throw invalid('/items', 'One currency only.');
  const amountMinor = items.reduce((sum, item) => sum + item.priceMinor * item.seats, 0);
  return { items, total: { amountMinor, currency } };
}
