/**
 * The objects of Razorpay's API as they travel, in Razorpay's own field names. Amounts are whole paise, times are seconds
 * since 1970 (razorpay.com/docs/api/orders/entity, …/payments/entity, …/refunds/entity, …/disputes/entity, read 2026-11).
 * Fields that this stand-in never fills are present with the empty value an untouched account would show.
 */

/** Empty notes travel as an empty list: PHP's way to write a map without entries. */
export type Notes = Record<string, string> | [];

export interface Order {
  id: string;
  entity: 'order';
  amount: number;
  amount_paid: number;
  amount_due: number;
  currency: string;
  receipt: string | null;
  offer_id: null;
  status: 'created' | 'attempted' | 'paid';
  attempts: number;
  notes: Notes;
  created_at: number;
}

export type PaymentStatus = 'created' | 'authorized' | 'captured' | 'refunded' | 'failed';

export type Method = 'card' | 'netbanking' | 'upi' | 'wallet';

export interface Payment {
  id: string;
  entity: 'payment';
  amount: number;
  currency: string;
  status: PaymentStatus;
  order_id: string | null;
  invoice_id: null;
  international: boolean;
  method: Method;
  amount_refunded: number;
  refund_status: 'partial' | 'full' | null;
  /** Stays true after refunds; never was true where Razorpay gave the money back by itself. */
  captured: boolean;
  description: null;
  card_id: null;
  bank: string | null;
  wallet: string | null;
  vpa: string | null;
  email: string;
  contact: string;
  notes: Notes;
  fee: number | null;
  tax: number | null;
  error_code: string | null;
  error_description: string | null;
  error_source: string | null;
  error_step: string | null;
  error_reason: string | null;
  acquirer_data: object;
  /** Only on a payment that its bank confirmed after it had counted as failed. */
  late_authorized?: true;
  created_at: number;
}

export interface Refund {
  id: string;
  entity: 'refund';
  amount: number;
  currency: string;
  payment_id: string;
  notes: Notes;
  receipt: string | null;
  acquirer_data: { arn: string | null };
  created_at: number;
  batch_id: null;
  status: 'pending' | 'processed' | 'failed';
  speed_processed: 'normal';
  speed_requested: 'normal' | 'optimum';
}

export type DisputeStatus = 'open' | 'under_review' | 'won' | 'lost' | 'closed';

export interface Dispute {
  id: string;
  entity: 'dispute';
  payment_id: string;
  amount: number;
  currency: string;
  /** 0 until it is lost. */
  amount_deducted: number;
  reason_code: string;
  reason_description: string;
  respond_by: number;
  status: DisputeStatus;
  phase: 'chargeback' | 'fraud' | 'retrieval' | 'pre_arbitration' | 'arbitration';
  created_at: number;
  evidence: object;
}

/** razorpay.com/docs/webhooks/all, read 2026-11; the ones about what is sold here. */
export const eventNames = [
  'payment.authorized',
  'payment.captured',
  'payment.failed',
  'order.paid',
  'refund.created',
  'refund.processed',
  'refund.failed',
  'payment.dispute.created',
  'payment.dispute.under_review',
  'payment.dispute.won',
  'payment.dispute.lost',
  'payment.dispute.closed',
] as const;
export type EventName = (typeof eventNames)[number];

/** What a webhook's body says. The event's id is not in it: it travels in a header. */
export interface EventBody {
  entity: 'event';
  account_id: string;
  event: EventName;
  contains: string[];
  payload: Record<string, { entity: object }>;
  created_at: number;
}

/** The pairs of notes, whatever way they are written. */
export const pairsOf = (notes: Notes): Record<string, string> => (Array.isArray(notes) ? {} : notes);
