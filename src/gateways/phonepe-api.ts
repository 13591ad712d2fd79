/**
 * PhonePe's API v2 by `fetch`: PhonePe's own package cannot be installed plainly. Facts: developer.phonepe.com
 * …/standard-checkout/api-integration/api-reference (read 2026-11).
 */
import { z } from 'zod';
import type { PhonepeSettings } from '../config';
import type { Refused, Unknown } from './gateway';
import { callJson, type Answer } from './json-call';
import { phonepeTokens } from './phonepe-token';

/** Older pages spell the code `errorCode`. */
const errorShape = z.object({
  code: z.string().nullish(),
  errorCode: z.string().nullish(),
  message: z.string().nullish(),
});

/** A call's outcome. */
export type Outcome<Result> =
  { status: 'ok'; result: Result } | { status: 'missing'; reason: string } | Refused | Unknown;

/** Makes the client of one account. */
export function phonepeApi(settings: PhonepeSettings) {
  const { pg, identity } = hosts(settings.apiBase);
  const tokens = phonepeTokens(identity, settings);

  /** Calls once, and once more with a new token when this one is turned down although it should serve. */
  async function call<Result>(
    path: string,
    shape: z.ZodType<Result>,
    body?: object,
  ): Promise<Outcome<Result>> {
    const first = await once(path, shape, body);
    if (first.status !== 'turned-down') return first;
    tokens.drop(first.token);
    const second = await once(path, shape, body);
    return second.status === 'turned-down' ? { status: 'unknown', reason: 'HTTP 401' } : second;
  }

  async function once<Result>(
    path: string,
    shape: z.ZodType<Result>,
    body: object | undefined,
  ): Promise<Outcome<Result> | { status: 'turned-down'; token: string }> {
    const got = await tokens.get();
    if (got.status === 'unknown') return got;
    const { token } = got;
    const headers = { authorization: `O-Bearer ${token}` };
    const answer = await callJson(
      { url: `${pg}${path}`, headers, ...(body === undefined ? {} : { body }) },
      shape,
    );
    if (answer.status === 'rejected' && answer.httpStatus === 401) return { status: 'turned-down', token };
    return outcome(answer);
  }

  return {
    get: <Result>(path: string, shape: z.ZodType<Result>) => call(path, shape),
    post: <Result>(path: string, body: object, shape: z.ZodType<Result>) => call(path, shape, body),
  };
}

/** In production each part of the API has a folder under `/apis`; the sandbox has all of it under `/apis/pg-sandbox`. */
function hosts(apiBase: string): { pg: string; identity: string } {
  return apiBase.endsWith('/apis')
    ? { pg: `${apiBase}/pg`, identity: `${apiBase}/identity-manager` }
    : { pg: apiBase, identity: apiBase };
}

function outcome<Result>(answer: Answer<Result>): Outcome<Result> {
  if (answer.status !== 'rejected') return answer;
  const { httpStatus } = answer;
  const read = errorShape.safeParse(answer.error);
  const code = read.success ? (read.data.code ?? read.data.errorCode) : undefined;
  // Not PhonePe's own words: something on the way, or a wrong base address. 403 is an operator's to mend.
  if (!read.success || !code || httpStatus === 403)
    return { status: 'unknown', reason: `HTTP ${httpStatus}` };
  // PhonePe's word for "ask later", under whatever HTTP status.
  if (code === internalError) return { status: 'unknown', reason: code };
  const told = read.data.message ?? '';
  // A wrong base address is an operator's to mend, too; it must not read as an order that is not there.
  if (/api mapping/i.test(told)) return { status: 'unknown', reason: `HTTP ${httpStatus}, no such address` };
  const reason = [code, told.slice(0, reasonLength)].filter(Boolean).join(': ');
  // The answer to an unknown id is on no page: 404 is seen, and so is 400.
  if (
    httpStatus === 404 ||
    /not_found|no_entry/i.test(code) ||
    /not found|no entry|does not exist/i.test(told)
  ) {
    return { status: 'missing', reason };
  }
  return { status: 'refused', replayed: false, reason };
}

/** The deed may be done or not, as a code and as a state: …/v1/reference/check-status-api-1, and seen on v2. */
export const internalError = 'INTERNAL_SERVER_ERROR';

/** Characters of PhonePe's sentence that are kept. */
const reasonLength = 200;
