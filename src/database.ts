/** Opens Knex on PostgreSQL, and names the shapes of the rows that more than one file reads. */
import { knex, type Knex } from 'knex';
import pg from 'pg';
import type {
  AttemptStatus,
  CaseAction,
  CaseKind,
  Contact,
  OfferingKind,
  QuotedItem,
  RefundReason,
  RefundStatus,
  WebhookEvent,
} from './booking';

/** OID of int8 in PostgreSQL's catalog (pg_type.dat): counts and sums arrive as text unless parsed. */
const int8Oid = 20;

function parseWhole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error(`Bug: ${text} does not fit a number`);
  return value;
}

/**
 * Opens a pool. Times out rather than hangs: 5 s for a connection, 10 s for a statement (the longest legitimate wait is
 * a hot slot's row lock, milliseconds), so an activity's own limit is never the first to notice.
 * @param url postgres:// URL
 * @param options.readonly every transaction refuses writes, whatever the role may do
 */
export function openDatabase(
  url: string,
  options: { poolMax: number; readonly?: boolean; name: string },
): Knex {
  return knex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: options.name,
      types: {
        getTypeParser: (oid: number, format?: string) =>
          oid === int8Oid
            ? parseWhole
            : (pg.types.getTypeParser(oid, format === 'binary' ? 'binary' : 'text') as (
                value: string,
              ) => unknown),
      },
      statement_timeout: 10_000,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      ...(options.readonly === true ? { options: '-c default_transaction_read_only=on' } : {}),
    },
    pool: { min: 0, max: options.poolMax },
    acquireConnectionTimeout: 5_000,
    // Knex would print its warnings as text between the log's JSON lines; what matters reaches the caller as an error.
    log: {
      warn: () => undefined,
      error: () => undefined,
      debug: () => undefined,
      deprecate: () => undefined,
    },
  });
}

/** `attempts`, as selected with all columns. */
export interface AttemptRow {
  booking_id: string;
  request_hash: string;
  customer_id: string;
  cart_id: string | null;
  /** Null for what is free. */
  method: string | null;
  quote: { items: QuotedItem[] };
  total_minor: number;
  currency: string;
  contact: Contact;
  return_url: string | null;
  status: AttemptStatus;
  version: number;
  failure: { type: string; code?: string; detail?: string } | null;
  cancel_reason: string | null;
  tries: number;
  tries_max: number;
  window_seconds: number;
  started_at: Date;
  expires_at: Date | null;
  hold_until: Date | null;
  ended_at: Date | null;
}

/** `payment_tries`. */
export interface TryRow {
  booking_id: string;
  try: number;
  key_number: number;
  gateway: string;
  gateway_ref: string | null;
  how_to_pay: { clientSecret?: string; checkoutUrl?: string; parameters?: Record<string, string> } | null;
  status: 'opening' | 'open' | 'paid' | 'closed' | 'refused';
  failure_ref: string | null;
  looks: number;
  next_look_at: Date | null;
  watch_until: Date | null;
  opened_at: Date;
}

/** `payments`. */
export interface PaymentRow {
  id: string;
  booking_id: string | null;
  gateway: string;
  gateway_ref: string;
  gateway_payment_id: string;
  amount_minor: number;
  currency: string;
  status: 'captured';
  disposition: 'booked' | 'returned' | 'unmatched';
  refunded_minor: number;
  recorded_at: Date;
}

/** `refunds`. */
export interface RefundRow {
  id: string;
  payment_id: string;
  go: number;
  key_number: number;
  amount_minor: number;
  status: RefundStatus;
  reason: RefundReason;
  gateway_refund_id: string | null;
  looks: number;
  next_look_at: Date | null;
  created_at: Date;
  settled_at: Date | null;
}

/** `cases`. */
export interface CaseRow {
  id: string;
  workflow_id: string;
  booking_id: string | null;
  payment_id: string | null;
  refund_id: string | null;
  kind: CaseKind;
  amount_minor: number | null;
  currency: string | null;
  detail: string;
  opened_at: Date;
  resolved_at: Date | null;
  resolved_by: string | null;
  resolution: CaseAction | null;
  note: string | null;
}

/** `offerings`. */
export interface OfferingRow {
  id: string;
  provider_id: string;
  request_hash: string | null;
  kind: OfferingKind;
  title: string;
  /** Null for a consultation, as the next three are. */
  starts_at: Date | null;
  ends_at: Date | null;
  time_zone: string | null;
  capacity: number | null;
  price_minor: number;
  currency: string;
  hold_seconds: number | null;
  seats_per_customer: number | null;
  refund_until_seconds: number;
  refund_percent: number;
  attributes: Record<string, string>;
  status: 'open' | 'closed' | 'canceled';
  created_at: Date;
}

/** `carts`. */
export interface CartRow {
  id: string;
  customer_id: string;
  booking_id: string | null;
  created_at: Date;
}

/** `cart_items`. */
export interface CartItemRow {
  cart_id: string;
  offering_id: string;
  seats: number;
  details: unknown;
  added_at: Date;
}

/** `providers`. */
export interface ProviderRow {
  id: string;
  display_name: string;
  email: string;
  locale: string | null;
  changed_at: Date;
}

/** `webhook_endpoints`. */
export interface WebhookEndpointRow {
  id: string;
  url: string;
  events: WebhookEvent[];
  description: string | null;
  /** Sealed, as the next one is. */
  secret: string;
  old_secret: string | null;
  old_secret_until: Date | null;
  status: 'enabled' | 'disabled';
  disabled_because: 'gone' | 'failing' | null;
  request_hash: string | null;
  created_at: Date;
}

/** `webhook_deliveries`. */
export interface WebhookDeliveryRow {
  id: string;
  endpoint_id: string;
  type: WebhookEvent;
  subject: string;
  data: Record<string, unknown>;
  occurred_at: Date;
  status: 'queued' | 'delivered' | 'failed';
  tries: number;
  step: number;
  next_try_at: Date | null;
  last_status_code: number | null;
  last_error: string | null;
  delivered_at: Date | null;
}

/** `wallet_entries`. */
export interface WalletEntryRow {
  id: string;
  account: 'customer' | 'issued' | 'spent';
  customer_id: string | null;
  currency: string;
  amount_minor: number;
  kind: 'credit' | 'payment' | 'refund';
  booking_id: string | null;
  note: string | null;
  made_by: string | null;
  request_hash: string | null;
  at: Date;
}
