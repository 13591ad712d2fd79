/**
 * What the property test itself believes of a shop while commands are played one at a time: who sold what, what is in
 * whose cart and wallet. It foretells how an attempt must be decided, by rules written here and not in the service.
 */
import type { AttemptStatus, QuotedItem, WantedItem } from '../src/booking';
import type { NewOffering, Shop, Wish } from './property-shop';

interface Offering extends NewOffering {
  id: string;
  open: boolean;
  /** On the list's clock, in seconds. */
  startsAt: number;
  /** Seats sold, by customer. */
  sold: Map<number, number>;
}

interface Cart {
  id: string;
  customer: number;
  items: Map<string, number>;
  converted: boolean;
}

interface Attempt {
  id: string;
  wish: Wish;
  items: (WantedItem & { priceMinor: number })[];
  /** Currencies of the items. */
  currencies: string[];
  totalMinor: number;
  status: AttemptStatus | 'new';
  /** Until when its seats are certainly its own, on the list's clock; 0 without a hold, or once it may have moved on. */
  claimedUntil: number;
}

interface Found {
  booking_id: string;
  status: AttemptStatus;
  failure: string | null;
  quote: { items: QuotedItem[] };
  total_minor: number;
  hold_until: Date | null;
  held: string[];
}

/** Beliefs as they are before a list's first command. */
export class Model {
  readonly offerings: Offering[] = [];
  readonly carts: Cart[] = [];
  readonly attempts: Attempt[] = [];
  readonly wallets = new Map<string, number>();
  now = 0;
  /** Whether the commands under way came at once: then nothing is foretold, and only the invariants speak. */
  racing = false;

  /** Remembers an attempt as it is asked for. */
  asked(id: string, wish: Wish): void {
    const cart = this.carts.find((one) => one.id === wish.cartId);
    const wanted = cart === undefined ? (wish.items ?? []) : fromCart(cart);
    const items = wanted.map((item) => ({ ...item, priceMinor: this.offering(item.offeringId).priceMinor }));
    const currencies = [...new Set(items.map((item) => this.offering(item.offeringId).currency))];
    const totalMinor = items.reduce((sum, item) => sum + item.seats * item.priceMinor, 0);
    this.attempts.push({ id, wish, items, currencies, totalMinor, status: 'new', claimedUntil: 0 });
  }

  offering(id: string): Offering {
    const found = this.offerings.find((one) => one.id === id);
    if (found === undefined) throw new Error(`Nobody published ${id}`);
    return found;
  }

  /** Reads what became of the attempts, compares it with what had to, and believes it from now on. */
  async sync(shop: Shop, mishapsAhead: boolean): Promise<void> {
    const rows = await readAttempts(shop);
    await markHandedOut(shop);
    const moved = this.attempts.flatMap((attempt) => {
      const row = rows.get(attempt.id);
      return row === undefined || row.status === attempt.status ? [] : [{ attempt, row }];
    });
    const decided = moved.filter(({ attempt }) => isUndecided(attempt.status));
    const foretold = !this.racing && decided.length === 1;
    for (const { attempt, row } of decided) {
      if (foretold) this.check(shop, attempt, row, mishapsAhead);
      else believeQuote(attempt, row);
      this.apply(attempt, row);
    }
    for (const { attempt, row } of moved) attempt.status = row.status;
    if (this.racing) await this.rereadCarts(shop);
  }

