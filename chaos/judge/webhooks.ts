/** S10 and L4: webhooks. What was heard must have been sent by a gateway, and what was acknowledged must have had its effect. */
import type { Evidence } from '../evidence/evidence';
import { chargeKey, type ToldOf } from './payments';
import { objectKey } from './story';
import { groupBy, lookAtEach, together, unless, type Rule } from './verdict';

/**
 * Events that say that money was captured, as the gateways name them: docs.stripe.com/api/events/types,
 * razorpay.com/docs/webhooks/payments, developer.phonepe.com (webhooks of Standard Checkout), read 2026-11.
 */
const moneyEvents: readonly string[] = [
  'payment_intent.succeeded',
  'charge.succeeded',
  'payment.captured',
  'order.paid',
  'checkout.order.completed',
];

const acknowledged = (answer: number | null): boolean => answer !== null && answer >= 200 && answer < 300;

/** References of which an event of captured money was answered 2xx at least once. */
function acknowledgedRefs({ events }: Evidence): Set<string> {
  return new Set(
    events
      .filter((event) => moneyEvents.includes(event.type) && event.answers.some(acknowledged))
      .flatMap(({ gateway, ref }) => (ref === null ? [] : [objectKey(gateway, ref)])),
  );
}

/** Says of a charge whether we acknowledged an event of it. */
export function acknowledgedCharges(evidence: Evidence): ToldOf {
  const refs = acknowledgedRefs(evidence);
  return ({ gateway, ref, chargeId }) =>
    refs.has(objectKey(gateway, ref)) || refs.has(objectKey(gateway, chargeId));
}

export const acknowledgedTookEffect: Rule = {
  name: 'L4',
  rule: 'Money whose webhook was answered 2xx is known: its charge is a payment.',
  look(evidence) {
    const known = new Set(
      evidence.rows.payments.map((row) => chargeKey(row.gateway, row.gateway_payment_id)),
    );
    return lookAtEach(evidence.charges.filter(acknowledgedCharges(evidence)), (charge) =>
      unless(known.has(chargeKey(charge.gateway, charge.chargeId)), () => ({
        text: `An event of ${charge.ref} was answered 2xx, and its ${charge.amountMinor} ${charge.currency} (${charge.chargeId}) are unknown.`,
        gateway: charge.gateway,
        ...(charge.bookingId === null ? {} : { bookingId: charge.bookingId }),
      })),
    );
  },
};

/**
 * Gateways whose events bear an id that we keep. PhonePe's bear none (ours is a hash of the body), so what was heard of it
 * cannot be looked up in its book.
 */
const eventsWithIds: readonly string[] = ['stripe', 'razorpay'];

export const onlyTrueEvents: Rule = {
  name: 'S10',
  rule: 'A webhook with a bad signature, an old timestamp or an unknown object changes nothing: what was heard, a gateway sent.',
  look({ events, rows, faults }) {
    const sent = groupBy(events, ({ gateway, eventId }) => `${gateway} ${eventId}`);
    return together(
      lookAtEach(
        rows.gateway_events.filter(({ gateway }) => eventsWithIds.includes(gateway)),
        ({ gateway, event_id }) =>
          unless(sent.has(`${gateway} ${event_id}`), () => ({
            text: `Event ${event_id} was heard, and ${gateway} never sent it.`,
            gateway,
          })),
      ),
      lookAtEach(
        faults.filter(({ kind }) => kind === 'webhooks-forged'),
        ({ harm }) => (harm === undefined ? [] : [{ text: `${harm}.` }]),
      ),
    );
  },
};
