import { z } from 'zod';
import { makeSwitches, matchFields } from '../gateway/switches';
import { eventNames } from './wire';

/** The operations of the API by name, as faults, gates and the request log call them. */
const operationNames = [
  'orders.create',
  'orders.list',
  'orders.retrieve',
  'orders.payments',
  'payments.list',
  'payments.retrieve',
  'payments.capture',
  'payments.refunds',
  'refunds.create',
  'refunds.list',
  'refunds.retrieve',
  'disputes.list',
  'disputes.retrieve',
] as const;
export type OperationName = (typeof operationNames)[number];

const switches = makeSwitches({
  operations: operationNames,
  events: eventNames,
  match: z.strictObject({ ...matchFields, order: z.string().optional() }),
  // Razorpay gives no reason in a refund; the ledger shows this one.
  failureReason: 'bank_refused',
});

export const faultSchema = switches.fault;
export type FaultSpec = z.input<typeof faultSchema>;

export const webhookFaultSchema = switches.webhookFault;
export type WebhookFaultSpec = z.input<typeof webhookFaultSchema>;

export const gateSchema = switches.gate;
export type GateSpec = z.input<typeof gateSchema>;

export const refundModeSchema = switches.refundMode;
export type RefundModeSpec = z.input<typeof refundModeSchema>;

export const readingsSchema = z.strictObject({
  receipts: z.enum(['same', 'refused']).optional(),
  refundKeys: z.enum(['kept', 'ignored']).optional(),
  paymentNotes: z.enum(['checkout', 'order']).optional(),
});