  private check(shop: Shop, attempt: Attempt, row: Found, mishapsAhead: boolean): void {
    const found = `${attempt.id} became ${row.status} (${row.failure ?? 'no failure'})`;
    const charges = shop.gateway.objects.flatMap(({ bookingId, charge }) =>
      charge !== undefined && bookingId === attempt.id ? [charge] : [],
    );
    if (row.status === 'expired' || row.status === 'canceled') {
      if (charges.some((charge) => !charge.late)) throw new Error(`${found} although it is paid`);
      return;
    }
    if (row.failure === 'gateway-unavailable' && mishapsAhead) return;
    // Of two payments either may come first.
    if (charges.length > 1) return;
    const refusals =
      attempt.status === 'new' ? this.startRefusals(attempt) : this.paidRefusals(attempt, charges[0]?.total);
    const doubtful = this.mayBeHeld(attempt);
    if (row.status === 'confirmed' || (attempt.status === 'new' && row.status === 'awaiting_payment')) {
      if (refusals.size > 0) throw new Error(`${found} in spite of ${[...refusals].join(', ')}`);
      if (
        row.status === 'confirmed' &&
        attempt.wish.method === 'stub' &&
        attempt.totalMinor > 0 &&
        charges.length === 0
      )
        throw new Error(`${found} without money`);
      expect(quoted(row.quote.items)).toEqual(quoted(attempt.items));
    } else if (row.failure !== null && isRefused(row.status)) {
      const fits = refusals.has(row.failure) || (doubtful && row.failure === 'slot-unavailable');
      if (!fits) throw new Error(`${found}, but only this speaks against it: ${[...refusals].join(', ')}`);
    }
  }

  /** Why a start must be refused; empty when it must be accepted. */
  private startRefusals(attempt: Attempt): Set<string> {
    const { wish, items, totalMinor, currencies } = attempt;
    const refusals = this.refusals(attempt);
    if (refusals.has('cart-converted')) return new Set(['cart-converted']);
    const unpayable = totalMinor > 0 && wish.method === undefined;
    if (items.length === 0 || currencies.length > 1 || unpayable) return new Set(['invalid-request']);
    if (wish.method === 'wallet' && totalMinor > this.balance(wish.customer, currencies[0])) {
      refusals.add('insufficient-funds');
    }
    return refusals;
  }

  /** Why money that came must be given back; empty when it must buy the booking. */
  private paidRefusals(attempt: Attempt, paid: { amountMinor: number } | undefined): Set<string> {
    if (paid !== undefined && paid.amountMinor !== attempt.totalMinor) return new Set(['amount-mismatch']);
    return this.refusals(attempt);
  }

  private refusals({ wish, items, claimedUntil }: Attempt): Set<string> {
    const refusals = new Set<string>();
    if (this.carts.some((cart) => cart.id === wish.cartId && cart.converted)) refusals.add('cart-converted');
    for (const { offeringId, seats } of items) {
      const offering = this.offering(offeringId);
      if (!offering.open || this.now >= offering.startsAt) refusals.add('offering-closed');
      if (offering.kind === 'consultation') continue;
      if (this.now >= claimedUntil && this.taken(offering, wish.customer) + seats > offering.capacity) {
        refusals.add('slot-unavailable');
      }
      const had = offering.sold.get(wish.customer) ?? 0;
      if (offering.limit !== null && had + seats > offering.limit) refusals.add('seats-per-customer');
    }
    return refusals;
  }

  /** Seats that are sold, or certainly held by other customers than this one. */
  private taken(offering: Offering, customer: number): number {
    const sold = [...offering.sold.values()].reduce((sum, n) => sum + n, 0);
    const held = this.attempts
      .filter(
        (one) => one.wish.customer !== customer && isUndecided(one.status) && this.now < one.claimedUntil,
      )
      .flatMap((one) => one.items.filter((item) => item.offeringId === offering.id));
    return held.reduce((sum, item) => sum + item.seats, sold);
  }

  /** Whether somebody else may hold seats that this attempt wants. A hold of its own leaves no doubt. */
  private mayBeHeld(attempt: Attempt): boolean {
    if (this.now < attempt.claimedUntil) return false;
    return attempt.items.some(({ offeringId }) => {
      if (this.offering(offeringId).holdSeconds === null) return false;
      return this.attempts.some(
        (other) =>
          other.wish.customer !== attempt.wish.customer &&
          isUndecided(other.status) &&
          other.items.some((item) => item.offeringId === offeringId),
      );
    });
  }

