/**
 * Secrets that sign webhooks to API clients: made and shown by the API, used by the courier, and sealed in between. The
 * read-only role and backups see tables; with a clear secret anybody who reads them could forge a webhook.
 */
import { hkdfSync, randomBytes } from 'node:crypto';
import { EncryptJWT, jwtDecrypt } from 'jose';

/** Keeps what is sealed here apart from everything else that APP_SECRET seals. */
const audience = 'payfirst/webhook-secret';

/** Bytes of a secret. Standard Webhooks asks for 24 to 64. */
const secretBytes = 32;

/** A new secret, written as Standard Webhooks writes them. */
export function makeWebhookSecret(): string {
  return `whsec_${randomBytes(secretBytes).toString('base64')}`;
}

/** Seals secrets and opens them again, each for its endpoint only. */
export interface SecretSeal {
  seal(endpointId: string, secret: string): Promise<string>;
  /** @throws when it was sealed under another APP_SECRET or for another endpoint */
  open(endpointId: string, sealed: string): Promise<string>;
}

/** Makes the seal of an installation. */
export function secretSeal(appSecret: string): SecretSeal {
  const key = new Uint8Array(hkdfSync('sha256', appSecret, '', audience, 32));
  return {
    seal: (endpointId, secret) =>
      new EncryptJWT({ secret })
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
        .setSubject(endpointId)
        .setAudience(audience)
        .encrypt(key),
    open: async (endpointId, sealed) => {
      const { payload } = await jwtDecrypt<{ secret: string }>(sealed, key, {
        subject: endpointId,
        audience,
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      });
      return payload.secret;
    },
  };
}
