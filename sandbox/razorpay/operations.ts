import { type Answer, type Manners, type Operation, type Sent } from '../gateway/front';
import { type Subject } from '../gateway/switches';
import { type RefundModes } from '../gateway/refund-modes';
import { type Account } from './account';
import { collection } from './lists';
import { createOrder } from './orders';
import { capture } from './payments';
import { broken, invalid, tooMany, unauthorized, unknownUrl } from './refusals';
import { RefundKeys } from './refund-keys';
import { createRefund, failRefund } from './refunds';
import { type OperationName } from './switches';
import { pairsOf, type Refund } from './wire';

const ok = (body: object): { answer: Answer } => ({ answer: { status: 200, body } });
const made = (object: { id: string }): { answer: Answer; madeId: string } => ({
  ...ok(object),
  madeId: object.id,
});

/** What faults, gates and refund modes can match a call by. */
export const subjectOf = (
  account: Account,
  id: string,
  body: Record<string, unknown>,
  madeId?: string,
): Subject => {
  const named = [id, madeId ?? ''].filter((one) => one !== '');
  const order = named.map((one) => account.orderBehind(one)).find((one) => one !== undefined);
  const payment = named.map((one) => account.paymentBehind(one)).find((one) => one !== undefined);
  const refund = account.refunds.get(madeId ?? id);
  const { notes } = body;
  // Malformed notes are the operation's to refuse, after faults had their turn.
  const sent = typeof notes === 'object' && notes !== null && !Array.isArray(notes) ? { ...notes } : {};
  return {
    ids: [
      ...named,
      ...(order === undefined ? [] : [order.id]),
      ...(payment === undefined ? [] : [payment.id]),
    ],
    owner: order?.id,
    metadata: [
      sent,
      pairsOf(refund?.notes ?? []),
      pairsOf(payment?.notes ?? []),
      pairsOf(order?.notes ?? []),
    ],
  };
};

/** Basic, key id and secret (razorpay.com/docs/api/authentication). */
const sentKey = (authorization: string | undefined): string => {
  const [scheme = '', value = ''] = (authorization ?? '').split(' ');
  return /^basic$/i.test(scheme) ? Buffer.from(value, 'base64').toString() : '';
};

/** How Razorpay takes and refuses requests. */
export const manners = (account: Account, keyId: string, keySecret: string): Manners => ({
  authenticate: (request) => {
    if (sentKey(request.get('authorization')) !== `${keyId}:${keySecret}`) throw unauthorized();
  },
  keyOf: (request) => request.get('x-refund-idempotency') ?? null,
  subject: ({ id, body }, madeId) => subjectOf(account, id, body, madeId),
  tooMany,
  broken,
  brokenInside: broken,
  unknownUrl,
  badBody: () => invalid('The request body is not valid JSON.'),
});

type Run = (sent: Sent) => { answer: Answer; madeId?: string };

/** Every operation of the API that this stand-in plays. `act` runs a deed and sends the events it made. */
export const operations = (
  account: Account,
  modes: RefundModes,
  act: (deed: () => void) => void,
): readonly Operation[] => {
  const operation = (name: OperationName, method: 'get' | 'post', path: string, run: Run): Operation => ({
    name,
    method,
    paths: [path],
    run,
  });
  return [
    operation('orders.create', 'post', '/v1/orders', ({ body }) => made(createOrder(account, body))),
    operation('orders.list', 'get', '/v1/orders', ({ query }) =>
      ok(collection(account.orders.values(), query, { receipt: (order) => order.receipt })),
    ),
    operation('orders.retrieve', 'get', '/v1/orders/:id', ({ id }) => ok(account.order(id))),
    operation('orders.payments', 'get', '/v1/orders/:id/payments', ({ id, query }) =>
      ok(collection(account.paymentsOf(account.order(id).id), query)),
    ),
    operation('payments.list', 'get', '/v1/payments', ({ query }) =>
      ok(collection(account.payments.values(), query)),
    ),
    operation('payments.retrieve', 'get', '/v1/payments/:id', ({ id }) => ok(account.payment(id))),
    operation('payments.capture', 'post', '/v1/payments/:id/capture', ({ id, body }) =>
      ok(capture(account, id, body)),
    ),
    refundOperation(account, modes, act),
    operation('payments.refunds', 'get', '/v1/payments/:id/refunds', ({ id, query }) => {
      const payment = account.payment(id);
      const refunds = [...account.refunds.values()].filter((refund) => refund.payment_id === payment.id);
      return ok(collection(refunds, query));
    }),
    operation('refunds.list', 'get', '/v1/refunds', ({ query }) =>
      ok(collection(account.refunds.values(), query)),
    ),
    operation('refunds.retrieve', 'get', '/v1/refunds/:id', ({ id }) => ok(account.refund(id))),
    operation('disputes.list', 'get', '/v1/disputes', ({ query }) =>
      ok(collection(account.disputes.values(), query)),
    ),
    operation('disputes.retrieve', 'get', '/v1/disputes/:id', ({ id }) => ok(account.dispute(id))),
  ];
};

const refundOperation = (
  account: Account,
  modes: RefundModes,
  act: (deed: () => void) => void,
): Operation => {
  const keys = new RefundKeys();
  const keyOf = ({ request }: Sent): string | undefined =>
    account.readings.refundKeys === 'ignored' ? undefined : request.get('x-refund-idempotency');
  const makeRefund = ({ id, body }: Sent): Refund =>
    modes.apply(
      subjectOf(account, id, body),
      (mode) => createRefund(account, id, body, mode),
      (refund, failureReason) => {
        if (refund.status !== 'failed') act(() => failRefund(account, refund.id, failureReason));
      },
    );
  return {
    name: 'refunds.create' satisfies OperationName,
    method: 'post',
    paths: ['/v1/payments/:id/refund'],
    reserve: (sent) => {
      const key = keyOf(sent);
      return key === undefined ? () => undefined : keys.begin(key, sent.request.path, sent.body);
    },
    run: (sent) => {
      const key = keyOf(sent);
      const before = key === undefined ? undefined : keys.made(key);
      if (before !== undefined) return made(before);
      const refund = makeRefund(sent);
      if (key !== undefined) keys.keep(key, refund);
      return made(refund);
    },
  };
};
