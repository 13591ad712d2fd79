import { pause } from './pause';
import { isMeant, type RefundMode, strike, type Subject } from './switches';

/** From the answer `pending` to what follows it. */
const soonMs = 20;

const plain: RefundMode = { mode: 'succeeded', times: null };

/** The switched-on refund modes, and the failures they arrange. */
export class RefundModes {
  private readonly modes: RefundMode[] = [];

  constructor(private readonly closing: AbortSignal) {}

  /** The newest mode that matches wins. */
  add(mode: RefundMode): void {
    this.modes.unshift(mode);
  }

  clear(): void {
    this.modes.length = 0;
  }

  /**
   * Makes a refund as the mode says that is meant, and arranges that it fails where it is to fail later.
   * @param make throws what the API refuses; a refused refund uses up no strike of the mode
   * @param fail lets it fail, unless it has already
   */
  apply<Refund>(
    subject: Subject,
    make: (mode: RefundMode) => Refund,
    fail: (refund: Refund, failureReason: string) => void,
  ): Refund {
    const isWanted = (one: RefundMode): boolean => isMeant(subject, one.match);
    const mode = this.modes.find(isWanted) ?? plain;
    const refund = make(mode);
    strike(this.modes, isWanted);
    if (mode.mode === 'failed' && mode.answer === 'pending')
      this.later(soonMs, () => fail(refund, mode.failureReason));
    if (mode.mode === 'fail-after-success' && mode.afterMs !== undefined)
      this.later(mode.afterMs, () => fail(refund, mode.failureReason));
    return refund;
  }

  private later(ms: number, deed: () => void): void {
    void pause(ms, this.closing).then((isTime) => {
      if (isTime) deed();
    });
  }
}
