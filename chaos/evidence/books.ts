/** The gateways' books in one language: what their own ledgers say of objects, money and webhooks. */
import type { Delivery } from '../../sandbox/gateway/deliveries';
import type { PhonepeLedger } from '../../sandbox/phonepe/ledger';
import type { RazorpayLedger } from '../../sandbox/razorpay/ledger';
import type { StripeLedger } from '../../sandbox/stripe/ledger';
import type { Charge, Event, PaymentObject, Refund } from './evidence';
import type { Sandboxes } from '../stack/surroundings';

/** One gateway's book. */
export interface Book {
  objects: PaymentObject[];
  charges: Charge[];
  refunds: Refund[];
  events: Event[];
  /** Calls that the service made, those that a fault struck among them. */
  calls: number;
}

const millis = (at: string): number => Date.parse(at);

/** @param ref the object that it tells of */
function eventOf(
  gateway: Event['gateway'],
  ref: string | null,
  { id, type, deliveries }: { id: string; type: string; deliveries: readonly Delivery[] },
): Event {
  return { gateway, eventId: id, type, ref, answers: deliveries.map(({ status }) => status) };
}

function stripeBook({ intents, charges, refunds, events, requests }: StripeLedger): Book {
  const marks = new Map(intents.map(({ id, metadata }) => [id, metadata['bookingId'] ?? null]));
  const untold = new Set(
    requests
      .filter(({ operation, status }) => operation === 'payment_intents.create' && status === 500)
      .map(({ made }) => made),
  );
  const gateway = 'stripe';
  return {
    objects: intents.map(({ id, status }) => ({
      gateway,
      ref: id,
      bookingId: marks.get(id) ?? null,
      payable: !['succeeded', 'canceled'].includes(status),
      told: !untold.has(id),
    })),
    charges: charges
      .filter(({ status }) => status === 'succeeded')
      .map(({ id, paymentIntent, amount, currency, at }) => ({
        gateway,
        ref: paymentIntent,
        chargeId: id,
        bookingId: marks.get(paymentIntent) ?? null,
        amountMinor: amount,
        currency: currency.toUpperCase(),
        at: millis(at),
      })),
    refunds: refunds.map(({ id, paymentIntent, amount, status, at }) => ({
      gateway,
      ref: id,
      objectRef: paymentIntent,
      bookingId: marks.get(paymentIntent) ?? null,
      amountMinor: amount,
      status: status === 'succeeded' ? 'succeeded' : status === 'pending' ? 'pending' : 'failed',
      at: millis(at),
    })),
    events: events.map(({ paymentIntent, ...event }) => eventOf(gateway, paymentIntent, event)),
    // The payer's own call stands in the same log.
    calls: requests.filter(({ operation }) => operation !== 'payment_intents.confirm').length,
  };
}

function razorpayBook({ orders, payments, refunds, events, requests }: RazorpayLedger): Book {
  const marks = new Map(orders.map(({ id, metadata }) => [id, metadata['bookingId'] ?? null]));
  const gateway = 'razorpay';
  return {
    objects: orders.map(({ id, status }) => ({
      gateway,
      ref: id,
      bookingId: marks.get(id) ?? null,
      payable: status !== 'paid',
      told: true,
    })),
    charges: payments
      .filter(({ captured }) => captured)
      .map(({ id, order, amount, currency, at }) => ({
        gateway,
        ref: order,
        chargeId: id,
        bookingId: marks.get(order) ?? null,
        amountMinor: amount,
        currency: currency.toUpperCase(),
        at: millis(at),
      })),
    // What Razorpay gave back by itself was never captured.
    refunds: refunds
      .filter(({ automatic }) => !automatic)
      .map(({ id, order, amount, status, at }) => ({
        gateway,
        ref: id,
        objectRef: order,
        bookingId: marks.get(order) ?? null,
        amountMinor: amount,
        status: status === 'processed' ? 'succeeded' : status === 'pending' ? 'pending' : 'failed',
        at: millis(at),
      })),
    events: events.map(({ order, ...event }) => eventOf(gateway, order, event)),
    calls: requests.length,
  };
}

function phonepeBook({ orders, payments, refunds, events, requests }: PhonepeLedger): Book {
  const marks = new Map(orders.map(({ id, metadata }) => [id, metadata['udf1'] ?? null]));
  // An order is paid once, and goes by PhonePe's id of it.
  const theirs = new Map(orders.map(({ id, orderId }) => [id, orderId]));
  const gateway = 'phonepe';
  return {
    objects: orders.map(({ id, status }) => ({
      gateway,
      ref: id,
      bookingId: marks.get(id) ?? null,
      payable: status === 'PENDING',
      told: true,
    })),
    charges: payments
      .filter(({ captured }) => captured)
      .map(({ id, order, amount, currency, at }) => ({
        gateway,
        ref: order,
        chargeId: theirs.get(order) ?? id,
        bookingId: marks.get(order) ?? null,
        amountMinor: amount,
        currency,
        at: millis(at),
      })),
    refunds: refunds.map(({ refundId, order, amount, status, at }) => ({
      gateway,
      ref: refundId,
      objectRef: order,
      bookingId: marks.get(order) ?? null,
      amountMinor: amount,
      status: status === 'COMPLETED' ? 'succeeded' : status === 'FAILED' ? 'failed' : 'pending',
      at: millis(at),
    })),
    events: events.map(({ order, ...event }) => eventOf(gateway, order, event)),
    calls: requests.length,
  };
}

/** All gateways' books as one. */
export async function readBooks({ stripe, razorpay, phonepe }: Sandboxes): Promise<Book> {
  const books = [
    stripeBook(await stripe.ledger()),
    razorpayBook(await razorpay.ledger()),
    phonepeBook(await phonepe.ledger()),
  ];
  return {
    objects: books.flatMap(({ objects }) => objects),
    charges: books.flatMap(({ charges }) => charges),
    refunds: books.flatMap(({ refunds }) => refunds),
    events: books.flatMap(({ events }) => events),
    calls: books.reduce((sum, { calls }) => sum + calls, 0),
  };
}
