import { z } from 'zod';
import { makeSwitches, matchFields } from '../gateway/switches';
import { eventNames } from './wire';

/** The operations of the API by name, as faults, gates and the request log call them. */
const operationNames = [
  'oauth.token',
  'orders.create',
  'orders.status',
  'refunds.create',
  'refunds.status',
] as const;
export type OperationName = (typeof operationNames)[number];

const switches = makeSwitches({
  operations: operationNames,
  events: eventNames,
  match: z.strictObject({ ...matchFields, order: z.string().optional() }),
  // `INTERNAL_SERVER_ERROR` as a code in an answer of 200, with the deed done or not.
  kinds: ['code-500-done', 'code-500-undone'],
  failureReason: 'REFUND_DECLINED',
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
  orders: z.enum(['refused', 'same']).optional(),
  refunds: z.enum(['refused', 'same']).optional(),
  missing: z.union([z.literal(400), z.literal(404)]).optional(),
});
