/**
 * The shop that a list of commands is played in: the real workflows and activities on a real database, with stand-ins for
 * Temporal and the gateway. Each list has offerings, customers, carts and wallets of its own, so many share a database.
 */
import { lookUp } from '../src/public-address';
import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import { createActivities } from '../src/activities';
import type { Dependencies } from '../src/activities/dependencies';
import { makeId, type CaseAction, type IdKind, type WantedItem } from '../src/booking';
import type { CaseRow } from '../src/database';
import { ring } from '../src/doorbell';
import { makeLogger, makeMetrics } from '../src/telemetry';
import { book } from '../src/workflows/book';
import { attendCase } from '../src/workflows/cases';
import { bookingWorkflowId, type BookInput } from '../src/workflows/messages';
import { reconcile } from '../src/workflows/reconcile';
import { standInGateway } from './property-gateway';
import { standInTemporal } from './property-temporal';

/** How many customers, and providers, each list has. The last provider has no row and is told nothing. */
export const customers = 3;
export const providers = 3;

/** Window of an attempt without a hold, and most tries of one. */
export const windowSeconds = 900;
const triesMax = 3;

/** An offering to be published. */
export interface NewOffering {
  kind: 'slot' | 'consultation';
  capacity: number;
  priceMinor: number;
  currency: string;
  holdSeconds: number | null;
  limit: number | null;
  provider: number;
}

/** What a customer asks for. */
export interface Wish {
  customer: number;
  items?: WantedItem[];
  cartId?: string;
  method: string | undefined;
}

/** Metrics and log are made once: each keeps tables of its own for the whole process. */
const quietly = { log: makeLogger('test', 'silent'), metrics: makeMetrics() };

