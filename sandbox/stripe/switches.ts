import { z } from 'zod';
import { makeSwitches, matchFields } from '../gateway/switches';

/** The operations of the API by name, as faults, gates and the request log call them. */
const operationNames = [
  'payment_intents.create',
  'payment_intents.retrieve',
  'payment_intents.confirm',
  'payment_intents.cancel',
  'payment_intents.list',
  'refunds.create',
  'refunds.retrieve',
  'refunds.list',
  'charges.retrieve',
  'charges.list',
  'disputes.retrieve',
  'disputes.list',
  'events.retrieve',
] as const;
export type OperationName = (typeof operationNames)[number];

const eventNames = [
  'payment_intent.created',
  'payment_intent.succeeded',
  'payment_intent.payment_failed',
  'payment_intent.processing',
  'payment_intent.canceled',
  'payment_intent.requires_action',
  'charge.succeeded',
  'charge.failed',
  'charge.refunded',
  'charge.refund.updated',
  'charge.dispute.created',
  'charge.dispute.updated',
  'charge.dispute.closed',
  'charge.dispute.funds_withdrawn',
  'charge.dispute.funds_reinstated',
  'refund.created',
  'refund.updated',
  'refund.failed',
] as const;

const switches = makeSwitches({
  operations: operationNames,
  events: eventNames,
  match: z.strictObject({ ...matchFields, paymentIntent: z.string().optional() }),
  // A word of docs.stripe.com/api/refunds/object#refund_object-failure_reason.
  failureReason: 'expired_or_canceled_card',
});

export const faultSchema = switches.fault;
export type FaultSpec = z.input<typeof faultSchema>;

export const webhookFaultSchema = switches.webhookFault;
export type WebhookFaultSpec = z.input<typeof webhookFaultSchema>;

export const gateSchema = switches.gate;
export type GateSpec = z.input<typeof gateSchema>;

export const refundModeSchema = switches.refundMode;
export type RefundModeSpec = z.input<typeof refundModeSchema>;
