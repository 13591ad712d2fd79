/**
 * A payment gateway in memory with a ledger of its own, which the property test believes rather than our rows. It does as
 * Stripe does: a decline leaves the object payable, the same key gives the same answer, a refund may fail after it said
 * success. It also answers late, wrongly or not at all when told.
 */
import type { Money } from '../src/booking';
import type { Gateway, PaymentState, RefundState, RefundToSend, TryToOpen } from '../src/gateways/gateway';

/** A payment object. */
export interface StandInObject {
  ref: string;
  bookingId: string;
  total: Money;
  status: 'unpaid' | 'processing' | 'paid' | 'closed';
  /** Whether our rows know how to pay it, so that a customer can: an object whose making got no answer has no payer. */
  handedOut: boolean;
  declines: number;
  charge?: {
    id: string;
    total: Money;
    /** Captured when nobody should have been able to pay. */ late: boolean;
  };
}

/** A refund as the gateway made it. */
export interface StandInRefund {
  id: string;
  ref: string;
  refundId: string;
  go: number;
  amountMinor: number;
  status: 'pending' | 'succeeded' | 'failed';
  /** Made by a call whose answer was a kept error: then the list shows it at once. */
  listed: boolean;
}

/**
 * What goes wrong with the next call. `unreached`: nothing was done, no answer. `unanswered`: done, and no answer.
 * `refused`: not done, for good. `kept`: not done, and repeated for the key. `kept-done`: done all the same.
 * `unlisted`: a search does not find the refund yet.
 */
export const mishaps = ['unreached', 'unanswered', 'refused', 'kept', 'kept-done', 'unlisted'] as const;
export type Mishap = (typeof mishaps)[number];

const unknown = { status: 'unknown', reason: 'no answer' } as const;
const keptError = { status: 'refused', replayed: true, reason: 'an error that is kept for its key' } as const;
const refusedForGood = { status: 'refused', replayed: false, reason: 'refused' } as const;