  private apply(attempt: Attempt, row: Found): void {
    const { wish, items } = attempt;
    const overlapping = (other: Attempt) =>
      other.wish.customer === wish.customer &&
      other.items.some((item) => items.some((own) => own.offeringId === item.offeringId));
    if (row.status === 'confirmed' || row.hold_until !== null) {
      // A hold of the same customer serves whoever of their attempts comes next, so it is nobody's for certain.
      for (const other of this.attempts.filter(overlapping)) other.claimedUntil = 0;
    }
    if (attempt.status === 'new' && row.hold_until !== null && row.status === 'awaiting_payment') {
      attempt.claimedUntil = this.claimOf(items, row);
    }
    if (row.status !== 'confirmed') return;
    for (const { offeringId, seats } of items) {
      const { sold } = this.offering(offeringId);
      sold.set(wish.customer, (sold.get(wish.customer) ?? 0) + seats);
    }
    const cart = this.carts.find((one) => one.id === wish.cartId);
    if (cart !== undefined) cart.converted = true;
    if (wish.method === 'wallet') this.credit(wish.customer, attempt.currencies[0], -attempt.totalMinor);
  }

  /** How long a new hold lasts, when it covers all seats of the attempt; half a minute less, for real time passes too. */
  private claimOf(items: Attempt['items'], row: Found): number {
    const slots = items.filter((item) => this.offering(item.offeringId).kind === 'slot');
    if (!slots.every((item) => row.held.includes(item.offeringId)) || row.hold_until === null) return 0;
    return this.now + (row.hold_until.getTime() - Date.now()) / 1000 - 30;
  }

  credit(customer: number, currency: string | undefined, amountMinor: number): void {
    this.wallets.set(`${customer} ${currency}`, this.balance(customer, currency) + amountMinor);
  }

  balance(customer: number, currency: string | undefined): number {
    return this.wallets.get(`${customer} ${currency}`) ?? 0;
  }

  /** After edits that came at once, only the rows know who was last. */
  private async rereadCarts({ db, ids }: Shop): Promise<void> {
    const rows = await db('cart_items')
      .whereIn('cart_id', ids.carts)
      .select<{ cart_id: string; offering_id: string; seats: number }[]>();
    for (const cart of this.carts) {
      const own = rows.filter((row) => row.cart_id === cart.id);
      cart.items = new Map(own.map((row) => [row.offering_id, row.seats]));
    }
  }
}

function fromCart(cart: Cart): WantedItem[] {
  return [...cart.items].map(([offeringId, seats]) => ({ offeringId, seats }));
}

/** After commands at once the cart may have changed before the quote was frozen: then the quote is the wish. */
function believeQuote(attempt: Attempt, row: Found): void {
  if (attempt.status !== 'new') return;
  attempt.items = row.quote.items.map(({ offeringId, seats, priceMinor }) => ({
    offeringId,
    seats,
    priceMinor,
  }));
  attempt.totalMinor = row.total_minor;
}

function quoted(items: readonly { offeringId: string; seats: number; priceMinor: number }[]): string[] {
  return items.map((item) => `${item.offeringId} ${item.seats} ${item.priceMinor}`).sort();
}

/** Whether nothing has come of an attempt yet. */
export function isUndecided(status: Attempt['status']): boolean {
  return status === 'new' || status === 'awaiting_payment' || status === 'processing';
}

function isRefused(status: AttemptStatus): boolean {
  return ['failed', 'refunding', 'refunded', 'needs_attention'].includes(status);
}

async function readAttempts({ db, ids }: Shop): Promise<Map<string, Found>> {
  const rows = await db('attempts as a')
    .whereIn('booking_id', ids.attempts)
    .select<Found[]>(
      'booking_id',
      'status',
      'quote',
      'total_minor',
      'hold_until',
      db.raw("failure ->> 'type' AS failure"),
      db.raw(
        'array(SELECT h.offering_id FROM holds h WHERE h.booking_id = a.booking_id AND h.held_until > now()) AS held',
      ),
    );
  return new Map(rows.map((row) => [row.booking_id, row]));
}

async function markHandedOut({ db, ids, gateway }: Shop): Promise<void> {
  const known = await db('payment_tries')
    .whereIn('booking_id', ids.attempts)
    .whereNotNull('how_to_pay')
    .pluck('gateway_ref');
  for (const object of gateway.objects) object.handedOut ||= known.includes(object.ref);
}
