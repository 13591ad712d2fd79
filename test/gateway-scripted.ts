/** A gateway that says what a test tells it to say: for answers that no sandbox gives. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: http.IncomingHttpHeaders;
  /** Fields of a JSON or form body. */
  body: Record<string, unknown>;
}

/** What is answered; without a status 200. `undefined` in place of it: 404, and the test fails on what follows. */
export interface Said {
  status?: number;
  body: unknown;
  /** Held back as long, in ms. */
  afterMs?: number;
}

export interface Scripted {
  readonly origin: string;
  readonly asked: Asked[];
  close(): Promise<void>;
}

/** Starts a server that answers by the script. */
export async function scripted(script: (asked: Asked) => Said | undefined): Promise<Scripted> {
  const asked: Asked[] = [];
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://localhost');
      const isForm =
        request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true;
      const one: Asked = {
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: isForm
          ? Object.fromEntries(new URLSearchParams(text))
          : (JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>),
      };
      asked.push(one);
      const { status = 200, body, afterMs = 0 } = script(one) ?? { status: 404, body: 'not in the script' };
      setTimeout(() => {
        response.writeHead(status, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify(body));
      }, afterMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
