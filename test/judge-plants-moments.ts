/** What must hold at every moment, broken: S1 to S11. */
import { bookingWorkflowId } from '../src/workflows/messages';
import { loadFrom } from './judge-evidence';
import { bookingOf } from './judge-people';
import { attemptOf, drop, the, visitOf, type Plant } from './judge-plant';

export const plantsAtMoments: Plant[] = [
  [
    'S1',
    'more seats are booked than there are',
    ({ rows }) => {
      the(rows.offerings, ({ id }) => id === 'off_slot').capacity = 2;
    },
  ],
  [
    'S1',
    'a sample saw it during the run',
    ({ samples }) => {
      samples.push({ at: loadFrom + 2000, broken: ['S1 off_hot has 2 bookings for 1 seat.'] });
    },
  ],
  [
    'S2',
    'a canceled booking has a seat',
    ({ rows }) => {
      the(rows.seats, (seat) => seat.offering_id === 'off_undone').booking_id = bookingOf('cancelsBooked');
    },
  ],
  [
    'S2',
    'a booking has no seat',
    ({ rows }) => {
      the(rows.seats, (seat) => seat.booking_id === bookingOf('paysByStripe')).booking_id = null;
    },
  ],
  [
    'S3',
    'one charge is two payments',
    ({ rows }) => {
      const row = the(rows.payments, (one) => one.booking_id === bookingOf('comesSecond'));
      rows.payments.push({ ...row, id: 'pay_twin' });
    },
  ],
  [
    'S3',
    'two payments bought one booking',
    ({ rows }) => {
      for (const row of rows.payments)
        if (row.booking_id === bookingOf('paysTwice')) row.disposition = 'booked';
    },
  ],
  [
    'S3',
    'a payment bought a booking that does not exist',
    ({ rows }) => {
      the(rows.payments, (one) => one.booking_id === bookingOf('comesSecond')).disposition = 'booked';
    },
  ],
  [
    'S3',
    'a payment is invented',
    ({ rows }) => {
      rows.payments.push({
        ...the(rows.payments, () => true),
        id: 'pay_x',
        gateway_payment_id: 'charge_x',
        disposition: 'returned',
      });
    },
  ],
  [
    'S3',
    'two bookings have each other’s payment',
    ({ rows }) => {
      const [one, other] = rows.payments.filter(({ disposition }) => disposition === 'booked');
      if (one && other) [one.booking_id, other.booking_id] = [other.booking_id, one.booking_id];
    },
  ],
  [
    'S3',
    'money is unknown of which no webhook was taken',
    ({ rows, events }) => {
      const payment = drop(rows.payments, ({ booking_id }) => booking_id === bookingOf('cannotBeGivenBack'));
      the(events, ({ ref }) => ref === payment.gateway_ref).answers = [500, null];
    },
  ],
  [
    'S4',
    'one payment gives back twice, and the other never',
    ({ refunds }) => {
      const [first, second] = refunds.filter(({ bookingId }) => bookingId === bookingOf('paysLateTwice'));
      if (first && second) second.objectRef = first.objectRef;
    },
  ],
  [
    'S4',
    'two refunds have one reason',
    ({ rows }) => {
      rows.refunds.push({ ...the(rows.refunds, () => true), id: 'ref_twin', status: 'failed' });
    },
  ],
  [
    'S5',
    'a booking was confirmed before its money came',
    ({ charges }) => {
      the(charges, ({ bookingId }) => bookingId === bookingOf('paysByStripe')).at += 60_000;
    },
  ],
  [
    'S6',
    'another price was quoted',
    (evidence) => {
      attemptOf(evidence, 'paysByStripe').total_minor += 1;
    },
  ],
  [
    'S6',
    'a payment row says another amount',
    ({ rows }) => {
      the(rows.payments, ({ booking_id }) => booking_id === bookingOf('paysByStripe')).amount_minor -= 1;
    },
  ],
  [
    'S7',
    'of two payments the one went back that bought the booking',
    ({ refunds, charges }) => {
      const [buys] = charges.filter(({ bookingId }) => bookingId === bookingOf('paysTwice'));
      the(refunds, ({ bookingId }) => bookingId === bookingOf('paysTwice')).objectRef = buys?.ref ?? '';
    },
  ],
  [
    'S8',
    'an attempt left "needs attention" without a person',
    (evidence) => {
      const { told } = visitOf(evidence, 'cannotBeGivenBack');
      told.splice(1, 0, { at: loadFrom, status: 'needs_attention', version: 1.5 });
    },
  ],
  [
    'S8',
    'an attempt left its end',
    (evidence) => {
      visitOf(evidence, 'abandons').told.splice(1, 0, { at: loadFrom, status: 'canceled', version: 1.5 });
    },
  ],
  [
    'S8',
    'the row ends where nobody can come from what was told',
    (evidence) => {
      attemptOf(evidence, 'abandons').status = 'canceled';
    },
  ],
  [
    'S8',
    'one version was two statuses',
    (evidence) => {
      const { told } = visitOf(evidence, 'abandons');
      the(told, ({ status }) => status === 'expired').version = 1;
    },
  ],
  [
    'S8',
    'a booking stands, and its attempt does not say so',
    (evidence) => {
      attemptOf(evidence, 'paysByStripe').status = 'expired';
      visitOf(evidence, 'paysByStripe').told = [];
    },
  ],
  [
    'S9',
    'seats were free, and somebody was turned away before paying',
    ({ visits }) => {
      the(visits, ({ refused }) => refused !== undefined).offeringId = 'off_slot';
    },
  ],
  [
    'S10',
    'a forged webhook was believed',
    ({ faults }) => {
      faults.push({ kind: 'webhooks-forged', from: loadFrom, to: loadFrom, harm: 'It was answered 200' });
    },
  ],
  [
    'S10',
    'an event was heard that nobody sent',
    ({ rows }) => {
      rows.gateway_events.push({ gateway: 'stripe', event_id: 'evt_forged' });
    },
  ],
  [
    'S11',
    'a customer saw confirmed, and then an earlier state',
    (evidence) => {
      const { told } = visitOf(evidence, 'paysByStripe');
      told.push({ at: loadFrom, status: 'processing', version: 3 });
    },
  ],
  [
    'S11',
    'a confirmed booking was undone, and nobody had asked for it',
    (evidence) => {
      const visit = visitOf(evidence, 'cancelsBooked');
      visit.behaviour = 'pay';
      delete visit.canceledAt;
    },
  ],
  [
    'S11',
    'versions fell',
    (evidence) => {
      visitOf(evidence, 'abandons').told.push({ at: loadFrom, status: 'expired', version: 0 });
    },
  ],
  [
    'S11',
    'an acknowledged start is lost',
    (evidence) => {
      evidence.visits.push({
        ...visitOf(evidence, 'abandons'),
        n: 99,
        customerId: 'lost',
        bookingId: 'bkg_lost',
        told: [],
      });
    },
  ],
  [
    'S11',
    'a granted cancellation is lost',
    (evidence) => {
      visitOf(evidence, 'abandons').canceledAt = loadFrom;
    },
  ],
  [
    'S11',
    'a second click made a second attempt',
    ({ rows, workflows }) => {
      rows.attempts.push({
        ...the(rows.attempts, ({ status }) => status === 'expired'),
        booking_id: 'bkg_second',
      });
      workflows.push({
        ...the(workflows, ({ status }) => status === 'COMPLETED'),
        workflowId: bookingWorkflowId('bkg_second'),
      });
    },
  ],
];
