/** A customer who books through HTTP and pays at the sandbox, and what must hold of an attempt when it is over. */
import { createHash, randomBytes } from 'node:crypto';
import { makeId, type Outcome, type QuotedItem } from '../src/booking';
import { bookingWorkflowId, reconcileWorkflowId } from '../src/workflows/messages';
import type { AtGateway, Ledger } from './at-gateways';
import { eventually, type Answer, type Json, type World } from './world';

/** The price of a seat in these tests: 25.00 euros. */
export const priceMinor = 2500;

/** What a shopper wants: one seat of each unless told, or what is in a cart. */
export type Wanted =
  string | { offeringId: string; seats?: number; details?: unknown }[] | { cartId: string };

/** How a shopper pays. */
export type Method = 'stripe' | 'razorpay' | 'phonepe' | 'wallet';

/** What a provider publishes: fields as the API spells them; what is missing is a slot's for tomorrow, for one. */
export interface Published {
  kind?: 'slot' | 'consultation';
  capacity?: number;
  title?: string;
  price?: { amountMinor: number; currency: string };
  holdSeconds?: number;
  seatsPerCustomer?: number;
  startsAt?: string;
  refundUntilSeconds?: number;
  refundPercent?: number;
}

/** A provider publishes a slot, or a consultation. */
export async function publish(
  world: World,
  offering: Published = {},
  provider = 'provider',
): Promise<string> {
  const kind = offering.kind ?? 'slot';
  const { status, body } = await world.call('POST', '/v1/offerings', {
    token: await world.token(provider, 'catalog'),
    body: {
      kind,
      title: `A ${kind}`,
      price: { amountMinor: priceMinor, currency: 'EUR' },
      ...(kind === 'slot' ? { startsAt: new Date(Date.now() + 86_400_000).toISOString(), capacity: 1 } : {}),
      ...offering,
    },
  });
  if (status !== 201) throw new Error(`Publishing was answered ${status}: ${JSON.stringify(body)}`);
  return String(body.id);
}

/** Seats that anybody can see to be free. */
export async function seatsFree(world: World, offeringId: string): Promise<number> {
  return (await world.call('GET', `/v1/offerings/${offeringId}`)).body.seatsAvailable as number;
}

/** One signed-in customer. */
export class Shopper {
  private token: string | undefined;

  constructor(
    private readonly world: World,
    readonly sub = `customer-${randomBytes(5).toString('hex')}`,
  ) {}

  get email(): string {
    return `${this.sub}@example.org`;
  }

  /** The id an attempt of this customer gets under a key, known before it starts: gates are aimed by it. */
  bookingId(key: string): string {
    return makeId('booking', createHash('sha256').update(`${this.sub}\0${key}`).digest());
  }

  request(wanted: Wanted, method: Method = 'stripe'): Json {
    const what =
      typeof wanted === 'string'
        ? { items: [{ offeringId: wanted }] }
        : Array.isArray(wanted)
          ? { items: wanted }
          : wanted;
    return {
      ...what,
      payment: { method },
      customer: { name: 'Ada Example', email: this.email },
    };
  }

  async call(method: string, path: string, body?: unknown, key?: string): Promise<Answer> {
    this.token ??= await this.world.token(this.sub);
    return this.world.call(method, path, {
      token: this.token,
      ...(body === undefined ? {} : { body }),
      ...(key === undefined ? {} : { key }),
    });
  }

  /** Sends a start, whatever comes of it. */
  book(wanted: Wanted, key = randomBytes(9).toString('hex'), method?: Method): Promise<Answer> {
    return this.call('POST', '/v1/bookings', this.request(wanted, method), key);
  }

