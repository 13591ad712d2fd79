/** Customers of a run: each books once in their own way, over HTTP and on the gateway's page, and keeps a record of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import Stripe from 'stripe';
import { isOpen, type AttemptStatus } from '../../src/booking';
import type { Booking } from '../../dev/customer';
import { payOnPage, type Card, type Paid } from '../../dev/pay-pages';
import { makeClient, type Answer, type Client } from './asking';
import type { Visit } from '../evidence/evidence';
import type { Wish } from '../plan';
import { price } from './shop';

/** Where customers go. */
export interface Town {
  /** Origin of the load balancer. */
  api: string;
  env: Record<string, string>;
  operator: Client;
  windowSeconds: number;
  /** Milliseconds since 1970: when the last customer gives up. */
  closesAt: () => number;
}

/** Between two goes at a page that does not answer, in ms. */
const pagePauseMs = 300;

/** How long an attempt's status is waited for by one request, in seconds: a thousand who ask twice as often take the API a core. */
const waitSeconds = 20;

/** Between two looks at a status that did not change, in ms: the server has waited already, if it can. */
const unchangedPauseMs = 200;

/** After the window's end, in ms: whoever pays late is late by so much. */
const lateByMs = 3_000;

/** Settled: nothing changes any more without an operator or a cancellation. */
const isSettled = (status: AttemptStatus): boolean => !isOpen(status) && status !== 'refunding';

/** Plays one customer to the end. The record is complete however it ends. */
export async function play(town: Town, wish: Wish, offeringId: string, plannedAt: number): Promise<Visit> {
  const customerId = `customer-${wish.n}`;
  const visit: Visit = {
    n: wish.n,
    customerId,
    email: `${customerId}@example.org`,
    behaviour: wish.behaviour,
    method: wish.method,
    offeringId,
    plannedAt,
    told: [],
    troubles: [],
  };
  const client = await makeClient(town.api, town.env, { sub: customerId, scope: 'bookings' }, (trouble) =>
    visit.troubles.push(trouble),
  );
  await new Stay(town, client, wish, visit).live().catch((error: unknown) => {
    visit.gaveUp = error instanceof Error ? error.message : String(error);
  });
  return visit;
}

/** An attempt without a record yet, as the API shows it: it is there, and can only be followed. */
type Starting = Pick<Booking, 'id' | 'status'>;

const started = (shown: Starting, method: string): Booking => ({
  ...shown,
  version: 0,
  retryable: false,
  total: price,
  payment: { method, try: 1 },
});

/** Why a customer stops: the run closed, and nobody had answered, or nothing had come of it. */
class NoAnswer extends Error {}

class Stay {
  private booking: Booking | undefined;

  constructor(
    private readonly town: Town,
    private readonly client: Client,
    private readonly wish: Wish,
    private readonly visit: Visit,
  ) {}

  async live(): Promise<void> {
    const { behaviour, method } = this.visit;
    if (method === 'wallet') await this.fillWallet();
    const started = await this.start();
    if (!started) return;
    if (method === 'wallet') await this.follow(isSettled);
    else await this[behaviour === 'double-click' ? 'pay' : behaviour]();
    if (behaviour === 'cancel-booked') await this.cancelOnceBooked();
  }

  /** A customer who has paid follows it to the end. */
  private async pay(): Promise<void> {
    await sleep(this.wish.thinkMs);
    await this.payPage('visa');
    if (this.wish.comesBack) await this.comeBack();
    await this.follow(isSettled);
  }

  private 'cancel-booked' = (): Promise<void> => this.pay();

  private async abandon(): Promise<void> {
    await this.follow(isSettled);
  }

  private async 'pay-late'(): Promise<void> {
    await sleep(this.town.windowSeconds * 1000 + lateByMs);
    await this.payPage('visa');
    await this.follow(isSettled);
  }

  private async 'decline-then-retry'(): Promise<void> {
    await sleep(this.wish.thinkMs);
    await this.payPage('declined');
    const now = await this.follow((status, booking) => booking.retryable || isSettled(status));
    if (now === undefined || isSettled(now.status)) return;
    const answer = await this.ask('POST', `/v1/bookings/${now.id}/retry`, { body: {} });
    // 409, 410: the window ended, or the decline was overtaken.
    if (answer.status === 200) this.learn(answer.body as Booking);
    if (answer.status === 202 || answer.status === 200) await this.payable();
    await this.payPage('visa');
    await this.follow(isSettled);
  }

  private async 'cancel-open'(): Promise<void> {
    await sleep(this.wish.thinkMs);
    await this.cancel();
    await this.follow(isSettled);
  }

  private async cancelOnceBooked(): Promise<void> {
    if (this.booking?.status !== 'confirmed') return;
    await sleep(this.wish.thinkMs);
    await this.cancel();
    await this.follow((status) => status === 'refunded' || status === 'needs_attention');
  }

