import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { type Socket } from 'node:net';
import { type Deliveries } from './deliveries';
import { type Faults } from './faults';
import { type Gates } from './gates';
import { pause } from './pause';
import { type RateLimit } from './rate-limit';
import { type Fault, type Subject } from './switches';

/** What a request is answered. `body` becomes JSON. */
export interface Answer {
  status: number;
  body: object;
}

/** An answer that is thrown: the gateway refuses. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly body: object,
    message: string,
  ) {
    super(message);
    this.name = 'Refusal';
  }
}

/** One API request in a sandbox's log. `status` is null while it is unanswered, and for good when it stays so. */
export interface RequestEntry {
  at: string;
  operation: string;
  /** The object that the path names. */
  id: string | null;
  /** The idempotency key, where the gateway has such. */
  key: string | null;
  status: number | null;
  /** What went wrong on purpose; `rate-limit` where the request was one too many, `down` where the gateway was away. */
  fault: Fault['kind'] | 'rate-limit' | 'down' | null;
}

/** One call as an operation sees it. `id` is the object named in the path, '' where the path names none. */
export interface Sent {
  id: string;
  /** The JSON or form of a POST; {} otherwise. */
  body: Record<string, unknown>;
  query: Record<string, unknown>;
  request: Request;
}

export interface Operation {
  name: string;
  method: 'get' | 'post';
  paths: readonly string[];
  /** Not counted against the rate limit, and let in without credentials: where these are fetched. */
  open?: boolean;
  /** Takes place before a gate can hold the deed; answers the end of the deed's reservation. Throws to refuse. */
  reserve?: (sent: Sent) => () => void;
  /** Does it at once, so that no two requests ever see half of a change. Throws a `Refusal`. */
  run: (sent: Sent) => { answer: Answer; madeId?: string };
}

/** What is one gateway's own about its requests. */
export interface Manners {
  /** Throws a `Refusal` for a request without good credentials. */
  authenticate: (request: Request) => void;
  keyOf: (request: Request) => string | null;
  /** What switches can match a call by; `madeId` is the object that it made, if any. */
  subject: (sent: Sent, madeId?: string) => Subject;
  tooMany: () => Refusal;
  /** HTTP 500. */
  broken: () => Refusal;
  /** "Something went wrong" as a code in an answer of 200, where the gateway does that. */
  brokenInside: () => Refusal;
  unknownUrl: (request: Request) => Refusal;
  /** A body that cannot be read. */
  badBody: () => Refusal;
}

interface Parts<Event extends { id: string; type: string }> {
  manners: Manners;
  /** Grows with each deed. */
  events: readonly Event[];
  webhooks: Deliveries<Event>;
  faults: Faults;
  gates: Gates;
  rate: RateLimit;
  closing: AbortSignal;
}

const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};

/** The object that the path names; '' where it names none. */
const idOf = ({ params }: Request): string => (typeof params['id'] === 'string' ? params['id'] : '');

/** A mistake of the sandbox itself: said aloud, and answered like the gateway's own faults. */
const refusalIn = (error: unknown, broken: () => Refusal): Refusal => {
  if (error instanceof Refusal) return error;
  console.error(error);
  return broken();
};

/** Takes each request of the API through its credentials, faults and gates, and its deed, to an answer, or to none. */
export class Front<Event extends { id: string; type: string }> {
  readonly log: RequestEntry[] = [];
  private readonly active = new Map<Socket, RequestEntry>();

  constructor(private readonly parts: Parts<Event>) {}

  /** Destroys the connection of every request under way: the gateway is down. */
  disconnect(): void {
    for (const [socket, entry] of this.active) {
      entry.fault ??= 'down';
      socket.destroy();
    }
  }

