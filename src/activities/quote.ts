/** The quote: what an attempt wants, at the prices of this moment, frozen; or why it cannot be had. */
import type { Knex } from 'knex';
import type { QuotedItem, WantedItem } from '../booking';
import type { CartItemRow, CartRow, OfferingRow } from '../database';
import type { FailureType } from '../failures';
import { whyNotTaken, type PaymentMethod } from '../gateways/gateway';
import type { BookInput } from '../workflows/messages';

/** ISO 4217's code for "no currency": a refused start has nothing to pay, and its row says so. */
const noCurrency = 'XXX';

export interface Quote {
  items: QuotedItem[];
  totalMinor: number;
  currency: string;
  /** The cart the items came from. */
  cartId: string | null;
  /** Whether nothing outside our own tables has to happen before this can be booked. */
  settlesInside: boolean;
  refusal?: { type: FailureType; detail: string };
}

/** An offering as a customer finds it. */
interface Found extends OfferingRow {
  free: number;
  started: boolean;
  /** Seats this customer has here already; counted only where there is a limit. */
  had: number;
}

/** A start that has nothing to quote. */
function refused(type: FailureType, detail: string): Quote {
  return {
    items: [],
    totalMinor: 0,
    currency: noCurrency,
    cartId: null,
    settlesInside: false,
    refusal: { type, detail },
  };
}

/**
 * Makes the quote of a new attempt. Locks its cart, so that nobody edits it meanwhile.
 * @param methodOf the way to pay of that name
 */
export async function makeQuote(
  trx: Knex.Transaction,
  input: BookInput,
  methodOf: (name: string) => PaymentMethod,
): Promise<Quote> {
  const { request, customerId } = input;
  const wanted = await readWanted(trx, input);
  if (!Array.isArray(wanted)) return wanted;
  const offerings = await readOfferings(trx, wanted, customerId);
  const items: QuotedItem[] = [];
  let refusal: Quote['refusal'];
  for (const item of wanted) {
    const offering = offerings.get(item.offeringId);
    if (offering === undefined) return refused('not-found', `There is no offering ${item.offeringId}.`);
    if (offering.kind === 'consultation' && item.seats !== 1) {
      return refused('invalid-request', `“${offering.title}” has no seats: ask for it once.`);
    }
    items.push(quoteItem(offering, item));
    refusal ??= refuseItem(offering, item.seats);
  }
  const totalMinor = items.reduce((sum, item) => sum + item.priceMinor * item.seats, 0);
  const [currency = noCurrency, second] = new Set(
    [...offerings.values()].map((offering) => offering.currency),
  );
  if (second !== undefined) {
    return refused('invalid-request', 'All items of one booking must have the same currency.');
  }
  const method = request.payment === undefined ? undefined : methodOf(request.payment.method);
  const unpayable = totalMinor === 0 ? undefined : refuseTotal(totalMinor, currency, method);
  if (unpayable !== undefined) return refused('invalid-request', unpayable);
  return {
    items,
    totalMinor,
    currency,
    cartId: request.cartId ?? null,
    settlesInside: totalMinor === 0 || method?.capabilities.insideTransaction === true,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

/** What is wanted: as the request says, or as the cart holds it now. */
async function readWanted(
  trx: Knex.Transaction,
  { request, customerId }: BookInput,
): Promise<WantedItem[] | Quote> {
  if (request.cartId === undefined) return request.items ?? [];
  const cart = await trx<CartRow>('carts')
    .where({ id: request.cartId, customer_id: customerId })
    .forUpdate()
    .first();
  if (cart === undefined) return refused('not-found', `There is no cart ${request.cartId}.`);
  if (cart.booking_id !== null) return refused('cart-converted', 'The cart is booked already.');
  const rows = await trx<CartItemRow>('cart_items')
    .where({ cart_id: cart.id })
    .orderBy(['added_at', 'offering_id'])
    // JSON null is something the customer said, and is not the same as nothing.
    .select<(CartItemRow & { detailed: boolean })[]>('*', trx.raw('details IS NOT NULL AS detailed'));
  if (rows.length === 0) return refused('invalid-request', 'The cart is empty.');
  return rows.map((row) => ({
    offeringId: row.offering_id,
    seats: row.seats,
    ...(row.detailed ? { details: row.details } : {}),
  }));
}

async function readOfferings(
  trx: Knex.Transaction,
  wanted: readonly WantedItem[],
  customerId: string,
): Promise<ReadonlyMap<string, Found>> {
  const ids = wanted.map((item) => item.offeringId);
  const rows = await trx('offerings')
    .whereIn('id', ids)
    .select<Found[]>(
      'offerings.*',
      trx.raw('coalesce(starts_at <= now(), false) AS started'),
      trx.raw('seats_free(id, ?) AS free', [customerId]),
      trx.raw(
        `(SELECT count(*) FROM seats AS s JOIN bookings AS b ON b.id = s.booking_id
          WHERE seats_per_customer IS NOT NULL AND s.offering_id = offerings.id AND b.customer_id = ?) AS had`,
        [customerId],
      ),
    );
  return new Map(rows.map((row) => [row.id, row]));
}

function quoteItem(offering: OfferingRow, item: WantedItem): QuotedItem {
  const { starts_at: startsAt, ends_at: endsAt, time_zone: timeZone } = offering;
  return {
    offeringId: offering.id,
    kind: offering.kind,
    title: offering.title,
    seats: item.seats,
    priceMinor: offering.price_minor,
    ...(startsAt === null ? {} : { startsAt: startsAt.toISOString() }),
    ...(endsAt === null ? {} : { endsAt: endsAt.toISOString() }),
    ...(timeZone === null ? {} : { timeZone }),
    ...(item.details === undefined ? {} : { details: item.details }),
  };
}

function refuseItem(offering: Found, seats: number): Quote['refusal'] {
  if (offering.status !== 'open' || offering.started) {
    return { type: 'offering-closed', detail: `“${offering.title}” cannot be booked any more.` };
  }
  if (offering.kind === 'consultation') return undefined;
  const most = offering.seats_per_customer;
  if (most !== null && offering.had + seats > most) {
    const had = offering.had === 0 ? '' : ` You have ${offering.had}.`;
    return {
      type: 'seats-per-customer',
      detail: `“${offering.title}” gives one customer at most ${most} seats.${had}`,
    };
  }
  if (offering.free >= seats) return undefined;
  const left = offering.free === 0 ? 'no seats left' : `only ${offering.free} of ${seats} seats left`;
  return { type: 'slot-unavailable', detail: `“${offering.title}” has ${left}.` };
}

/** Why a total cannot be paid this way at all, if so. */
function refuseTotal(
  totalMinor: number,
  currency: string,
  method: PaymentMethod | undefined,
): string | undefined {
  if (method === undefined)
    return `Name a payment method: the total is ${totalMinor} ${currency} (smallest unit).`;
  return whyNotTaken(method, { amountMinor: totalMinor, currency });
}
