/** Asking the API as a patient client does: again with the same key while nobody answers, and never after a definite answer. */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeToken } from '../../dev/token';

/** How long one request may take, in ms: longer than the API itself waits, twenty seconds for news and eight for a pay page. */
const answerWithinMs = 25_000;

/**
 * Between two goes, in ms: longer each time, and never the same for two customers. Hundreds who come again every half second
 * keep down what has just come up, and this very process with it.
 */
const pause = { first: 500, longest: 4_000 } as const;

const pauseBefore = (go: number): number =>
  Math.min(pause.first * 2 ** go, pause.longest) * (0.5 + Math.random());

/** An answer with a meaning: below 500, and no "too many". */
export interface Answer {
  status: number;
  /** JSON of the API. */
  body: unknown;
  /** When to come again, in ms; 0 where nothing is said. */
  afterMs: number;
}

/** One signed-in client of the run. */
export interface Client {
  /**
   * @param until milliseconds since 1970; asked before each go, for who waits may be told meanwhile that the run closes
   * @returns undefined when the patience ran out first
   */
  ask(
    method: string,
    path: string,
    until: () => number,
    rest?: { body?: unknown; key?: string },
  ): Promise<Answer | undefined>;
}

/** Connections at once. Whoever finds none free waits here, rather than in the kernel, where a thousand others knock. */
const maxSockets = 1_000;

/**
 * Connections of all customers. Not `fetch`: the pool behind it keeps a client for every connection it ever had at once and
 * looks through all of them for each request, which took a whole core after the first ten seconds of silence.
 */
const agent = new Agent({ keepAlive: true, maxSockets });

class TooLate extends Error {
  override readonly name = 'TooLate';
}

/** Asks once. @throws when no whole answer came in time */
async function once(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  { body, key }: { body?: unknown; key?: string },
): Promise<Answer> {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      method,
      agent,
      headers: {
        ...headers,
        ...(sent === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
    });
    const timer = setTimeout(() => asked.destroy(new TooLate()), answerWithinMs);
    asked.on('close', () => clearTimeout(timer));
    asked.on('error', reject);
    asked.on('response', (response) => {
      text(response)
        .then((came) => {
          const read: unknown = came === '' ? undefined : JSON.parse(came);
          const afterMs = Number(response.headers['retry-after'] ?? 0) * 1000;
          resolve({ status: response.statusCode ?? 0, body: read, afterMs });
        })
        .catch(reject);
    });
    asked.end(sent);
  });
}

/**
 * A client with a token of its own.
 * @param note is told of each go that had no definite answer
 */
export async function makeClient(
  api: string,
  env: Readonly<Record<string, string>>,
  who: { sub: string; scope: string },
  note: (trouble: string) => void,
): Promise<Client> {
  const token = await makeToken({ ...who, minutes: 120 }, env);
  const headers = { authorization: `Bearer ${token}` };
  return {
    ask: async (method, path, until, rest = {}) => {
      for (let go = 0; ; go += 1) {
        let afterMs = 0;
        try {
          const answer = await once(method, `${api}${path}`, headers, rest);
          if (answer.status < 500 && answer.status !== 429) return answer;
          ({ afterMs } = answer);
          note(`${method} ${path.split('?')[0] ?? ''}: ${answer.status}`);
        } catch (error) {
          note(
            `${method} ${path.split('?')[0] ?? ''}: ${error instanceof Error ? error.name : String(error)}`,
          );
        }
        const pauseMs = Math.max(pauseBefore(go), afterMs);
        if (Date.now() + pauseMs > until()) return undefined;
        await sleep(pauseMs);
      }
    },
  };
}
