/**
 * What a run leaves for the judge: each customer's own record of what they did and were told, the gateways' books, the mails
 * that arrived, one snapshot of the database's rows, and what Temporal still runs. Nothing in it is a conclusion of the
 * service.
 */
import type { AttemptStatus } from '../../src/booking';
import { comparisonId, courierId, paymentWatchId } from '../../src/workflows/messages';

/** How one customer means to behave. Drawn from the start value; see `plan.ts`. */
export type Behaviour =
  'pay' | 'abandon' | 'pay-late' | 'decline-then-retry' | 'cancel-open' | 'cancel-booked' | 'double-click';

/** Where money can come from. */
export type Method = 'stripe' | 'razorpay' | 'phonepe' | 'wallet';

/** One answer about a booking that a customer read, whichever route gave it. */
export interface Told {
  /** Milliseconds since 1970, when the answer was complete. */
  at: number;
  status: AttemptStatus;
  version: number;
}

/** One customer's record. Each customer makes one attempt and has an address of their own. */
export interface Visit {
  /** Number in the plan, from 0. */
  n: number;
  customerId: string;
  email: string;
  behaviour: Behaviour;
  method: Method;
  offeringId: string;
  /** Milliseconds since 1970: when the plan wanted the start to be sent. */
  plannedAt: number;
  /** Undefined while no answer has named it. */
  bookingId?: string;
  /** A start that was refused for good: the problem's type, `/problems/slot-unavailable` say. */
  refused?: string;
  told: Told[];
  /** What the customer's wallet was filled with, once that was answered; in the smallest unit. */
  creditedMinor?: number;
  /** When the gateway's page said that the money is there. */
  paidAt?: number;
  /** When a cancellation was granted (200). */
  canceledAt?: number;
  /** Requests that had no answer with a meaning, and were sent again; a sentence each. */
  troubles: string[];
  /** Why the customer left before the end; missing for everybody who came to one. */
  gaveUp?: string;
}

/** A payment object of a gateway. `bookingId` is what the object itself carries. */
export interface PaymentObject {
  gateway: Method;
  ref: string;
  bookingId: string | null;
  /** Whether it could still be paid. */
  payable: boolean;
  /** Whether the gateway ever said how. Stripe keeps a 500 for its key, so that what it made meanwhile is nobody's to pay, or to close. */
  told: boolean;
}

/** Captured money, by the gateway's book; of the wallet by its entries. */
export interface Charge {
  gateway: Method;
  /** Of the payment object; of a wallet's movement its id. */
  ref: string;
  /** The gateway's id of the money itself. */
  chargeId: string;
  bookingId: string | null;
  amountMinor: number;
  currency: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** Money given back. */
export interface Refund {
  gateway: Method;
  ref: string;
  /** The payment object it belongs to; a wallet has none, and its refunds go by their attempt. */
  objectRef: string;
  bookingId: string | null;
  amountMinor: number;
  status: 'pending' | 'succeeded' | 'failed';
  at: number;
}

/** What the gateway's book says about one webhook. */
export interface Event {
  gateway: Method;
  eventId: string;
  type: string;
  ref: string | null;
  /** Answers to each sending; null: none came. */
  answers: (number | null)[];
}

/** A mail at the sink. */
export interface Mail {
  messageId: string | null;
  to: string;
  subject: string;
  at: number;
}

/** Rows of one `REPEATABLE READ` transaction, as the tables have them; names are those of the columns. */
export interface Rows {
  attempts: {
    booking_id: string;
    customer_id: string;
    status: AttemptStatus;
    total_minor: number;
    currency: string;
    method: string | null;
    failure: { type: string } | null;
  }[];
  bookings: {
    id: string;
    status: 'confirmed' | 'canceled';
    total_minor: number;
    currency: string;
    confirmed_at: number;
  }[];
  booking_items: { booking_id: string; offering_id: string; seats: number }[];
  offerings: { id: string; capacity: number | null }[];
  seats: {
    offering_id: string;
    seat_no: number;
    booking_id: string | null;
    held_by: string | null;
  }[];
  payments: {
    id: string;
    booking_id: string | null;
    gateway: string;
    gateway_ref: string;
    gateway_payment_id: string;
    amount_minor: number;
    disposition: string;
  }[];
  refunds: { id: string; payment_id: string; amount_minor: number; status: string; reason: string }[];
  cases: {
    id: string;
    workflow_id: string;
    booking_id: string | null;
    payment_id: string | null;
    kind: string;
    amount_minor: number | null;
    resolved_at: number | null;
  }[];
  messages: { booking_id: string; kind: string; recipient: string; sent_at: number | null }[];
  payment_tries: {
    booking_id: string;
    try: number;
    gateway: string;
    gateway_ref: string | null;
    status: string;
  }[];
  gateway_events: { gateway: string; event_id: string }[];
  wallets: { customer_id: string; currency: string; balance_minor: number }[];
}

/** What broke in one look during the run; empty lists when all held. Written by `samples.ts`. */
export interface Sample {
  at: number;
  /** One sentence for each broken rule, beginning with its name: `S1 …`. */
  broken: string[];
}

/** A workflow that Temporal knows. `history` counts its events. */
export interface Workflow {
  workflowId: string;
  type: string;
  status: string;
  history: number;
}

/** The standing workflows, and the daily comparison that a Schedule may start at any moment. */
export const isStanding = (workflowId: string): boolean =>
  workflowId === paymentWatchId || workflowId === courierId || workflowId.startsWith(comparisonId);

/** A process at the start of the load and after the quiet end. Bytes, and counts of open files. */
export interface Footprint {
  name: string;
  /** Connections that its pools may keep open: none had been wanted at the start. */
  pooled: number;
  /** Bytes that its caches may fill, whose sizes are its own matter. */
  cached: number;
  before: { memory: number; files: number };
  /** Missing when it was not there any more. */
  after?: { memory: number; files: number };
}

/** A fault that was played. Times are milliseconds since 1970. */
export interface Played {
  /** As in `faults/table.ts`: `worker-killed`. */
  kind: string;
  from: number;
  to: number;
  /** What proved that it landed; undefined when nothing did. */
  proof?: string;
  /** What the service let happen that it must withstand. */
  harm?: string;
}

/** Everything a run leaves. */
export interface Evidence {
  startValue: number;
  /** Where the one provider is told of bookings. */
  providerEmail: string;
  visits: Visit[];
  objects: PaymentObject[];
  charges: Charge[];
  refunds: Refund[];
  events: Event[];
  /** Calls that the service made at the gateways, by their own logs. */
  calls: number;
  mails: Mail[];
  rows: Rows;
  samples: Sample[];
  workflows: Workflow[];
  footprints: Footprint[];
  /** Connections to the database before the load and after the quiet end. */
  connections: { before: number; after: number; pooled: number };
  faults: Played[];
  /** How many faults must have landed for the run to prove anything, and how many of each kind. */
  mustLand: { all: number; each: number };
  /** Milliseconds since 1970. */
  loadFrom: number;
  lastFaultEndedAt: number;
  /** When everything was over; undefined when the deadline passed first. */
  quietAt?: number;
  /** With this build, and with an earlier one where there was one. */
  replays: Replay[];
}

/** All histories of a run, replayed with one build. */
export interface Replay {
  build: string;
  replayed: number;
  /** Histories that did not, a sentence each. */
  broken: string[];
}
