/** One signed POST to an API client's backend, as Standard Webhooks says, and what came of it. */
import { request as requestPlain, type IncomingMessage } from 'node:http';
import { request as requestSecure } from 'node:https';
import { Webhook } from 'standardwebhooks';
import { checkedLookup, codeOf, faultOfUrl, type AddressRules } from '../public-address';

/** Bytes of an answer's body that are taken: receivers that say a few words need not see their connection break. */
const bodyTaken = 4_096;

/** Longest wait a receiver may ask for by Retry-After, in seconds: the longest gap of the schedule. */
const longestRetryAfter = 24 * 3600;

/** What is posted, and where to. */
export interface Webhooked {
  url: string;
  /** The same for every post of one event to one endpoint. */
  id: string;
  body: string;
  /** Each signs; several while a secret is changed. */
  secrets: readonly string[];
}

/** What came of it. */
export interface Posted {
  /** Missing when there was no answer. */
  statusCode?: number;
  /** Why there was none, as a short name: a system error's code, `timeout`, `private-address`, `interrupted`. */
  error?: string;
  /** Seconds the receiver asks to be left alone for. */
  retryAfter?: number;
}

/**
 * The headers that say who sends what and when. Signed anew for each post, for receivers refuse old timestamps.
 * Source: Standard Webhooks 1.0.0, "Webhook headers"
 */
export function headersOf({ id, body, secrets }: Webhooked, now: Date): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'user-agent': 'Payfirst',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(' '),
  };
}

/**
 * Posts once; follows no redirect, for a redirect's target is nobody's word, and reuses no connection, so that every post
 * connects to an address checked for it. Never throws.
 * @param interrupted aborted when the courier must go: nothing is known then
 */
export async function postWebhook(
  what: Webhooked,
  rules: AddressRules & { timeoutMs: number },
  interrupted: AbortSignal,
): Promise<Posted> {
  // Sockets connect to a literal address without a look-up; and the rules may be stricter than on the day it was accepted.
  if (faultOfUrl(what.url, rules.allowPrivate) !== undefined) return { error: 'private-address' };
  const timeout = AbortSignal.timeout(rules.timeoutMs);
  try {
    const answer = await answerTo(what, rules, AbortSignal.any([timeout, interrupted]));
    const retryAfter = secondsOf(answer.headers['retry-after']);
    return {
      ...(answer.statusCode === undefined ? {} : { statusCode: answer.statusCode }),
      ...(retryAfter === undefined ? {} : { retryAfter }),
    };
  } catch (error) {
    if (interrupted.aborted) return { error: 'interrupted' };
    return { error: timeout.aborted ? 'timeout' : nameOf(error) };
  }
}

/** Settles with the answer's head. The rest is read as far as anybody may write it, and still within the time. */
function answerTo(what: Webhooked, rules: AddressRules, signal: AbortSignal): Promise<IncomingMessage> {
  const request = what.url.startsWith('https:') ? requestSecure : requestPlain;
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: headersOf(what, new Date()), signal, agent: false as const };
    const outgoing = request(what.url, { ...options, lookup: checkedLookup(rules) }, (answer) => {
      let taken = 0;
      answer.on('data', (chunk: Buffer) => {
        taken += chunk.length;
        if (taken > bodyTaken) outgoing.destroy();
      });
      answer.on('error', () => undefined);
      resolve(answer);
    });
    outgoing.on('error', reject);
    outgoing.end(what.body);
  });
}

/** Retry-After in seconds or as a date. Source: RFC 9110, 10.2.3 */
function secondsOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return seconds > 0 ? Math.min(Math.ceil(seconds), longestRetryAfter) : undefined;
}

/** Codes only: messages quote addresses. */
function nameOf(error: unknown): string {
  return codeOf(error)?.slice(0, 100) ?? 'unknown';
}
