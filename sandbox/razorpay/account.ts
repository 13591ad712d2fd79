import { randomBytes } from 'node:crypto';
import { missing } from './refusals';
import {
  type Dispute,
  type EventBody,
  type EventName,
  type Notes,
  type Order,
  pairsOf,
  type Payment,
  type Refund,
} from './wire';

/** Whether payments of an order are captured by Razorpay; …/payments/payments/capture-settings/api. */
export type Capture = 'automatic' | 'manual';

/** Something that happened, as it was then. */
export interface Event {
  id: string;
  type: EventName;
  /** The order concerned; of a payment without one, the payment. */
  owner: string;
  objectId: string;
  /** Every id in it. */
  ids: string[];
  metadata: Record<string, string>[];
  body: EventBody;
}

/** Where Razorpay's pages leave two readings open, the one that this account follows. */
export interface Readings {
  /** A repeated `unique_receipt`: the order of before, or a refusal (two official pages disagree). */
  receipts: 'same' | 'refused';
  /** `X-Refund-Idempotency`: whether it works in test mode is nowhere confirmed. */
  refundKeys: 'kept' | 'ignored';
  /** Notes of a payment: only those that the checkout was given, or the order's where it was given none. */
  paymentNotes: 'checkout' | 'order';
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** 14 random letters and digits after the kind's prefix, the look of Razorpay's ids. */
export const newId = (prefix: string): string =>
  `${prefix}_${[...randomBytes(14)].map((byte) => letters[byte % letters.length]).join('')}`;

/** Notes as they travel. */
export const notesOf = (pairs: Record<string, string>): Notes =>
  Object.keys(pairs).length === 0 ? [] : pairs;

/**
 * Everything one Razorpay test account remembers, in memory. Deeds on it are synchronous, so no two requests ever see half
 * of a change. `events` grows only; whoever runs a deed sends the events it added.
 */
export class Account {
  readonly id = newId('acc');
  readonly orders = new Map<string, Order>();
  readonly payments = new Map<string, Payment>();
  readonly refunds = new Map<string, Refund>();
  readonly disputes = new Map<string, Dispute>();
  readonly events: Event[] = [];
  /** By order id: what its payment settings say. An order's answer does not show them. */
  readonly captures = new Map<string, Capture>();
  /** Refunds that somebody made in the dashboard, and those that Razorpay made by itself, by id. */
  readonly byHand = new Set<string>();
  readonly automatic = new Set<string>();
  readonly failureReasons = new Map<string, string>();
  /** In milliseconds: the wire's own times are whole seconds. */
  readonly bornAt = new Map<string, number>();
  readonly readings: Readings = { receipts: 'same', refundKeys: 'kept', paymentNotes: 'checkout' };
  /** Paise that refunds can be paid from; null: enough. */
  balance: number | null = null;

  now(): number {
    return Math.floor(Date.now() / 1000);
  }

  keep(object: Order | Payment | Refund | Dispute): void {
    this.bornAt.set(object.id, object.created_at < this.now() ? object.created_at * 1000 : Date.now());
    if (object.entity === 'order') this.orders.set(object.id, object);
    else if (object.entity === 'payment') this.payments.set(object.id, object);
    else if (object.entity === 'refund') this.refunds.set(object.id, object);
    else this.disputes.set(object.id, object);
  }

  /** 400 when there is none; so do the others. */
  order(id: string): Order {
    return this.find(this.orders, id);
  }

  payment(id: string): Payment {
    return this.find(this.payments, id);
  }

  refund(id: string): Refund {
    return this.find(this.refunds, id);
  }

  dispute(id: string): Dispute {
    return this.find(this.disputes, id);
  }

  /** Throws for an unknown id. */
  event(id: string): Event {
    const event = this.events.find((one) => one.id === id);
    if (event === undefined) throw new Error(`there is no event ${id}`);
    return event;
  }

  paymentsOf(orderId: string): Payment[] {
    return [...this.payments.values()].filter((payment) => payment.order_id === orderId);
  }

  /** The captured payment that an id means: itself, or the newest of an order. Throws when there is none. */
  capturedPayment(id: string): Payment {
    const found = this.payments.get(id) ?? this.paymentsOf(id).findLast(({ captured }) => captured);
    if (found === undefined) throw new Error(`${id} has no captured payment`);
    return found;
  }

  /** The payment that an object belongs to; undefined for an order and for an unknown id. */
  paymentBehind(id: string): Payment | undefined {
    const of = this.refunds.get(id)?.payment_id ?? this.disputes.get(id)?.payment_id ?? id;
    return this.payments.get(of);
  }

  /** The order that an object belongs to (itself, for an order); undefined for an unknown id. */
  orderBehind(id: string): Order | undefined {
    return this.orders.get(this.paymentBehind(id)?.order_id ?? id);
  }

  /** Adds an event that carries the objects as they are now, the one it is about first; later changes do not reach it. */
  tell(type: EventName, ...objects: [Order | Payment | Refund | Dispute, ...(Order | Payment)[]]): void {
    const [about] = objects;
    const order = this.orderBehind(about.id);
    const payload = Object.fromEntries(
      objects.map((object) => [object.entity, { entity: structuredClone(object) }]),
    );
    const event: Event = {
      id: newId('evt'),
      type,
      owner: order?.id ?? this.paymentBehind(about.id)?.id ?? about.id,
      objectId: about.id,
      ids: objects.map(({ id }) => id),
      metadata: [
        ...objects.map((object) => ('notes' in object ? pairsOf(object.notes) : {})),
        pairsOf(order?.notes ?? []),
      ],
      body: {
        entity: 'event',
        account_id: this.id,
        event: type,
        contains: Object.keys(payload),
        payload,
        created_at: this.now(),
      },
    };
    this.bornAt.set(event.id, Date.now());
    this.events.push(event);
  }

  private find<Kind>(all: Map<string, Kind>, id: string): Kind {
    const found = all.get(id);
    if (found === undefined) throw missing();
    return found;
  }
}
