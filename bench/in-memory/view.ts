/** What the program answers, in the shapes of Payfirst's API. */
import { bookingPath } from '../../src/api/booking-view';
import type { BookingView } from '../../src/api/booking-schemas';
import type { OfferingView } from '../../src/api/offering-schemas';
import type { OfferingRow } from '../../src/database';
import type { Intent } from './intents';

/** An intent, as its owner sees it. */
export function showIntent(intent: Intent, triesMax: number): BookingView {
  const { status, failure, refund, reference, expiresAt, confirmedAt } = intent;
  const payable = status === 'awaiting_payment' && intent.payable;
  return {
    id: intent.bookingId,
    ...(reference === undefined ? {} : { reference }),
    status,
    version: intent.version,
    items: intent.items.map(({ priceMinor: _, ...item }) => item),
    total: intent.total,
    payment: {
      method: intent.method,
      try: intent.tries,
      ...(intent.ref === undefined ? {} : { gatewayRef: intent.ref }),
      ...(payable ? intent.howToPay : {}),
    },
    retryable: status === 'awaiting_payment' && failure !== undefined && intent.tries < triesMax,
    ...(failure === undefined ? {} : { failure }),
    ...(refund === undefined ? {} : { refund }),
    links: { self: bookingPath(intent.bookingId) },
    createdAt: intent.createdAt.toISOString(),
    ...(expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }),
    ...(confirmedAt === undefined ? {} : { confirmedAt: confirmedAt.toISOString() }),
  };
}

/** An offering that was published just now: nobody has booked it. */
export function showOffering(row: OfferingRow): OfferingView {
  return {
    id: row.id,
    kind: row.kind,
    providerId: row.provider_id,
    title: row.title,
    ...(row.starts_at === null ? {} : { startsAt: row.starts_at.toISOString() }),
    ...(row.ends_at === null ? {} : { endsAt: row.ends_at.toISOString() }),
    ...(row.time_zone === null ? {} : { timeZone: row.time_zone }),
    ...(row.capacity === null ? {} : { capacity: row.capacity }),
    seatsAvailable: row.capacity,
    price: { amountMinor: row.price_minor, currency: row.currency },
    attributes: row.attributes,
    status: 'open',
    createdAt: row.created_at.toISOString(),
  };
}
