/** Ports of this machine's loopback address: free ones, and whether one answers. */
import { randomInt } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';

/** Every process of the stack binds here and nowhere else. */
export const LOOPBACK = '127.0.0.1';

/** @param port 0: one that the kernel chooses */
async function hold(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, resolve);
  });
  return server;
}

/**
 * `count` different TCP ports that are free on the loopback address now. All are held until the last one is known,
 * so they differ; the kernel hands out others meanwhile, so a second stack started beside gets others too.
 */
export async function freePorts(count: number): Promise<number[]> {
  return freed(count, () => hold(0));
}

/** As `freePorts`, of those that fit into 16 bits with a sign; the kernel itself hands out none of them. */
export async function freeLowPorts(count: number): Promise<number[]> {
  return freed(count, holdLow);
}

async function holdLow(): Promise<Server> {
  for (;;) {
    try {
      // Below are the ports that well-known servers use. Linux hands out from 32,768, macOS from 49,152.
      return await hold(randomInt(10_000, 32_768));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    }
  }
}

async function freed(count: number, holdOne: () => Promise<Server>): Promise<number[]> {
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
 * @param find chooses them
 */
export async function onFreePorts<T>(
  count: number,
  start: (ports: number[]) => Promise<T>,
  find = freePorts,
): Promise<T> {
  for (let go = 1; ; go += 1) {
    try {
      return await start(await find(count));
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
