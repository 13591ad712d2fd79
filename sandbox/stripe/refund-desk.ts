import { z } from 'zod';
import { type Account, noOrigin, type Origin } from './account';
import { createdSchema } from './created';
import { type Parameters } from './parameters';
import { pause } from './pause';
import { createRefund, failRefund, giveReference } from './refunds';
import { isMeant, type RefundMode, strike, type Subject } from './switches';
import { type Refund } from './wire';

/** A refund that somebody makes in the dashboard: all that is left of the charge unless `amount`, in minor units, says less. */
export const handRefundSchema = z.strictObject({
  amount: z.number().int().positive().optional(),
  created: createdSchema,
});
export type HandRefundSpec = z.input<typeof handRefundSchema>;

/** From the answer `pending` to the failure, where the mode `failed` shows `pending` first. */
const soonMs = 20;

/** Makes refunds as the switched-on mode says, and lets those fail later that are to fail later. */
export class RefundDesk {
  private readonly modes: RefundMode[] = [];

  constructor(
    private readonly account: Account,
    /** Runs a deed and sends the events it made. */
    private readonly act: (deed: () => void) => void,
    private readonly closing: AbortSignal,
  ) {}

  /** The newest mode that matches wins. */
  setMode(mode: RefundMode): void {
    this.modes.unshift(mode);
  }

  clear(): void {
    this.modes.length = 0;
  }

  /** `POST /v1/refunds`. */
  create(parameters: Parameters, origin: Origin, subject: Subject, created?: number): Refund {
    const plain: RefundMode = { mode: 'succeeded', times: null };
    const isWanted = (one: RefundMode): boolean => isMeant(subject, one.match);
    const mode = this.modes.find(isWanted) ?? plain;
    const refund = createRefund(this.account, parameters, origin, mode, created);
    // A refused refund uses up no strike of the mode.
    strike(this.modes, isWanted);
    if (mode.mode === 'failed' && mode.answer === 'pending')
      this.failLater(refund.id, soonMs, mode.failureReason);
    if (mode.mode === 'fail-after-success' && mode.afterMs !== undefined)
      this.failLater(refund.id, mode.afterMs, mode.failureReason);
    return refund;
  }

  /**
   * Somebody refunds in the dashboard: without metadata, and with no request behind its events. Modes count here too.
   * Throws the refusal that the API would answer with.
   */
  createByHand(intentId: string, wanted: HandRefundSpec): Refund {
    const { amount, created } = handRefundSchema.parse(wanted);
    const intent = this.account.intent(intentId);
    const parameters = {
      payment_intent: intentId,
      reason: 'requested_by_customer',
      ...(amount === undefined ? {} : { amount: String(amount) }),
    };
    const subject = { ids: [intentId], paymentIntent: intentId, metadata: [intent.metadata] };
    const refund = this.create(parameters, noOrigin, subject, created);
    this.account.refundedByHand.add(refund.id);
    if (refund.status === 'succeeded') giveReference(this.account, refund);
    return refund;
  }

  private failLater(id: string, ms: number, failureReason: string): void {
    void pause(ms, this.closing).then((isTime) => {
      if (isTime && this.account.refund(id).status !== 'failed')
        this.act(() => failRefund(this.account, id, failureReason));
    });
  }
}
