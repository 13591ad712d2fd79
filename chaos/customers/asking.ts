/** Asking the API as a patient client does: again with the same key while nobody answers, and never after a definite answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { makeToken } from '../../dev/token';

/** How long one request may take, in ms: longer than the API's own waits of five seconds. */
const answerWithinMs = 8_000;

/** Between two goes, in ms. */
const pauseMs = 500;

/** An answer with a meaning: below 500, and no "too many". */
export interface Answer {
  status: number;
  /** JSON of the API. */
  body: unknown;
}

/** One signed-in client of the run. */
export interface Client {
  /**
   * @param patience.until milliseconds since 1970
   * @returns undefined when the patience ran out first
   */
  ask(
    method: string,
    path: string,
    patience: { until: number },
    rest?: { body?: unknown; key?: string },
  ): Promise<Answer | undefined>;
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
  const once = async (
    method: string,
    path: string,
    rest: { body?: unknown; key?: string },
  ): Promise<Answer> => {
    const response = await fetch(`${api}${path}`, {
      method,
      signal: AbortSignal.timeout(answerWithinMs),
      headers: {
        authorization: `Bearer ${token}`,
        ...(rest.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(rest.key === undefined ? {} : { 'idempotency-key': rest.key }),
      },
      ...(rest.body === undefined ? {} : { body: JSON.stringify(rest.body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
  };
  return {
    ask: async (method, path, { until }, rest = {}) => {
      for (;;) {
        try {
          const answer = await once(method, path, rest);
          if (answer.status < 500 && answer.status !== 429) return answer;
          note(`${method} ${path.split('?')[0] ?? ''}: ${answer.status}`);
        } catch (error) {
          note(
            `${method} ${path.split('?')[0] ?? ''}: ${error instanceof Error ? error.name : String(error)}`,
          );
        }
        if (Date.now() + pauseMs > until) return undefined;
        await sleep(pauseMs);
      }
    },
  };
}
