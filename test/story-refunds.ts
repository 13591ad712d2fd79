/** The half of the model that gives money back: what is owed, what the gateway says of it, and the cases that ask a person. */
import type { Resolved } from '../src/activities/cases';
import type { AttemptStatus, CaseAction, RefundStatus } from '../src/booking';
import { caseWorkflowId, type RefundProgress, type Resolution } from '../src/workflows/messages';
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
  /** Id of the workflow that keeps it open. */
  keeper: string;
  resolution?: CaseAction;
}

const underWay: readonly RefundStatus[] = ['unsent', 'pending'];

/** Whether a case has a workflow of its own, or was opened by one. */
const isOwn = ({ keeper }: Case): boolean => keeper.startsWith(caseWorkflowId(''));

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

  /** Ids of those that have not reached their end, save what the keepers of cases see to. */
  get owedIds(): string[] {
    const kept = this.cases.filter((one) => isOwn(one) && one.resolution !== 'mark-settled');
    return this.all
      .filter(({ id, status }) => status !== 'succeeded' && !kept.some(({ refundId }) => refundId === id))
      .map(({ id }) => id);
  }

  /** Open cases that need a workflow of their own. */
  get toKeep(): string[] {
    return this.openCases.filter(isOwn).map(({ id }) => id);
  }

  /** Refunds that were sent again from a case, and that its keeper follows: by the keeper's id. */
  followed(): { refundId: string; keeper: string }[] {
    return this.all.flatMap(({ id: refundId, status }) => {
      const sent = this.cases.findLast(
        (one) => one.refundId === refundId && one.resolution === 'retry-refund' && isOwn(one),
      );
      return sent === undefined || !underWay.includes(status) ? [] : [{ refundId, keeper: sent.keeper }];
    });
  }

  /** @param owed whether it is the attempt's own end */
  owe(owed: boolean): void {
    const id = `${this.bookingId}/refund/${this.all.length + 1}`;
    this.all.push({ id, owed, status: 'unsent', byHand: false });
  }

  /** @param keeper id of the workflow that keeps a case if this opens one; a workflow of its own where it is absent */
  send(refundId: string, keeper?: string): RefundProgress {
    const refund = this.refundOf(refundId);
    const known = this.decided(refund);
    if (known !== undefined) return known;
    refund.said ??= this.#words.shift() ?? 'succeeded';
    return this.record(refund, keeper);
  }

  read(refundId: string, keeper: string): RefundProgress {
    const refund = this.refundOf(refundId);
    return this.decided(refund) ?? this.record(refund, keeper);
  }

  /** What was sent is read once more: what succeeded may have failed. */
  readAgain(keeper: string): void {
    const others = this.followed().filter((one) => one.keeper !== keeper);
    for (const refund of this.all) {
      if (others.some(({ refundId }) => refundId === refund.id)) continue;
      if (refund.status !== 'unsent') this.record(refund, keeper);
    }
  }

  /** Sends and reads the other refunds, beside the one that is waited for. */
  lookBeside(awaitedId: string, reader: string): void {
    const others = this.followed().filter(({ keeper }) => keeper !== reader);
    for (const refund of this.all) {
      if (refund.id === awaitedId || others.some(({ refundId }) => refundId === refund.id)) continue;
      if (refund.status === 'unsent') this.send(refund.id);
      else this.record(refund);
    }
  }

  reportOverdue(refundId: string, keeper: string): RefundProgress {
    const refund = this.refundOf(refundId);
    if (refund.status === 'succeeded') return { refundId, status: 'succeeded' };
    this.move(refund, ['refunding'], 'needs_attention');
    return { refundId, status: refund.status, caseId: this.openCase(refund, 'refund-overdue', keeper) };
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
  private record(refund: Refund, keeper?: string): RefundProgress {
    const { id: refundId, said } = refund;
    if (said === undefined) return { refundId, status: 'unsent' };
    if (refund.byHand) return { refundId, status: 'succeeded' };
    if (said === 'failed') {
      refund.status = 'failed';
      this.move(refund, ['refunding', 'refunded'], 'needs_attention');
      return { refundId, status: 'failed', caseId: this.openCase(refund, 'refund-failed', keeper) };
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

  private openCase({ id: refundId }: Refund, kind: Case['kind'], keeper?: string): string {
    const open = this.openCases.find((one) => one.refundId === refundId);
    if (open !== undefined) return open.id;
    const id = `${this.bookingId}/case/${this.cases.length + 1}`;
    this.cases.push({ id, refundId, kind, keeper: keeper ?? caseWorkflowId(id) });
    return id;
  }

  /** The newest refund that was sent turns. What failed is dead; what succeeded may still fail. */
  turn(to: 'succeeded' | 'failed'): void {
    const refund = this.all.findLast(({ said }) => said !== undefined && said !== 'failed');
    if (refund !== undefined) refund.said = to;
  }
}
