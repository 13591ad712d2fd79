/** An endpoint for webhooks that only writes down what comes, as it comes. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Delivery } from './gateway-counterpart';

export interface Deliveries {
  readonly url: string;
  /** The first delivery, come or still to come within 5 s, whose body is meant. */
  first(isMeant: (body: string) => boolean): Promise<Delivery>;
  close(): Promise<void>;
}

/** Opens the endpoint; it answers 200 to everything. */
export async function takeDeliveries(): Promise<Deliveries> {
  const came: Delivery[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)]);
      came.push({
        rawBody: Buffer.concat(chunks),
        headers: Object.fromEntries(headers) as Record<string, string>,
      });
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    first: async (isMeant) => {
      const end = Date.now() + 5_000;
      for (;;) {
        const found = came.find(({ rawBody }) => isMeant(rawBody.toString('utf8')));
        if (found !== undefined) return found;
        if (Date.now() > end) throw new Error(`not delivered, only ${came.length} others`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
