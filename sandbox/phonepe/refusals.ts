import { Refusal } from '../gateway/front';

const refusal = (status: number, code: string, message: string, more: object = {}): Refusal =>
  new Refusal(status, { code, message, ...more }, message);

/** 400: a field is missing or out of bounds. */
export const invalid = (message: string): Refusal =>
  refusal(400, 'BAD_REQUEST', message, { data: {}, success: false });

/** 400: an id was used before; the code is that of developer.phonepe.com/v2/docs/troubleshooting-2 (read 2026-11). */
export const duplicate = (name: string): Refusal =>
  refusal(400, 'INVALID_TRANSACTION_ID', `Duplicate ${name}`);

/** 400: the state of things forbids it. */
export const forbidden = (message: string): Refusal => refusal(400, 'INVALID_REQUEST', message);

/** 404, or 400: which of them is on no page. */
export const missing = (status: 400 | 404, noun: 'ORDER' | 'REFUND'): Refusal =>
  refusal(status, `${noun}_NOT_FOUND`, `No entry found for this ${noun.toLowerCase()}`);

/** 400 `OIM000`: a client that the identity manager does not know (PhonePe's SDKs). */
export const unknownClient = (): Refusal =>
  refusal(400, 'OIM000', 'Bad Request', {
    errorCode: 'OIM000',
    context: { error_description: 'Client Not Found' },
  });

/** 401: a token that is over, or never was. */
export const unauthorized = (): Refusal => refusal(401, 'AUTHORIZATION_FAILED', 'Unauthorized');

/** 404: no such route. */
export const unknownUrl = (): Refusal => refusal(404, 'NOT_FOUND', 'Api Mapping Not Found');

/** 429: too many requests; the limit is on no page. */
export const tooMany = (): Refusal => refusal(429, 'TOO_MANY_REQUESTS', 'Too many requests');

/** 500, which says nothing about the deed. */
export const broken = (): Refusal => refusal(500, 'INTERNAL_SERVER_ERROR', 'Something went wrong');

/** The same as a code in an answer of 200. */
export const brokenInside = (): Refusal =>
  refusal(200, 'INTERNAL_SERVER_ERROR', 'Something went wrong', { success: false });
