/** A customer of a running stack, as the demo and `npm run pay` play one: books over HTTP, pays at the gateway. */
import { randomBytes } from 'node:crypto';
import type { AttemptStatus } from '../src/booking';
import { payOnPage, type Card, type Paid } from './pay-pages';
import { makeToken } from './token';

/** A Booking as the API shows it; only what is read here. */
export interface Booking {
  id: string;
  status: AttemptStatus;
  version: number;
  reference?: string;
  retryable: boolean;
  total: Price;
  failure?: { type: string; detail: string; code?: string };
  refund?: { status: string; amountMinor: number; reason: string };
  payment: { method: string; try: number; gatewayRef?: string; parameters?: Record<string, string> };
  expiresAt?: string;
}

/** An offering as the API shows it; only what is read here. */
export interface Offering {
  id: string;
  title: string;
  /** Null for a consultation. */
  seatsAvailable: number | null;
}

/** An amount in the smallest unit of its currency. */
export interface Price {
  amountMinor: number;
  currency: string;
}

/** What an attempt is about, and how it is paid. */
export interface Wish {
  items?: { offeringId: string; details?: unknown }[];
  cartId?: string;
  method?: string;
}

/** Where a stack answers and with which secrets; `Stack.urls.api` and `Stack.env` fit. */
export interface Place {
  api: string;
  env: Readonly<Record<string, string>>;
}

/** Calls the API. @throws with the problem's text when the answer is none of `expected` */
export async function callApi<T>(
  place: Place,
  as: { sub: string; scope: string },
  request: { method: string; path: string; body?: unknown; key?: string; expected: readonly number[] },
): Promise<T> {
  const token = await makeToken(as, place.env);
  const response = await fetch(`${place.api}${request.path}`, {
    method: request.method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(request.key === undefined ? {} : { 'idempotency-key': request.key }),
    },
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  });
  const text = await response.text();
  if (!request.expected.includes(response.status)) {
    throw new Error(`${request.method} ${request.path} answered ${response.status}: ${text}`);
  }
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

const provider = { sub: 'dr-ada', scope: 'catalog' };

/** Says who the provider of the demo is, so that she is told of bookings. */
export async function introduceProvider(place: Place, displayName: string, email: string): Promise<void> {
  await callApi(place, provider, {
    method: 'PUT',
    path: '/v1/provider',
    expected: [200],
    body: { displayName, email },
  });
}

/** The provider's paid bookings, newest first. */
export async function providerBookings(place: Place): Promise<Booking[]> {
  const path = '/v1/provider/bookings';
  return (await callApi<{ items: Booking[] }>(place, provider, { method: 'GET', path, expected: [200] }))
    .items;
}

/** Publishes a consultation. Price in the smallest unit. */
export async function publishConsultation(
  place: Place,
  title: string,
  amountMinor: number,
): Promise<Offering> {
  return callApi(place, provider, {
    method: 'POST',
    path: '/v1/offerings',
    expected: [201],
    body: { kind: 'consultation', title, price: { amountMinor, currency: 'EUR' } },
  });
}

/** Credits a customer's wallet, as an operator does. */
export async function creditWallet(place: Place, customerId: string, amountMinor: number): Promise<void> {
  const operator = { sub: 'operator', scope: 'ops' };
  await callApi(place, operator, {
    method: 'POST',
    path: `/v1/wallets/${customerId}/credits`,
    key: randomBytes(12).toString('hex'),
    expected: [201],
    body: { amountMinor, currency: 'EUR', note: 'A gift for the demo' },
  });
}

/** Publishes a slot that starts the day after tomorrow at `hour` UTC, so that none begins while it is sold. Price in the smallest unit. */
export async function publishSlot(
  place: Place,
  slot: { title: string; hour: number; capacity: number; holdSeconds?: number; price?: Price },
): Promise<Offering> {
  const startsAt = new Date(Date.now() + 2 * 86_400_000);
  startsAt.setUTCHours(slot.hour, 0, 0, 0);
  const { title, capacity, holdSeconds } = slot;
  return callApi(place, provider, {
    method: 'POST',
    path: '/v1/offerings',
    expected: [201],
    body: {
      kind: 'slot',
      title,
      capacity,
      ...(holdSeconds === undefined ? {} : { holdSeconds }),
      startsAt: startsAt.toISOString(),
      timeZone: 'Europe/Berlin',
      price: slot.price ?? { amountMinor: 2500, currency: 'EUR' },
    },
  });
}

/** Calls an offering off, as its provider. */
export async function callOff(place: Place, offeringId: string): Promise<void> {
  const path = `/v1/offerings/${offeringId}/cancel`;
  await callApi(place, provider, { method: 'POST', path, expected: [202] });
}

