import { type Parameters } from './parameters';
import { keyInUse, keyMismatch } from './refusals';

/** A finished answer: what is sent, and sent again for the same key. `body` is JSON text. */
export interface Answer {
  status: number;
  body: string;
  requestId: string;
  kept: boolean;
}

interface Entry {
  path: string;
  fingerprint: string;
  answer: Answer | undefined;
}

/** A claim on a key: either the first answer, to be replayed, or the right to run and then to settle. */
export type Claim = { replay: Answer } | { replay: undefined; settle: (answer: Answer) => void };

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const pairs: [string, unknown][] = Object.entries(value);
  return Object.fromEntries(
    pairs.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, sorted(one)]),
  );
};

/**
 * Stripe's memory of idempotency keys (docs.stripe.com/api/idempotent_requests): the first result is replayed,
 * a 402 and a 500 too; parameters are compared; nothing stays stored when validation failed or a request with the
 * key was still running. The stand-in forgets no key: its life is shorter than Stripe's 24 hours.
 */
export class IdempotencyKeys {
  private readonly entries = new Map<string, Entry>();

  /** Throws 400 `idempotency_error` for another use of the key, 409 while the first use is running. */
  claim(key: string, path: string, parameters: Parameters): Claim {
    const fingerprint = JSON.stringify(sorted(parameters));
    const known = this.entries.get(key);
    if (known !== undefined) return { replay: this.repeat(key, known, path, fingerprint) };
    const entry: Entry = { path, fingerprint, answer: undefined };
    this.entries.set(key, entry);
    return {
      replay: undefined,
      settle: (answer) => {
        if (answer.kept) entry.answer = answer;
        else this.entries.delete(key);
      },
    };
  }

  private repeat(key: string, entry: Entry, path: string, fingerprint: string): Answer {
    const advice = `Try using a key other than '${key}' if you meant to execute a different request.`;
    if (entry.path !== path)
      throw keyMismatch(
        `Keys for idempotent requests can only be used for the same endpoint they were first used for ('${path}' vs '${entry.path}'). ${advice}`,
      );
    if (entry.fingerprint !== fingerprint)
      throw keyMismatch(
        `Keys for idempotent requests can only be used with the same parameters they were first used with. ${advice}`,
      );
    if (entry.answer === undefined) throw keyInUse(key);
    return entry.answer;
  }
}
