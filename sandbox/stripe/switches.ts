import { z } from 'zod';

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
  '*',
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

/**
 * Narrows a switch to some requests or events; absent means all. `id` is the object in the path or the event
 * (or its object), `paymentIntent` the intent it belongs to, `metadata` pairs that the request's body or that
 * intent must carry.
 */
const matchSchema = z.strictObject({
  id: z.string().optional(),
  paymentIntent: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
});
export type Match = z.output<typeof matchSchema>;

/** How often it strikes: once unless told; null = until cleared. */
const timesSchema = z.number().int().positive().nullable().default(1);
const operationSchema = z.enum(['*', ...operationNames]);
const milliseconds = z.number().int().nonnegative();

/**
 * - `lost-done` / `lost-undone`: the connection dies without an answer, after or before doing the deed. Note that
 *   the official package then tries once more by itself, so it takes `times: 2` to make one of its calls fail.
 * - `hang-done` / `hang-undone`: no answer until the client gives up.
 * - `status-429`: not done, not stored. `status-500-done` / `-undone`: stored under the key.
 * - `delay`: waits `ms` before going on as usual.
 */
export const faultSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum([
      'lost-done',
      'lost-undone',
      'hang-done',
      'hang-undone',
      'status-429',
      'status-500-done',
      'status-500-undone',
    ]),
    operation: operationSchema,
    times: timesSchema,
    match: matchSchema.optional(),
  }),
  z.strictObject({
    kind: z.literal('delay'),
    ms: milliseconds,
    operation: operationSchema,
    times: timesSchema,
    match: matchSchema.optional(),
  }),
]);
export type Fault = z.output<typeof faultSchema>;
export type FaultSpec = z.input<typeof faultSchema>;

/**
 * - `drop`: never sent. `double`: two copies at once. `late`: sent `ms` later.
 * - `reorder`: held until the next event of the same intent was taken by the receiver.
 * - `before-answer`: sent and acknowledged before the API call that caused it is answered.
 */
export const webhookFaultSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum(['drop', 'double', 'reorder', 'before-answer']),
    event: z.enum(eventNames),
    times: timesSchema,
    match: matchSchema.optional(),
  }),
  z.strictObject({
    kind: z.literal('late'),
    ms: milliseconds,
    event: z.enum(eventNames),
    times: timesSchema,
    match: matchSchema.optional(),
  }),
]);
export type WebhookFault = z.output<typeof webhookFaultSchema>;
export type WebhookFaultSpec = z.input<typeof webhookFaultSchema>;

/**
 * A named point where requests (`operation`, before or after the deed) or deliveries (`event`, before sending)
 * stop until the gate is released. A request whose client has left is still held, and goes on when released.
 */
export const gateSchema = z.union([
  z.strictObject({
    name: z.string().min(1),
    operation: operationSchema,
    when: z.enum(['before', 'after']),
    match: matchSchema.optional(),
  }),
  z.strictObject({
    name: z.string().min(1),
    event: z.enum(eventNames),
    when: z.literal('before').default('before'),
    match: matchSchema.optional(),
  }),
]);
export type GateSwitch = z.output<typeof gateSchema>;
export type GateSpec = z.input<typeof gateSchema>;

/** Words of docs.stripe.com/api/refunds/object#refund_object-failure_reason. */
const failureReasonSchema = z.string().default('expired_or_canceled_card');
const modeTimesSchema = z.number().int().positive().nullable().default(null);

/**
 * What becomes of refunds made from now on (`times` null: until cleared; the newest matching mode wins).
 * - `pending`: stays so until `settleRefund`.
 * - `failed`: the answer shows `answer` and the refund fails, at once or, from `pending`, a moment later.
 * - `fail-after-success`: succeeds, then fails after `afterMs`, or at `failRefund` when `afterMs` is absent.
 */
export const refundModeSchema = z.discriminatedUnion('mode', [
  z.strictObject({
    mode: z.enum(['succeeded', 'pending']),
    match: matchSchema.optional(),
    times: modeTimesSchema,
  }),
  z.strictObject({
    mode: z.literal('failed'),
    answer: z.enum(['failed', 'pending']).default('failed'),
    failureReason: failureReasonSchema,
    match: matchSchema.optional(),
    times: modeTimesSchema,
  }),
  z.strictObject({
    mode: z.literal('fail-after-success'),
    afterMs: milliseconds.optional(),
    failureReason: failureReasonSchema,
    match: matchSchema.optional(),
    times: modeTimesSchema,
  }),
]);
export type RefundMode = z.output<typeof refundModeSchema>;
export type RefundModeSpec = z.input<typeof refundModeSchema>;

/** What a switch's `match` is held against. */
export interface Subject {
  ids: string[];
  paymentIntent: string | undefined;
  metadata: Record<string, string>[];
}

/** Whether a subject is meant by a switch. */
export const isMeant = (subject: Subject, match: Match | undefined): boolean => {
  if (match === undefined) return true;
  if (match.id !== undefined && !subject.ids.includes(match.id)) return false;
  if (match.paymentIntent !== undefined && match.paymentIntent !== subject.paymentIntent) return false;
  return Object.entries(match.metadata ?? {}).every(([name, value]) =>
    subject.metadata.some((pairs) => pairs[name] === value),
  );
};

/** Takes one strike from the first switch that is meant, forgetting it with its last strike. */
export const strike = <Switch extends { times: number | null }>(
  switches: Switch[],
  isWanted: (one: Switch) => boolean,
): Switch | undefined => {
  const index = switches.findIndex(isWanted);
  const found = switches[index];
  if (found === undefined) return undefined;
  if (found.times !== null && --found.times === 0) switches.splice(index, 1);
  return found;
};
