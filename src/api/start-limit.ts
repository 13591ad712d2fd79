/** The limit on starts: a repeat of a known key is not a start, also when fifty come at once or no worker answers. */
import type { Request, RequestHandler, Response } from 'express';

/** How long a key that was counted is remembered, in ms: as long as the limit's window. */
const rememberMs = 60_000;

export interface StartLimit {
  /** @throws Problem `rate-limited` */
  count(bookingId: string, request: Request, response: Response): Promise<void>;
}

/** Makes the limit of one process around the library's limiter. It remembers no more keys than it let pass in a minute. */
export function makeStartLimit(limiter: RequestHandler): StartLimit {
  const counted = new Map<string, { verdict: Promise<void>; until: number }>();

  function ask(request: Request, response: Response): Promise<void> {
    return new Promise((resolve, reject) => {
      const next = (error?: unknown) => {
        if (error instanceof Error) reject(error);
        else resolve();
      };
      Promise.resolve(limiter(request, response, next)).catch(reject);
    });
  }

  function forget(now: number): void {
    // In order of insertion, so the first that is young ends the walk.
    for (const [id, { until }] of counted) {
      if (until > now) return;
      counted.delete(id);
    }
  }

  return {
    async count(bookingId, request, response) {
      const now = Date.now();
      forget(now);
      const known = counted.get(bookingId);
      if (known !== undefined) return known.verdict;
      const verdict = ask(request, response);
      counted.set(bookingId, { verdict, until: now + rememberMs });
      try {
        await verdict;
      } catch (error) {
        // A start that was refused is not known, and counts again.
        counted.delete(bookingId);
        throw error;
      }
    },
  };
}
