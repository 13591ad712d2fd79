/**
 * The ear of one API process: a connection of its own that listens for notices. Its loss must not go unnoticed, and TCP does
 * not tell of every loss: a connection whose other end is gone without a word stays open for as long as nobody writes. So
 * the process sends itself a beat, the way all notices come; a beat that is not heard means a new connection.
 *
 * A pooler in transaction mode hands each statement to another server connection, so LISTEN is lost on it: no beat is heard,
 * the log says so, and the slow poll alone serves those who wait (pgbouncer.org/features.html: LISTEN is session pooling's).
 */
import { randomUUID } from 'node:crypto';
import { Socket } from 'node:net';
import { Client } from 'pg';
import { noticeChannel, readNotice, type Notice } from '../notices';
import type { Logger } from '../telemetry';

/** Who acts on what is heard. */
export interface Hearer {
  hear(notice: Exclude<Notice, { kind: 'beat' }>): void;
  /** Something may have been missed: whatever is waited for is worth a look. */
  lookAgain(): void;
  /** Whether anybody waits. While nobody does, no beat is sent. */
  isNeeded(): boolean;
}

export interface Listener {
  /** Names who acts, and begins to listen. */
  listen(hearer: Hearer): void;
  close(): void;
}

export interface ListenerOptions {
  /** postgres:// URL of the server that is written to: a copy that is only read hears nothing (postgresql.org/docs/17/hot-standby.html). */
  url: string;
  /** Sends a beat by another connection. */
  sendBeat: (id: string) => Promise<void>;
  log: Logger;
  /** Pause between two beats, in ms; one that is not heard by the next is lost. */
  beatEveryMs?: number;
}

/** A dead connection is found within twice this time, in ms; a beat is one small statement. The slow poll takes as long. */
const defaultBeatEveryMs = 5_000;
/** First pause before a new connection, in ms: a restart of PostgreSQL takes seconds. It doubles up to the longest. */
const firstPauseMs = 200;
const longestPauseMs = 10_000;
/** How long connecting, and the one statement, may take, in ms. */
const connectWithinMs = 5_000;

/** One connection, from its opening to its end. */
interface Ear {
  client: Client;
  /** Known so that it can be cut: a polite end would wait for an answer from whoever is not there. */
  socket: Socket;
  listening: boolean;
}

function openEar(url: string): Ear {
  const socket = new Socket();
  const client = new Client({
    connectionString: url,
    application_name: 'payfirst-api-listening',
    stream: () => socket,
    connectionTimeoutMillis: connectWithinMs,
    query_timeout: connectWithinMs,
    keepAlive: true,
    // It has nothing to write, so it cannot.
    options: '-c default_transaction_read_only=on',
  });
  return { client, socket, listening: false };
}

/** Makes a listener; it connects when it is told for whom. */
export function openListener(options: ListenerOptions): Listener {
  const { url, sendBeat, log, beatEveryMs = defaultBeatEveryMs } = options;
  let hearer: Hearer | undefined;
  let ear: Ear | undefined;
  let failures = 0;
  let awaited: string | undefined;
  let beating: NodeJS.Timeout | undefined;
  let retrying: NodeJS.Timeout | undefined;
  let closed = false;

  async function connect(): Promise<void> {
    const own = openEar(url);
    ear = own;
    // Without a listener of its own an error of an idle client would end the process (node-postgres.com/apis/client).
    own.client.on('error', () => lose(own, 'cut'));
    own.client.on('end', () => lose(own, 'cut'));
    own.client.on('notification', ({ payload }) => heard(payload));
    try {
      await own.client.connect();
      await own.client.query(`LISTEN ${noticeChannel}`);
    } catch {
      lose(own, 'unreachable');
      return;
    }
    if (ear !== own) return;
    own.listening = true;
    hearer?.lookAgain();
    // The first beat shows whether this connection hears at all; until then the next pause only grows.
    beat();
  }

  function heard(payload: string | undefined): void {
    const notice = readNotice(payload);
    if (notice?.kind === 'beat') {
      if (notice.id !== awaited) return;
      awaited = undefined;
      if (failures > 0) log.info({ event: 'listener.hears' });
      failures = 0;
    } else if (notice !== undefined) hearer?.hear(notice);
  }

  function beat(): void {
    const id = randomUUID();
    awaited = id;
    sendBeat(id).catch(() => {
      // What cannot be sent says nothing of who would hear it.
      if (awaited === id) awaited = undefined;
    });
  }

  function tick(): void {
    if (ear?.listening !== true) return;
    if (awaited !== undefined) lose(ear, 'deaf');
    else if (hearer?.isNeeded() === true) beat();
  }

  function lose(own: Ear, how: 'cut' | 'deaf' | 'unreachable'): void {
    if (ear !== own || closed) return;
    ear = undefined;
    awaited = undefined;
    own.socket.destroy();
    // One line per loss, and not one per try: an outage may last for hours.
    if (failures === 0) log.warn({ event: 'listener.lost', how });
    const pause = Math.min(firstPauseMs * 2 ** failures, longestPauseMs);
    failures = Math.min(failures + 1, 16);
    // Of many API processes not all come back in the same instant.
    retrying = setTimeout(() => void connect(), pause * (0.5 + Math.random() / 2));
  }

  return {
    listen: (given) => {
      hearer = given;
      beating = setInterval(tick, beatEveryMs);
      void connect();
    },
    close: () => {
      closed = true;
      clearInterval(beating);
      clearTimeout(retrying);
      ear?.socket.destroy();
    },
  };
}
