import http from 'node:http';
import https from 'node:https';
import { type Faults } from './faults';
import { type Gates } from './gates';
import { pause } from './pause';
import { type Subject, type WebhookFault } from './switches';

/**
 * One sending of an event. `status` is null without an answer; a duplicate is a copy beyond the ordinary one. `beforeAnswer`
 * stands where the API call that caused the event was answered only afterwards.
 */
export interface Delivery {
  at: string;
  status: number | null;
  duplicate: boolean;
  beforeAnswer?: true;
}

export interface DeliveryOptions {
  url: string | undefined;
  /** Between the answer of an API call and the sending of its events. */
  delayMs: number;
  /** Gaps before the 2nd, 3rd … sending; the last one repeats. */
  retryGapsMs: readonly number[];
  retriesMax: number;
}

/** What a delivery posts; `headers` name and sign it as the gateway does. */
export interface Letter {
  body: string;
  headers: Record<string, string>;
}

/** What is one gateway's own about its webhooks. */
export interface Mail<Event> {
  /** How long the gateway waits for an answer before it counts the delivery as failed. */
  answerWithinMs: number;
  /** Throws for an unknown id. */
  event(id: string): Event;
  /** The payment object that an event is about: events of one owner set out in the order they were made. */
  owner(event: Event): string;
  subject(event: Event): Subject;
  /** Signs anew each time, with the secret of now. */
  letter(event: Event): Letter;
}

/** An event on its way, with what will go wrong about it. */
export interface Flight<Event> {
  event: Event;
  fault: WebhookFault | undefined;
  /** How often held events had been let go by then: after the next time it is not held any more. */
  releases: number;
}

/** How long the next event of a payment object waits for the first answer to the one before it. */
const orderPatienceMs = 250;

const isTaken = (status: number | null): boolean => status !== null && status >= 200 && status < 300;

/** Posts one copy; null when no answer came. */
const post = (
  url: string,
  { body, headers }: Letter,
  answerWithinMs: number,
  closing: AbortSignal,
): Promise<number | null> =>
  new Promise((resolve) => {
    const request = (url.startsWith('https:') ? https : http).request(url, {
      method: 'POST',
      agent: false,
      signal: AbortSignal.any([AbortSignal.timeout(answerWithinMs), closing]),
      headers: { ...headers, 'Content-Length': Buffer.byteLength(body) },
    });
    request.on('response', (response) => {
      response.resume();
      response.on('error', () => resolve(null));
      response.on('end', () => resolve(response.statusCode ?? null));
    });
    request.on('error', () => resolve(null));
    request.end(body);
  });

/** Sends events to the one endpoint of an account, again and again until it takes them, as gateways do. */
export class Deliveries<Event extends { id: string; type: string }> {
  readonly log = new Map<string, Delivery[]>();
  /** Per owner: ends when its newest event may be overtaken. */
  private readonly tails = new Map<string, Promise<unknown>>();
  /** Per owner: events of a `reorder` fault, waiting for a later one to arrive. */
  private readonly held = new Map<string, Event[]>();
  /** Per event id: its place among all that were made. */
  private readonly order = new Map<string, number>();
  private releases = 0;

  constructor(
    private readonly mail: Mail<Event>,
    private readonly faults: Faults,
    private readonly gates: Gates,
    private readonly options: DeliveryOptions,
    private readonly closing: AbortSignal,
  ) {}

  /** Later sendings, also the repeats of older events, go to this address; an empty one stops them. */
  setUrl(url: string): void {
    this.options.url = url === '' ? undefined : url;
  }

  /**
   * Sends what must arrive before the API call is answered; the result is to be handed to `send` after it.
   * @param isCall false for what no API call caused: it is sent at once, but there is no answer that it could precede
   */
  async beforeAnswer(events: readonly Event[], isCall = true): Promise<Flight<Event>[]> {
    const flights: Flight<Event>[] = events.map((event) => {
      this.order.set(event.id, this.order.size);
      const fault = this.faults.takeForEvent(event.type, this.mail.subject(event));
      return { event, fault, releases: this.releases };
    });
    const later: Flight<Event>[] = [];
    for (const flight of flights)
      if (flight.fault?.kind === 'before-answer') await this.deliver(flight.event, isCall);
      else later.push(flight);
    return later;
  }

