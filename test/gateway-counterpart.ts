/** The other end of an adapter in the contract suite: a gateway, and what it can be made to do. */
import { randomBytes } from 'node:crypto';
import { makeId, type Money } from '../src/booking';
import type { Gateway, Heard, OpenedTry, RefundToSend, TryToOpen } from '../src/gateways/gateway';
import type { Wire, WireRequest } from './gateway-wire';
import type { Receiver } from './sandbox-receiver';

/** Calls of an adapter that go over the wire. */
export type Operation = 'open' | 'read' | 'close' | 'refund' | 'readRefund';

/** What an event is about; each gateway has its own words for it. */
export type EventSketch = { ref: string; bookingId: string } & (
  | { kind: 'paid' | 'declined' | 'unheard-of' }
  /** `refundId` null: made by somebody else. */
  | { kind: 'refunded'; refundId: string | null }
  | { kind: 'disputed' }
);

/** Who signs an event: the first or the second secret in force, or one that never was. */
export type Signer = 'first' | 'second' | 'nobody';

/** A webhook as it arrives. */
export interface Delivery {
  rawBody: Buffer;
  headers: Record<string, string>;
}

/** A payment put on the account, with times of its own. */
export interface Planted {
  ref: string;
  chargeRef: string;
}

/** The gateway at the other end, and what it can be made to do. Optional deeds are not to be had everywhere. */
export interface Counterpart {
  /** Through the wire. */
  readonly gateway: Gateway;
  readonly wire: Wire;
  /** A price in a currency that is taken. */
  readonly total: Money;
  /** Largest amount that is refused as too small. */
  readonly tooSmall: Money;
  /** Nothing of this may get into a reason or an error. */
  readonly secrets: readonly string[];
  /** An id as the gateway makes them, of an object that is not there. */
  readonly nowhere: { ref: string; chargeRef: string };
  /** Whether a request carries that call. */
  carries(operation: Operation, request: WireRequest): boolean;
  /** The adapter with credentials that are not the account's. */
  stranger(): Gateway;
  /** An event in the gateway's words. */
  event(sketch: EventSketch): string;
  /** Headers by which a body is believed. */
  sign(rawBody: Buffer, signer: Signer): Record<string, string>;
  /** The customer's deed. */
  pay(ref: string, how: 'ok' | 'declined'): Promise<void>;
  /** What went back of an object's money, at the gateway, ours and others'. */
  returned(ref: string): Promise<number>;
  close(): Promise<void>;

  /** The customer pays, and the money is not there yet. */
  payLater?: (ref: string) => Promise<void>;
  /** A second payment of the same object, captured as well. */
  payAgain?: (ref: string) => Promise<void>;
  /** A payment that the gateway gives back by itself, never captured. */
  payInVain?: (ref: string) => Promise<void>;
  /** A payment that failed is confirmed after all. */
  confirmLate?: (ref: string) => Promise<void>;
  /** The object's own time is over. */
  expire?: (ref: string) => Promise<void>;
  /** What becomes of the refunds made from now on. */
  refundMode?: (mode: 'succeeded' | 'pending' | 'failed') => Promise<void>;
  /** The bank's word on a refund: one that was pending, or its failure after success. */
  endRefund?: (refundRef: string, outcome: 'succeeded' | 'failed') => Promise<void>;
  /** Somebody refunds at the gateway's dashboard. */
  refundByHand?: (ref: string, amountMinor: number) => Promise<void>;
  dispute?: (
    ref: string,
    amountMinor: number,
  ) => Promise<{ end: (outcome: 'won' | 'lost') => Promise<void> }>;
  /** Seconds since 1970; `metadata` as ours would be. */
  plantPayment?: (at: number, amountMinor: number, metadata: Record<string, string>) => Promise<Planted>;
  plantRefund?: (of: Planted, at: number, amountMinor: number, refundId: string | null) => Promise<void>;
  /** What was delivered of an event that a deed caused. */
  delivered?: (kind: 'paid' | 'refunded', ref: string) => Promise<Delivery>;
  /** What the gateway's page hands the browser of who has paid. */
  handedBack?: (ref: string) => Promise<Record<string, string>>;
}

/** A deed that is not to be had everywhere. */
export type Deed = {
  [Name in keyof Counterpart]-?: undefined extends Counterpart[Name] ? Name : never;
}[keyof Counterpart];

/** A capability that a case can hang on. */
export type Ability = 'closes' | 'cannot close' | 'signed bodies' | 'unsigned bodies' | 'lists' | 'no lists';

/** One thing owed. */
export interface Case {
  name: string;
  needs?: readonly (Ability | Deed)[];
  run(at: Counterpart & Required<Pick<Counterpart, Deed>>): Promise<void>;
  timeoutMs?: number;
}

/** An id of ours that nobody else has. */
export function newId(kind: 'booking' | 'refund'): string {
  return makeId(kind, randomBytes(20));
}

/** A try that nobody opened yet. */
export function newTry(at: Counterpart, change: Partial<TryToOpen> = {}): TryToOpen {
  return {
    bookingId: newId('booking'),
    try: 1,
    keyNumber: 1,
    total: at.total,
    payWithinSeconds: 900,
    returnUrl: 'https://shop.example.test/return?bookingId=x',
    ...change,
  };
}

/** Opens a try that must open. */
export async function opened(at: Counterpart, wanted = newTry(at)): Promise<OpenedTry> {
  const answer = await at.gateway.open(wanted);
  if (answer.status !== 'opened') throw new Error(`opening was answered ${JSON.stringify(answer)}`);
  return answer;
}

/** A payment object that is paid, and what to refund of it. */
export async function paid(at: Counterpart): Promise<RefundToSend> {
  const wanted = newTry(at);
  const { ref } = await opened(at, wanted);
  await at.pay(ref, 'ok');
  const state = await at.gateway.read(ref);
  if (state.status !== 'paid') throw new Error(`paying led to ${JSON.stringify(state)}`);
  return {
    refundId: newId('refund'),
    bookingId: wanted.bookingId,
    go: 1,
    keyNumber: 1,
    ref,
    chargeRef: state.chargeRef,
    amountMinor: at.total.amountMinor,
    refundRef: null,
  };
}

/** What the adapter makes of an event. */
export function hear(at: Counterpart, rawBody: string | Buffer, signer: Signer = 'first'): Heard {
  const body = Buffer.from(rawBody);
  return at.gateway.verifyWebhook(body, at.sign(body, signer));
}

/**
 * What a sandbox delivered.
 * @param signs what the body of an event about a payment, or a refund, has in it
 */
export function deliveredTo(
  receiver: Receiver,
  signs: { paid: string; refunded: string },
): Required<Counterpart>['delivered'] {
  return async (kind, ref) => {
    const { raw, headers } = await receiver.first(
      (one) => one.raw.includes(ref) && one.raw.includes(signs[kind]),
    );
    const single = Object.entries(headers).map(([name, value]) => [name, String(value)]);
    return { rawBody: Buffer.from(raw), headers: Object.fromEntries(single) as Record<string, string> };
  };
}
