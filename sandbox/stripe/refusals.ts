import { type PaymentError, type PaymentIntent, type PaymentMethod } from './wire';

/** The `error` member of an answer that is not 2xx (docs.stripe.com/api/errors). */
export interface ErrorBody {
  type: 'api_error' | 'card_error' | 'idempotency_error' | 'invalid_request_error';
  message: string;
  code?: string;
  param?: string;
  decline_code?: string;
  charge?: string;
  doc_url?: string;
  payment_intent?: PaymentIntent;
  payment_method?: PaymentMethod;
}

/**
 * A request that Stripe answers with an error. `kept` says whether the idempotency layer stores the answer under
 * the request's key: it does once the endpoint began its work, and does not when parameters failed validation
 * (docs.stripe.com/api/idempotent_requests).
 */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
    readonly kept: boolean,
  ) {
    super(body.message);
    this.name = 'Refusal';
  }
}

const documented = (code: string): string =>
  `https://docs.stripe.com/error-codes/${code.replaceAll('_', '-')}`;

/** 400: a parameter is missing, unknown or out of bounds. Never stored under a key. */
export const invalidParameter = (message: string, param: string, code?: string): Refusal =>
  new Refusal(
    400,
    {
      type: 'invalid_request_error',
      message,
      param,
      ...(code === undefined ? {} : { code, doc_url: documented(code) }),
    },
    false,
  );

/** 404 (400 for a payment method): no object has this id. */
export const missing = (noun: string, id: string, param: string, status = 404): Refusal =>
  new Refusal(
    status,
    {
      type: 'invalid_request_error',
      code: 'resource_missing',
      doc_url: documented('resource_missing'),
      message: `No such ${noun}: '${id}'`,
      param,
    },
    false,
  );

/** 400: the object's state forbids the deed. The intent travels in the error, as at Stripe. */
export const unexpectedState = (intent: PaymentIntent, message: string): Refusal =>
  new Refusal(
    400,
    {
      type: 'invalid_request_error',
      code: 'payment_intent_unexpected_state',
      doc_url: documented('payment_intent_unexpected_state'),
      message,
      payment_intent: structuredClone(intent),
    },
    true,
  );

/** 400: the money asked back is not there (any more). `code` is absent where Stripe sends none. */
export const notRefundable = (message: string, code?: string, param?: string): Refusal =>
  new Refusal(
    400,
    {
      type: 'invalid_request_error',
      message,
      ...(code === undefined ? {} : { code, doc_url: documented(code) }),
      ...(param === undefined ? {} : { param }),
    },
    true,
  );

/** 402: the card was declined; the intent in the error is payable again. */
export const declined = (error: PaymentError, intent: PaymentIntent): Refusal =>
  new Refusal(402, { ...error, payment_intent: structuredClone(intent) }, true);

/** 401: no key, or not ours. The key itself is never repeated in full. */
export const unauthorized = (key: string): Refusal =>
  new Refusal(
    401,
    {
      type: 'invalid_request_error',
      message:
        key === ''
          ? "You did not provide an API key. Provide it in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
          : `Invalid API Key provided: ${key.slice(0, 8)}${'*'.repeat(8)}`,
    },
    false,
  );

/** 404: no such path. */
export const unknownUrl = (method: string, path: string): Refusal =>
  new Refusal(
    404,
    { type: 'invalid_request_error', message: `Unrecognized request URL (${method}: ${path}).` },
    false,
  );

/** 429: too many requests; nothing was done and nothing is stored (docs.stripe.com/rate-limits). */
export const rateLimited = (): Refusal =>
  new Refusal(
    429,
    {
      type: 'invalid_request_error',
      code: 'rate_limit',
      doc_url: documented('rate_limit'),
      message:
        'Request rate limit exceeded. Learn more about rate limits at https://docs.stripe.com/rate-limits.',
    },
    false,
  );

/** 400: the bank has the money, so it cannot be refunded (docs.stripe.com/error-codes#charge-disputed). */
export const chargeDisputed = (chargeId: string): Refusal =>
  notRefundable(`Charge ${chargeId} has been charged back; cannot issue a refund.`, 'charge_disputed');

/** 500: Stripe's own fault; stored under the key like any other result. */
export const broken = (): Refusal =>
  new Refusal(500, { type: 'api_error', message: 'An unknown error occurred' }, true);

/** 400: the key was first used for something else. */
export const keyMismatch = (message: string): Refusal =>
  new Refusal(400, { type: 'idempotency_error', message }, false);

/** 409: the first request with this key has not been answered yet. */
export const keyInUse = (key: string): Refusal =>
  new Refusal(
    409,
    {
      type: 'idempotency_error',
      code: 'idempotency_key_in_use',
      doc_url: documented('idempotency_key_in_use'),
      message: `There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): ${key}. Please try again later.`,
    },
    false,
  );
