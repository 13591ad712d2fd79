/**
 * Database and gateway of one attempt, as small as they can be: what the activities would write, and what the gateway would
 * answer. The rules are those of `src/activities`, told once more and without their tables.
 */
import { isOpen, retryVerdict, type AttemptStatus, type CaseAction, type RefundStatus } from '../src/booking';
import type { Opened } from '../src/activities/open';
import type { Refusal, Standing } from '../src/activities/dependencies';
import type { Resolved } from '../src/activities/cases';
import type { FailureType } from '../src/failures';
import type { RefundProgress, Resolution, Ring } from '../src/workflows/messages';
import type { List, RefundWord } from './story-lists';

interface PaymentObject {
  method: string;
  state: 'payable' | 'processing' | 'closed';
  declines: number;
  declinesTold: number;
  charges: number;
  chargesRecorded: number;
}

interface Refund {
  id: string;
  /** Whether it is the attempt's own end, or of stray money. */
  owed: boolean;
  status: RefundStatus;
  /** What the gateway says of it; nothing, when it was not sent. */
  said?: RefundWord;
  byHand: boolean;
}

interface Case {
  id: string;
  refundId: string;
  kind: 'refund-failed' | 'refund-overdue';
  resolution?: CaseAction;
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
  method: string;
  readonly objects: PaymentObject[] = [];
  readonly refunds: Refund[] = [];
  readonly cases: Case[] = [];
  /** Everything that was true, in order; the last entry is now. */
  readonly journal: State[] = [];
  /** Marks of the rings that an activity was handed. */
  readonly heard = new Set<string>();
  tidied = false;
  /** Looks at the gateway that no ring asked for: before a retry, and while it still processes the payment. */
  unrungLooks = 0;
  #version = 0;
  failure: FailureType | undefined;
  #tries = 1;
  #expiresAt: number | undefined;
  readonly #words: RefundWord[];

  constructor(
    readonly bookingId: string,
    readonly list: List,
  ) {
    this.method = 'stripe';
    this.#words = [...list.refunds];
  }

  get opened(): boolean {
    return this.journal.length > 0;
  }

  /** Ms until the window ends. */
  get windowMs(): number {
    return Math.max(0, (this.#expiresAt ?? 0) - Date.now());
  }

  get openCases(): Case[] {
    return this.cases.filter(({ resolution }) => resolution === undefined);
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
      refundIds: this.refunds.filter(({ status }) => status !== 'succeeded').map(({ id }) => id),
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

  settle(rings: readonly Ring[]): Standing {
    this.hear(rings);
    if (rings.length === 0) this.unrungLooks += 1;
    this.settleObjects();
    if (this.objects.some(({ chargesRecorded }) => chargesRecorded > 0)) {
      for (const refund of this.refunds) if (refund.status !== 'unsent') this.record(refund);
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
    this.refunds.push({
      id: `${this.bookingId}/refund/${this.refunds.length + 1}`,
      owed: open,
      status: 'unsent',
      byHand: false,
    });
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
    if (object.charges > object.chargesRecorded || object.state === 'processing') {
      this.settleObjects();
      return object.state === 'processing' ? 'processing' : 'paid';
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

  sendRefund(refundId: string): RefundProgress {
    const refund = this.refundOf(refundId);
    const known = this.decided(refund);
    if (known !== undefined) return known;
    refund.said ??= this.#words.shift() ?? 'succeeded';
    return this.record(refund);
  }

  readRefund(refundId: string, rings: readonly Ring[]): RefundProgress {
    this.hear(rings);
    const refund = this.refundOf(refundId);
    const progress = this.decided(refund) ?? this.record(refund);
    if (rings.length > 0) {
      this.settleObjects();
      for (const stray of this.refunds) {
        if (!stray.owed && stray.id !== refundId && ['unsent', 'pending'].includes(stray.status)) {
          this.sendRefund(stray.id);
        }
      }
    }
    return progress;
  }

  reportOverdue(refundId: string): RefundProgress {
    const refund = this.refundOf(refundId);
    if (refund.status === 'succeeded') return { refundId, status: 'succeeded' };
    this.move(refund, ['refunding'], 'needs_attention');
    return { refundId, status: refund.status, caseId: this.openCase(refund, 'refund-overdue') };
  }

  resolveCase({ caseId, action }: Resolution): Resolved {
    const found = this.cases.find(({ id }) => id === caseId);
    if (found === undefined) return { accepted: false, sendAgain: null };
    if (found.resolution === undefined) {
      if (action !== 'retry-refund' && action !== 'mark-settled') return { accepted: false, sendAgain: null };
      found.resolution = action;
      const refund = this.refundOf(found.refundId);
      if (action === 'mark-settled') this.settleByHand(refund);
      else this.sendAgain(refund);
    }
    return { accepted: true, sendAgain: found.resolution === 'retry-refund' ? found.refundId : null };
  }

  private settleByHand(refund: Refund): void {
    refund.byHand = true;
    this.recordRefunded(refund);
  }

  private sendAgain(refund: Refund): void {
    if (refund.status === 'failed') {
      refund.status = 'unsent';
      delete refund.said;
    }
    this.move(refund, ['needs_attention'], 'refunding');
  }

  private refundOf(refundId: string): Refund {
    const refund = this.refunds.find(({ id }) => id === refundId);
    if (refund === undefined) throw new Error(`Bug: no refund ${refundId}`);
    return refund;
  }

  private decided({ id: refundId, status }: Refund): RefundProgress | undefined {
    if (status === 'succeeded') return { refundId, status };
    const open = this.openCases.find((one) => one.refundId === refundId);
    return status === 'failed' && open !== undefined ? { refundId, status, caseId: open.id } : undefined;
  }

  /** Writes what the gateway says of a refund. */
  private record(refund: Refund): RefundProgress {
    const { id: refundId, said } = refund;
    if (said === undefined) return { refundId, status: 'unsent' };
    if (refund.byHand) return { refundId, status: 'succeeded' };
    if (said === 'failed') {
      refund.status = 'failed';
      this.move(refund, ['refunding', 'refunded'], 'needs_attention');
      return { refundId, status: 'failed', caseId: this.openCase(refund, 'refund-failed') };
    }
    if (refund.status !== said) {
      refund.status = said;
      if (said === 'pending') this.move(refund, [], 'refunding');
      else this.recordRefunded(refund);
    }
    return { refundId, status: said };
  }

  private recordRefunded(refund: Refund): void {
    refund.status = 'succeeded';
    for (const one of this.openCases) {
      if (one.refundId === refund.id && one.kind === 'refund-overdue') one.resolution = 'mark-settled';
    }
    this.move(refund, ['refunding', 'needs_attention'], 'refunded');
  }

  private move(refund: Refund, from: readonly AttemptStatus[], to: AttemptStatus): void {
    this.change(refund.owed && from.includes(this.status) ? { status: to } : {});
  }

  private openCase({ id: refundId }: Refund, kind: Case['kind']): string {
    const open = this.openCases.find((one) => one.refundId === refundId);
    if (open !== undefined) return open.id;
    const id = `${this.bookingId}/case/${this.cases.length + 1}`;
    this.cases.push({ id, refundId, kind });
    return id;
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

  /** The newest refund that was sent turns. What failed is dead; what succeeded may still fail. */
  refundTurns(to: 'succeeded' | 'failed'): void {
    const refund = this.refunds.findLast(({ said }) => said !== undefined && said !== 'failed');
    if (refund !== undefined) refund.said = to;
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
