import { conflict, invalid } from './refusals';
import { type Refund } from './wire';

interface Entry {
  fingerprint: string;
  /** Absent while the first use of the key is running. */
  refund: Refund | undefined;
}

/**
 * The memory of `X-Refund-Idempotency` (razorpay.com/docs/api/refunds/normal-refunds-idempotent, read 2026-11): the same
 * body gives the same refund, as it is now; another one is 409, and so is a repeat while the first runs. Where nothing was
 * made the key is free again. The stand-in forgets no key.
 */
export class RefundKeys {
  private readonly entries = new Map<string, Entry>();

  /**
   * Begins a use of a key; answers how to end it. Throws 400 for a key that is none, 409 for another use of one that was
   * used or is in use.
   */
  begin(key: string, path: string, body: object): () => void {
    if (key.length < 10) throw invalid('The idempotency key must be at least 10 characters long.');
    if (!/^[\w-]+$/.test(key))
      throw invalid(
        'The idempotency key must only contain alphanumeric characters, underscores, and hyphens',
      );
    const fingerprint = JSON.stringify([path, body]);
    const known = this.entries.get(key);
    if (known !== undefined && known.refund === undefined)
      throw conflict('Another request with the same idempotency key is still in progress.');
    if (known !== undefined && known.fingerprint !== fingerprint)
      throw conflict('Different request with the same idempotency key has already been processed.');
    if (known === undefined) this.entries.set(key, { fingerprint, refund: undefined });
    return () => {
      if (this.made(key) === undefined) this.entries.delete(key);
    };
  }

  /** The refund that a key made. */
  made(key: string): Refund | undefined {
    return this.entries.get(key)?.refund;
  }

  /** Remembers what a key made. */
  keep(key: string, refund: Refund): void {
    const entry = this.entries.get(key);
    if (entry !== undefined) entry.refund = refund;
  }
}
