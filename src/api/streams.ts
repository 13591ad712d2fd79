/**
 * Server-sent events (html.spec.whatwg.org/multipage/server-sent-events.html): answers that stay open. The format is three
 * lines, so the work is what no library does: bounds. A stream ends by itself, one that is not read is cut, and nobody
 * takes all the room.
 */
import type { Response } from 'express';
import type { Logger, Metrics } from '../telemetry';
import { Problem, unavailable } from './problem';

/** One event: the newest state, whole. */
export interface StreamEvent {
  event: string;
  /** Rises with what it tells. */
  id: number;
  data: unknown;
}

export interface Stream {
  send(event: StreamEvent): void;
  readonly ended: boolean;
  /** Calls this when the stream is over, whoever ended it; at once when it is over already. */
  whenEnded(run: () => void): void;
  end(): void;
}

/** Pause between two comments, in ms: proxies cut what is silent, the usual ones after 60 s, some after 30. */
const pingEveryMs = 20_000;
/** Longest life of a stream, in ms. What was allowed an hour ago may not be any more; the browser comes back by itself. */
export const longestLifeMs = 3_600_000;
/**
 * Bytes that may wait in this process for one client, beyond what the kernel keeps: some thirty events. Who has not read
 * those is gone or too slow, and comes back to the newest state.
 */
const slowBytes = 64 * 1024;
/** The browser comes back after this time, in ms, and up to as much again: after a restart, not all in one instant. */
const retryMs = 2_000;
/** No caller takes more than this share of the streams: behind one address may be a whole university, but not all customers. */
const shareOfOne = 10;

export interface Streams {
  /**
   * Turns an answer into a stream.
   * @param who whose share it counts in: a customer, or an address
   * @throws Problem `rate-limited` when that share is used up, `unavailable` when all streams are, or the process ends
   */
  open(response: Response, who: string, lifeMs?: number): Stream;
  readonly size: number;
}

/** Opens the place of all streams of one process. */
export function openStreams(options: {
  max: number;
  log: Logger;
  metrics: Metrics;
  stopping: AbortSignal | undefined;
}): Streams {
  const { max, log, metrics, stopping } = options;
  const streams = new Set<OpenStream>();
  const shares = new Map<string, number>();
  let pinging: NodeJS.Timeout | undefined;

  function refuseTooMany(who: string): void {
    if (stopping?.aborted === true) throw unavailable();
    if (streams.size >= max) throw unavailable('Too many streams are open here; try again in a moment.');
    const share = Math.max(1, Math.floor(max / shareOfOne));
    if ((shares.get(who) ?? 0) < share) return;
    const detail = `At most ${share} streams at once; close one, or wait with ?wait instead.`;
    throw new Problem('rate-limited', detail, { headers: { 'Retry-After': '60' } });
  }

  function count(who: string, change: 1 | -1): void {
    const now = (shares.get(who) ?? 0) + change;
    if (now === 0) shares.delete(who);
    else shares.set(who, now);
    metrics.liveStreams.set(streams.size);
    if (streams.size > 0) pinging ??= setInterval(ping, pingEveryMs);
    else {
      clearInterval(pinging);
      pinging = undefined;
    }
  }

  function ping(): void {
    for (const stream of streams) stream.write(': still here\n\n');
  }

  stopping?.addEventListener('abort', () => {
    for (const stream of streams) stream.end();
  });

  return {
    open: (response, who, lifeMs = longestLifeMs) => {
      refuseTooMany(who);
      const stream = openStream(response, Math.min(lifeMs, longestLifeMs), () =>
        log.info({ event: 'stream.cut' }),
      );
      streams.add(stream);
      count(who, 1);
      stream.whenEnded(() => {
        streams.delete(stream);
        count(who, -1);
      });
      // Express answers HEAD by the handler of GET, and nothing would ever follow.
      if (response.req.method === 'HEAD') stream.end();
      return stream;
    },
    get size() {
      return streams.size;
    },
  };
}

interface OpenStream extends Stream {
  write(text: string): void;
}

function openStream(response: Response, lifeMs: number, tellCut: () => void): OpenStream {
  const leaving: (() => void)[] = [];
  let ended = false;

  function over(): void {
    if (ended) return;
    ended = true;
    clearTimeout(life);
    for (const run of leaving) run();
  }

  function write(text: string): void {
    if (ended) return;
    response.write(text);
    if (response.writableLength <= slowBytes) return;
    tellCut();
    over();
    response.destroy();
  }

  function end(): void {
    over();
    response.end();
  }

  const life = setTimeout(end, lifeMs);
  response.once('close', over);
  // Gone while its first state was read: no event will tell of it any more.
  if (response.destroyed) over();
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    // nginx would keep events until its buffer is full (nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering).
    'X-Accel-Buffering': 'no',
    // The connection is of no use afterwards, and a process that ends need not wait for it.
    Connection: 'close',
  });
  write(`retry: ${retryMs + Math.floor(Math.random() * retryMs)}\n\n`);
  return {
    write,
    end,
    send: ({ event, id, data }) => write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`),
    whenEnded: (run) => {
      if (ended) run();
      else leaving.push(run);
    },
    get ended() {
      return ended;
    },
  };
}