/** Makes a gateway of that name; `list` keeps the ids of its objects apart from those of other lists. */
export function standInGateway(name: string, list: string) {
  const objects: StandInObject[] = [];
  const refunds: StandInRefund[] = [];
  const objectByKey = new Map<string, StandInObject>();
  const refundByKey = new Map<string, StandInRefund>();
  const keptKeys = new Set<string>();
  const ahead: Mishap[] = [];
  const refundsBecome: StandInRefund['status'][] = [];

  /** The mishap of this call, if it is one of those that can happen to it; others come as no answer. */
  function mishapOf(...possible: Mishap[]): Mishap | undefined {
    const next = ahead.shift();
    return next === undefined || possible.includes(next) ? next : 'unreached';
  }

  async function open(wanted: TryToOpen): ReturnType<Gateway['open']> {
    const key = `${wanted.bookingId}-open-${wanted.try}-${wanted.keyNumber}`;
    const mishap = mishapOf('unreached', 'unanswered', 'refused', 'kept', 'kept-done');
    if (mishap === 'unreached') return unknown;
    if (keptKeys.has(key)) return keptError;
    let object = objectByKey.get(key);
    if (object === undefined && mishap === 'refused') return refusedForGood;
    if (mishap === 'kept' || mishap === 'kept-done') keptKeys.add(key);
    if (mishap === 'kept') return keptError;
    if (object === undefined) {
      const ref = `pi_${list}_${objects.length}`;
      const { bookingId, total } = wanted;
      object = { ref, bookingId, total, status: 'unpaid', handedOut: false, declines: 0 };
      objects.push(object);
      objectByKey.set(key, object);
    }
    if (mishap === 'kept-done') return keptError;
    if (mishap === 'unanswered') return unknown;
    return { status: 'opened', ref: object.ref, howToPay: { clientSecret: `${object.ref}_secret` } };
  }

  function find(ref: string): StandInObject {
    const object = objects.find((one) => one.ref === ref);
    if (object === undefined) throw new Error(`Nobody made the object ${ref}`);
    return object;
  }

  function stateOf(object: StandInObject): PaymentState {
    if (object.charge !== undefined) {
      return { status: 'paid', total: object.charge.total, chargeRef: object.charge.id };
    }
    if (object.status === 'closed') return { status: 'expired' };
    if (object.status === 'processing') return { status: 'processing' };
    if (object.declines === 0) return { status: 'unpaid' };
    const failureRef = `${object.ref}_decline_${object.declines}`;
    return { status: 'failed', payable: true, failureRef, code: 'card_declined', detail: 'Declined.' };
  }

  async function read(ref: string): ReturnType<Gateway['read']> {
    if (mishapOf() !== undefined) return unknown;
    const object = find(ref);
    return { ...stateOf(object), bookingId: object.bookingId };
  }

  async function close(ref: string): ReturnType<Gateway['close']> {
    const mishap = mishapOf('unreached', 'unanswered');
    if (mishap === 'unreached') return unknown;
    const object = find(ref);
    if (object.status === 'unpaid') object.status = 'closed';
    if (mishap === 'unanswered') return unknown;
    if (object.charge !== undefined) return { status: 'paid' };
    return { status: object.status === 'processing' ? 'processing' : 'closed' };
  }

  function refundState(made: StandInRefund): RefundState {
    return {
      status: made.status,
      refundRef: made.id,
      ...(made.status === 'failed' && { code: 'lost_card' }),
    };
  }

  async function refund(wanted: RefundToSend): Promise<RefundState> {
    const key = `${wanted.refundId}-${wanted.go}-${wanted.keyNumber}`;
    const mishap = mishapOf('unreached', 'unanswered', 'refused', 'kept', 'kept-done');
    if (mishap === 'unreached') return unknown;
    if (keptKeys.has(key)) return keptError;
    let made = refundByKey.get(key);
    if (made === undefined && mishap === 'refused') return refusedForGood;
    if (mishap === 'kept' || mishap === 'kept-done') keptKeys.add(key);
    if (mishap === 'kept') return keptError;
    if (made === undefined) {
      const { ref, refundId, go, amountMinor } = wanted;
      const status = refundsBecome.shift() ?? 'succeeded';
      const listed = mishap === 'kept-done';
      made = { id: `re_${list}_${refunds.length}`, ref, refundId, go, amountMinor, status, listed };
      refunds.push(made);
      refundByKey.set(key, made);
    }
    if (mishap === 'kept-done') return keptError;
    return mishap === 'unanswered' ? unknown : refundState(made);
  }

  async function readRefund(wanted: RefundToSend): Promise<RefundState> {
    const mishap = mishapOf('unreached', 'unlisted');
    if (mishap === 'unreached') return unknown;
    const found = refunds.find((one) =>
      wanted.refundRef === null
        ? one.refundId === wanted.refundId && one.go === wanted.go
        : one.id === wanted.refundRef,
    );
    if (found === undefined) return { status: 'missing' };
    // Finding by id is exact; only the search comes late, and not after the gateway's own error.
    if (mishap === 'unlisted' && wanted.refundRef === null && !found.listed) return { status: 'missing' };
    return refundState(found);
  }

  /** The customer pays, or another way of the money to move: on a closed object too, for some gateways cannot close. */
  function capture(object: StandInObject, total: Money): void {
    if (object.charge !== undefined) return;
    object.charge = { id: `ch_${object.ref}`, total, late: object.status === 'closed' || !object.handedOut };
    object.status = 'paid';
  }

  const gateway: Gateway = {
    name,
    capabilities: {
      insideTransaction: false,
      closes: true,
      signedBody: true,
      lateForSeconds: 0,
      lookSchedule: [15, 30, 60],
      looksPerSecond: 1000,
      lists: false,
      minimumAmountMinor: null,
      maximumAmountMinor: 99_999_999,
    },
    open,
    read,
    close,
    refund,
    readRefund,
    // Nobody but us takes money back here.
    reversals: () => Promise.resolve({ status: 'known', refunds: [], disputes: [] }),
    verifyWebhook: () => {
      throw new Error('Nobody sends webhooks here: the test rings');
    },
  };
  return { gateway, objects, refunds, ahead, refundsBecome, capture };
}

export type StandInGateway = ReturnType<typeof standInGateway>;
