/** Ports of this machine's loopback address: free ones, and whether one answers. */
import { type AddressInfo, connect, createServer, type Server } from 'node:net';

/** Every process of the stack binds here and nowhere else. */
export const LOOPBACK = '127.0.0.1';

async function hold(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, LOOPBACK, resolve);
  });
  return server;
}

/**
 * `count` different TCP ports that are free on the loopback address now. All are held until the last one is known,
 * so they differ; the kernel hands out others meanwhile, so a second stack started beside gets others too.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  try {
    for (let taken = 0; taken < count; taken += 1) servers.push(await hold());
    return servers.map((server) => (server.address() as AddressInfo).port);
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** How often a start may lose its ports to somebody else: once is rare, and five times in a row is no accident. */
const GOES = 5;

/** The kernel's EADDRINUSE, as Go and PostgreSQL quote it. */
const TAKEN = /address already in use/i;

/**
 * Starts a server on ports that were free a moment ago; on others when somebody has taken one in between, as servers
 * do that open ports of their own while they start.
 * @param start is given `count` ports; its error must quote the server's
 */
export async function onFreePorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let go = 1; ; go += 1) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (go === GOES || !(error instanceof Error && TAKEN.test(error.message))) throw error;
    }
  }
}

/** Whether something accepts connections on this loopback port; false after a second without an answer. */
export async function portAnswers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: LOOPBACK });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}
