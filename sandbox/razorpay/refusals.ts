import { Refusal } from '../gateway/front';

const refusal = (status: number, code: string, description: string, more: object = {}): Refusal =>
  new Refusal(
    status,
    { error: { code, description, source: 'NA', step: 'NA', reason: 'NA', metadata: {}, ...more } },
    description,
  );

/** 400: a field is missing, superfluous or out of bounds; the shape is that of razorpay.com/docs/api/orders/create. */
export const invalid = (description: string, field?: string): Refusal =>
  refusal(400, 'BAD_REQUEST_ERROR', description, {
    source: 'business',
    step: 'payment_initiation',
    reason: 'input_validation_failed',
    ...(field === undefined ? {} : { field }),
  });

/** 400: the state of things forbids it. */
export const forbidden = (description: string): Refusal => refusal(400, 'BAD_REQUEST_ERROR', description);

/** 400, not 404: no object has this id. */
export const missing = (): Refusal => invalid('The id provided does not exist');

/** 409: a refund key is in use, or was used for another body (…/api/refunds/normal-refunds-idempotent). */
export const conflict = (description: string): Refusal => refusal(409, 'BAD_REQUEST_ERROR', description);

/** 401: credentials that are not this account's. */
export const unauthorized = (): Refusal => refusal(401, 'BAD_REQUEST_ERROR', 'Authentication failed');

/** 404: no such route. */
export const unknownUrl = (): Refusal =>
  refusal(404, 'BAD_REQUEST_ERROR', 'The requested URL was not found on the server.');

/** 429: too many requests; the limit is on no page. */
export const tooMany = (): Refusal => refusal(429, 'BAD_REQUEST_ERROR', 'Too many requests');

/** 500: Razorpay's own trouble. */
export const broken = (): Refusal => refusal(500, 'SERVER_ERROR', 'The server encountered an error');
