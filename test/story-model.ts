/**
 * Database and gateway of one attempt, as small as they can be: what the activities would write, and what the gateway would
 * answer. The rules are those of `src/activities`, told once more and without their tables.
 */
import { isOpen, retryVerdict, type AttemptStatus } from '../src/booking';
import type { Opened } from '../src/activities/open';
import type { Refusal, Standing } from '../src/activities/dependencies';
import type { FailureType } from '../src/failures';
import type { RefundProgress, Ring } from '../src/workflows/messages';
import type { List } from './story-lists';
import { Refunds } from './story-refunds';

interface PaymentObject {
  method: string;
  state: 'payable' | 'processing' | 'closed';
  declines: number;
  declinesTold: number;
  charges: number;
  chargesRecorded: number;
}

/** What was true of the attempt from one change to the next. */
export interface State {
  status: AttemptStatus;
  version: number;
  failure: FailureType | undefined;
  triesLeft: number;
  /** Whether a retry was given up here because its activity ran out of time. */
  outOfTime?: true;
  /** Whether a retry paid it here from the wallet. */
  byWallet?: true;
}

/** The world of one attempt. */
export class Model {
  status: AttemptStatus = 'awaiting_payment';
  failure: FailureType | undefined;
  method: string;
  readonly objects: PaymentObject[] = [];
  readonly refunds: Refunds;
  /** Everything that was true, in order; the last entry is now. */
  readonly journal: State[] = [];
  /** Marks of the rings that an activity was handed. */
  readonly heard = new Set<string>();
  /** Whether what a failed start left at the gateway was to be closed. */
  tidied = false;
  /** Looks at the gateway that no ring asked for: before a retry, and while it still processes the payment. */
  unrungLooks = 0;
  #version = 0;
  #tries = 1;
  #expiresAt: number | undefined;

  constructor(
    readonly bookingId: string,
    readonly list: List,
  ) {
    this.method = 'stripe';
    this.refunds = new Refunds(bookingId, list.refunds, (refund, from, to) =>
      this.change(refund.owed && from.includes(this.status) ? { status: to } : {}),
    );
  }

  get opened(): boolean {
    return this.journal.length > 0;
  }

