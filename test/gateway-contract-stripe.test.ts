/** The contract of gateways, played for the Stripe adapter: against the sandbox, or the stand-in that `STRIPE_API_BASE` names. */
import { anyStripeCounterpart, stripeCounterpart } from './gateway-counterpart-stripe';
import { gatewayContract } from './gateway-contract';

const oneIntent = 'an intent is paid once';
const ruledOut = {
  'A payment that failed and is confirmed after all is money': 'a declined charge stays declined',
  'Each payment of one object is money of its own': oneIntent,
  'What the gateway gave back by itself was never money': oneIntent,
  'An object whose time is over cannot be paid any more': 'an intent does not expire by itself',
  'An unpaid object stays open, and says so': 'an intent can be canceled',
  'A gateway that cannot list says so': 'Stripe lists',
  'A forged body with the right header says nothing but where to look': 'the body is signed',
  'An object that is none of ours does not ring, where nothing is signed': 'the body is signed',
  'What the gateway’s page hands the browser is checked, where it signs that': 'Stripe signs no return',
};

const standIn = process.env['STRIPE_API_BASE'];

if (standIn === undefined || standIn === '') {
  gatewayContract('Stripe at its sandbox', stripeCounterpart, ruledOut);
} else {
  const noSwitch = 'not run there: only a sandbox of ours has the switch';
  const secretKey = process.env['STRIPE_SECRET_KEY'] ?? 'sk_test_stand_in';
  gatewayContract(
    `Stripe at ${standIn}`,
    () => anyStripeCounterpart(standIn.replace(/\/$/, ''), secretKey, async () => undefined),
    {
      ...ruledOut,
      'Money that is promised and not there yet is processing': noSwitch,
      'An object whose money is on its way is processing': noSwitch,
      'A refund of what went back already, by others, is refused and not taken for ours': noSwitch,
      'A pending refund is pending until the bank says': noSwitch,
      'A refund that failed after success is failed': noSwitch,
      'A refund that failed for good stays failed, and a new go sends it again': noSwitch,
      'Refunds of ours and refunds made by hand are told apart': noSwitch,
      'A dispute is told from its beginning to its end': noSwitch,
      'The list has what was captured and what went back, whoever did it': noSwitch,
      'The list is complete over many pages': noSwitch,
      'Neighbouring lists share nothing and leave nothing out': noSwitch,
      'The list has the disputes of its interval, each with the payment object its money came in by':
        noSwitch,
      'The list goes on where it was, after a page that was unknown': noSwitch,
      'What the gateway itself delivers of a payment and of a refund is believed': noSwitch,
    },
  );
}