  /** Sends each event a moment later; those of one owner set out in the order they were made. */
  send(flights: Flight<Event>[]): void {
    for (const flight of flights) {
      const owner = this.mail.owner(flight.event);
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
    const event = this.mail.event(eventId);
    return Promise.all(Array.from({ length: times }, () => this.attempt(event, true)));
  }

  /** Posts something that no event is behind; null when no answer came, or there is no address. */
  async slip(letter: Letter): Promise<number | null> {
    const { url } = this.options;
    return url === undefined ? null : post(url, letter, this.mail.answerWithinMs, this.closing);
  }

  /** Lets go what a `reorder` fault still holds, and what it was about to hold: nothing later need ever come. */
  releaseHeld(): void {
    this.releases += 1;
    for (const owner of this.held.keys()) this.releaseFor(owner);
  }

  private async start({ event, fault, releases }: Flight<Event>): Promise<void> {
    if (fault?.kind === 'drop') return;
    if (fault?.kind === 'late') {
      void pause(fault.ms, this.closing).then(() => this.deliver(event));
      return;
    }
    if (fault?.kind === 'reorder' && releases === this.releases) {
      const owner = this.mail.owner(event);
      this.held.set(owner, [...(this.held.get(owner) ?? []), event]);
      return;
    }
    if (fault?.kind === 'double') void this.attempt(event, true);
    const first = this.deliver(event);
    // What stands at a gate is overtaken, or a gate on one event would stop all that follow.
    if (this.gates.stands({ event: event.type }, this.mail.subject(event))) return;
    await Promise.race([first, pause(orderPatienceMs, this.closing)]);
  }

  /** Ends with the first answer; repeats go on behind it. */
  private async deliver(event: Event, beforeAnswer = false): Promise<void> {
    await this.gates.hold({ event: event.type }, this.mail.subject(event));
    if (!isTaken(await this.attempt(event, false, beforeAnswer))) void this.repeat(event);
  }

  private async repeat(event: Event): Promise<void> {
    const gaps = this.options.retryGapsMs;
    for (let retry = 0; retry < this.options.retriesMax; retry++) {
      if (!(await pause(gaps[retry] ?? gaps.at(-1) ?? 0, this.closing))) return;
      if (isTaken(await this.attempt(event, false))) return;
    }
  }

  private async attempt(event: Event, duplicate: boolean, beforeAnswer = false): Promise<number | null> {
    const { url } = this.options;
    if (url === undefined || this.closing.aborted) return null;
    const at = new Date().toISOString();
    const delivery: Delivery = { at, status: null, duplicate, ...(beforeAnswer && { beforeAnswer }) };
    this.log.set(event.id, [...(this.log.get(event.id) ?? []), delivery]);
    delivery.status = await post(url, this.mail.letter(event), this.mail.answerWithinMs, this.closing);
    if (isTaken(delivery.status)) this.releaseFor(this.mail.owner(event), event);
    return delivery.status;
  }

  /** @param taken lets go what was made before it; a slow answer to an older event, or a copy of one, lets nothing go */
  private releaseFor(owner: string, taken?: Event): void {
    const waiting = this.held.get(owner);
    if (waiting === undefined) return;
    const isFree = (event: Event): boolean => taken === undefined || this.place(event) < this.place(taken);
    const kept = waiting.filter((event) => !isFree(event));
    if (kept.length > 0) this.held.set(owner, kept);
    else this.held.delete(owner);
    for (const event of waiting.filter(isFree)) void this.deliver(event);
  }

  private place(event: Event): number {
    return this.order.get(event.id) ?? Infinity;
  }
}
