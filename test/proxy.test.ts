/** The proxy of the chaos runs: each switch does what it says, says that it did, and leaves nothing behind. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts, LOOPBACK } from '../dev/ports';
import { startProxy, type Proxy } from '../chaos/stack/proxy';

interface Far {
  port: number;
  server: Server;
  sockets: Set<Socket>;
  /** All that reached it, of every connection. */
  heard: () => string;
  stop: () => Promise<void>;
}

let fars: Far[];
let nears: Socket[];
let proxies: Proxy[];
beforeEach(() => {
  fars = [];
  nears = [];
  proxies = [];
});
afterEach(async () => {
  for (const near of nears) near.destroy();
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await Promise.all(fars.map((far) => far.stop()));
});

/** A server that answers each piece with its name and the piece, unless told otherwise. */
async function startFar(
  name: string,
  options: { port?: number; onSocket?: (socket: Socket) => void } = {},
): Promise<Far> {
  const sockets = new Set<Socket>();
  let heard = '';
  const echo = (socket: Socket): void => {
    socket.on('data', (piece: Buffer) => {
      heard += piece.toString();
      socket.write(`${name}:${piece.toString()}`);
    });
    socket.on('end', () => socket.end());
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    (options.onSocket ?? echo)(socket);
  });
  server.listen(options.port ?? 0, LOOPBACK);
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const far = { port: (server.address() as AddressInfo).port, server, sockets, heard: () => heard, stop };
  fars.push(far);
  return far;
}

async function startBefore(...targets: readonly { port: number }[]): Promise<Proxy> {
  const proxy = await startProxy(targets.map(({ port }) => ({ host: LOOPBACK, port })));
  proxies.push(proxy);
  return proxy;
}

async function dial(proxy: Proxy): Promise<Socket> {
  const socket = connect({ port: proxy.port, host: LOOPBACK, allowHalfOpen: true });
  socket.on('error', () => undefined);
  nears.push(socket);
  await once(socket, 'connect');
  return socket;
}

/** Sends, and waits for the next piece that comes back. */
async function ask(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [piece] = (await once(socket, 'data')) as [Buffer];
  return piece.toString();
}

/** How a connection ends: the code of its error, or `end`. */
async function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.once('end', () => resolve('end'));
    socket.resume();
  });
}

const none = { latency: 0, reset: 0, silence: 0, cutAfterDelivery: 0 };

test('hands on in both directions, and counts nothing while no fault is on', async () => {
  const proxy = await startBefore(await startFar('a'));
  const socket = await dial(proxy);
  expect(await ask(socket, 'one')).toBe('a:one');
  expect(await ask(socket, 'two')).toBe('a:two');
  expect(proxy.struck()).toEqual(none);
});

test('a side that has only stopped sending still gets its answer', async () => {
  const far = await startFar('a', {
    onSocket: (socket) => {
      let all = '';
      socket.on('data', (piece: Buffer) => void (all += piece.toString()));
      socket.on('end', () => socket.end(`all of ${all}`));
    },
  });
  const socket = await dial(await startBefore(far));
  socket.end('the question');
  const [piece] = (await once(socket, 'data')) as [Buffer];
  expect(piece.toString()).toBe('all of the question');
  expect(await ending(socket)).toBe('end');
});

test('a server that resets is seen as a reset, not as the end of an answer', async () => {
  const far = await startFar('a', {
    onSocket: (socket) => socket.on('data', () => socket.resetAndDestroy()),
  });
  const socket = await dial(await startBefore(far));
  socket.write('x');
  expect(await ending(socket)).toBe('ECONNRESET');
});

test('latency is added once to each round trip, in order, also when it becomes shorter meanwhile', async () => {
  const far = await startFar('a');
  const proxy = await startBefore(far);
  const socket = await dial(proxy);
  proxy.latency(1_000);
  const began = performance.now();
  await ask(socket, 'slow');
  const took = performance.now() - began;
  // Node's timers end up to a millisecond early by this clock.
  expect(took).toBeGreaterThan(998);
  expect(took).toBeLessThan(1_900);
  proxy.latency(100);

  socket.write('1');
  await sleep(10);
  socket.write('2');
  await sleep(10);
  proxy.latency(2);
  socket.write('3');
  while (far.heard() !== 'slow123') await sleep(5);
  // Three pieces of latency, one connection: touched once by each.
  expect(proxy.struck()).toEqual({ ...none, latency: 3 });
});

test('reset ends all present connections towards both sides, and says how many', async () => {
  const far = await startFar('a');
  const proxy = await startBefore(far);
  const sockets = await Promise.all([dial(proxy), dial(proxy), dial(proxy)]);
  await Promise.all(sockets.map((socket) => ask(socket, 'x')));
  const endings = Promise.all([...sockets, ...far.sockets].map(ending));
  expect(proxy.reset()).toBe(3);
  expect(await endings).toEqual(Array(6).fill('ECONNRESET'));
  expect(proxy.struck()).toEqual({ ...none, reset: 3 });
  expect(proxy.reset()).toBe(0);
  expect(await ask(await dial(proxy), 'again')).toBe('a:again');
});

