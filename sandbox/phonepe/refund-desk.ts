import { pause } from '../gateway/pause';
import { type RefundModes } from '../gateway/refund-modes';
import { type RefundMode, type Subject } from '../gateway/switches';
import { type Account } from './account';
import { createRefund, failRefund, settleRefund } from './refunds';
import { type Refund } from './wire';

/** From the answer, which is always PENDING, to what the mode says. */
const soonMs = 20;

/** Makes refunds, and lets each go on as the switched-on mode says. */
export class RefundDesk {
  constructor(
    private readonly account: Account,
    private readonly modes: RefundModes,
    /** Runs a deed and sends the events it made. */
    private readonly act: (deed: () => void) => void,
    private readonly closing: AbortSignal,
  ) {}

  /** `POST …/payments/v2/refund`. A repeat sets nothing in motion. */
  create(fields: Record<string, unknown>, subject: Subject): Refund {
    if (this.account.refunds.has(String(fields['merchantRefundId'])))
      return createRefund(this.account, fields).refund;
    return this.modes.apply(
      subject,
      (mode) => {
        const { refund } = createRefund(this.account, fields);
        this.goOn(refund, mode);
        return refund;
      },
      (refund, failureReason) => this.fail(refund, failureReason),
    );
  }

  private goOn(refund: Refund, mode: RefundMode): void {
    if (mode.mode === 'pending') return;
    // A failure after `pending` is arranged by the mode; PhonePe never answers FAILED at once, so that follows as soon.
    if (mode.mode === 'failed' && mode.answer === 'pending') return;
    void pause(soonMs, this.closing).then((isTime) => {
      if (!isTime || refund.state !== 'PENDING') return;
      if (mode.mode === 'failed') this.fail(refund, mode.failureReason);
      else this.act(() => settleRefund(this.account, refund.merchantRefundId, 'succeeded', ''));
    });
  }

  private fail(refund: Refund, failureReason: string): void {
    if (refund.state !== 'FAILED')
      this.act(() => failRefund(this.account, refund.merchantRefundId, failureReason));
  }
}
