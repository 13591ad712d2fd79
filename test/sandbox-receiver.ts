import http from 'node:http';
import { type AddressInfo } from 'node:net';

/** One webhook as it arrived. */
export interface Heard {
  raw: string;
  headers: http.IncomingHttpHeaders;
  // A body is JSON of any shape: the expectations are its type check.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  body: any;
}

/** A webhook endpoint that keeps what it hears; `answers` are used up, then 200. */
export class Receiver {
  readonly heard: Heard[] = [];
  answers: number[] = [];
  private constructor(
    private readonly server: http.Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Receiver> {
    const server = http.createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const receiver = new Receiver(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`);
    server.on('request', (request, response) => void receiver.take(request, response));
    return receiver;
  }

  private async take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let raw = '';
    for await (const chunk of request) raw += String(chunk);
    this.heard.push({ raw, headers: request.headers, body: JSON.parse(raw) });
    response.writeHead(this.answers.shift() ?? 200).end();
  }

  /** Events by name, in the order they came. */
  types(): string[] {
    return this.heard.map(({ body }) => String(body.event));
  }

  of(type: string): Heard[] {
    return this.heard.filter(({ body }) => body.event === type);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

/** Looks every few milliseconds until it is so; throws when it is not so in time. */
export const until = async (isTrue: () => boolean | Promise<boolean>, withinMs = 5000): Promise<void> => {
  const end = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};