/** Cancels a confirmed booking, as its customer. */
export async function cancelBooking(place: Place, who: Customer, booking: Booking): Promise<Booking> {
  const path = `/v1/bookings/${booking.id}/cancel`;
  return callApi(place, who.self, { method: 'POST', path, body: {}, expected: [200] });
}

/** Watches the free seats of an offering by server-sent events, as a page's EventSource does. */
export function seatsAsTheyChange(place: Place, offeringId: string): { seen: number[]; end(): void } {
  const seen: number[] = [];
  const ending = new AbortController();
  const watch = async () => {
    const { signal } = ending;
    const response = await fetch(`${place.api}/v1/offerings/${offeringId}/events`, { signal });
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      const events = text.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (data !== undefined) seen.push((JSON.parse(data) as { seatsAvailable: number }).seatsAvailable);
      }
    }
  };
  // Ending it aborts the request, which is no fault; a stream that breaks by itself shows as a state that never comes.
  watch().catch(() => undefined);
  return { seen, end: () => ending.abort() };
}

/** Reads an offering, as anybody may. */
export async function readOffering(place: Place, id: string): Promise<Offering> {
  const response = await fetch(`${place.api}/v1/offerings/${id}`);
  if (!response.ok) throw new Error(`Reading ${id} answered ${response.status}`);
  return (await response.json()) as Offering;
}

/** One customer. */
export class Customer {
  constructor(
    private readonly place: Place,
    readonly name: string,
  ) {}

  /** Whom the token names. */
  get self(): { sub: string; scope: string } {
    return { sub: this.name.toLowerCase(), scope: 'bookings' };
  }

  /** Starts an attempt for one offering by card; the answer says how to pay. */
  async start(offeringId: string): Promise<Booking> {
    return this.want({ items: [{ offeringId }] });
  }

  /** Starts an attempt. @throws with the problem when it is refused */
  async want({ method = 'stripe', ...wanted }: Wish): Promise<Booking> {
    return callApi(this.place, this.self, {
      method: 'POST',
      path: '/v1/bookings',
      key: randomBytes(12).toString('hex'),
      expected: [200, 201],
      body: {
        ...wanted,
        payment: { method },
        customer: { name: this.name, email: `${this.name.toLowerCase()}@example.com` },
      },
    });
  }

  /** Puts offerings into a new cart. */
  async fillCart(offeringIds: readonly string[]): Promise<string> {
    const self = this.self;
    const { id } = await callApi<{ id: string }>(this.place, self, {
      method: 'POST',
      path: '/v1/carts',
      body: {},
      expected: [201],
    });
    for (const offeringId of offeringIds) {
      const path = `/v1/carts/${id}/items/${offeringId}`;
      await callApi(this.place, self, { method: 'PUT', path, body: {}, expected: [200] });
    }
    return id;
  }

  /** What the wallet holds in euro cents. */
  async balance(): Promise<number> {
    const { balances } = await callApi<{ balances: { amountMinor: number; currency: string }[] }>(
      this.place,
      this.self,
      { method: 'GET', path: '/v1/wallet', expected: [200] },
    );
    return balances.find(({ currency }) => currency === 'EUR')?.amountMinor ?? 0;
  }

  /** Pays on the gateway's page. */
  async pay(booking: Booking, card: Card = 'visa'): Promise<Paid> {
    return payOnPage(this.place, booking, card);
  }

  /** Comes back from the gateway's page. */
  async comeBack(booking: Booking): Promise<void> {
    const path = `/v1/bookings/${booking.id}/return`;
    await callApi(this.place, this.self, { method: 'POST', path, body: {}, expected: [202] });
  }

  async retry(booking: Booking): Promise<Booking> {
    const path = `/v1/bookings/${booking.id}/retry`;
    return callApi(this.place, this.self, { method: 'POST', path, body: {}, expected: [200] });
  }

  async read(booking: Booking): Promise<Booking> {
    return callApi(this.place, this.self, {
      method: 'GET',
      path: `/v1/bookings/${booking.id}`,
      expected: [200],
    });
  }

  /**
   * Follows the booking, waiting on the server, until it is as wished.
   * @throws when it is not so within `seconds`
   */
  async until(booking: Booking, wished: (now: Booking) => boolean, seconds = 40): Promise<Booking> {
    const deadline = Date.now() + seconds * 1000;
    let now = await this.read(booking);
    while (!wished(now)) {
      if (Date.now() > deadline)
        throw new Error(`${this.name}’s attempt is still ${now.status} after ${seconds} s`);
      const path = `/v1/bookings/${booking.id}?wait=5&after=${now.version}`;
      const changed = await callApi<Booking | undefined>(this.place, this.self, {
        method: 'GET',
        path,
        expected: [200, 304],
      });
      now = changed ?? now;
    }
    return now;
  }
}
