/**
 * The gateways' sandboxes as one: how a customer pays at each, what goes wrong there, and what its own ledger says of an
 * attempt, in the same words. So that one table of cases can be run for every gateway, end to end. What an adapter alone is
 * held against stands in `gateway-counterpart.ts`.
 */
import type { GatewayControl } from '../sandbox/gateway/control';
import type { Delivery } from '../sandbox/gateway/deliveries';
import type { RequestEntry } from '../sandbox/gateway/front';
import type { FaultKind } from '../sandbox/gateway/switches';
import type { Json } from './world';

/** What the customer does on the gateway's page. `processing`: it is authorized, and nobody knows yet. */
export type How = 'ok' | 'declined' | 'processing';

/** Calls to a gateway. A refund is looked for before it is sent, and read while it is under way. */
export const calls = ['open', 'read', 'close', 'refund', 'look for the refund', 'read the refund'] as const;
export type Call = (typeof calls)[number];

/** What a gateway's ledger says of one attempt. */
export interface Ledger {
  /** Payment objects that were made. */
  objects: string[];
  /** Those that could still be paid. */
  payable: string[];
  /** Captured charges. */
  charges: number;
  capturedMinor: number;
  /** Refunds that reached the payer: ours and others'. */
  refunds: number;
  refundedMinor: number;
  /** Every refund that was made, whatever became of it, by the id that we keep. */
  refundRefs: string[];
}

/** Where requests stand until they are let go. */
export interface Gate {
  /** Waits until one stands there, or so many. */
  hold(count?: number): Promise<unknown>;
  release(): Promise<unknown>;
}

/** What every sandbox is switched by, with each one's own names for its operations and events as mere text. */
interface Switch {
  kind?: string;
  mode?: string;
  name?: string;
  operation?: string;
  event?: string;
  when?: string | undefined;
  ms?: number;
  times?: number | null | undefined;
  match?: { metadata?: Record<string, string> | undefined } | undefined;
}
interface SandboxLedger {
  events: {
    id: string;
    type: string;
    paymentIntent?: string | null;
    order?: string;
    deliveries: Delivery[];
  }[];
  requests: Pick<RequestEntry, 'operation' | 'fault'>[];
  totals: Record<string, { captured: number; refunded: number }>;
}
type Switches = GatewayControl<SandboxLedger, Switch, Switch, Switch, Switch>;

/** What one gateway calls things, and what it can. */
export interface Spelling {
  readonly method: 'stripe' | 'razorpay' | 'phonepe';
  /** One it takes. */
  readonly currency: string;
  /** Settings that point Payfirst to its sandbox. */
  readonly env: Record<string, string>;
  /** Whether an unpaid object can be made unpayable. Where not, money that comes after the end goes back. */
  readonly closes: boolean;
  /** The operation of its API by which each call is made. */
  readonly operations: Readonly<Record<Call, string>>;
  /** How its answers go wrong, and how often in a row it takes until a call has no usable answer. */
  readonly strikes: Readonly<Partial<Record<FaultKind, number>>>;
  /** Pairs that its objects carry for an attempt. */
  mark: (bookingId: string) => Record<string, string>;
  /** The event that tells of money. */
  readonly paidEvent: string;
}

/** One gateway at work in a test. */
export interface AtGateway extends Spelling {
  /**
   * The customer pays, is declined or leaves it to the bank, at the booking's newest payment object.
   * @returns false when the gateway's page does not take the payment any more
   */
  pay(booking: Json, how?: How): Promise<boolean>;
  ledgerOf(bookingId: string): Promise<Ledger>;
  /** All money of the account, in the smallest unit. */
  totals(): Promise<{ captured: number; refunded: number }>;
  /** Lets one call of an attempt end without a usable answer. */
  fault(kind: FaultKind, call: Call, bookingId: string, times?: number | null): Promise<void>;
  /** How many requests of a call's operation were struck so. */
  struck(kind: FaultKind, call: Call): Promise<number>;
  /** Stops requests of a call about one attempt. */
  gate(call: Call, bookingId: string, when?: 'before' | 'after'): Promise<Gate>;
  /** How many requests of the operation of a call were made. */
  asked(call: Call): Promise<number>;
  /** Refunds of one attempt stay under way until `settleRefund`. */
  leaveRefundsPending(bookingId: string): Promise<void>;
  settleRefund(refundRef: string, outcome: 'succeeded' | 'failed'): Promise<void>;
  /** No webhook arrives any more: of one attempt, or at all. */
  silence(bookingId?: string): Promise<void>;
  /** `sendCopies` of the webhook that tells of an object's money. */
  copiesOfPaid(ref: string, times: number): Promise<(number | null)[]>;
  /** Where one attempt can have several objects of a gateway: ends one without money, and brings money by one that ended. */
  readonly endsObjects?: { end(ref: string): Promise<unknown>; payEnded(ref: string): Promise<void> };
  /** Whether every event of a payment object was answered at least once. */
  toldOf(ref: string): Promise<boolean>;
  /** True: no request is answered until false. */
  down(isDown: boolean): Promise<void>;
  clearFaults(): Promise<void>;
  setWebhookUrl(url: string): Promise<void>;
  close(): Promise<void>;
}

/** What one sandbox says of attempts, in its own ledger. */
interface Entries {
  objects: { id: string; metadata: Record<string, string>; payable: boolean }[];
  charges: { object: string; amount: number }[];
  refunds: { ref: string; object: string; amount: number; done: boolean }[];
}

const sum = (list: readonly { amount: number }[]) => list.reduce((total, { amount }) => total + amount, 0);

/** Nobody waits longer at a gate, in ms. */
const gatePatienceMs = 30_000;

