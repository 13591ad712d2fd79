/**
 * The wire between an adapter and its gateway, which tests can cut: a proxy that passes everything on as it is, unless it is
 * told to lose, to break or to hold an answer. So faults are the same for every gateway, also for one that has no switches.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as the adapter sent it. */
export interface WireRequest {
  method: string;
  /** With the query. */
  path: string;
  headers: http.IncomingHttpHeaders;
  body: string;
}

/**
 * What goes wrong. `-done`: the gateway got the request and did as it was told, `-undone`: it never heard of it.
 * - `lost`: the connection dies without an answer. `500`: an answer in JSON that says nothing.
 * - `429`: not done, come back in 7 s. `garbled`: done, and 200, but the answer is cut off in its middle.
 * - `page`: not done, and a proxy's page of HTML with 502. `held`: done, and no answer until the wire is mended.
 */
export type WireFault =
  'lost-done' | 'lost-undone' | '500-done' | '500-undone' | '429' | 'garbled' | 'page' | 'held';

export interface Wire {
  /** Origin that stands for the gateway's. */
  readonly origin: string;
  /** Everything that came so far. */
  readonly requests: readonly WireRequest[];
  /** From now on, what is meant suffers this. */
  cut(fault: WireFault, isMeant: (request: WireRequest) => boolean): void;
  mend(): void;
  close(): Promise<void>;
}

/** Headers that are of one hop, or that `fetch` writes by itself. */
const hopHeaders = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'keep-alive',
  'expect',
]);

/** Lays a wire to a gateway's origin. */
export async function layWire(target: string): Promise<Wire> {
  const requests: WireRequest[] = [];
  let cut: { fault: WireFault; isMeant: (request: WireRequest) => boolean } | undefined;
  const held = new Set<http.ServerResponse>();
  const server = http.createServer((incoming, outgoing) => {
    void take(incoming, outgoing).catch(() => outgoing.destroy());
  });

  async function take(incoming: http.IncomingMessage, outgoing: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const request: WireRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    };
    requests.push(request);
    const fault = cut?.isMeant(request) === true ? cut.fault : undefined;
    if (fault !== undefined && undone.has(fault)) return suffer(fault, outgoing);
    const answer = await passOn(target, request);
    return fault === undefined ? give(outgoing, answer) : suffer(fault, outgoing, answer);
  }

  function suffer(fault: WireFault, outgoing: http.ServerResponse, answer?: Given): void {
    switch (fault) {
      case 'lost-done':
      case 'lost-undone':
        outgoing.destroy();
        break;
      case '500-done':
      case '500-undone':
        give(outgoing, { status: 500, type: 'application/json', body: '{}' });
        break;
      case '429':
        outgoing.setHeader('Retry-After', '7');
        give(outgoing, { status: 429, type: 'application/json', body: '{}' });
        break;
      case 'page':
        give(outgoing, { status: 502, type: 'text/html', body: '<h1>Bad gateway</h1>' });
        break;
      case 'garbled':
        give(outgoing, {
          status: 200,
          type: 'application/json',
          body: (answer?.body ?? '').slice(0, Math.floor((answer?.body.length ?? 0) / 2)),
        });
        break;
      case 'held':
        held.add(outgoing);
    }
  }

  function mend(): void {
    cut = undefined;
    for (const outgoing of held) outgoing.destroy();
    held.clear();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    cut: (fault, isMeant) => {
      cut = { fault, isMeant };
    },
    mend,
    close: async () => {
      mend();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Faults that strike before the gateway hears of anything. */
const undone: ReadonlySet<WireFault> = new Set(['lost-undone', '500-undone', '429', 'page'] as const);

interface Given {
  status: number;
  type: string;
  body: string;
}

async function passOn(target: string, { method, path, headers, body }: WireRequest): Promise<Given> {
  const passed = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    hopHeaders.has(name) || value === undefined ? [] : [[name, String(value)]],
  );
  const response = await fetch(`${target}${path}`, {
    method,
    headers: passed,
    ...(body === '' ? {} : { body }),
  });
  return {
    status: response.status,
    type: response.headers.get('content-type') ?? 'application/json',
    body: await response.text(),
  };
}

function give(outgoing: http.ServerResponse, { status, type, body }: Given): void {
  outgoing.writeHead(status, { 'Content-Type': type });
  outgoing.end(body);
}
