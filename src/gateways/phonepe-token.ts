/**
 * PhonePe's access token, kept by each process. Facts: developer.phonepe.com …/standard-checkout/api-integration/api-reference/authorization
 * and PhonePe's own SDKs, which renew at half of the token's life (read 2026-11).
 */
import { z } from 'zod';
import type { PhonepeSettings } from '../config';
import type { Unknown } from './gateway';
import { callJson } from './json-call';

/** Both times in seconds since 1970, unlike those of orders. */
const tokenShape = z.object({
  access_token: z.string().min(1),
  expires_at: z.int(),
  issued_at: z.int().nullish(),
});

/** Why PhonePe gave none, in its own code. */
const errorShape = z.object({ code: z.string() });

export interface PhonepeTokens {
  get(): Promise<{ status: 'ok'; token: string } | Unknown>;
  /** Forgets a token that was turned down, unless another has taken its place. */
  drop(token: string): void;
}

/**
 * Makes the holder of an account's token. It is renewed at half of its life, behind the calls of the other half, and by one
 * request at a time however many ask.
 * @param host what `/v1/oauth/token` stands under
 */
export function phonepeTokens(host: string, settings: PhonepeSettings): PhonepeTokens {
  let held: { token: string; renewAt: number; expiresAt: number } | undefined;
  let renewing: Promise<Unknown | undefined> | undefined;

  /** @returns why there is no new token */
  async function renew(): Promise<Unknown | undefined> {
    const answer = await callJson(
      {
        url: `${host}/v1/oauth/token`,
        headers: {},
        body: new URLSearchParams({
          client_id: settings.clientId,
          client_version: settings.clientVersion,
          client_secret: settings.clientSecret,
          grant_type: 'client_credentials',
        }),
      },
      tokenShape,
    );
    if (answer.status === 'unknown') return { ...answer, reason: `token: ${answer.reason}` };
    if (answer.status === 'rejected') {
      // A refused client is an operator's to mend while we wait: 400 with code OIM000.
      const told = errorShape.safeParse(answer.error);
      return {
        status: 'unknown',
        reason: `token: ${told.success ? told.data.code : `HTTP ${answer.httpStatus}`}`,
      };
    }
    const { access_token: token, expires_at: expires, issued_at: issued } = answer.result;
    const now = Date.now();
    // The life as PhonePe counts it, so that a clock of ours that is wrong does no harm.
    const lifeMs = expires * 1000 - (issued ? issued * 1000 : now);
    held = { token, renewAt: now + lifeMs / 2, expiresAt: now + lifeMs };
    return undefined;
  }

  return {
    async get() {
      const now = Date.now();
      if (held === undefined || now >= held.renewAt) {
        renewing ??= renew().finally(() => (renewing = undefined));
      }
      // In its second half a token still serves, whatever becomes of the renewal.
      if (held !== undefined && now < held.expiresAt) return { status: 'ok', token: held.token };
      const failure = await renewing;
      if (failure !== undefined) return failure;
      return held === undefined
        ? { status: 'unknown', reason: 'token: dropped' }
        : { status: 'ok', token: held.token };
    },
    drop(token) {
      if (held?.token === token) held = undefined;
    },
  };
}
