/** Clients of live events, as the wire sees them, and a connection that goes dead without a word. */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import type { Knex } from 'knex';
import { openNotices, type Subject } from '../src/notices';
import { makeLogger } from '../src/telemetry';
import type { Json } from './world';
import { eventually } from './world';

export interface LiveEvent {
  event: string;
  id: string;
  data: Json;
}

export interface Follower {
  status: number;
  headers: Headers;
  /** What came so far. */
  events: LiveEvent[];
  /** Everything but events: comments, and the pause before a reconnect. */
  lines: string[];
  /** Waits until so many events came. */
  have(count: number): Promise<LiveEvent[]>;
  /** Resolves when the server ends it, or the connection breaks. */
  ended: Promise<void>;
  leave(): void;
}

/** Follows a stream by hand, as a browser would. */
export async function follow(
  url: string,
  options: { token?: string; lastEventId?: string } = {},
): Promise<Follower> {
  const leaving = new AbortController();
  const response = await fetch(url, {
    signal: leaving.signal,
    headers: {
      accept: 'text/event-stream',
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
    },
  });
  const events: LiveEvent[] = [];
  const lines: string[] = [];
  return {
    status: response.status,
    headers: response.headers,
    events,
    lines,
    have: (count) =>
      eventually(`event number ${count} (status ${response.status})`, async () =>
        events.length >= count ? events : undefined,
      ),
    ended: readBlocks(response, events, lines).catch(() => undefined),
    leave: () => leaving.abort(),
  };
}

async function readBlocks(response: Response, events: LiveEvent[], lines: string[]): Promise<void> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, event, id, data] = /^event: (.+)\nid: (.+)\ndata: (.+)$/.exec(block) ?? [];
      if (event === undefined || id === undefined || data === undefined) lines.push(block);
      else events.push({ event, id, data: JSON.parse(data) });
    }
  }
}

/** Tells of a change as activities do. */
export function tell(db: Knex, subject: Subject): void {
  openNotices(db, makeLogger('test', 'silent')).tell(subject);
}

/** Raises an attempt's version; nobody is told. */
export async function changeSilently(db: Knex, bookingId: string): Promise<void> {
  await db('attempts').where({ booking_id: bookingId }).update({ cancel_reason: 'only a change' });
}

/** Raises an attempt's version and tells of it. */
export async function change(db: Knex, bookingId: string): Promise<void> {
  await changeSilently(db, bookingId);
  tell(db, { bookingId });
}

export interface MuteProxy {
  /** The URL of the same database, through the proxy. */
  url: string;
  /** From now on nothing passes, and nobody is told: connections stay open. */
  mute(): void;
  /** New connections pass again; the dead ones stay dead. */
  unmute(): void;
  /** Connections opened so far. */
  opened(): number;
  close(): Promise<void>;
}

/** A network path to PostgreSQL that can die as real ones do: without a FIN, without an RST. */
export async function startMuteProxy(databaseUrl: string): Promise<MuteProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  const dead = new WeakSet<Socket>();
  let muted = false;
  let opened = 0;
  const server = createServer((client) => {
    opened += 1;
    const upstream = connect(Number(target.port), target.hostname);
    if (muted) for (const end of [client, upstream]) dead.add(end);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes) => {
        if (!dead.has(from)) to.write(bytes);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        if (!dead.has(from)) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(databaseUrl);
  through.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: through.href,
    mute: () => {
      muted = true;
      for (const socket of sockets) dead.add(socket);
    },
    unmute: () => {
      muted = false;
    },
    opened: () => opened,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