/** Opens a shop. `list` sets its ids apart from those of other lists in the same database. */
export function openShop(db: Knex, list: string) {
  const gateway = standInGateway('stub', list);
  const mails: string[] = [];
  const mailServer = { down: 0 };
  const temporal = standInTemporal({
    activities: () => activities,
    workflows: { book, reconcile, attendCase } as Record<string, (input: never) => Promise<unknown>> as never,
  });
  const deps: Dependencies = {
    ...quietly,
    db,
    gateways: new Map([['stub', gateway.gateway]]),
    temporal: temporal.client,
    taskQueue: 'none',
    sendMail: async ({ messageId }) => {
      if (mailServer.down > 0) {
        mailServer.down -= 1;
        throw new Error('the mail server is away');
      }
      mails.push(messageId);
    },
    webhooks: { appSecret: 'tests only', allowPrivate: false, lookUp, timeoutMs: 2_000 },
    payment: { windowSeconds, triesMax },
  };
  const activities = createActivities(deps);
  const ids = { offerings: [] as string[], attempts: [] as string[], carts: [] as string[] };
  const customerId = (n: number) => `customer-${list}-${n}`;
  const providerId = (n: number) => `provider-${list}-${n}`;
  let made = 0;

  /** Ids rise within a list, as far as the order of locks is concerned the same way in every replay. */
  function nextId(kind: IdKind): string {
    made += 1;
    const bytes = createHash('sha256').update(`${list} ${made}`).digest();
    bytes.writeUInt16BE(made, 0);
    return makeId(kind, bytes);
  }

  async function furnish(): Promise<void> {
    const rows = Array.from({ length: providers - 1 }, (_, n) => ({
      id: providerId(n),
      display_name: `Provider ${n}`,
      // One address for both: what each is told of one booking is then one message.
      email: `provider-${list}@example.org`,
    }));
    await db('providers').insert(rows);
    for (let n = 0; n < customers; n += 1) await openCart(n);
  }

  async function openCart(customer: number): Promise<string> {
    const id = nextId('cart');
    await db('carts').insert({ id, customer_id: customerId(customer) });
    ids.carts.push(id);
    return id;
  }

  async function publish(wanted: NewOffering): Promise<string> {
    const id = nextId('offering');
    const slot = wanted.kind === 'slot';
    await db('offerings').insert({
      id,
      provider_id: providerId(wanted.provider),
      kind: wanted.kind,
      title: id,
      price_minor: wanted.priceMinor,
      currency: wanted.currency,
      ...(slot && {
        starts_at: db.raw("now() + interval '1 day'"),
        ends_at: db.raw("now() + interval '25 hours'"),
        time_zone: 'UTC',
        capacity: wanted.capacity,
        hold_seconds: wanted.holdSeconds,
        seats_per_customer: wanted.limit,
      }),
    });
    ids.offerings.push(id);
    return id;
  }

  /** Puts something into a cart, or out of it with 0 seats, as the API does. Says whether the cart still takes it. */
  async function editCart(cartId: string, offeringId: string, seats: number): Promise<boolean> {
    return db.transaction(async (trx) => {
      const cart = await trx('carts')
        .where({ id: cartId })
        .forUpdate()
        .first<{ booking_id: string | null }>();
      if (cart.booking_id !== null) return false;
      const item = { cart_id: cartId, offering_id: offeringId };
      if (seats === 0) await trx('cart_items').where(item).del();
      else {
        await trx('cart_items')
          .insert({ ...item, seats })
          .onConflict(['cart_id', 'offering_id'])
          .merge(['seats']);
      }
      return true;
    });
  }

  async function credit(
    customer: number,
    currency: string,
    amountMinor: number,
    times: number,
  ): Promise<void> {
    const entry = nextId('entry');
    const same = Array.from({ length: times }, () =>
      db.raw("SELECT move_wallet_money(?, 'credit', ?, ?, ?, NULL, NULL, 'hash')", [
        entry,
        customerId(customer),
        currency,
        amountMinor,
      ]),
    );
    await Promise.all(same);
  }

  /** Starts an attempt; its story goes on by itself. */
  function startAttempt(wish: Wish): string {
    const bookingId = nextId('booking');
    ids.attempts.push(bookingId);
    const input: BookInput = {
      bookingId,
      customerId: customerId(wish.customer),
      requestHash: 'hash',
      request: {
        ...(wish.items !== undefined && { items: wish.items }),
        ...(wish.cartId !== undefined && { cartId: wish.cartId }),
        ...(wish.method !== undefined && { payment: { method: wish.method } }),
        customer: { name: 'A Customer', email: `${customerId(wish.customer)}@example.org` },
      },
      requestId: 'request',
    };
    temporal.start('book', bookingWorkflowId(bookingId), input);
    return bookingId;
  }

  /** Asks an attempt's workflow for something. A refusal, or an attempt that is over, is an answer like any other. */
  function ask(bookingId: string, name: 'retry' | 'cancel'): void {
    temporal.update(bookingWorkflowId(bookingId), name, {}).catch((error: unknown) => {
      const expected =
        error instanceof Error && ['ApplicationFailure', 'WorkflowNotFoundError'].includes(error.name);
      if (!expected) temporal.faults.push(error);
    });
  }

  /** A webhook about a payment object. */
  async function ringFor(ref: string, bookingId: string | null): Promise<void> {
    const event = { eventId: `evt_${list}_${(made += 1)}`, type: 'payment_intent.succeeded' };
    const rung = { by: 'webhook', gateway: 'stub', ref, at: new Date().toISOString(), ...event } as const;
    await ring(temporal.client, 'none', { bookingId, gateway: 'stub', ref }, rung);
  }

  async function openCases(): Promise<CaseRow[]> {
    const refs = gateway.objects.map((object) => object.ref);
    return db('cases')
      .leftJoin('payments', 'payments.id', 'cases.payment_id')
      .whereNull('resolved_at')
      .where((ours) => {
        void ours.whereIn('cases.booking_id', ids.attempts).orWhereIn('gateway_ref', refs);
      })
      .orderBy('cases.id')
      .select<CaseRow[]>('cases.*');
  }

  /** The operator answers a case, in the workflow that keeps it. */
  async function resolveCase(found: CaseRow, action: CaseAction): Promise<void> {
    if (action === 'mark-settled' && found.kind === 'refund-overdue') {
      // Who settles by other hands calls the slow refund off first, or the money would go back twice.
      for (const refund of gateway.refunds) {
        if (refund.refundId === found.refund_id && refund.status === 'pending') refund.status = 'failed';
      }
    }
    // With the keeper gone the operator could not answer: the workflow not found is a fault of ours.
    temporal.signal(found.workflow_id, 'resolveCase', { caseId: found.id, action, by: 'olga' });
  }

  /** Lets time pass: every instant in the list's rows moves into the past, and so do the timers of its stories. */
  async function pass(seconds: number, timersToo: boolean): Promise<void> {
    const gone = db.raw('make_interval(secs => ?)', [seconds]);
    const earlier = (...columns: string[]) =>
      Object.fromEntries(columns.map((column) => [column, db.raw('?? - ?', [column, gone])]));
    const { attempts, offerings } = ids;
    await db.transaction(async (trx) => {
      await trx('attempts').whereIn('booking_id', attempts).update(earlier('expires_at', 'hold_until'));
      await trx('holds').whereIn('offering_id', offerings).update(earlier('held_until'));
      await trx('seats')
        .whereIn('offering_id', offerings)
        .whereNotNull('held_until')
        .update(earlier('held_until'));
      await trx('offerings').whereIn('id', offerings).update(earlier('starts_at', 'ends_at'));
      await trx('payment_tries')
        .whereIn('booking_id', attempts)
        .update(earlier('next_look_at', 'watch_until'));
      await trx('messages').whereIn('booking_id', attempts).update(earlier('next_send_at'));
      const payments = trx('payments').whereIn('booking_id', attempts).select('id');
      await trx('refunds').whereIn('payment_id', payments).update(earlier('next_look_at'));
    });
    temporal.pass(seconds * 1000);
    if (timersToo) temporal.fireTimers();
  }

  return {
    db,
    ids,
    gateway,
    temporal,
    mails,
    mailServer,
    customerId,
    providerId,
    furnish,
    openCart,
    publish,
    editCart,
    credit,
    startAttempt,
    ask,
    ringFor,
    openCases,
    resolveCase,
    pass,
  };
}

export type Shop = ReturnType<typeof openShop>;
