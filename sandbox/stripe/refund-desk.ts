import { z } from 'zod';
import { type RefundModes } from '../gateway/refund-modes';
import { type Subject } from '../gateway/switches';
import { type Account, noOrigin, type Origin } from './account';
import { createdSchema } from './created';
import { type Parameters } from './parameters';
import { createRefund, failRefund, giveReference } from './refunds';
import { type Refund } from './wire';

/** A refund that somebody makes in the dashboard: all that is left of the charge unless `amount`, in minor units, says less. */
export const handRefundSchema = z.strictObject({
  amount: z.number().int().positive().optional(),
  created: createdSchema,
});
export type HandRefundSpec = z.input<typeof handRefundSchema>;

/** Makes refunds as the switched-on mode says, and lets those fail later that are to fail later. */
export class RefundDesk {
  constructor(
    private readonly account: Account,
    private readonly modes: RefundModes,
    /** Runs a deed and sends the events it made. */
    private readonly act: (deed: () => void) => void,
  ) {}

  /** `POST /v1/refunds`. */
  create(parameters: Parameters, origin: Origin, subject: Subject, created?: number): Refund {
    return this.modes.apply(
      subject,
      (mode) => createRefund(this.account, parameters, origin, mode, created),
      ({ id }, failureReason) => {
        if (this.account.refund(id).status !== 'failed')
          this.act(() => failRefund(this.account, id, failureReason));
      },
    );
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
    const subject = { ids: [intentId], owner: intentId, metadata: [intent.metadata] };
    const refund = this.create(parameters, noOrigin, subject, created);
    this.account.refundedByHand.add(refund.id);
    if (refund.status === 'succeeded') giveReference(this.account, refund);
    return refund;
  }
}
