import { type Manners, type Operation, type Sent } from '../gateway/front';
import { type Subject } from '../gateway/switches';
import { type Account } from './account';
import { createOrder } from './orders';
import { type RefundDesk } from './refund-desk';
import { broken, brokenInside, invalid, tooMany, unknownUrl } from './refusals';
import { type OperationName } from './switches';
import { type Tokens } from './tokens';
import { type Order, orderStatus, refundStatus } from './wire';

/** Production has a folder for each part of the API under `/apis`; the sandbox has one for all. */
const identityFolders = ['/apis/identity-manager', '/apis/pg-sandbox'];
const pgFolders = ['/apis/pg', '/apis/pg-sandbox'];

const textIn = (body: Record<string, unknown>, name: string): string[] =>
  typeof body[name] === 'string' ? [body[name]] : [];

/** What faults, gates and refund modes can match a call by; the merchant's ids are known before anything is made. */
const subjectOf = (account: Account, { id, body }: Sent): Subject => {
  const refundIds = [id, ...textIn(body, 'merchantRefundId')];
  const refund = refundIds.map((one) => account.refunds.get(one)).find((one) => one !== undefined);
  const named = [
    ...textIn(body, 'merchantOrderId'),
    ...textIn(body, 'originalMerchantOrderId'),
    ...(refund === undefined ? [id] : [refund.originalMerchantOrderId]),
  ];
  const order = named.map((one) => account.orders.get(one)).find((one) => one !== undefined);
  const { metaInfo } = body;
  // Malformed, it is the operation's to refuse, after faults had their turn.
  const sent = typeof metaInfo === 'object' && metaInfo !== null ? { ...metaInfo } : {};
  return {
    ids: [...refundIds, ...named, ...[order?.orderId, refund?.refundId].filter((one) => one !== undefined)],
    owner: order?.merchantOrderId ?? named[0],
    metadata: [sent, order?.metaInfo ?? {}],
  };
};

/** How PhonePe takes and refuses requests. */
export const manners = (account: Account, tokens: Tokens): Manners => ({
  authenticate: (request) => tokens.check(request.get('authorization')),
  keyOf: () => null,
  subject: (sent) => subjectOf(account, sent),
  tooMany,
  broken,
  brokenInside,
  unknownUrl,
  badBody: () => invalid('The body is not valid JSON'),
});

/** What an order is made with, beside the account. */
interface Making {
  /** How long a second of `expireAfter` lasts, in ms. */
  secondMs: number;
  /** The address of the page that pays an order. */
  pageOf: (order: Order, sent: Sent) => string;
  /** A new order was made. */
  onOrder: (order: Order) => void;
}

/** Every operation of the API that this stand-in plays. */
export const operations = (
  account: Account,
  tokens: Tokens,
  desk: RefundDesk,
  { secondMs, pageOf, onOrder }: Making,
): readonly Operation[] => {
  const operation = (
    name: OperationName,
    method: 'get' | 'post',
    folders: readonly string[],
    path: string,
    run: (sent: Sent) => object,
  ): Operation => ({
    name,
    method,
    paths: folders.map((folder) => `${folder}${path}`),
    run: (sent) => ({ answer: { status: 200, body: run(sent) } }),
  });
  return [
    {
      ...operation('oauth.token', 'post', identityFolders, '/v1/oauth/token', ({ body, request }) => {
        if (!request.is('application/x-www-form-urlencoded')) throw invalid('The body is no form');
        return tokens.give(body);
      }),
      open: true,
    },
    operation('orders.create', 'post', pgFolders, '/checkout/v2/pay', (sent) => {
      const { order, isNew } = createOrder(account, sent.body, secondMs);
      if (isNew) onOrder(order);
      const { orderId, state, expireAt } = order;
      return { orderId, state, expireAt, redirectUrl: pageOf(order, sent) };
    }),
    operation('orders.status', 'get', pgFolders, '/checkout/v2/order/:id/status', ({ id, query }) =>
      orderStatus(account.order(id), query['details'] === 'true'),
    ),
    operation('refunds.create', 'post', pgFolders, '/payments/v2/refund', (sent) => {
      const { refundId, amount, state } = desk.create(sent.body, subjectOf(account, sent));
      return { refundId, amount, state };
    }),
    operation('refunds.status', 'get', pgFolders, '/payments/v2/refund/:id/status', ({ id }) =>
      refundStatus(account.refund(id)),
    ),
  ];
};
