import { type Request, type Response } from 'express';
import { type Socket } from 'node:net';
import { type Faults } from '../gateway/faults';
import { type Gates } from '../gateway/gates';
import { pause } from '../gateway/pause';
import { type RateLimit } from '../gateway/rate-limit';
import { type Fault } from '../gateway/switches';
import { type Account } from './account';
import { type Answer, IdempotencyKeys } from './idempotency';
import { newId } from './ids';
import { expand } from './lists';
import { type Call, type Operation, subjectOf } from './operations';
import { type Parameters } from './parameters';
import { type RefundDesk } from './refund-desk';
import { broken, keyMismatch, rateLimited, Refusal, unauthorized } from './refusals';
import { type OperationName } from './switches';
import { type Webhooks } from './webhooks';
import { apiVersion, type Event } from './wire';

/** One API request in the sandbox's log. `status` is null while it is unanswered, and for good when it stays so. */
export interface RequestEntry {
  at: string;
  requestId: string;
  operation: OperationName;
  id: string | null;
  idempotencyKey: string | null;
  status: number | null;
  replayed: boolean;
  /** The object that the call made, or spoke of; null while there is none. */
  made: string | null;
  /** What went wrong on purpose; `rate-limit` where the request was one too many, `down` where the gateway was away. */
  fault: Fault['kind'] | 'rate-limit' | 'down' | null;
}

export interface ApiParts {
  account: Account;
  faults: Faults;
  gates: Gates;
  webhooks: Webhooks;
  refunds: RefundDesk;
  rate: RateLimit;
  /** The only key let in; undefined lets in every `sk_test_…`. */
  secretKey: string | undefined;
  closing: AbortSignal;
}

/** Basic (`key:`) and Bearer are both Stripe's (docs.stripe.com/api/authentication). */
const sentKey = (request: Request): string => {
  const [scheme = '', value = ''] = (request.get('authorization') ?? '').split(' ');
  if (/^bearer$/i.test(scheme)) return value;
  if (!/^basic$/i.test(scheme)) return '';
  return Buffer.from(value, 'base64').toString().split(':')[0] ?? '';
};

const parametersOf = (request: Request): Parameters => {
  const source: unknown = request.method === 'POST' ? request.body : request.query;
  return typeof source === 'object' && source !== null ? { ...source } : {};
};

/** The object that the path names; '' where it names none. */
const idOf = ({ params }: Request): string => (typeof params['id'] === 'string' ? params['id'] : '');

/** Only a POST has an idempotency key (docs.stripe.com/api/idempotent_requests). */
const keyOf = (request: Request): string | undefined =>
  request.method === 'POST' ? request.get('idempotency-key') : undefined;

interface Result {
  answer: Answer;
  events: Event[];
  madeId: string | undefined;
}

/** Takes each request of the API through its key, its faults, its gates and its deed to an answer, or to none. */
export class Api {
  readonly log: RequestEntry[] = [];
  private readonly keys = new IdempotencyKeys();
  private readonly active = new Map<Socket, RequestEntry>();

  constructor(private readonly parts: ApiParts) {}

  /** Destroys the connection of every request under way: the gateway is down. */
  disconnect(): void {
    for (const [socket, entry] of this.active) {
      entry.fault ??= 'down';
      socket.destroy();
    }
  }

  /** Notes a request whose connection is destroyed because the gateway is down. */
  turnAway(operation: Operation, request: Request): void {
    this.enter(operation, request).fault = 'down';
  }

  /** Answers one request, or does not, where a fault says so. Never throws a `Refusal`. */
  async handle(operation: Operation, request: Request, response: Response): Promise<void> {
    const parameters = parametersOf(request);
    const entry = this.enter(operation, request);
    const { socket } = request;
    this.active.set(socket, entry);
    response.once('close', () => this.active.delete(socket));
    const sent = { id: idOf(request), parameters, key: keyOf(request), path: request.path };
    try {
      await this.pass(operation, sent, entry, request, response);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.respond(entry, request, response, {
        status: error.status,
        body: JSON.stringify({ error: error.body }, null, 2),
        requestId: entry.requestId,
        kept: error.kept,
      });
    }
  }

  private enter(operation: Operation, request: Request): RequestEntry {
    const id = idOf(request);
    const entry: RequestEntry = {
      at: new Date().toISOString(),
      requestId: newId('req'),
      operation: operation.name,
      id: id === '' ? null : id,
      idempotencyKey: keyOf(request) ?? null,
      status: null,
      replayed: false,
      made: null,
      fault: null,
    };
    this.log.push(entry);
    return entry;
  }

