/** What each problem means and what to do: the pages behind a problem's `type`. docs/problems.md says the same; a test compares. */
import { z } from 'zod';
import { failures, isFailureType, type FailureType } from '../failures';
import { Problem } from './problem';
import { defineRoute, type Route } from './route';

/** For each failure: when it happens, and what to do. */
export const explanations: Readonly<Record<FailureType, { when: string; act: string }>> = {
  'invalid-request': {
    when: 'The body, a parameter or a header is not what the route takes, or a webhook is not authentic.',
    act: 'Read `errors`, where there are any: each entry points at one fault; else `detail`. Mend the request; the same one is refused again.',
  },
  'idempotency-key-missing': {
    when: 'A start, or an operator’s credit to a wallet, came without an `Idempotency-Key`.',
    act: 'Make a key, such as a UUID, once per wish of the customer, and send it with every repeat.',
  },
  unauthenticated: {
    when: 'The token is missing, has expired, or was not made for this service.',
    act: 'Get a new token and send `Authorization: Bearer <token>`.',
  },
  forbidden: {
    when: 'The token is valid, but has none of the scopes that the route asks for.',
    act: 'Use a token with the scope that `detail` names: `bookings`, `catalog` or `ops`.',
  },
  'not-found': {
    when: 'There is no such thing, or it belongs to somebody else.',
    act: 'Check the id and whose token it is.',
  },
  'insufficient-funds': {
    when: 'The customer’s wallet holds less than the total, in its currency.',
    act: 'Add money to the wallet, or pay another way, and start anew with a new key: this one keeps its refusal.',
  },
  'slot-unavailable': {
    when: 'Too few seats are free: at the start or at a retry, or because another customer paid first.',
    act: 'Follow `links.alternatives`. Money that was paid goes back by itself.',
  },
  'offering-closed': {
    when: 'The offering was closed by its provider, or has started.',
    act: 'Choose another offering. Money that was paid goes back by itself.',
  },
  'cart-converted': {
    when: 'A booking was made from the cart already; another was started, paid, or the cart was to be changed.',
    act: 'Read the booking. For more, start a new cart. Money that was paid twice goes back by itself.',
  },
  'seats-per-customer': {
    when: 'With these seats the customer would have more than the offering gives to one customer.',
    act: 'Ask for fewer seats. Money that was paid goes back by itself.',
  },
  'not-retryable': {
    when: 'The gateway is still processing the payment. (A retry by the same method while nothing has failed is no problem: it answers the booking as it is.)',
    act: 'Read the booking; wait for its status to change.',
  },
  'retry-limit': {
    when: 'The attempt has used all its tries.',
    act: 'The last payment stays payable until the window ends. Or start a new attempt with a new key.',
  },
  'not-cancelable': {
    when: 'The booking is confirmed and its policy does not allow it, or no more; a person is looking at it; or the gateway is processing its payment.',
    act: 'Read the booking; while it is processing, cancel again later.',
  },
  'case-resolved': {
    when: 'Another operator, or an earlier request, has decided this case.',
    act: 'Read the case: `resolvedBy` and `resolution` say how.',
  },
  'endpoint-disabled': {
    when: 'A delivery is to be repeated to a webhook endpoint that answered 410, or took nothing for days.',
    act: 'Enable the endpoint, then repeat the delivery.',
  },
  'attempt-over': {
    when: 'The attempt has ended: confirmed, expired, canceled, failed or refunded.',
    act: 'Read the booking. To book again, start a new attempt with a new key.',
  },
  'payload-too-large': {
    when: 'The body is larger than 64 KiB, or than 4 MiB where the Temporal UI sends payloads.',
    act: 'Send less. `details` take 8 KiB per item.',
  },
  'idempotency-key-reused': {
    when: 'The `Idempotency-Key` was used before with another body.',
    act: 'Send the first body again to see its answer, or a new key for a new wish.',
  },
  'rate-limited': {
    when: 'Too many starts, retries or unauthenticated requests in a minute. Limits are kept per API process.',
    act: 'Wait as many seconds as `Retry-After` says.',
  },
  internal: {
    when: 'A fault of ours.',
    act: 'Try again later. If it stays, report the `requestId`; the log has the rest.',
  },
  'gateway-unavailable': {
    when: 'The payment gateway could not be reached or refused the payment object, so nothing can be paid.',
    act: 'A retry may be sent again. After a refused start, use a new key.',
  },
  unavailable: {
    when: 'PostgreSQL or Temporal is away, or did not answer in time.',
    act: 'Send the same request again, with the same key: nothing happens twice.',
  },
  'payment-declined': {
    when: 'The gateway or the bank declined the payment. Stands in a booking’s `failure`, with the gateway’s `code`.',
    act: 'While `retryable` is true, retry or pay with another card. The seat is not held meanwhile.',
  },
  'payment-canceled': {
    when: 'The payment object was closed at the gateway before it was paid. Stands in a booking’s `failure`.',
    act: 'While `retryable` is true, retry.',
  },
  'amount-mismatch': {
    when: 'What was paid is not the quoted amount and currency. Stands in a booking’s `failure` and `refund`.',
    act: 'Nothing was booked and the money goes back by itself. Start a new attempt.',
  },
};

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('`', '');
}

function pageOfProblem(type: FailureType): string {
  const { status, title } = failures[type];
  const { when, act } = explanations[type];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><h1>${title}</h1><p><code>${type}</code>, HTTP status ${status}</p>
<h2>When</h2><p>${escapeHtml(when)}</p><h2>What to do</h2><p>${escapeHtml(act)}</p></body></html>
`;
}

/** The page behind each problem's `type`. */
export function problemPageRoutes(): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/problems/{slug}',
      tag: 'Documents',
      summary: 'What a problem means and what to do',
      scopes: [],
      params: z.strictObject({ slug: z.string().max(64).meta({ example: 'slot-unavailable' }) }),
      answers: { 200: { description: 'A page for people', contentType: 'text/html', schema: z.string() } },
      problems: ['not-found'],
      handle: ({ params, response }) => {
        if (!isFailureType(params.slug)) throw new Problem('not-found');
        response.type('html').send(pageOfProblem(params.slug));
      },
    }),
  ];
}
