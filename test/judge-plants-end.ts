/** What must hold once everything is quiet, broken: L1 to L9. */
import { messageId } from '../chaos/judge/mails';
import { bookingWorkflowId } from '../src/workflows/messages';
import { loadFrom, priceMinor, provider } from './judge-evidence';
import { bookingOf, numberOf } from './judge-people';
import { attemptOf, drop, objectOf, the, visitOf, type Plant } from './judge-plant';

export const plantsAtTheEnd: Plant[] = [
  [
    'L1',
    'an attempt is still open',
    (evidence) => {
      attemptOf(evidence, 'abandons').status = 'awaiting_payment';
      visitOf(evidence, 'abandons').told.pop();
    },
  ],
  [
    'L1',
    'an attempt waits for a person whom nobody asked',
    ({ rows, workflows }) => {
      rows.attempts.push({
        ...the(rows.attempts, () => true),
        booking_id: 'bkg_x',
        customer_id: 'x',
        status: 'needs_attention',
      });
      workflows.push({
        ...the(workflows, () => true),
        workflowId: bookingWorkflowId('bkg_x'),
        status: 'COMPLETED',
      });
    },
  ],
  [
    'L1',
    'a customer was left without an answer',
    (evidence) => {
      visitOf(evidence, 'abandons').gaveUp = 'the run closed at POST /v1/bookings';
    },
  ],
  [
    'L2',
    'money that bought nothing did not go back',
    ({ refunds }) => {
      drop(refunds, ({ bookingId }) => bookingId === bookingOf('comesSecond'));
    },
  ],
  [
    'L2',
    'money is still on its way back',
    ({ refunds }) => {
      the(refunds, ({ bookingId }) => bookingId === bookingOf('comesSecond')).status = 'pending';
    },
  ],
  [
    'L2',
    'a case stands for less than is owed',
    ({ rows }) => {
      the(rows.cases, () => true).amount_minor = priceMinor - 1;
    },
  ],
  [
    'L2',
    'a refund failed, and no case asks for it',
    (evidence) => {
      const { rows, workflows } = evidence;
      drop(rows.cases, () => true);
      const person = 'cannotBeGivenBack';
      attemptOf(evidence, person).status = 'refunded';
      visitOf(evidence, person).told.pop();
      the(workflows, ({ workflowId }) => workflowId.endsWith(bookingOf(person))).status = 'COMPLETED';
    },
  ],
  [
    'L2',
    'a case has no fault that provoked it',
    ({ rows }) => {
      rows.cases.push({
        id: 'cas_x',
        workflow_id: 'case/cas_x',
        booking_id: null,
        payment_id: null,
        kind: 'difference',
        amount_minor: null,
        resolved_at: null,
      });
    },
  ],
  [
    'L2',
    'money of no attempt was kept',
    ({ charges, rows }) => {
      charges.push({
        gateway: 'razorpay',
        ref: 'order_x',
        chargeId: 'charge_x',
        bookingId: null,
        amountMinor: 700,
        currency: 'EUR',
        at: loadFrom,
      });
      rows.payments.push({
        id: 'pay_x',
        booking_id: null,
        gateway: 'razorpay',
        gateway_ref: 'order_x',
        gateway_payment_id: 'charge_x',
        amount_minor: 700,
        disposition: 'unmatched',
      });
    },
  ],
  [
    'L2',
    'a wallet holds less than what is left of it',
    ({ rows }) => {
      the(rows.wallets, ({ balance_minor }) => balance_minor > 0).balance_minor -= 1;
    },
  ],
  [
    'L2',
    'a wallet that was filled is gone',
    ({ rows }) => {
      drop(rows.wallets, () => true);
    },
  ],
  [
    'L2',
    'a case asks for a message, which no run is long enough for',
    ({ rows }) => {
      rows.cases.push({
        id: 'cas_m',
        workflow_id: 'case/cas_m',
        booking_id: bookingOf('paysByStripe'),
        payment_id: null,
        kind: 'message-failed',
        amount_minor: null,
        resolved_at: null,
      });
    },
  ],
  [
    'L3',
    'a confirmation never came',
    ({ mails }) => {
      drop(mails, ({ to }) => to === `${numberOf('paysByStripe')}@example.test`);
    },
  ],
  [
    'L3',
    'a notice of a refund never came',
    ({ mails }) => {
      drop(mails, ({ to }) => to === `${numberOf('comesSecond')}@example.test`);
    },
  ],
  [
    'L3',
    'a provider never heard of a booking',
    ({ mails }) => {
      drop(mails, ({ to }) => to === provider);
    },
  ],
  [
    'L3',
    'a message to a provider was never queued',
    ({ mails, rows }) => {
      const { booking_id, recipient } = drop(rows.messages, ({ kind }) => kind === 'provider-booked');
      drop(mails, (mail) => mail.messageId === messageId(booking_id, 'provider-booked', recipient));
    },
  ],
  [
    'L3',
    'a second confirmation came under another id',
    ({ mails }) => {
      mails.push({ ...the(mails, () => true), messageId: '<another@payfirst>' });
    },
  ],
  [
    'L3',
    'a mail went to somebody else',
    ({ mails }) => {
      const mail = the(mails, ({ to }) => to === `${numberOf('paysByStripe')}@example.test`);
      mails.push({ ...mail, to: 'somebody@example.test' });
    },
  ],
  [
    'L4',
    'an acknowledged webhook had no effect',
    ({ rows }) => {
      drop(rows.payments, ({ booking_id }) => booking_id === bookingOf('cannotBeGivenBack'));
    },
  ],
  [
    'L5',
    'a workflow still runs',
    ({ workflows }) => {
      the(workflows, ({ status }) => status === 'COMPLETED').status = 'RUNNING';
    },
  ],
  [
    'L5',
    'an abandoned payment can still be paid',
    (evidence) => {
      objectOf(evidence, 'abandons').payable = true;
    },
  ],
  [
    'L5',
    'a payment of no attempt can still be paid',
    ({ objects }) => {
      objects.push({ gateway: 'stripe', ref: 'pi_x', bookingId: null, payable: true, told: true });
    },
  ],
  [
    'L5',
    'a seat is still held',
    ({ rows }) => {
      Object.assign(
        the(rows.seats, ({ booking_id }) => booking_id === null),
        { held_by: bookingOf('abandons') },
      );
    },
  ],
  [
    'L5',
    'a refund is still under way',
    ({ rows }) => {
      the(rows.refunds, ({ status }) => status === 'succeeded').status = 'pending';
    },
  ],
  [
    'L5',
    'a message is still unsent',
    ({ rows }) => {
      the(rows.messages, () => true).sent_at = null;
    },
  ],
  [
    'L6',
    'a payer was refused a seat that is free',
    (evidence) => {
      visitOf(evidence, 'comesSecond').offeringId = 'off_slot';
    },
  ],
  [
    'L7',
    'it took more than a minute',
    (evidence) => {
      evidence.quietAt = evidence.lastFaultEndedAt + 60_001;
    },
  ],
  [
    'L7',
    'it was never over',
    (evidence) => {
      delete evidence.quietAt;
    },
  ],
  [
    'L8',
    'a history does not replay',
    ({ replays }) => {
      replays[0]?.broken.push('booking/bkg_0: nondeterminism');
    },
  ],
  [
    'L8',
    'some histories were not replayed',
    ({ replays }) => {
      the(replays, () => true).replayed = 3;
    },
  ],
  [
    'L8',
    'an attempt has no workflow',
    ({ workflows }) => {
      drop(workflows, ({ workflowId }) => workflowId === bookingWorkflowId(bookingOf('abandons')));
    },
  ],
  [
    'L9',
    'a process is gone',
    ({ footprints }) => {
      delete the(footprints, () => true).after;
    },
  ],
  [
    'L9',
    'connections did not return',
    ({ connections }) => {
      connections.after = 26;
    },
  ],
  [
    'L9',
    'open files did not return',
    ({ footprints }) => {
      Object.assign(
        the(footprints, () => true),
        { after: { memory: 320e6, files: 46 } },
      );
    },
  ],
  [
    'L9',
    'memory leaks',
    ({ footprints }) => {
      Object.assign(
        the(footprints, () => true),
        { after: { memory: 500e6, files: 43 } },
      );
    },
  ],
];
