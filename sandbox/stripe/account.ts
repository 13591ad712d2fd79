import { newId } from './ids';
import { missing } from './refusals';
import {
  apiVersion,
  type Charge,
  type Dispute,
  type Event,
  type EventType,
  type PaymentIntent,
  type PaymentMethod,
  type Refund,
  type Told,
} from './wire';

/** The request that causes something; both are null when a control call or the passing of time causes it. */
export interface Origin {
  requestId: string | null;
  idempotencyKey: string | null;
}

export const noOrigin: Origin = { requestId: null, idempotencyKey: null };

const nowInSeconds = (): number => Math.floor(Date.now() / 1000);

/**
 * Everything one Stripe test account remembers, in memory. Deeds on it are synchronous, so no two requests ever
 * see half of a change. `events` grows only; whoever runs a deed sends the events it added.
 */
export class Account {
  readonly intents = new Map<string, PaymentIntent>();
  readonly charges = new Map<string, Charge>();
  readonly refunds = new Map<string, Refund>();
  readonly disputes = new Map<string, Dispute>();
  /** Refunds that somebody made in the dashboard, by id. */
  readonly refundedByHand = new Set<string>();
  readonly methods = new Map<string, PaymentMethod>();
  readonly events: Event[] = [];
  /**
   * When each object came to be, in milliseconds: the wire's own times are whole seconds. One that was given a time of its
   * own came to be then.
   */
  readonly bornAt = new Map<string, number>();

  now(): number {
    return nowInSeconds();
  }

  keep(object: Told): void {
    this.bornAt.set(object.id, object.created < this.now() ? object.created * 1000 : Date.now());
    if (object.object === 'payment_intent') this.intents.set(object.id, object);
    else if (object.object === 'charge') this.charges.set(object.id, object);
    else if (object.object === 'refund') this.refunds.set(object.id, object);
    else this.disputes.set(object.id, object);
  }

  /** The intent; 404 `resource_missing` when there is none. */
  intent(id: string, param = 'intent'): PaymentIntent {
    const intent = this.intents.get(id);
    if (intent === undefined) throw missing('payment_intent', id, param);
    return intent;
  }

  /** The charge; 404 `resource_missing` when there is none. */
  charge(id: string, param = 'id'): Charge {
    const charge = this.charges.get(id);
    if (charge === undefined) throw missing('charge', id, param);
    return charge;
  }

  /** The refund; 404 `resource_missing` when there is none. */
  refund(id: string, param = 'id'): Refund {
    const refund = this.refunds.get(id);
    if (refund === undefined) throw missing('refund', id, param);
    return refund;
  }

  /** The dispute; 404 `resource_missing` when there is none. */
  dispute(id: string, param = 'id'): Dispute {
    const dispute = this.disputes.get(id);
    if (dispute === undefined) throw missing('dispute', id, param);
    return dispute;
  }

  /** Whether a bank holds, or has, money of this charge, so that Stripe refuses to refund any of it. */
  isChargedBack(chargeId: string): boolean {
    return [...this.disputes.values()].some((one) => one.charge === chargeId && !one.is_charge_refundable);
  }

  /** The event; 404 `resource_missing` when there is none. */
  event(id: string): Event {
    const event = this.events.find((candidate) => candidate.id === id);
    if (event === undefined) throw missing('event', id, 'id');
    return event;
  }

  /** Adds an event that carries the object as it is now; later changes do not reach it. */
  tell(type: EventType, object: Told, origin: Origin): void {
    const event: Event = {
      id: newId('evt'),
      object: 'event',
      api_version: apiVersion,
      created: nowInSeconds(),
      data: { object: structuredClone(object) },
      livemode: false,
      pending_webhooks: 1,
      request: { id: origin.requestId, idempotency_key: origin.idempotencyKey },
      type,
    };
    this.bornAt.set(event.id, Date.now());
    this.events.push(event);
  }

  /** The intent that an object belongs to (itself, for an intent), by id; undefined for an unknown id. */
  intentBehind(id: string): PaymentIntent | undefined {
    const owned = this.charges.get(id) ?? this.refunds.get(id) ?? this.disputes.get(id);
    return this.intents.get(owned?.payment_intent ?? id);
  }
}
