/** An API client's backend, for tests: takes webhooks over HTTP, verifies each with the public library, answers as told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Json } from './world';

/** One post that arrived. */
export interface Received {
  id: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  json: Json;
}

/** A status to answer with; or what else to do. */
export type Reply = number | 'hang' | 'cut' | ((response: ServerResponse) => void);

export interface Receiver {
  url: string;
  received: Received[];
  /** Answers in their order; after them `always`, 204 at first. */
  replies: Reply[];
  always: Reply;
  /** Connections opened, whether or not anything came through them. */
  connections: () => number;
  /** Posts that have arrived and wait for an answer, by now and at most so far. */
  waiting: { now: number; most: number };
  /** Throws unless the post verifies under the secret. */
  verify(post: Received, secret: string): unknown;
  stop(): Promise<void>;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function answer(reply: Reply, response: ServerResponse): void {
  if (reply === 'hang') return;
  if (reply === 'cut') response.destroy();
  else if (typeof reply === 'number') response.writeHead(reply).end();
  else reply(response);
}

/** Starts one on a port of its own. */
export async function startReceiver(): Promise<Receiver> {
  let connections = 0;
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const headers = request.headers as Record<string, string>;
      receiver.received.push({
        id: headers['webhook-id'] ?? '',
        path: request.url ?? '',
        headers,
        body,
        json: JSON.parse(body),
      });
      receiver.waiting.now += 1;
      receiver.waiting.most = Math.max(receiver.waiting.most, receiver.waiting.now);
      response.on('close', () => (receiver.waiting.now -= 1));
      answer(receiver.replies.shift() ?? receiver.always, response);
    });
  });
  server.on('connection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received: [],
    replies: [],
    always: 204,
    connections: () => connections,
    waiting: { now: 0, most: 0 },
    verify: ({ body, headers }, secret) => new Webhook(secret).verify(body, headers),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}
