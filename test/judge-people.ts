/** Everybody who comes in the judge's own test: how they behave, what they are told, and where their money goes. */
import type { Behaviour, Method } from '../chaos/evidence/evidence';
import type { AttemptStatus, MessageKind, RefundReason } from '../src/booking';

/** How money that came by one object went: it bought the booking, or back it went. */
export interface Money {
  gateway?: Method;
  /** Of the refund, by the gateway's book and by ours; missing where the money bought what still stands. */
  back?: { status: 'succeeded' | 'failed'; reason: RefundReason };
}

export interface Told {
  behaviour: Behaviour;
  method: Method;
  offering: 'slot' | 'hot' | 'undone';
  path: AttemptStatus[];
  money?: Money[];
  booked?: 'confirmed' | 'canceled';
  failure?: string;
  refused?: string;
  mails?: MessageKind[];
}

/** Everybody who comes, by what becomes of them. The place in the list is the visit's number. */
export const everybody = {
  paysByStripe: {
    behaviour: 'pay',
    method: 'stripe',
    offering: 'slot',
    path: ['awaiting_payment', 'confirmed'],
    money: [{}],
    booked: 'confirmed',
    mails: ['booking-confirmed', 'provider-booked'],
  },
  paysByWallet: {
    behaviour: 'double-click',
    method: 'wallet',
    offering: 'slot',
    path: ['confirmed'],
    money: [{}],
    booked: 'confirmed',
    mails: ['booking-confirmed', 'provider-booked'],
  },
  hasTheLastSeat: {
    behaviour: 'pay',
    method: 'razorpay',
    offering: 'hot',
    path: ['awaiting_payment', 'processing', 'confirmed'],
    money: [{}],
    booked: 'confirmed',
    mails: ['booking-confirmed', 'provider-booked'],
  },
  comesSecond: {
    behaviour: 'pay',
    method: 'phonepe',
    offering: 'hot',
    path: ['awaiting_payment', 'refunding', 'refunded'],
    money: [{ back: { status: 'succeeded', reason: 'slot-unavailable' } }],
    failure: 'slot-unavailable',
    mails: ['payment-refunded'],
  },
  cannotBeGivenBack: {
    behaviour: 'pay',
    method: 'stripe',
    offering: 'hot',
    path: ['awaiting_payment', 'refunding', 'needs_attention'],
    money: [{ back: { status: 'failed', reason: 'slot-unavailable' } }],
    failure: 'slot-unavailable',
    mails: ['refund-failed'],
  },
  findsItSoldOut: {
    behaviour: 'pay',
    method: 'stripe',
    offering: 'hot',
    path: ['failed'],
    failure: 'slot-unavailable',
    refused: '/problems/slot-unavailable',
  },
  abandons: {
    behaviour: 'abandon',
    method: 'stripe',
    offering: 'slot',
    path: ['awaiting_payment', 'expired'],
  },
  paysLateTwice: {
    behaviour: 'pay-late',
    method: 'razorpay',
    offering: 'slot',
    path: ['awaiting_payment', 'expired'],
    money: [
      { back: { status: 'succeeded', reason: 'late-payment' } },
      { back: { status: 'succeeded', reason: 'second-payment' } },
    ],
    mails: ['payment-refunded'],
  },
  paysTwice: {
    behaviour: 'decline-then-retry',
    method: 'phonepe',
    offering: 'slot',
    path: ['awaiting_payment', 'confirmed'],
    money: [{}, { back: { status: 'succeeded', reason: 'second-payment' } }],
    booked: 'confirmed',
    mails: ['booking-confirmed', 'provider-booked', 'payment-refunded'],
  },
  cancelsOpen: {
    behaviour: 'cancel-open',
    method: 'stripe',
    offering: 'slot',
    path: ['awaiting_payment', 'canceled'],
  },
  cancelsBooked: {
    behaviour: 'cancel-booked',
    method: 'wallet',
    offering: 'undone',
    path: ['confirmed', 'refunding', 'refunded'],
    money: [{ back: { status: 'succeeded', reason: 'canceled-by-customer' } }],
    booked: 'canceled',
    mails: [
      'booking-confirmed',
      'provider-booked',
      'booking-canceled',
      'provider-canceled',
      'payment-refunded',
    ],
  },
} as const satisfies Record<string, Told>;

export type Person = keyof typeof everybody;
export const people = Object.keys(everybody) as Person[];

/** The number of somebody's visit. */
export const numberOf = (person: Person): number => people.indexOf(person);
/** The id of somebody's attempt. */
export const bookingOf = (person: Person): string => `bkg_${numberOf(person)}`;
