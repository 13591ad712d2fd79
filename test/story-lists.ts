/** Random lists for the model test of the story: how one attempt's world behaves, and what is done to it when. */
import fc from 'fast-check';

/**
 * How one go of an activity goes, beside plainly. `silent`: no usable answer. `lost`: it is done, and its worker dies before
 * it says so. `late`: its answer is held back until two more commands were sent. `away`: the gateway gives no answer until
 * the window is over. `out of time`: the activity's own limit ends it, where it has one.
 */
const goes = ['plain', 'silent', 'lost', 'late', 'away', 'out of time'] as const;
export type Go = (typeof goes)[number];

/** What the gateway says of a refund. */
const refundWords = ['succeeded', 'pending', 'failed'] as const;
export type RefundWord = (typeof refundWords)[number];

const ringers = ['webhook', 'return', 'watch', 'operator'] as const;
export type Ringer = (typeof ringers)[number];

/** Signals and updates that anybody can send by hand in the Temporal UI. */
export const messages = [
  'doorbell',
  'resolveCase',
  'retryPayment',
  'calledOff',
  'retry',
  'cancel',
  'open',
] as const;
/** What may be typed there. */
export const junk: readonly unknown[] = [
  undefined,
  null,
  0,
  'x',
  [],
  {},
  { by: 7, at: 'never', gateway: {} },
  { caseId: 5 },
  { caseId: 'cas_unknown', action: 'retry-refund', by: '' },
  { caseId: 'cas_unknown', action: '__proto__', note: '\u0000' },
];

/** What is done. */
export type Deed =
  /** The customer acts at the gateway: on the newest payment object, or on the oldest that can still be paid. */
  | {
      does: 'customer';
      act: 'pays' | 'is declined' | 'begins' | 'gives up';
      oldest: boolean;
      rings: Ringer | null;
    }
  | { does: 'ring'; by: Ringer }
  | { does: 'retry'; method: 'stripe' | 'razorpay' | 'wallet' | null }
  | { does: 'retryPayment' | 'cancel' | 'cancel in the UI' | 'calledOff' | 'the window ends' }
  | { does: 'start again'; sameBody: boolean }
  | { does: 'resolve'; action: 'retry-refund' | 'mark-settled' | 'resend' }
  | { does: 'refund turns'; to: 'succeeded' | 'failed'; rings: Ringer | null }
  | { does: 'junk'; to: (typeof messages)[number]; input: number };

/** A deed, and how many beginnings and ends of activities it waits for; when nothing moves, it comes without them. */
export type Command = Deed & { beats: number };

/** One attempt's world, and all that happens in it. */
export interface List {
  /** Whether the gateway can close a payment object. */
  closes: boolean;
  opens: 'to be paid' | 'paid at once' | 'refused';
  windowMs: number;
  triesMax: number;
  /** Whether the money finds its seats free. */
  seats: boolean;
  /** Whether the wallet holds enough. */
  funds: boolean;
  /** How activities go, in their order; plainly afterwards. */
  goes: Go[];
  /** What the gateway says of each refund that is sent; that it succeeded afterwards. */
  refunds: RefundWord[];
  /** What becomes of a payment that is still processed when all commands were sent. */
  lastly: 'pays' | 'is declined';
  commands: Command[];
}

const ringer = fc.constantFrom(...ringers);
const maybeRings = fc.option(ringer, { freq: 4 });

function deed<T extends Deed>(weight: number, arbitrary: fc.Arbitrary<T>) {
  return { weight, arbitrary: arbitrary as fc.Arbitrary<Deed> };
}

const customer = fc.record({
  does: fc.constant('customer' as const),
  act: fc.constantFrom(
    ...(['pays', 'pays', 'pays', 'is declined', 'is declined', 'begins', 'gives up'] as const),
  ),
  oldest: fc.boolean(),
  rings: maybeRings,
});

const anyDeed = fc.oneof(
  deed(10, customer),
  deed(3, fc.record({ does: fc.constant('ring' as const), by: ringer })),
  deed(
    5,
    fc.record({
      does: fc.constant('retry' as const),
      method: fc.constantFrom(null, null, 'stripe' as const, 'razorpay' as const, 'wallet' as const),
    }),
  ),
  deed(
    6,
    fc.record({
      does: fc.constantFrom(
        ...(['retryPayment', 'cancel', 'cancel', 'cancel in the UI', 'calledOff'] as const),
        ...(['the window ends', 'the window ends'] as const),
      ),
    }),
  ),
  deed(1, fc.record({ does: fc.constant('start again' as const), sameBody: fc.boolean() })),
  deed(
    3,
    fc.record({
      does: fc.constant('resolve' as const),
      action: fc.constantFrom('retry-refund' as const, 'mark-settled' as const, 'resend' as const),
    }),
  ),
  deed(
    3,
    fc.record({
      does: fc.constant('refund turns' as const),
      to: fc.constantFrom('succeeded' as const, 'failed' as const),
      rings: maybeRings,
    }),
  ),
  deed(
    2,
    fc.record({
      does: fc.constant('junk' as const),
      to: fc.constantFrom(...messages),
      input: fc.nat(junk.length - 1),
    }),
  ),
);

const command: fc.Arbitrary<Command> = fc
  .tuple(anyDeed, fc.nat(3))
  .map(([done, beats]) => ({ ...done, beats }));

/** About one go in five fails, as in the plan of the chaos run. */
const go = fc.oneof(
  { weight: 10, arbitrary: fc.constant<Go>('plain') },
  { weight: 5, arbitrary: fc.constantFrom(...goes) },
);

/** Most commands of a list. Few attempts live longer. */
const commandsMax = 16;

/** Any list. */
export const anyList: fc.Arbitrary<List> = fc.record({
  closes: fc.oneof({ weight: 2, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  opens: fc.oneof(
    { weight: 18, arbitrary: fc.constant('to be paid' as const) },
    { weight: 2, arbitrary: fc.constantFrom('paid at once' as const, 'refused' as const) },
  ),
  windowMs: fc.constantFrom(900, 200, 500, 1_500),
  triesMax: fc.constantFrom(5, 2),
  seats: fc.boolean(),
  funds: fc.boolean(),
  goes: fc.array(go, { maxLength: 12, size: 'max' }),
  refunds: fc.array(fc.constantFrom(...refundWords), { maxLength: 4, size: 'max' }),
  lastly: fc.constantFrom('pays' as const, 'is declined' as const),
  commands: fc.array(command, { maxLength: commandsMax, size: 'max' }),
});
