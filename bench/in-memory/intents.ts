/** The intents: one customer's go at booking each, in a Map and nowhere else until it is paid. */
import type { Knex } from 'knex';
import type { BookingView } from '../../src/api/booking-schemas';
import { Problem } from '../../src/api/problem';
import { isOpen, type AttemptStatus, type Money } from '../../src/booking';
import { failures, type Failure, type FailureType } from '../../src/failures';
import type { Gateway, HowToPay, RefundToSend } from '../../src/gateways/gateway';
import type { Logger } from '../../src/telemetry';
import type { Purchase } from './rows';
import type { BookedRow, PaymentRow } from './tables';

/** What the program is made of. */
export interface Parts {
  db: Knex;
  gateways: ReadonlyMap<string, Gateway>;
  payment: { windowSeconds: number; triesMax: number };
  returnUrl: string | undefined;
  /** Undefined without `SMTP_URL`: then nobody is written to. */
  sendMail:
    | ((mail: { to: string; subject: string; text: string; messageId: string }) => Promise<unknown>)
    | undefined;
  log: Logger;
}

/** One customer's go at booking. It is here and nowhere else until it is paid. */
export interface Intent extends Purchase {
  total: Money;
  returnUrl: string | undefined;
  status: AttemptStatus;
  version: number;
  /** As the customer counts them. */
  tries: number;
  /** Payment objects made so far. */
  objects: number;
  /** The newest payment object, and whether it can still be paid. */
  ref?: string;
  howToPay?: HowToPay;
  payable: boolean;
  failure?: Failure;
  /** The decline told last. */
  failureRef?: string;
  refund?: NonNullable<BookingView['refund']>;
  sentRefund?: RefundToSend;
  reference?: string;
  createdAt: Date;
  expiresAt?: Date;
  confirmedAt?: Date;
  timer?: NodeJS.Timeout;
  /** Ends when all that was begun about this intent has ended. */
  turn: Promise<unknown>;
}

/** All intents of this process, and what is needed to do something about them. */
export class Memory {
  readonly intents = new Map<string, Intent>();
  /** Starts under way, so that a second click finds the first. */
  readonly starting = new Map<string, Promise<Intent>>();
  /** Ids of intents by their payment objects, for webhooks that name no booking. */
  readonly #byObject = new Map<string, string>();

  constructor(readonly parts: Parts) {}

  remember(intent: Intent): void {
    this.intents.set(intent.bookingId, intent);
    if (intent.ref !== undefined) this.#byObject.set(`${intent.method} ${intent.ref}`, intent.bookingId);
  }

  /** The intent that a payment object was made for. */
  idOfObject(gateway: string, ref: string): string | undefined {
    return this.#byObject.get(`${gateway} ${ref}`);
  }

  /** The intent of an id: from memory, or what the row of its booking still tells. Undefined: nobody here knows of it. */
  async find(id: string): Promise<Intent | undefined> {
    const known = this.intents.get(id);
    if (known !== undefined) return known;
    const { db } = this.parts;
    const row = await db<BookedRow>('bookings').where({ id }).first();
    if (row === undefined) return undefined;
    const { total_minor: amount_minor } = row;
    const payments = db<PaymentRow>('payments').where({ booking_id: id, amount_minor });
    const payment = await payments.orderBy('disposition').first();
    // Another request may have been faster.
    const intent = this.intents.get(id) ?? recall(row, payment);
    this.remember(intent);
    return intent;
  }

  gatewayOf({ method }: Intent): Gateway {
    const gateway = this.parts.gateways.get(method);
    if (gateway === undefined) throw new Problem('gateway-unavailable');
    return gateway;
  }

  /** What could not be done, for whoever reads the log. */
  failed(what: string, { bookingId }: Intent, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.parts.log.error({ event: `${what}.failed`, bookingId, message });
  }
}

/** One thing at a time about one intent: a webhook and a click do not meet in the middle. */
export function inTurn<T>(intent: Intent, work: () => Promise<T>): Promise<T> {
  const done = intent.turn.then(work);
  intent.turn = done.catch(() => undefined);
  return done;
}

/** Moves an intent on. */
export function become(intent: Intent, status: AttemptStatus, change: Partial<Intent> = {}): void {
  Object.assign(intent, change, { status, version: intent.version + 1 });
  if (!isOpen(status)) clearTimeout(intent.timer);
}

/** A failure by its type alone. */
export function told(type: FailureType): Failure {
  return { type, detail: `${failures[type].title}.` };
}

function recall(row: BookedRow, payment: PaymentRow | undefined): Intent {
  const back = payment?.refunded_minor ?? 0;
  const canceled = back > 0 ? 'refunded' : 'refunding';
  return {
    bookingId: row.id,
    customerId: row.customer_id,
    requestHash: row.request_hash,
    items: row.items,
    contact: row.contact,
    method: row.method,
    total: { amountMinor: row.total_minor, currency: row.currency },
    returnUrl: undefined,
    status: row.status === 'confirmed' ? 'confirmed' : canceled,
    // Above whatever was told before this process began.
    version: Math.floor(Date.now() / 1000),
    tries: 1,
    objects: 1,
    ...(payment === undefined ? {} : { ref: payment.gateway_ref }),
    payable: false,
    reference: row.reference,
    createdAt: row.confirmed_at,
    confirmedAt: row.confirmed_at,
    turn: Promise.resolve(),
  };
}
