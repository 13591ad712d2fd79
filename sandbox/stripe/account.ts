import { newId } from './ids';
import { missing } from './refusals';
import {
  apiVersion,
  type Charge,
  type Event,
  type EventType,
  type PaymentIntent,
  type PaymentMethod,
  type Refund,
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
  readonly methods = new Map<string, PaymentMethod>();
  readonly events: Event[] = [];
  /** When each object came to be, in milliseconds: the wire's own times are whole seconds. */
  readonly bornAt = new Map<string, number>();

  now(): number {
    return nowInSeconds();
  }

  keep(object: PaymentIntent | Charge | Refund): void {
    this.bornAt.set(object.id, Date.now());
    if (object.object === 'payment_intent') this.intents.set(object.id, object);
    else if (object.object === 'charge') this.charges.set(object.id, object);
    else this.refunds.set(object.id, object);
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

  /** The event; 404 `resource_missing` when there is none. */
  event(id: string): Event {
    const event = this.events.find((candidate) => candidate.id === id);
    if (event === undefined) throw missing('event', id, 'id');
    return event;
  }

  /** Adds an event that carries the object as it is now; later changes do not reach it. */
  tell(type: EventType, object: PaymentIntent | Charge | Refund, origin: Origin): void {
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
    const owner = this.charges.get(id)?.payment_intent ?? this.refunds.get(id)?.payment_intent ?? id;
    return this.intents.get(owner);
  }
}
