/** The contract of gateways, played for the PhonePe adapter, in both layouts of the API and both readings of its pages. */
import { phonepeCounterpart } from './gateway-counterpart-phonepe';
import { gatewayContract } from './gateway-contract';

const neverCloses = 'nothing ends an order but its payment or its time';
const onlyRootState = 'the root state tells nobody whether a payment is under way';
const oneOrder = 'an order is paid once';
const noLists = 'PhonePe lists nothing';
const notTold = 'PhonePe tells of nothing that others did';
const ruledOut = {
  'Money that is promised and not there yet is processing': onlyRootState,
  'An object whose money is on its way is processing': onlyRootState,
  'Each payment of one object is money of its own': oneOrder,
  'What the gateway gave back by itself was never money': oneOrder,
  'An unpaid object is closed, and cannot be paid any more': neverCloses,
  'An object that was declined is closed': neverCloses,
  'Closing twice is closing once': neverCloses,
  'A refund of what went back already, by others, is refused and not taken for ours': notTold,
  'Refunds of ours and refunds made by hand are told apart': notTold,
  'A dispute is told from its beginning to its end': notTold,
  'A refund by others, and a dispute, are reversals': notTold,
  'An object that is not there has no reversals to tell': noLists,
  'Reversals without a usable answer are unknown': noLists,
  'The list has what was captured and what went back, whoever did it': noLists,
  'The list leaves out what brought no money': noLists,
  'The list is complete over many pages': noLists,
  'Neighbouring lists share nothing and leave nothing out': noLists,
  'The list has the disputes of its interval, each with the payment object its money came in by': noLists,
  'The list goes on where it was, after a page that was unknown': noLists,
  'An event of no interest does not ring':
    'which events there are is not told; an order of ours is what counts',
  'A body that was changed under its signature is refused': 'the body is not signed',
  'What the gateway’s page hands the browser is checked, where it signs that': 'PhonePe signs no return',
};

// What repeats and unknown ids are answered is on no page: the adapter owes the same to the story either way.
gatewayContract(
  'PhonePe as in production, where repeats are refused and unknown ids are 404',
  () => phonepeCounterpart('/apis', { orders: 'refused', refunds: 'refused', missing: 404 }),
  ruledOut,
);
gatewayContract(
  'PhonePe as in its sandbox, where repeats give the same and unknown ids are 400',
  () => phonepeCounterpart('/apis/pg-sandbox', { orders: 'same', refunds: 'same', missing: 400 }),
  ruledOut,
);
