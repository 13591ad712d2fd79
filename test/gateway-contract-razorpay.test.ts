/** The contract of gateways, played for the Razorpay adapter, in both readings of Razorpay's pages on a used receipt. */
import { razorpayCounterpart } from './gateway-counterpart-razorpay';
import { gatewayContract } from './gateway-contract';

const neverCloses = 'nothing ends an order but its payment';
const ruledOut = {
  'An object whose time is over cannot be paid any more': 'an order never expires',
  'An unpaid object is closed, and cannot be paid any more': neverCloses,
  'An object that was declined is closed': neverCloses,
  'Closing twice is closing once': neverCloses,
  'A gateway that cannot list says so': 'Razorpay lists',
  'A forged body with the right header says nothing but where to look': 'the body is signed',
  'An object that is none of ours does not ring, where nothing is signed': 'the body is signed',
};

// Razorpay's pages disagree on a receipt that was used: the adapter owes the same to the story either way.
gatewayContract(
  'Razorpay, where a used receipt gives the same order',
  () => razorpayCounterpart('same'),
  ruledOut,
);
gatewayContract('Razorpay, where a used receipt is refused', () => razorpayCounterpart('refused'), ruledOut);