/** How often a copy of a webhook comes again: any gateway tries longer. */
const repeats = 5;

/**
 * Sends copies of an event at once, and again those that were told to come again (503, or no answer in time), as gateways
 * do: a ring that a busy machine did not make durable within seconds is refused.
 * @returns what each copy was answered at last
 */
export async function sendCopies(
  sandbox: Pick<Switches, 'resend'>,
  eventId: string,
  copies: number,
): Promise<(number | null)[]> {
  let answers = await sandbox.resend(eventId, copies);
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    const heard = answers.filter((status) => status !== null && status !== 503);
    if (heard.length === copies) break;
    answers = [...heard, ...(await sandbox.resend(eventId, copies - heard.length))];
  }
  return answers;
}

/**
 * Makes a gateway from its sandbox.
 * @param own.pay like `AtGateway.pay`
 * @param own.entries what its ledger says now
 */
export function atSandbox(
  sandbox: Switches & { close(): Promise<void> },
  spelling: Spelling,
  own: Pick<AtGateway, 'endsObjects'> & {
    pay(booking: Json, how: How): Promise<boolean>;
    entries(): Promise<Entries>;
  },
): AtGateway {
  const { operations, strikes, mark, paidEvent } = spelling;
  const matching = (bookingId: string) => ({ match: { metadata: mark(bookingId) } });
  let gates = 0;
  const requestsOf = async (call: Call) =>
    (await sandbox.ledger()).requests.filter(({ operation }) => operation === operations[call]);
  const eventsOf = async (ref: string) =>
    (await sandbox.ledger()).events.filter((one) => (one.paymentIntent ?? one.order) === ref);
  return {
    ...spelling,
    ...(own.endsObjects === undefined ? {} : { endsObjects: own.endsObjects }),
    pay: (booking, how = 'ok') => own.pay(booking, how),
    ledgerOf: async (bookingId) => {
      const { objects, charges, refunds } = await own.entries();
      const [[name = '', value]] = Object.entries(mark(bookingId)) as [[string, string]];
      const ours = objects.filter(({ metadata }) => metadata[name] === value);
      const ids = new Set(ours.map(({ id }) => id));
      const paid = charges.filter(({ object }) => ids.has(object));
      const made = refunds.filter(({ object }) => ids.has(object));
      const done = made.filter((one) => one.done);
      return {
        objects: [...ids],
        payable: ours.filter(({ payable }) => payable).map(({ id }) => id),
        charges: paid.length,
        capturedMinor: sum(paid),
        refunds: done.length,
        refundedMinor: sum(done),
        refundRefs: made.map(({ ref }) => ref),
      };
    },
    totals: async () => {
      const all = Object.values((await sandbox.ledger()).totals);
      return {
        captured: all.reduce((total, { captured }) => total + captured, 0),
        refunded: all.reduce((total, { refunded }) => total + refunded, 0),
      };
    },
    fault: (kind, call, bookingId, times = strikes[kind] ?? 1) =>
      sandbox.fault({
        kind,
        operation: operations[call],
        times,
        // PhonePe's address of a refund names no order until the refund stands: whoever looks for one next is struck.
        ...(spelling.method === 'phonepe' && call === 'look for the refund' ? {} : matching(bookingId)),
      }),
    struck: async (kind, call) => (await requestsOf(call)).filter(({ fault }) => fault === kind).length,
    gate: async (call, bookingId, when = 'before') => {
      gates += 1;
      const name = `gate ${gates}`;
      await sandbox.gate({ name, operation: operations[call], when, ...matching(bookingId) });
      return {
        hold: (count = 1) => sandbox.waitForGate(name, count, gatePatienceMs),
        release: () => sandbox.releaseGate(name),
      };
    },
    asked: async (call) => (await requestsOf(call)).length,
    leaveRefundsPending: (bookingId) => sandbox.refundMode({ mode: 'pending', ...matching(bookingId) }),
    settleRefund: (refundRef, outcome) => sandbox.settleRefund(refundRef, outcome),
    silence: (bookingId) =>
      sandbox.webhookFault({
        kind: 'drop',
        event: '*',
        times: null,
        ...(bookingId === undefined ? {} : matching(bookingId)),
      }),
    copiesOfPaid: async (ref, times) => {
      const event = (await eventsOf(ref)).find(({ type }) => type === paidEvent);
      if (event === undefined) throw new Error(`No ${paidEvent} of ${ref}`);
      return sendCopies(sandbox, event.id, times);
    },
    toldOf: async (ref) =>
      (await eventsOf(ref)).every(({ deliveries }) => deliveries.some(({ status }) => status !== null)),
    down: (isDown) => sandbox.setKeepAliveDown(isDown),
    clearFaults: () => sandbox.clearFaults(),
    setWebhookUrl: (url) => sandbox.setWebhookUrl(url),
    close: () => sandbox.close(),
  };
}

/** Every way in which a call to any sandbox can lose its answer, and how often in a row it takes. */
export const plainStrikes = {
  'lost-done': 1,
  'lost-undone': 1,
  'hang-done': 1,
  'hang-undone': 1,
  'status-429': 1,
  'status-500-done': 1,
  'status-500-undone': 1,
  'malformed-done': 1,
} as const satisfies Partial<Record<FaultKind, number>>;

/** Beside them, PhonePe says "something went wrong" in an answer of 200. */
export const codeStrikes = { 'code-500-done': 1, 'code-500-undone': 1 } as const;

/** The ways in which a gateway's answers can be lost. */
export function faultKindsAt(method: string): FaultKind[] {
  const strikes = { ...plainStrikes, ...(method === 'phonepe' ? codeStrikes : {}) };
  return Object.keys(strikes) as FaultKind[];
}