  /** Starts an attempt that must start: the Booking, ready to be paid or paid from the wallet. */
  async start(wanted: Wanted, key?: string, method?: Method): Promise<Json> {
    const { status, body } = await this.book(wanted, key, method);
    // Twenty at once can be more than the machine opens in time; then a client follows the status.
    if (status === 202) return this.until(String(body.id), (now) => now.payment?.gatewayRef !== undefined);
    // 200: it was opened just after the API stopped waiting for the answer.
    if (status !== 201 && status !== 200)
      throw new Error(`A start was answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  read(id: string): Promise<Answer> {
    return this.call('GET', `/v1/bookings/${id}`);
  }

  /** @param method another way to pay */
  retry(id: string, method?: Method): Promise<Answer> {
    const body = method === undefined ? {} : { payment: { method } };
    return this.call('POST', `/v1/bookings/${id}/retry`, body);
  }

  cancel(id: string): Promise<Answer> {
    return this.call('POST', `/v1/bookings/${id}/cancel`, {});
  }

  /** @param handedBack what the gateway's page gave the browser */
  comeBack(id: string, handedBack: Record<string, string> = {}): Promise<Answer> {
    return this.call('POST', `/v1/bookings/${id}/return`, handedBack);
  }

  /** Follows the status as a front end does, by waiting on the server, until it is as wished. */
  async until(id: string, wished: string | ((now: Json) => boolean), ms = 60_000): Promise<Json> {
    const isSo =
      typeof wished === 'string' ? (now: Json): boolean => now.status === wished : (now: Json) => wished(now);
    const end = Date.now() + ms;
    let now = (await this.read(id)).body;
    while (!isSo(now)) {
      if (Date.now() > end) throw new Error(`${id} did not become ${String(wished)}: ${JSON.stringify(now)}`);
      const { status, body } = await this.call('GET', `/v1/bookings/${id}?wait=5&after=${now.version ?? 0}`);
      if (status === 200) now = body;
    }
    return now;
  }
}

/** Calls the sandbox as Stripe's own page, or its dashboard, would. */
export async function atStripe(
  world: World,
  path: string,
  form: Record<string, string> = {},
): Promise<{ status: number; body: Json }> {
  const response = await fetch(`${world.sandbox.url}/v1/${path}`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk_test_tests_only' },
    body: new URLSearchParams(form),
  });
  return { status: response.status, body: await response.json() };
}

/** The customer enters a card on the pay page: 200 when it went through, 402 when it was declined, 400 too late. */
export async function pay(world: World, booking: Json, card = 'pm_card_visa'): Promise<number> {
  const ref = String(booking.payment.gatewayRef);
  return (await atStripe(world, `payment_intents/${ref}/confirm`, { payment_method: card })).status;
}

/** Waits for the workflow's own end. */
export async function outcomeOf(world: World, bookingId: string): Promise<Outcome> {
  return (await world.temporal.workflow.getHandle(bookingWorkflowId(bookingId)).result()) as Outcome;
}

function seatsOf(items: readonly QuotedItem[]): number {
  return items.reduce((sum, { kind, seats }) => sum + (kind === 'consultation' ? 0 : seats), 0);
}

/** Movements of a wallet for one attempt, summed: what was paid, and what came back. */
async function walletSums(world: World, bookingId: string): Promise<Record<'payment' | 'refund', number>> {
  const entries = await world
    .db('wallet_entries')
    .where({ booking_id: bookingId, account: 'customer' })
    .select<{ kind: 'payment' | 'refund'; amount_minor: number }[]>();
  const sums = { payment: 0, refund: 0 };
  for (const { kind, amount_minor } of entries)
    sums[kind] += kind === 'payment' ? -amount_minor : amount_minor;
  return sums;
}

/** Addresses of the providers who must be told of an attempt once it is booked. */
async function addressesToTell(world: World, bookingId: string): Promise<number> {
  const { rows } = await world.db.raw<{ rows: unknown[] }>(
    `SELECT DISTINCT p.email FROM attempts AS a, jsonb_array_elements(a.quote -> 'items') AS item
     JOIN offerings AS o ON o.id = item ->> 'offeringId' JOIN providers AS p ON p.id = o.provider_id
     WHERE a.booking_id = ?`,
    [bookingId],
  );
  return rows.length;
}

/** One of the world's gateways. */
export function gatewayOf(world: World, method: string): AtGateway {
  const found = world.gateways.get(method);
  if (found === undefined) throw new Error(`This world has no ${method}`);
  return found;
}

/** What the ledgers of all gateways say of one attempt, by gateway. */
export async function ledgersOf(world: World, bookingId: string): Promise<[AtGateway, Ledger][]> {
  return Promise.all(
    [...world.gateways.values()].map(async (at): Promise<[AtGateway, Ledger]> => [
      at,
      await at.ledgerOf(bookingId),
    ]),
  );
}

/** Everything an attempt left behind, from our tables and from the sandboxes' own ledgers. */
export async function tracesOf(world: World, bookingId: string) {
  const { intents } = await world.sandbox.ledger();
  const ledgers = await ledgersOf(world, bookingId);
  const sum = (of: (ledger: Ledger) => number) => ledgers.reduce((total, [, one]) => total + of(one), 0);
  const messages = await world.db('messages').where({ booking_id: bookingId }).select<{ kind: string }[]>();
  const attempt = await world.db('attempts').where({ booking_id: bookingId }).first<Json>();
  const wallet = await walletSums(world, bookingId);
  return {
    status: attempt?.status as string,
    failure: attempt?.failure,
    totalMinor: attempt?.total_minor as number,
    seatsQuoted: seatsOf((attempt?.quote.items ?? []) as QuotedItem[]),
    bookings: (await world.db('bookings').where({ id: bookingId })).length,
    seats: (await world.db('seats').where({ booking_id: bookingId })).length,
    messages: messages.map(({ kind }) => kind).sort(),
    intents: intents.filter((intent) => intent.metadata['bookingId'] === bookingId),
    charges: sum((ledger) => ledger.charges),
    refunds: sum((ledger) => ledger.refunds),
    capturedMinor: sum((ledger) => ledger.capturedMinor) + wallet.payment,
    refundedMinor: sum((ledger) => ledger.refundedMinor) + wallet.refund,
  };
}

/**
 * Payment objects of an attempt that is over which could still be paid and that nobody looks after: where a gateway can
 * close them there is none, elsewhere the payment watch goes on looking.
 */
async function leftPayable(world: World, bookingId: string): Promise<string[]> {
  const watched = await world
    .db('payment_tries')
    .where({ booking_id: bookingId, status: 'open' })
    .whereNotNull('next_look_at')
    .select<{ gateway_ref: string }[]>('gateway_ref');
  const ledgers = await ledgersOf(world, bookingId);
  return ledgers.flatMap(([at, { payable }]) =>
    payable.filter((ref) => at.closes || !watched.some((row) => row.gateway_ref === ref)),
  );
}

/** Waits until a payment object of an attempt that is over has been looked after, and says what came of it. */
export async function lookedBeside(world: World, method: string, ref: string): Promise<string> {
  return eventually('the look beside the attempt', () =>
    world.temporal.workflow
      .getHandle(reconcileWorkflowId(method, ref))
      .result()
      // Its webhook may still be on its way.
      .then(String, () => undefined),
  );
}

/** Rows that a start must not write: what others can see of these attempts, what money bought, and who is told. */
export async function rowsThatCount(
  world: World,
  bookingIds: readonly string[],
): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [table, column] of [
    ['bookings', 'id'],
    ['booking_items', 'booking_id'],
    ['seats', 'booking_id'],
    ['payments', 'booking_id'],
    ['messages', 'booking_id'],
  ] as const) {
    found[table] = (await world.db(table).whereIn(column, bookingIds)).length;
  }
  return found;
}

/**
 * The rules about one attempt that is over: its workflow told the same as its row; a booking with all its money kept and
 * one message to the customer and to each provider's address, or no booking and nothing kept; nothing left at the gateway
 * that could still be paid.
 */
export async function expectOneEnd(world: World, bookingId: string): Promise<Outcome> {
  const outcome = await outcomeOf(world, bookingId);
  const left = await tracesOf(world, bookingId);
  const open = await leftPayable(world, bookingId);
  const booked = outcome === 'confirmed';
  const told = Array<string>(await addressesToTell(world, bookingId)).fill('provider-booked');
  expect({ ...left, intents: undefined, failure: undefined, charges: undefined, open }).toEqual({
    status: outcome,
    totalMinor: left.totalMinor,
    bookings: booked ? 1 : 0,
    seatsQuoted: left.seatsQuoted,
    seats: booked ? left.seatsQuoted : 0,
    messages:
      left.refunds > 0 && !booked ? ['payment-refunded'] : booked ? ['booking-confirmed', ...told] : [],
    refunds: left.refunds,
    capturedMinor: left.capturedMinor,
    refundedMinor: left.capturedMinor - (booked ? left.totalMinor : 0),
    open: [],
  });
  return outcome;
}

/** The mails that reached this address, oldest first. */
export async function mailsTo(world: World, email: string): Promise<string[]> {
  const mails = await world.mail.messages();
  return mails
    .filter((mail) => mail.to.includes(email))
    .map((mail) => mail.subject)
    .reverse();
}

/** Waits for a number of mails and gives their subjects; more would be seen by whoever asks again. */
export async function mailsArrive(world: World, email: string, count: number): Promise<string[]> {
  return eventually(`${count} mails to ${email}`, async () => {
    const subjects = await mailsTo(world, email);
    return subjects.length >= count && subjects;
  });
}