  private async pass(
    operation: Operation,
    sent: { id: string; parameters: Parameters; key: string | undefined; path: string },
    entry: RequestEntry,
    request: Request,
    response: Response,
  ): Promise<void> {
    this.checkKey(sentKey(request));
    const { account, faults, gates, webhooks, rate } = this.parts;
    if (!rate.admits()) {
      entry.fault = 'rate-limit';
      // Stripe names its limiter, and no time to wait (docs.stripe.com/rate-limits).
      response.set('Stripe-Rate-Limited-Reason', 'global-rate');
      throw rateLimited();
    }
    const subject = subjectOf(account, sent.id, sent.parameters);
    const fault = faults.takeForRequest(operation.name, subject);
    entry.fault = fault?.kind ?? null;
    if (!(await this.sufferBefore(fault, request, response))) return;

    if (sent.key !== undefined && sent.key.length > 255)
      throw keyMismatch('Idempotency keys may be up to 255 characters long.');
    const claim = sent.key === undefined ? undefined : this.keys.claim(sent.key, sent.path, sent.parameters);
    if (claim?.replay !== undefined) {
      entry.replayed = true;
      this.finish(fault, entry, request, response, claim.replay);
      return;
    }
    await gates.hold({ operation: operation.name, when: 'before' }, subject);
    const origin = { requestId: entry.requestId, idempotencyKey: entry.idempotencyKey };
    const result = this.perform(operation, { ...sent, origin, subject }, fault);
    entry.made = result.madeId ?? null;
    const subjectAfter = subjectOf(account, sent.id, sent.parameters, result.madeId);
    await gates.hold({ operation: operation.name, when: 'after' }, subjectAfter);
    claim?.settle(result.answer);
    const later = await webhooks.beforeAnswer(result.events);
    this.finish(fault, entry, request, response, result.answer);
    webhooks.send(later);
  }

  private checkKey(key: string): void {
    const { secretKey } = this.parts;
    const isOurs = secretKey === undefined ? key.startsWith('sk_test_') : key === secretKey;
    if (!isOurs) throw unauthorized(key);
  }

  /** False when the fault leaves nothing more to do. Throws 429. */
  private async sufferBefore(
    fault: Fault | undefined,
    request: Request,
    response: Response,
  ): Promise<boolean> {
    if (fault?.kind === 'delay') return pause(fault.ms, this.parts.closing);
    if (fault?.kind === 'status-429') {
      response.set('Retry-After', '1');
      throw rateLimited();
    }
    if (fault?.kind === 'lost-undone') request.socket.destroy();
    if (fault?.kind === 'hang-undone') this.parts.faults.hang(request.socket);
    return fault?.kind !== 'lost-undone' && fault?.kind !== 'hang-undone';
  }

  private perform(operation: Operation, call: Call, fault: Fault | undefined): Result {
    const { account, refunds } = this.parts;
    const eventsBefore = account.events.length;
    const requestId = call.origin.requestId ?? '';
    let answer: Answer;
    let madeId: string | undefined;
    try {
      if (fault?.kind === 'status-500-undone') throw broken();
      const done = operation.run(account, call, refunds);
      if ('id' in done && typeof done.id === 'string') madeId = done.id;
      if (fault?.kind === 'status-500-done') throw broken();
      const body = JSON.stringify(expand(account, done, call.parameters), null, 2);
      answer = { status: 200, body, requestId, kept: true };
    } catch (error) {
      const refusal = error instanceof Refusal ? error : unforeseen(error);
      madeId ??= refusal.body.payment_intent?.id;
      const body = JSON.stringify({ error: refusal.body }, null, 2);
      answer = { status: refusal.status, body, requestId, kept: refusal.kept };
    }
    return { answer, events: account.events.slice(eventsBefore), madeId };
  }

  private finish(
    fault: Fault | undefined,
    entry: RequestEntry,
    request: Request,
    response: Response,
    answer: Answer,
  ): void {
    if (fault?.kind === 'lost-done') request.socket.destroy();
    else if (fault?.kind === 'hang-done') this.parts.faults.hang(request.socket);
    else if (fault?.kind === 'malformed-done')
      this.respond(entry, request, response, {
        ...answer,
        body: answer.body.slice(0, answer.body.length / 2),
      });
    else this.respond(entry, request, response, answer);
  }

  private respond(entry: RequestEntry, request: Request, response: Response, answer: Answer): void {
    entry.status = answer.status;
    response.status(answer.status);
    response.set('Content-Type', 'application/json');
    response.set('Request-Id', entry.requestId);
    response.set('Stripe-Version', request.get('stripe-version') ?? apiVersion);
    if (entry.idempotencyKey !== null) response.set('Idempotency-Key', entry.idempotencyKey);
    if (entry.replayed) response.set({ 'Idempotent-Replayed': 'true', 'Original-Request': answer.requestId });
    // A stored 500 would only be replayed; a running request will be over soon (comments in stripe-node's RequestSender).
    if (answer.status === 500) response.set('Stripe-Should-Retry', 'false');
    if (answer.status === 409) response.set('Stripe-Should-Retry', 'true');
    response.send(answer.body);
  }
}

/** A mistake of the sandbox itself: said aloud, and answered like Stripe's own faults. */
const unforeseen = (error: unknown): Refusal => {
  console.error(error);
  return broken();
};
