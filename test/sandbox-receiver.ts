/** A webhook endpoint that keeps what the sandboxes of the gateways deliver, and waiting until something is so. */
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** One webhook as it arrived. */
export interface Heard {
  raw: string;
  headers: http.IncomingHttpHeaders;
  // A body is JSON of any shape: the expectations are its type check.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  body: any;
}

/** How deliveries are read; what it throws ends the test. */
interface Reading<Webhook> {
  read(raw: string, headers: http.IncomingHttpHeaders): Webhook;
  typeOf(webhook: Webhook): string;
}

/** As they came, with the event's name where Razorpay and PhonePe have it. */
export const asTheyCame: Reading<Heard> = {
  read: (raw, headers) => ({ raw, headers, body: JSON.parse(raw) }),
  typeOf: ({ body }) => String(body.event),
};

/** The endpoint; `answers` are used up, then 200. */
export class Receiver<Webhook = Heard> {
  readonly heard: Webhook[] = [];
  answers: number[] = [];
  /** How long an answer takes, in ms. */
  answerMs = 0;
  private constructor(
    private readonly server: http.Server,
    private readonly reading: Reading<Webhook>,
    readonly url: string,
  ) {}

  static async start<Webhook>(reading: Reading<Webhook>): Promise<Receiver<Webhook>> {
    const server = http.createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const receiver = new Receiver(server, reading, `http://127.0.0.1:${port}/hook`);
    server.on('request', (request, response) => void receiver.take(request, response));
    return receiver;
  }

  private async take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let raw = '';
    for await (const chunk of request) raw += String(chunk);
    this.heard.push(this.reading.read(raw, request.headers));
    if (this.answerMs > 0) await sleep(this.answerMs);
    response.writeHead(this.answers.shift() ?? 200).end();
  }

  /** Events by name, in the order they came. */
  types(): string[] {
    return this.heard.map((webhook) => this.reading.typeOf(webhook));
  }

  of(type: string): Webhook[] {
    return this.heard.filter((webhook) => this.reading.typeOf(webhook) === type);
  }

  /** The first that is meant, come or still to come within 30 s. */
  async first(isMeant: (webhook: Webhook) => boolean): Promise<Webhook> {
    await until(() => this.heard.some(isMeant));
    return this.heard.find(isMeant) as Webhook;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Looks every few milliseconds until it is so; throws when it is not so in time. */
export const until = async (isTrue: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> => {
  const end = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};
