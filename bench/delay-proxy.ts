/** A TCP proxy that delivers every piece late: a network's distance, without the network. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import { LOOPBACK } from '../dev/ports';

/** A running proxy. */
export interface DelayProxy {
  port: number;
  close: () => Promise<void>;
}

/** Hands on what comes, in its order, `delayMs` later. */
function relay(from: Socket, to: Socket, delayMs: number): void {
  from.on('data', (piece) => setTimeout(() => void (to.writable && to.write(piece)), delayMs));
  from.on('end', () => setTimeout(() => to.end(), delayMs));
  from.on('error', () => to.destroy());
  from.on('close', () => setTimeout(() => to.destroy(), delayMs * 2));
}

/**
 * Starts a proxy on a free loopback port in front of another server.
 * @param roundTripMs added to each round trip, half on the way in and half on the way out; Node's timers make it a little more
 */
export async function startDelayProxy(
  target: { host: string; port: number },
  roundTripMs: number,
): Promise<DelayProxy> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ ...target, noDelay: true });
    near.setNoDelay(true);
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
    }
    relay(near, far, roundTripMs / 2);
    relay(far, near, roundTripMs / 2);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, LOOPBACK, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
