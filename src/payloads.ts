/**
 * The payload codec: everything Temporal stores (arguments, results, memos, summaries, failure messages and stacks) is
 * sealed with AES-256-GCM before it leaves the process. Used by every client and worker.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ValueError, type DataConverter, type Payload, type PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';

/** Encoding mark of a sealed payload, beside Temporal's own `json/plain` and the like. */
const sealedEncoding = 'binary/encrypted';
/** GCM's recommended nonce and tag sizes in bytes. Source: NIST SP 800-38D, 5.2.1.1 and 5.2.1.2. */
const nonceBytes = 12;
const tagBytes = 16;

/** Parsed `PAYLOAD_KEYS`: the first key seals, all of them open. */
function readKeys(keys: readonly string[]): { id: string; key: Buffer }[] {
  return keys.map((entry) => {
    const colon = entry.indexOf(':');
    return { id: entry.slice(0, colon), key: Buffer.from(entry.slice(colon + 1), 'base64') };
  });
}

/** Seals and opens payloads. A payload that is not sealed passes: histories from before the keys stay readable. */
class SealingCodec implements PayloadCodec {
  private readonly keys: { id: string; key: Buffer }[];

  constructor(keys: readonly string[]) {
    this.keys = readKeys(keys);
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    const sealing = this.keys[0];
    if (sealing === undefined) return Promise.resolve(payloads);
    return Promise.resolve(
      payloads.map((payload) => {
        const nonce = randomBytes(nonceBytes);
        const cipher = createCipheriv('aes-256-gcm', sealing.key, nonce);
        // The key's id is authenticated, so a payload cannot be relabelled.
        cipher.setAAD(Buffer.from(sealing.id));
        const clear = temporal.api.common.v1.Payload.encode(payload).finish();
        const body = Buffer.concat([cipher.update(clear), cipher.final()]);
        return {
          metadata: { encoding: Buffer.from(sealedEncoding), 'encryption-key-id': Buffer.from(sealing.id) },
          data: Buffer.concat([nonce, cipher.getAuthTag(), body]),
        };
      }),
    );
  }

  /** @throws ValueError when the key is not among ours, or the payload was changed; the message may be shown */
  async decode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((payload) => this.open(payload));
  }

  private open(payload: Payload): Payload {
    const encoding = payload.metadata?.['encoding'];
    if (!encoding || Buffer.from(encoding).toString() !== sealedEncoding) return payload;
    const id = Buffer.from(payload.metadata?.['encryption-key-id'] ?? []).toString();
    const key = this.keys.find((candidate) => candidate.id === id)?.key;
    if (key === undefined) throw new ValueError(`No key named ${id} in PAYLOAD_KEYS opens this payload`);
    try {
      return unseal(id, key, Buffer.from(payload.data ?? []));
    } catch (error) {
      throw new ValueError(
        `The payload was changed, or the key named ${id} is not the one it was sealed by`,
        error,
      );
    }
  }
}

/** @throws when the tag does not fit the key's name, the key and the content */
function unseal(id: string, key: Buffer, data: Buffer): Payload {
  const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.from(id));
  decipher.setAuthTag(data.subarray(nonceBytes, nonceBytes + tagBytes));
  const clear = Buffer.concat([decipher.update(data.subarray(nonceBytes + tagBytes)), decipher.final()]);
  return temporal.api.common.v1.Payload.decode(clear);
}

/**
 * Makes the codec of these keys. A payload that is not sealed is opened as the very same object.
 * @param keys `<keyId>:<base64 of 32 bytes>`; the first seals, every one opens. Without any, nothing is sealed, and what
 *   was sealed is refused
 */
export function makePayloadCodec(keys: readonly string[]): PayloadCodec {
  return new SealingCodec(keys);
}

/** Where the failure converter stands; workers and clients load it by path. */
export const failureConverterPath = require.resolve('./failure-converter');

/**
 * Makes the data converter for a client or worker.
 * @param keys `PAYLOAD_KEYS`; empty means clear text, which the caller warns about
 */
export function makeDataConverter(keys: readonly string[]): DataConverter {
  return keys.length === 0 ? {} : { failureConverterPath, payloadCodecs: [makePayloadCodec(keys)] };
}
