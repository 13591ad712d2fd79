import { randomBytes } from 'node:crypto';
import { invalid, unauthorized, unknownClient } from './refusals';

/** An hour, as PhonePe's examples show it. */
const lifeSeconds = 3600;

/** Who may ask for tokens. */
export interface Client {
  clientId: string;
  clientVersion: string;
  clientSecret: string;
}

/** The identity manager: gives access tokens to the one client, and knows which of them still serve. */
export class Tokens {
  /** When each ends, in milliseconds. */
  private readonly endsAt = new Map<string, number>();
  /** How long tokens given from now on live, in seconds. */
  life = lifeSeconds;

  constructor(private readonly client: Client) {}

  /** `POST …/v1/oauth/token`. Throws 400 for anything but this client's own form. */
  give(form: Record<string, unknown>): object {
    if (form['grant_type'] !== 'client_credentials') throw invalid('grant_type is invalid');
    const { clientId, clientVersion, clientSecret } = this.client;
    const isOurs =
      form['client_id'] === clientId &&
      form['client_version'] === clientVersion &&
      form['client_secret'] === clientSecret;
    if (!isOurs) throw unknownClient();
    const token = randomBytes(48).toString('base64url');
    const now = Date.now();
    this.endsAt.set(token, now + this.life * 1000);
    const issuedAt = Math.floor(now / 1000);
    return {
      access_token: token,
      encrypted_access_token: randomBytes(24).toString('base64url'),
      expires_in: this.life,
      issued_at: issuedAt,
      expires_at: issuedAt + this.life,
      session_expires_at: issuedAt + this.life,
      token_type: 'O-Bearer',
    };
  }

  /** Throws 401 unless the header carries a token that serves. */
  check(authorization: string | undefined): void {
    const [, token = ''] = /^O-Bearer (\S+)$/.exec(authorization ?? '') ?? [];
    if ((this.endsAt.get(token) ?? 0) <= Date.now()) throw unauthorized();
  }

  /** Every token given so far is over at once. */
  expireAll(): void {
    this.endsAt.clear();
  }
}
