import { randomBytes, randomInt } from 'node:crypto';
import { missing } from './refusals';
import { type EventName, type MetaInfo, type Order, orderStatus, type Refund, refundStatus } from './wire';

/** Something that happened, as it was then. PhonePe gives its events no id; this one is the sandbox's, for `resend`. */
export interface Event {
  id: string;
  type: EventName;
  merchantOrderId: string;
  /** Every id in it. */
  ids: string[];
  metaInfo: MetaInfo;
  body: { event: EventName; type: string; payload: object };
}

/** Where PhonePe's pages leave two readings open, the one that this account follows. */
export interface Readings {
  /** A repeated `merchantOrderId`: refused, or answered with the order of before. */
  orders: 'refused' | 'same';
  /** A repeated `merchantRefundId`. */
  refunds: 'refused' | 'same';
  /** The status for an unknown id. */
  missing: 400 | 404;
}

/** Digits as PhonePe's own ids have them: the kind, then the time, then what makes it unique. */
export const newId = (kind: 'OM' | 'OMO' | 'OMR'): string => {
  const time = new Date().toISOString().replaceAll(/\D/g, '').slice(2, 17);
  return `${kind}${time}${String(randomInt(1_000_000_000)).padStart(9, '0')}`;
};

/**
 * Everything one PhonePe test merchant remembers, in memory. Deeds on it are synchronous, so no two requests ever see half
 * of a change. `events` grows only; whoever runs a deed sends the events it added.
 */
export class Account {
  readonly merchantId = 'SANDBOXMERCHANT';
  /** By `merchantOrderId`. */
  readonly orders = new Map<string, Order>();
  /** By `merchantRefundId`. */
  readonly refunds = new Map<string, Refund>();
  readonly events: Event[] = [];
  readonly readings: Readings = { orders: 'refused', refunds: 'refused', missing: 404 };
  /** In milliseconds, by PhonePe's own id, or an event's. */
  readonly bornAt = new Map<string, number>();

  /** 404 or 400 when there is none. */
  order(merchantOrderId: string): Order {
    const order = this.orders.get(merchantOrderId);
    if (order === undefined) throw missing(this.readings.missing, 'ORDER');
    return order;
  }

  /** By PhonePe's id as well; 404 or 400 when there is none. */
  refund(id: string): Refund {
    const refund = this.refunds.get(id) ?? [...this.refunds.values()].find(({ refundId }) => refundId === id);
    if (refund === undefined) throw missing(this.readings.missing, 'REFUND');
    return refund;
  }

  /** Throws for an unknown id. */
  event(id: string): Event {
    const event = this.events.find((one) => one.id === id);
    if (event === undefined) throw new Error(`there is no event ${id}`);
    return event;
  }

  /** What went back, or is on its way, of an order. */
  refundedOf(merchantOrderId: string): number {
    return [...this.refunds.values()]
      .filter((one) => one.originalMerchantOrderId === merchantOrderId && one.state !== 'FAILED')
      .reduce((sum, { amount }) => sum + amount, 0);
  }

  /** Adds an event that carries the order as it is now. */
  tellOrder(type: EventName, order: Order): void {
    this.tell(type, order, orderStatus(order, true), [order.merchantOrderId, order.orderId]);
  }

  /** Adds an event that carries the refund as it is now. */
  tellRefund(type: EventName, refund: Refund): void {
    const order = this.order(refund.originalMerchantOrderId);
    const ids = [refund.merchantRefundId, refund.refundId, order.merchantOrderId, order.orderId];
    this.tell(type, order, refundStatus(refund), ids);
  }

  private tell(type: EventName, order: Order, payload: object, ids: string[]): void {
    const id = `evt_${randomBytes(12).toString('hex')}`;
    this.events.push({
      id,
      type,
      merchantOrderId: order.merchantOrderId,
      ids,
      metaInfo: order.metaInfo,
      body: {
        event: type,
        // Being given up (…/handling-webhooks-standard-checkout), and still sent.
        type: type.toUpperCase().replaceAll('.', '_'),
        payload: structuredClone({ merchantId: this.merchantId, ...payload }),
      },
    });
    this.bornAt.set(id, Date.now());
  }
}
