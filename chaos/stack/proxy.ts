/**
 * A TCP proxy that plays a bad network between two programs, or a load balancer in front of several. Its switches hold for
 * connections that are there and for new ones, and have toxiproxy's names where it has them (README of Shopify/toxiproxy,
 * read 2026-11): `latency`; `silence` is its `timeout` of 0, `reset` its `reset_peer`.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { LOOPBACK } from '../../dev/ports';

/** Where a connection can be handed on to. */
export interface Target {
  host: string;
  port: number;
}

/** How many connections each kind of fault has touched since the start; again when it is switched on again. */
export type Struck = Record<'latency' | 'reset' | 'silence' | 'cutAfterDelivery', number>;

/** A running proxy. */
export interface Proxy {
  port: number;
  /** Adds `ms` to each round trip, half on the way in and half on the way out; Node's timers make it a little more. */
  latency: (ms: number) => void;
  /** Resets all present connections, towards both sides; answers how many. */
  reset: () => number;
  /**
   * On: accepts and reads, and hands nothing on, not even that a side is gone. Off: destroys every connection on which
   * something was lost meanwhile, since a stream with a hole in it is what no network delivers.
   */
  silence: (on: boolean) => void;
  /**
   * On: what comes in is delivered, and at the first piece of an answer the connection is destroyed towards both sides, so
   * that whoever asked cannot know whether it was done. Where a server speaks first (PostgreSQL's sign-in, HTTP/2's
   * settings) a new connection is cut then; only those that are there already get a request through.
   */
  cutAfterDelivery: (on: boolean) => void;
  /** Ends all faults. */
  clear: () => void;
  struck: () => Struck;
  close: () => Promise<void>;
}

/** What may wait in one direction of one connection, in bytes, until its source is made to wait: a few socket buffers. */
const waitingLimit = 256 * 1024;

/** An accepted connection, and the one it is handed on by; there is none while no target has accepted. */
interface Link {
  near: Socket;
  far?: Socket;
}

/** The faults that are on, and whom they have touched. */
class Faults {
  delayMs = 0;
  silent = false;
  cutting = false;
  readonly struck: Struck = { latency: 0, reset: 0, silence: 0, cutAfterDelivery: 0 };
  /** Whom each has touched since it was switched on. */
  readonly touched = { latency: new Set<Link>(), silence: new Set<Link>() };

  strike(fault: keyof Faults['touched'], link: Link): void {
    if (this.touched[fault].has(link)) return;
    this.touched[fault].add(link);
    this.struck[fault] += 1;
  }
}

function destroy({ near, far }: Link): void {
  near.destroy();
  far?.destroy();
}

/** Hands on in one direction, in order. A source's end waits its turn like a piece; its failure does not. */
function relay(link: Link, from: Socket, to: Socket, faults: Faults): void {
  const waiting: (Buffer | 'end')[] = [];
  let bytes = 0;
  const flow = (): void => {
    if (bytes + to.writableLength > waitingLimit) from.pause();
    else from.resume();
  };
  // Each timer hands on the oldest piece, whoever set it: a shorter latency overtakes nothing.
  const handOn = (): void => {
    const piece = waiting.shift();
    if (piece === undefined) return;
    if (piece !== 'end') bytes -= piece.length;
    if (faults.silent) faults.strike('silence', link);
    else if (piece === 'end') to.end();
    else if (to.writable) to.write(piece);
    flow();
  };
  const receive = (piece: Buffer | 'end'): void => {
    if (faults.silent) return faults.strike('silence', link);
    if (faults.cutting && from === link.far && piece !== 'end') {
      faults.struck.cutAfterDelivery += 1;
      return destroy(link);
    }
    waiting.push(piece);
    if (piece !== 'end') bytes += piece.length;
    if (faults.delayMs > 0) faults.strike('latency', link);
    if (faults.delayMs > 0 || waiting.length > 1) setTimeout(handOn, faults.delayMs);
    else handOn();
    flow();
  };
  from.on('data', receive);
  from.on('end', () => receive('end'));
  from.on('error', () => {
    if (faults.silent) faults.strike('silence', link);
    else to.resetAndDestroy();
  });
  to.on('drain', flow);
}

/** Connects to the first of `targets` that accepts; undefined when none does. */
async function reach(targets: readonly Target[]): Promise<Socket | undefined> {
  for (const target of targets) {
    const socket = connect({ ...target, noDelay: true, allowHalfOpen: true });
    const accepted = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    if (accepted) return socket;
  }
  return undefined;
}

/**
 * Starts a proxy on a loopback port. With several targets each new connection goes to the next one in turn, past those that
 * refuse; when all refuse it is destroyed. A target may go, and come back on the same port.
 * @param options.port a free one when not given
 * @throws Error when the port is taken
 */
export async function startProxy(
  targets: readonly Target[],
  { port = 0 }: { port?: number } = {},
): Promise<Proxy> {
  const links = new Set<Link>();
  const faults = new Faults();
  let turn = 0;

  function drop(link: Link): void {
    if (link.near.destroyed && link.far?.destroyed !== false) links.delete(link);
  }

  async function accept(link: Link): Promise<void> {
    const { near } = link;
    if (faults.silent) {
      faults.strike('silence', link);
      near.resume();
      return;
    }
    turn = (turn + 1) % targets.length;
    const far = await reach([...targets.slice(turn), ...targets.slice(0, turn)]);
    if (far === undefined || near.destroyed) {
      near.destroy();
      far?.destroy();
      return;
    }
    link.far = far.on('close', () => drop(link));
    relay(link, near, far, faults);
    relay(link, far, near, faults);
    near.resume();
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (near) => {
    const link: Link = { near };
    links.add(link);
    near.on('error', () => undefined).on('close', () => drop(link));
    void accept(link);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, resolve);
  });

  const proxy: Proxy = {
    port: (server.address() as AddressInfo).port,
    latency: (ms) => {
      faults.delayMs = ms / 2;
      faults.touched.latency.clear();
    },
    reset: () => {
      const present = [...links];
      for (const { near, far } of present) {
        near.resetAndDestroy();
        far?.resetAndDestroy();
      }
      faults.struck.reset += present.length;
      return present.length;
    },
    silence: (on) => {
      faults.silent = on;
      if (on) return;
      for (const link of faults.touched.silence) destroy(link);
      faults.touched.silence.clear();
    },
    cutAfterDelivery: (on) => {
      faults.cutting = on;
    },
    clear: () => {
      proxy.latency(0);
      proxy.silence(false);
      proxy.cutAfterDelivery(false);
    },
    struck: () => ({ ...faults.struck }),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const link of links) destroy(link);
      await closed;
    },
  };
  return proxy;
}
