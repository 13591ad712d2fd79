/** Ports of this machine's loopback address: free ones, and whether one answers. */
import { randomInt } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { types } from 'node:util';

/** Every process of the stack binds here and nowhere else. */
export const LOOPBACK = '127.0.0.1';

async function hold(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, resolve);
  });
  return server;
}

/**
 * Where to choose from: above the ports that well-known servers use, and below those that the kernel gives to outgoing
 * connections (Linux from 32,768, macOS from 49,152). A server that is killed and started again finds its port free, however
 * many connections were made meanwhile; and they fit into 16 bits with a sign: Temporal's
 * production server keeps ports of its members in a smallint, and does not start on one that is too large for it.
 */
const [lowest, above] = [10_000, 32_768];

async function holdOne(): Promise<Server> {
  for (;;) {
    try {
      return await hold(randomInt(lowest, above));
    } catch (error) {
      if (!(types.isNativeError(error) && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    }
  }
}

/** `count` different TCP ports that are free on the loopback address now. All are held until the last one is known. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  try {
    for (let taken = 0; taken < count; taken += 1) servers.push(await holdOne());
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
