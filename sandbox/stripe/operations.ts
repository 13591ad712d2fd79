import { type Subject } from '../gateway/switches';
import { type Account, type Origin } from './account';
import { cancelIntent, confirmIntent, createIntent } from './intents';
import { page } from './lists';
import { group, type Parameters, required } from './parameters';
import { type RefundDesk } from './refund-desk';
import { type OperationName } from './switches';

/** One call as an operation sees it. `id` is the object named in the path, '' where the path names none. */
export interface Call {
  id: string;
  parameters: Parameters;
  origin: Origin;
  subject: Subject;
}

export interface Operation {
  name: OperationName;
  method: 'get' | 'post';
  path: string;
  run: (account: Account, call: Call, refunds: RefundDesk) => object;
}

const byIntent = { payment_intent: (item: { payment_intent: string | null }) => item.payment_intent };
const byCharge = { charge: (item: { charge: string }) => item.charge };
const byCustomer = { customer: (item: { customer: string | null }) => item.customer };

/** Every operation of the API that this stand-in plays. */
export const operations: readonly Operation[] = [
  {
    name: 'payment_intents.create',
    method: 'post',
    path: '/v1/payment_intents',
    run: (account, { parameters, origin }) => createIntent(account, parameters, origin),
  },
  {
    name: 'payment_intents.list',
    method: 'get',
    path: '/v1/payment_intents',
    run: (account, { parameters }) =>
      page(account.intents, '/v1/payment_intents', 'payment_intent', parameters, byCustomer),
  },
  {
    name: 'payment_intents.retrieve',
    method: 'get',
    path: '/v1/payment_intents/:id',
    run: (account, { id }) => account.intent(id),
  },
  {
    name: 'payment_intents.confirm',
    method: 'post',
    path: '/v1/payment_intents/:id/confirm',
    run: (account, { id, parameters, origin }) => confirmIntent(account, id, parameters, origin),
  },
  {
    name: 'payment_intents.cancel',
    method: 'post',
    path: '/v1/payment_intents/:id/cancel',
    run: (account, { id, parameters, origin }) => cancelIntent(account, id, parameters, origin),
  },
  {
    name: 'refunds.create',
    method: 'post',
    path: '/v1/refunds',
    run: (_account, { parameters, origin, subject }, refunds) => refunds.create(parameters, origin, subject),
  },
  {
    name: 'refunds.list',
    method: 'get',
    path: '/v1/refunds',
    run: (account, { parameters }) =>
      page(account.refunds, '/v1/refunds', 'refund', parameters, { ...byIntent, ...byCharge }),
  },
  {
    name: 'refunds.retrieve',
    method: 'get',
    path: '/v1/refunds/:id',
    run: (account, { id }) => account.refund(id),
  },
  {
    name: 'charges.list',
    method: 'get',
    path: '/v1/charges',
    run: (account, { parameters }) =>
      page(account.charges, '/v1/charges', 'charge', parameters, { ...byIntent, ...byCustomer }),
  },
  {
    name: 'charges.retrieve',
    method: 'get',
    path: '/v1/charges/:id',
    run: (account, { id }) => account.charge(id),
  },
  {
    name: 'disputes.list',
    method: 'get',
    path: '/v1/disputes',
    run: (account, { parameters }) =>
      page(account.disputes, '/v1/disputes', 'dispute', parameters, { ...byIntent, ...byCharge }),
  },
  {
    name: 'disputes.retrieve',
    method: 'get',
    path: '/v1/disputes/:id',
    run: (account, { id }) => account.dispute(id),
  },
  {
    name: 'events.retrieve',
    method: 'get',
    path: '/v1/events/:id',
    run: (account, { id }) => account.event(required(id, 'id')),
  },
];

const isMetadata = (pairs: Parameters): pairs is Record<string, string> =>
  Object.values(pairs).every((value) => typeof value === 'string');

/** What faults, gates and refund modes can match a call by. `madeId` is the object that the call made, if any. */
export const subjectOf = (account: Account, id: string, parameters: Parameters, madeId?: string): Subject => {
  const named = [id, parameters['payment_intent'], parameters['charge'], madeId].filter(
    (one): one is string => typeof one === 'string' && one !== '',
  );
  const intent = named.map((one) => account.intentBehind(one)).find((one) => one !== undefined);
  const sent = parameters['metadata'] === undefined ? {} : safeMetadata(parameters);
  const refund = account.refunds.get(id);
  return {
    ids: named,
    owner: intent?.id,
    metadata: [sent, refund?.metadata ?? {}, intent?.metadata ?? {}],
  };
};

const safeMetadata = (parameters: Parameters): Record<string, string> => {
  const value = parameters['metadata'];
  // Malformed metadata is the operation's to refuse, after faults and keys had their turn.
  if (typeof value !== 'object' || value === null) return {};
  const pairs = group(parameters, 'metadata') ?? {};
  return isMetadata(pairs) ? pairs : {};
};