  private async cancel(): Promise<void> {
    const id = this.booking?.id ?? '';
    const answer = await this.ask('POST', `/v1/bookings/${id}/cancel`, { body: {} });
    if (answer.status !== 200) return;
    this.visit.canceledAt = Date.now();
    this.learn(answer.body as Booking);
  }

  private async fillWallet(): Promise<void> {
    const answer = await this.town.operator.ask(
      'POST',
      `/v1/wallets/${this.visit.customerId}/credits`,
      this.town.closesAt,
      { body: { ...price, note: 'For this run' }, key: `credit-${this.wish.n}` },
    );
    if (answer?.status !== 201 && answer?.status !== 200)
      throw new NoAnswer(`no credit: ${JSON.stringify(answer)}`);
    this.visit.creditedMinor = price.amountMinor;
  }

  /** @returns false when it was refused for good */
  private async start(): Promise<boolean> {
    const { method, offeringId, email, customerId } = this.visit;
    const send = (): Promise<Answer> =>
      this.ask('POST', '/v1/bookings', {
        key: `start-${this.wish.n}`,
        body: { items: [{ offeringId }], payment: { method }, customer: { name: customerId, email } },
      });
    const answers = await Promise.all(this.visit.behaviour === 'double-click' ? [send(), send()] : [send()]);
    for (const { status, body } of answers) {
      if (status === 200 || status === 201 || status === 202) this.learn(body as Booking);
      else this.visit.refused = (body as { type?: string } | undefined)?.type ?? String(status);
    }
    if (this.booking === undefined) return false;
    if (method !== 'wallet') await this.payable();
    return true;
  }

  /** Waits until there is something to pay with, or nothing to pay any more. */
  private async payable(): Promise<void> {
    if (this.booking?.payment.gatewayRef === undefined)
      await this.follow((status, { payment }) => payment.gatewayRef !== undefined || isSettled(status));
  }

  private async payPage(card: Card): Promise<void> {
    const { booking, town } = this;
    if (booking?.payment.gatewayRef === undefined) return;
    const place = { api: town.api, env: town.env };
    while (Date.now() < town.closesAt()) {
      const paid = await onPage(place, booking, card);
      if (paid === 'paid') this.visit.paidAt = Date.now();
      if (paid !== 'no answer') return;
      await sleep(pagePauseMs);
    }
  }

  private async comeBack(): Promise<void> {
    await this.ask('POST', `/v1/bookings/${this.booking?.id ?? ''}/return`, { body: {} });
  }

  /** Follows the status as a front end does, until it is as wished or the run closes. */
  private async follow(
    wished: (status: AttemptStatus, booking: Booking) => boolean,
  ): Promise<Booking | undefined> {
    for (;;) {
      const { booking } = this;
      if (booking === undefined || wished(booking.status, booking)) return booking;
      const path = `/v1/bookings/${booking.id}?wait=${waitSeconds}&after=${booking.version}`;
      const { status, body } = await this.ask('GET', path);
      if (status === 200) this.learn(body as Booking);
      else if (status !== 304) throw new Error(`reading ${booking.id} was answered ${status}`);
      // Not every design waits with its answer until something is new.
      if (booking.version === this.booking?.version) await sleep(unchangedPauseMs);
    }
  }

  private async ask(method: string, path: string, rest?: { body?: unknown; key?: string }): Promise<Answer> {
    const until = this.town.closesAt;
    const answer = Date.now() > until() ? undefined : await this.client.ask(method, path, until, rest);
    if (answer === undefined) throw new NoAnswer(`the run closed at ${method} ${path.split('?')[0] ?? ''}`);
    return answer;
  }

  private learn(shown: Booking | Starting): void {
    const booking = 'version' in shown ? shown : started(shown, this.visit.method);
    this.visit.bookingId = booking.id;
    this.visit.told.push({
      at: Date.now(),
      status: booking.status,
      version: booking.version,
    });
    // Two answers to a double click, or an older one that came late: the record has both, the customer goes by the newest.
    if (booking.version >= (this.booking?.version ?? 0)) this.booking = booking;
  }
}

/** One go at a gateway's page. `closed`: it takes no payment any more. */
async function onPage(
  place: { api: string; env: Record<string, string> },
  booking: Booking,
  card: Card,
): Promise<Paid | 'closed' | 'no answer'> {
  try {
    return await payOnPage(place, booking, card);
  } catch (error) {
    if (error instanceof Stripe.errors.StripeInvalidRequestError)
      return error.payment_intent?.status === 'succeeded' ? 'paid' : 'closed';
    if (error instanceof Stripe.errors.StripeError || error instanceof TypeError) return 'no answer';
    // A sandbox that says why its page is closed.
    return 'closed';
  }
}
