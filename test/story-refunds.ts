/** The half of the model that gives money back: what is owed, what the gateway says of it, and the cases that ask a person. */
import type { Resolved } from '../src/activities/cases';
import type { AttemptStatus, CaseAction, RefundStatus } from '../src/booking';
import type { RefundProgress, Resolution } from '../src/workflows/messages';
import type { RefundWord } from './story-lists';

export interface Refund {
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

/** Moves the attempt along with a refund that is its own end; of any other, only writes that something changed. */
type Move = (refund: Refund, from: readonly AttemptStatus[], to: AttemptStatus) => void;

/** The refunds of one attempt. */
export class Refunds {
  readonly all: Refund[] = [];
  readonly cases: Case[] = [];
  readonly #words: RefundWord[];

  /** @param words what the gateway says of each that is sent; that it succeeded afterwards */
  constructor(
    readonly bookingId: string,
    words: readonly RefundWord[],
    private readonly move: Move,
  ) {
    this.#words = [...words];
  }

  get openCases(): Case[] {
    return this.cases.filter(({ resolution }) => resolution === undefined);
  }

  /** Ids of those that have not reached their end. */
  get owedIds(): string[] {
    return this.all.filter(({ status }) => status !== 'succeeded').map(({ id }) => id);
  }

  /** @param owed whether it is the attempt's own end */
  owe(owed: boolean): void {
    const id = `${this.bookingId}/refund/${this.all.length + 1}`;
    this.all.push({ id, owed, status: 'unsent', byHand: false });
  }

  send(refundId: string): RefundProgress {
    const refund = this.refundOf(refundId);
    const known = this.decided(refund);
    if (known !== undefined) return known;
    refund.said ??= this.#words.shift() ?? 'succeeded';
    return this.record(refund);
  }

  read(refundId: string): RefundProgress {
    const refund = this.refundOf(refundId);
    return this.decided(refund) ?? this.record(refund);
  }

  /** What was sent is read once more: what succeeded may have failed. */
  readAgain(): void {
    for (const refund of this.all) if (refund.status !== 'unsent') this.record(refund);
  }

  /** Sends stray money back, beside the refund that is waited for. */
  sendStrays(awaitedId: string): void {
    for (const { id, owed, status } of this.all) {
      if (!owed && id !== awaitedId && ['unsent', 'pending'].includes(status)) this.send(id);
    }
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
    const refund = this.all.find(({ id }) => id === refundId);
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

  private openCase({ id: refundId }: Refund, kind: Case['kind']): string {
    const open = this.openCases.find((one) => one.refundId === refundId);
    if (open !== undefined) return open.id;
    const id = `${this.bookingId}/case/${this.cases.length + 1}`;
    this.cases.push({ id, refundId, kind });
    return id;
  }

  /** The newest refund that was sent turns. What failed is dead; what succeeded may still fail. */
  turn(to: 'succeeded' | 'failed'): void {
    const refund = this.all.findLast(({ said }) => said !== undefined && said !== 'failed');
    if (refund !== undefined) refund.said = to;
  }
}
