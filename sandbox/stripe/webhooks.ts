import { createHmac } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { type Account } from './account';
import { type Faults } from './faults';
import { type Gates } from './gates';
import { pause } from './pause';
import { type Subject, type WebhookFault } from './switches';
import { type Event } from './wire';

/** One sending of an event. `status` is null without an answer; a duplicate is a copy beyond the ordinary one. */
export interface Delivery {
  at: string;
  status: number | null;
  duplicate: boolean;
}

export interface WebhookOptions {
  url: string | undefined;
  secret: string;
  /** Between the answer of an API call and the sending of its events. */
  delayMs: number;
  /** Gaps before the 2nd, 3rd … sending; the last one repeats. */
  retryGapsMs: readonly number[];
  retriesMax: number;
}

interface Flight {
  event: Event;
  fault: WebhookFault | undefined;
}

/** Stripe waits about this long for an answer before it counts the delivery as failed. */
const answerWithinMs = 10_000;

/** How long the next event of an intent waits for the first answer to the one before it. */
const orderPatienceMs = 250;

/** `t=<seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">` (docs.stripe.com/webhooks#verify-manually). */
const signature = (body: string, secret: string): string => {
  const seconds = Math.floor(Date.now() / 1000);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
};

const isTaken = (status: number | null): boolean => status !== null && status >= 200 && status < 300;

/** Posts one signed copy; null when no answer came. */
const post = (url: string, secret: string, event: Event, closing: AbortSignal): Promise<number | null> =>
  new Promise((resolve) => {
    const body = JSON.stringify(event, null, 2);
    const request = (url.startsWith('https:') ? https : http).request(url, {
      method: 'POST',
      agent: false,
      signal: AbortSignal.any([AbortSignal.timeout(answerWithinMs), closing]),
      headers: {
        'Content-Type': 'application/json; charset=utf-8',
        'Content-Length': Buffer.byteLength(body),
        'Stripe-Signature': signature(body, secret),
        'User-Agent': 'Stripe/1.0 (+https://stripe.com/docs/webhooks)',
      },
    });
    request.on('response', (response) => {
      response.resume();
      response.on('error', () => resolve(null));
      response.on('end', () => resolve(response.statusCode ?? null));
    });
    request.on('error', () => resolve(null));
    request.end(body);
  });

/** Sends events to the one endpoint of this account, again and again until it takes them, as Stripe does. */
export class Webhooks {
  readonly deliveries = new Map<string, Delivery[]>();
  /** Per intent: ends when its newest event may be overtaken. */
  private readonly tails = new Map<string, Promise<unknown>>();
  /** Per intent: events of a `reorder` fault, waiting for a later one to arrive. */
  private readonly held = new Map<string, Event[]>();

  constructor(
    private readonly account: Account,
    private readonly faults: Faults,
    private readonly gates: Gates,
    private readonly options: WebhookOptions,
    private readonly closing: AbortSignal,
  ) {}

  /** Later sendings, also the repeats of older events, go to this address; an empty one stops them. */
  setUrl(url: string): void {
    this.options.url = url === '' ? undefined : url;
  }

  /** Sends what must arrive before the API call is answered; the result is to be handed to `send` after it. */
  async beforeAnswer(events: Event[]): Promise<Flight[]> {
    const flights: Flight[] = events.map((event) => ({
      event,
      fault: this.faults.takeForEvent(event.type, this.subject(event)),
    }));
    const later: Flight[] = [];
    for (const flight of flights)
      if (flight.fault?.kind === 'before-answer') await this.deliver(flight.event);
      else later.push(flight);
    return later;
  }

  /** Sends each event a moment later; those of one intent set out in the order they were made. */
  send(flights: Flight[]): void {
    for (const flight of flights) {
      const owner = this.owner(flight.event);
      const before = this.tails.get(owner) ?? pause(this.options.delayMs, this.closing);
      const mine = before.then(() => this.start(flight));
      this.tails.set(owner, mine);
      void mine.then(() => {
        if (this.tails.get(owner) === mine) this.tails.delete(owner);
      });
    }
  }

  /** Sends copies at once, without repeats; answers their statuses. Throws for an unknown event. */
  resend(eventId: string, times: number): Promise<(number | null)[]> {
    const event = this.account.event(eventId);
    return Promise.all(Array.from({ length: times }, () => this.attempt(event, true)));
  }

  /** Lets go what a `reorder` fault still holds. */
  releaseHeld(): void {
    for (const owner of this.held.keys()) this.releaseFor(owner);
  }

  private owner(event: Event): string {
    return this.account.intentBehind(event.data.object.id)?.id ?? event.id;
  }

  private subject(event: Event): Subject {
    const { object } = event.data;
    const intent = this.account.intentBehind(object.id);
    return {
      ids: [event.id, object.id],
      paymentIntent: intent?.id,
      metadata: [object.metadata, intent?.metadata ?? {}],
    };
  }

  private async start({ event, fault }: Flight): Promise<void> {
    if (fault?.kind === 'drop') return;
    if (fault?.kind === 'late') {
      void pause(fault.ms, this.closing).then(() => this.deliver(event));
      return;
    }
    if (fault?.kind === 'reorder') {
      const owner = this.owner(event);
      this.held.set(owner, [...(this.held.get(owner) ?? []), event]);
      return;
    }
    if (fault?.kind === 'double') void this.attempt(event, true);
    const first = this.deliver(event);
    // What stands at a gate is overtaken, or a gate on one event would stop all that follow.
    if (this.gates.stands({ event: event.type }, this.subject(event))) return;
    await Promise.race([first, pause(orderPatienceMs, this.closing)]);
  }

  /** Ends with the first answer; repeats go on behind it. */
  private async deliver(event: Event): Promise<void> {
    await this.gates.hold({ event: event.type }, this.subject(event));
    if (!isTaken(await this.attempt(event, false))) void this.repeat(event);
  }

  private async repeat(event: Event): Promise<void> {
    const gaps = this.options.retryGapsMs;
    for (let retry = 0; retry < this.options.retriesMax; retry++) {
      if (!(await pause(gaps[retry] ?? gaps.at(-1) ?? 0, this.closing))) return;
      if (isTaken(await this.attempt(event, false))) return;
    }
  }

  private async attempt(event: Event, duplicate: boolean): Promise<number | null> {
    const { url, secret } = this.options;
    if (url === undefined || this.closing.aborted) return null;
    const delivery: Delivery = { at: new Date().toISOString(), status: null, duplicate };
    this.deliveries.set(event.id, [...(this.deliveries.get(event.id) ?? []), delivery]);
    delivery.status = await post(url, secret, event, this.closing);
    if (isTaken(delivery.status)) this.releaseFor(this.owner(event), event);
    return delivery.status;
  }

  private releaseFor(owner: string, taken?: Event): void {
    const waiting = this.held.get(owner) ?? [];
    // A copy sent by `resend` is not "the next event": it must not let its own original go.
    const free = waiting.filter((event) => event !== taken);
    this.held.delete(owner);
    if (free.length < waiting.length && taken !== undefined) this.held.set(owner, [taken]);
    for (const event of free) void this.deliver(event);
  }
}