test('what is sent into silence is never delivered, on old connections and new ones, and these end with it', async () => {
  const far = await startFar('a');
  const proxy = await startBefore(far);
  const [old, idle] = [await dial(proxy), await dial(proxy)];
  await ask(old, 'before,');
  await ask(idle, 'before,');
  proxy.silence(true);
  const fresh = await dial(proxy);
  const answers: string[] = [];
  for (const socket of [old, fresh]) {
    socket.on('data', (piece: Buffer) => answers.push(piece.toString()));
    socket.write('lost');
  }
  await sleep(100);
  expect(answers).toEqual([]);
  const endings = Promise.all([ending(old), ending(fresh)]);
  proxy.silence(false);
  await endings;
  expect(answers).toEqual([]);
  expect(far.heard()).toBe('before,before,');
  expect(proxy.struck()).toEqual({ ...none, silence: 2 });
  // Nothing was lost on this one.
  expect(await ask(idle, 'after')).toBe('a:after');
});

test('in silence a side does not learn that the other is gone', async () => {
  const far = await startFar('a');
  const proxy = await startBefore(far);
  const socket = await dial(proxy);
  await ask(socket, 'x');
  let ended = false;
  socket.on('end', () => (ended = true));
  proxy.silence(true);
  await far.stop();
  await sleep(50);
  expect(ended).toBe(false);
  const over = ending(socket);
  proxy.silence(false);
  await over;
});

test('cut after delivery: the request arrives, the answer does not, and both sides are cut off', async () => {
  const far = await startFar('a');
  const proxy = await startBefore(far);
  const [old, other] = [await dial(proxy), await dial(proxy)];
  await ask(old, 'before,');
  await ask(other, 'before,');
  proxy.cutAfterDelivery(true);
  const fresh = await dial(proxy);
  for (const socket of [old, fresh]) {
    let answer = '';
    socket.on('data', (piece: Buffer) => void (answer += piece.toString()));
    socket.write('commit,');
    await ending(socket);
    expect(answer).toBe('');
  }
  expect(far.heard()).toBe('before,before,commit,commit,');
  while (far.sockets.size > 1) await sleep(5);
  expect(proxy.struck()).toEqual({ ...none, cutAfterDelivery: 2 });
  proxy.clear();
  expect(await ask(other, 'after')).toBe('a:after');
});

test('clear makes it ordinary again', async () => {
  const proxy = await startBefore(await startFar('a'));
  proxy.latency(1_000);
  proxy.silence(true);
  proxy.cutAfterDelivery(true);
  proxy.clear();
  const socket = await dial(proxy);
  const began = performance.now();
  expect(await ask(socket, 'one')).toBe('a:one');
  expect(await ask(socket, 'two')).toBe('a:two');
  expect(performance.now() - began).toBeLessThan(500);
  expect(proxy.struck()).toEqual(none);
});

test('several targets take turns; one that is away is passed over, and has its turns again when it is back', async () => {
  const [a, b] = [await startFar('a'), await startFar('b')];
  const proxy = await startBefore(a, b);
  const names = async (): Promise<string[]> => {
    const seen: string[] = [];
    for (let n = 0; n < 4; n += 1) seen.push((await ask(await dial(proxy), 'x')).slice(0, 1));
    return seen.sort();
  };
  expect(await names()).toEqual(['a', 'a', 'b', 'b']);
  await a.stop();
  expect(await names()).toEqual(['b', 'b', 'b', 'b']);
  await startFar('c', { port: a.port });
  expect(await names()).toEqual(['b', 'b', 'c', 'c']);
});

test('a connection that no target takes is destroyed', async () => {
  const [one, two] = await freePorts(2);
  const proxy = await startBefore({ port: one ?? 0 }, { port: two ?? 0 });
  const socket = await dial(proxy);
  await ending(socket);
  await startFar('late', { port: two ?? 0 });
  expect(await ask(await dial(proxy), 'x')).toBe('late:x');
});

test('fifty connections at once, each with its own answer', async () => {
  const proxy = await startBefore(await startFar('a'), await startFar('b'));
  proxy.latency(20);
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => (await ask(await dial(proxy), `<${n}>`)).slice(2)),
  );
  expect(answers).toEqual(Array.from({ length: 50 }, (_, n) => `<${n}>`));
  expect(proxy.struck()).toEqual({ ...none, latency: 50 });
});

test.each([0, 20])(
  'a reader that is slow makes the writer wait, and loses nothing (latency %i)',
  async (latency) => {
    const pieces = 64;
    const piece = Buffer.alloc(1024 * 1024, 'x');
    let reader: Socket | undefined;
    const far = await startFar('a', { onSocket: (socket) => (reader = socket.pause()) });
    const proxy = await startBefore(far);
    proxy.latency(latency);
    const socket = await dial(proxy);
    while (reader === undefined) await sleep(5);
    let gone = 0;
    for (let n = 0; n < pieces; n += 1) socket.write(piece, () => (gone += 1));
    socket.end();
    for (let before = -1; before !== gone; await sleep(500)) before = gone;
    // What fits into the kernel's buffers and the proxy's.
    expect(gone).toBeLessThan(pieces / 2);
    let came = 0;
    reader.on('data', (data: Buffer) => (came += data.length));
    await once(reader.resume(), 'end');
    expect(came).toBe(pieces * piece.length);
  },
);

test('close ends its connections and frees its port', async () => {
  const far = await startFar('a');
  const proxy = await startBefore(far);
  const socket = await dial(proxy);
  await ask(socket, 'x');
  const over = ending(socket);
  await proxy.close();
  await over;
  expect(
    await startProxy([{ host: LOOPBACK, port: far.port }], { port: proxy.port }).then((again) =>
      proxies.push(again),
    ),
  ).toBe(2);
});