  /** The API and the switches in one app. */
  app(operations: readonly Operation[], mount: (app: Express) => void): Express {
    const app = express();
    app.disable('x-powered-by');
    app.disable('etag');
    mount(app);
    for (const operation of operations)
      for (const path of operation.paths)
        app[operation.method](path, (request: Request, _response: Response, next: NextFunction) => {
          if (this.parts.faults.down) this.enter(operation, request).fault = 'down';
          next();
        });
    // Before any body is read: one that is away reads none.
    app.use((request, _response, next) => {
      if (this.parts.faults.down) request.socket.destroy();
      else next();
    });
    // Whatever a client calls its body: what is no JSON is for the operation to refuse.
    app.use(express.json({ strict: false }), express.urlencoded({ extended: false }));
    for (const operation of operations)
      for (const path of operation.paths)
        app[operation.method](path, (request: Request, response: Response) =>
          this.handle(operation, request, response),
        );
    app.use((request: Request, response: Response) => {
      const { status, body } = this.parts.manners.unknownUrl(request);
      response.status(status).json(body);
    });
    // Express knows an error handler by its four parameters.
    app.use((_error: unknown, _request: Request, response: Response, _next: NextFunction) => {
      const { status, body } = this.parts.manners.badBody();
      response.status(status).json(body);
    });
    return app;
  }

  private enter(operation: Operation, request: Request): RequestEntry {
    const id = idOf(request);
    const entry: RequestEntry = {
      at: new Date().toISOString(),
      operation: operation.name,
      id: id === '' ? null : id,
      key: this.parts.manners.keyOf(request),
      status: null,
      fault: null,
    };
    this.log.push(entry);
    return entry;
  }

  private async handle(operation: Operation, request: Request, response: Response): Promise<void> {
    const { manners } = this.parts;
    const entry = this.enter(operation, request);
    const { socket } = request;
    this.active.set(socket, entry);
    response.once('close', () => this.active.delete(socket));
    const id = idOf(request);
    const sent = { id, body: recordOf(request.body), query: recordOf(request.query), request };
    try {
      await this.pass(operation, sent, entry, response);
    } catch (error) {
      this.respond(entry, response, refusalIn(error, manners.broken));
    }
  }

  private async pass(
    operation: Operation,
    sent: Sent,
    entry: RequestEntry,
    response: Response,
  ): Promise<void> {
    const { manners, faults, gates, webhooks, rate } = this.parts;
    if (operation.open !== true) {
      manners.authenticate(sent.request);
      if (!rate.admits()) {
        entry.fault = 'rate-limit';
        throw manners.tooMany();
      }
    }
    const subject = manners.subject(sent);
    const fault = faults.takeForRequest(operation.name, subject);
    entry.fault = fault?.kind ?? null;
    if (!(await this.sufferBefore(fault, sent.request))) return;
    const over = operation.reserve?.(sent);
    await gates.hold({ operation: operation.name, when: 'before' }, subject);
    const { answer, events, madeId } = this.perform(operation, sent, fault);
    over?.();
    await gates.hold({ operation: operation.name, when: 'after' }, manners.subject(sent, madeId));
    const later = await webhooks.beforeAnswer(events);
    this.finish(fault, entry, sent.request, response, answer);
    webhooks.send(later);
  }

  /** False when the fault leaves nothing more to do. Throws what it answers instead of the deed. */
  private async sufferBefore(fault: Fault | undefined, request: Request): Promise<boolean> {
    const { manners, faults, closing } = this.parts;
    switch (fault?.kind) {
      case 'delay':
        return pause(fault.ms, closing);
      case 'status-429':
        throw manners.tooMany();
      case 'status-500-undone':
        throw manners.broken();
      case 'code-500-undone':
        throw manners.brokenInside();
      case 'lost-undone':
        request.socket.destroy();
        return false;
      case 'hang-undone':
        faults.hang(request.socket);
        return false;
      default:
        return true;
    }
  }

  private perform(
    operation: Operation,
    sent: Sent,
    fault: Fault | undefined,
  ): { answer: Answer; events: Event[]; madeId: string | undefined } {
    const { events, manners } = this.parts;
    const before = events.length;
    try {
      const { answer, madeId } = operation.run(sent);
      const said =
        fault?.kind === 'status-500-done'
          ? manners.broken()
          : fault?.kind === 'code-500-done'
            ? manners.brokenInside()
            : answer;
      return { answer: said, events: events.slice(before), madeId };
    } catch (error) {
      return { answer: refusalIn(error, manners.broken), events: events.slice(before), madeId: undefined };
    }
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
    else this.respond(entry, response, answer, fault?.kind === 'malformed-done');
  }

  private respond(entry: RequestEntry, response: Response, { status, body }: Answer, half = false): void {
    entry.status = status;
    const text = JSON.stringify(body);
    if (status === 429) response.set('Retry-After', '1');
    response
      .status(status)
      .type('json')
      .send(half ? text.slice(0, text.length / 2) : text);
  }
}
