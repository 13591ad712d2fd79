import { z } from 'zod';

/** What any sandbox's switches can be narrowed by; each adds its own name for the object that owns the rest. */
export const matchFields = {
  id: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
};

/**
 * Narrows a switch to some requests or events; absent means all. `id` is the object in the path or the event
 * (or its object), `paymentIntent` or `order` the payment object it belongs to, `metadata` pairs that the request's body or
 * that payment object must carry.
 */
export interface Match {
  id?: string | undefined;
  paymentIntent?: string | undefined;
  order?: string | undefined;
  metadata?: Record<string, string> | undefined;
}

/** Every way a request can go wrong; a sandbox says which of them its gateway knows. */
export type FaultKind =
  | 'lost-done'
  | 'lost-undone'
  | 'hang-done'
  | 'hang-undone'
  | 'status-429'
  | 'status-500-done'
  | 'status-500-undone'
  | 'malformed-done'
  | 'code-500-done'
  | 'code-500-undone';

/** A fault of any sandbox. `times` null: until cleared. */
export type Fault = { operation: string; times: number | null; match?: Match | undefined } & (
  { kind: FaultKind } | { kind: 'delay'; ms: number }
);

/** A webhook fault of any sandbox. */
export type WebhookFault = { event: string; times: number | null; match?: Match | undefined } & (
  { kind: 'drop' | 'double' | 'reorder' | 'before-answer' } | { kind: 'late'; ms: number }
);

/** A gate of any sandbox. */
export type GateSwitch = { name: string; match?: Match | undefined } & (
  { operation: string; when: 'before' | 'after' } | { event: string; when: 'before' }
);

/** What becomes of refunds, in any sandbox. */
export type RefundMode = { times: number | null; match?: Match | undefined } & (
  | { mode: 'succeeded' | 'pending' }
  | { mode: 'failed'; answer: 'failed' | 'pending'; failureReason: string }
  | { mode: 'fail-after-success'; afterMs?: number | undefined; failureReason: string }
);

/** How often it strikes: once unless told; null = until cleared. */
const timesSchema = z.number().int().positive().nullable().default(1);
const modeTimesSchema = z.number().int().positive().nullable().default(null);
const milliseconds = z.number().int().nonnegative();

/**
 * - `lost-done` / `lost-undone`: the connection dies without an answer, after or before doing the deed. Note that
 *   the official Stripe package then tries once more by itself, so it takes `times: 2` to make one of its calls fail.
 * - `hang-done` / `hang-undone`: no answer until the client gives up.
 * - `status-429`: not done, not stored. `status-500-done` / `-undone`: stored under the key where the gateway does that.
 * - `malformed-done`: done, and answered with half of the JSON.
 * - `delay`: waits `ms` before going on as usual.
 */
const kinds = [
  'lost-done',
  'lost-undone',
  'hang-done',
  'hang-undone',
  'status-429',
  'status-500-done',
  'status-500-undone',
  'malformed-done',
] as const;

/**
 * The schemas of one sandbox's switches.
 * @param names.operations of its API, as faults, gates and the request log call them
 * @param names.kinds faults that only this gateway knows
 * @param names.failureReason of a refund that fails without being told why
 */
export const makeSwitches = <
  const Operation extends string,
  const EventName extends string,
  MatchSchema extends z.ZodType<Match>,
  const Kind extends FaultKind = never,
>(names: {
  operations: readonly Operation[];
  events: readonly EventName[];
  match: MatchSchema;
  kinds?: readonly Kind[];
  failureReason: string;
}) => {
  const match = names.match.optional();
  const operation = z.enum(['*', ...names.operations]);
  const event = z.enum(['*', ...names.events]);
  const failureReason = z.string().default(names.failureReason);
  const times = modeTimesSchema;
  return {
    fault: z.discriminatedUnion('kind', [
      z.strictObject({
        kind: z.enum([...kinds, ...(names.kinds ?? [])]),
        operation,
        times: timesSchema,
        match,
      }),
      z.strictObject({ kind: z.literal('delay'), ms: milliseconds, operation, times: timesSchema, match }),
    ]),
    /**
     * - `drop`: never sent. `double`: two copies at once. `late`: sent `ms` later.
     * - `reorder`: held until a later event of the same payment object was taken by the receiver.
     * - `before-answer`: sent and acknowledged before the API call that caused it is answered.
     */
    webhookFault: z.discriminatedUnion('kind', [
      z.strictObject({
        kind: z.enum(['drop', 'double', 'reorder', 'before-answer']),
        event,
        times: timesSchema,
        match,
      }),
      z.strictObject({ kind: z.literal('late'), ms: milliseconds, event, times: timesSchema, match }),
    ]),
    /**
     * A named point where requests (`operation`, before or after the deed) or deliveries (`event`, before sending)
     * stop until the gate is released. A request whose client has left is still held, and goes on when released.
     */
    gate: z.union([
      z.strictObject({ name: z.string().min(1), operation, when: z.enum(['before', 'after']), match }),
      z.strictObject({
        name: z.string().min(1),
        event,
        when: z.literal('before').default('before'),
        match,
      }),
    ]),
    /**
     * What becomes of refunds made from now on (`times` null: until cleared; the newest matching mode wins).
     * - `pending`: stays so until `settleRefund`.
     * - `failed`: the answer shows `answer` and the refund fails, at once or, from `pending`, a moment later.
     * - `fail-after-success`: succeeds, then fails after `afterMs`, or at `failRefund` when `afterMs` is absent.
     */
    refundMode: z.discriminatedUnion('mode', [
      z.strictObject({ mode: z.enum(['succeeded', 'pending']), match, times }),
      z.strictObject({
        mode: z.literal('failed'),
        answer: z.enum(['failed', 'pending']).default('failed'),
        failureReason,
        match,
        times,
      }),
      z.strictObject({
        mode: z.literal('fail-after-success'),
        afterMs: milliseconds.optional(),
        failureReason,
        match,
        times,
      }),
    ]),
  };
};

/** What a switch's `match` is held against. `owner`: the payment object behind it. */
export interface Subject {
  ids: string[];
  owner: string | undefined;
  metadata: Record<string, string>[];
}

/** Whether a subject is meant by a switch. */
export const isMeant = (subject: Subject, match: Match | undefined): boolean => {
  if (match === undefined) return true;
  if (match.id !== undefined && !subject.ids.includes(match.id)) return false;
  const owner = match.paymentIntent ?? match.order;
  if (owner !== undefined && owner !== subject.owner) return false;
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