  /** Ms until the window ends. */
  get windowMs(): number {
    return Math.max(0, (this.#expiresAt ?? 0) - Date.now());
  }

  /** Writes that something of the attempt changed. */
  private change(changes: Pick<Partial<State>, 'status' | 'failure' | 'byWallet'> = {}): void {
    if (changes.status !== undefined) this.status = changes.status;
    if ('failure' in changes) this.failure = changes.failure;
    this.#version += 1;
    this.note(changes.byWallet === true ? { byWallet: true } : {});
  }

  private note(mark: Pick<State, 'outOfTime' | 'byWallet'> = {}): void {
    this.journal.push({
      status: this.status,
      version: this.#version,
      failure: this.failure,
      triesLeft: this.list.triesMax - this.#tries,
      ...mark,
    });
  }

  standing(): Standing {
    return {
      status: this.status,
      version: this.#version,
      windowMs: this.windowMs,
      method: this.method,
      refundIds: this.refunds.owedIds,
      ...(this.failure === undefined ? {} : { failure: this.failure }),
    };
  }

  hear(rings: readonly Ring[]): void {
    for (const { at } of rings) this.heard.add(at);
  }

  outOfTime(): void {
    this.note({ outOfTime: true });
  }

  // What activities do.

  open(): Opened {
    if (!this.opened) {
      if (this.list.opens === 'refused') this.change({ status: 'failed', failure: 'slot-unavailable' });
      else if (this.list.opens === 'paid at once') this.change({ status: 'confirmed' });
      else this.openObject(this.method);
    }
    return { ...this.standing(), offeringIds: ['off_model'] };
  }

  giveUpOpening(): Opened {
    if (!this.opened) this.change({ status: 'failed', failure: 'gateway-unavailable' });
    return { ...this.standing(), offeringIds: ['off_model'] };
  }

  private openObject(method: string): void {
    this.method = method;
    this.objects.push({
      method,
      state: 'payable',
      declines: 0,
      declinesTold: 0,
      charges: 0,
      chargesRecorded: 0,
    });
    this.startWindow();
  }

  private startWindow(): void {
    this.#expiresAt = Date.now() + this.list.windowMs;
    this.change({ failure: undefined });
  }

  /** @param reader id of the workflow that looks */
  settle(rings: readonly Ring[], reader: string): Standing {
    this.hear(rings);
    if (rings.length === 0) this.unrungLooks += 1;
    this.settleObjects();
    if (this.objects.some(({ chargesRecorded }) => chargesRecorded > 0)) {
      this.refunds.readAgain(reader);
    }
    return this.standing();
  }

  /** Money first, then what unpaid objects mean for an attempt that is still open. */
  private settleObjects(): void {
    for (const object of this.objects) {
      while (object.chargesRecorded < object.charges) this.recordCharge(object);
    }
    const newest = this.objects.at(-1);
    if (!isOpen(this.status) || newest === undefined) return;
    const processing = this.objects.some(({ state }) => state === 'processing');
    const status = processing ? 'processing' : 'awaiting_payment';
    const declined = newest.declines > newest.declinesTold;
    newest.declinesTold = newest.declines;
    if (declined) this.change({ status, failure: 'payment-declined' });
    else if (status !== this.status) this.change({ status });
  }

  private recordCharge(object: PaymentObject): void {
    object.chargesRecorded += 1;
    const open = isOpen(this.status);
    if (open && this.list.seats) return this.change({ status: 'confirmed', failure: undefined });
    this.refunds.owe(open);
    this.change(open ? { status: 'refunding', failure: 'slot-unavailable' } : {});
  }

  retry(wanted: string | undefined): Standing | Refusal {
    if (this.status === 'processing') return { refused: 'not-retryable' };
    if (!isOpen(this.status)) {
      return retryVerdict(this.status) === 'granted' ? this.standing() : { refused: 'attempt-over' };
    }
    const newest = this.newest();
    const method = wanted ?? this.method;
    const changes = method !== this.method;
    if (this.failure === undefined && !changes) return this.standing();
    if (this.#tries >= this.list.triesMax) return { refused: 'retry-limit' };
    if (method === 'wallet' && !this.list.funds) return { refused: 'insufficient-funds' };
    if (changes) {
      const closed = this.close(newest);
      if (closed === 'paid') return this.standing();
      if (closed === 'processing') return { refused: 'not-retryable' };
    }
    this.#tries += 1;
    if (method === 'wallet') {
      this.method = method;
      this.change({ status: 'confirmed', failure: undefined, byWallet: true });
    } else if (changes || newest.state === 'closed') this.openObject(method);
    else this.startWindow();
    return this.standing();
  }

  private newest(): PaymentObject {
    const newest = this.objects.at(-1);
    if (newest === undefined) throw new Error('Bug: an attempt without a payment object');
    return newest;
  }

  /** Closes an object at the gateway, and settles what stands in the way of that. */
  private close(object: PaymentObject): 'paid' | 'processing' | 'closed' {
    // As every adapter says it: money that came is first, whatever else is on its way by the same object.
    const paid = object.charges > object.chargesRecorded;
    if (paid || object.state === 'processing') {
      this.settleObjects();
      return paid ? 'paid' : 'processing';
    }
    if (this.list.closes) object.state = 'closed';
    return 'closed';
  }

  end(outcome: 'expired' | 'canceled', rings: readonly Ring[]): Standing | Refusal {
    this.hear(rings);
    const closed = this.objects.map((object) => this.close(object));
    if (isOpen(this.status)) {
      if (closed.includes('processing')) {
        return outcome === 'canceled' ? { refused: 'not-cancelable' } : this.standing();
      }
      this.change({ status: outcome });
    }
    return this.standing();
  }

  /** @param reader id of the workflow that looks */
  readRefund(refundId: string, rings: readonly Ring[], reader: string): RefundProgress {
    this.hear(rings);
    const progress = this.refunds.read(refundId, reader);
    if (rings.length === 0) return progress;
    this.settleObjects();
    this.refunds.lookBeside(refundId, reader);
    const caseIds = this.refunds.toKeep;
    return caseIds.length === 0 ? progress : { ...progress, toKeep: { caseIds, bookingId: this.bookingId } };
  }

  // What happens at the gateway.

  /** The customer acts on the newest payment object, or on the oldest that can be paid. Nothing, when none can. */
  customerActs(act: 'pays' | 'is declined' | 'begins' | 'gives up', oldest: boolean): void {
    const live = this.objects.filter(({ state }) => state !== 'closed');
    const object = oldest ? live[0] : live.at(-1);
    if (object === undefined) return;
    if (act === 'begins') object.state = 'processing';
    else {
      object.state = act === 'gives up' ? 'closed' : 'payable';
      if (act === 'pays') object.charges += 1;
      // A gateway knows no decline after the money.
      else if (object.charges === 0) object.declines += 1;
    }
  }

  /** What is still processed comes to its end. */
  processed(as: 'pays' | 'is declined'): void {
    for (const object of this.objects.filter(({ state }) => state === 'processing')) {
      object.state = 'payable';
      if (as === 'pays') object.charges += 1;
      else object.declines += 1;
    }
  }
}
