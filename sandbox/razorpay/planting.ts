import { z } from 'zod';
import { silently } from '../gateway/planting';
import { type Account, notesOf } from './account';
import { createOrder } from './orders';
import { draft, paySchema, take } from './payments';
import { countIn, createRefund } from './refunds';

/** When an object came to be, where that is not now: whole seconds since 1970, as on the wire. */
const createdSchema = z.number().int().positive().optional();
const amountSchema = z.number().int().positive();
const metadataSchema = z.record(z.string(), z.string()).default({});

/** A captured payment that nobody heard of. `withoutOrder`: as shops take money that make no orders. */
export const paymentToPlantSchema = z.strictObject({
  /** Paise. */
  amount: amountSchema,
  currency: z.string().default('INR'),
  /** Notes of the order, and of the payment. */
  metadata: metadataSchema,
  created: createdSchema,
  withoutOrder: z.boolean().default(false),
});
export type PaymentToPlant = z.input<typeof paymentToPlantSchema>;

/** A refund that nobody heard of: all that is left of the payment unless `amount` says less. */
export const refundToPlantSchema = z.strictObject({
  amount: amountSchema.optional(),
  metadata: metadataSchema,
  status: z.enum(['succeeded', 'pending', 'failed']).default('succeeded'),
  created: createdSchema,
});
export type RefundToPlant = z.input<typeof refundToPlantSchema>;

/** A refund that somebody makes in the dashboard: without notes. */
export const handRefundSchema = z.strictObject({ amount: amountSchema.optional(), created: createdSchema });
export type HandRefundSpec = z.input<typeof handRefundSchema>;

/** What a payment captured in truth. */
export const recaptureSchema = z.strictObject({ amount: amountSchema, currency: z.string().optional() });
export type Recapture = z.input<typeof recaptureSchema>;

/** The ids of a planted payment; `order` is null where there is none. */
export interface Planted {
  order: string | null;
  payment: string;
}

/** Puts a captured payment on the account, without any event. Throws the refusal that the API would answer with. */
export const plantPayment = (account: Account, wanted: PaymentToPlant): Planted =>
  silently(account.events, () => {
    const { amount, currency, metadata, created, withoutOrder } = paymentToPlantSchema.parse(wanted);
    const order = withoutOrder ? null : createOrder(account, { amount, currency, notes: metadata });
    const spec = paySchema.parse({ notes: metadata });
    const payment = draft(account, { order, amount, currency }, spec, created);
    account.keep(payment);
    take(account, payment);
    if (order !== null) order.attempts = 1;
    if (order !== null && created !== undefined) backdate(account, order.id, created);
    return { order: order?.id ?? null, payment: payment.id };
  });

/** Puts a refund on a captured payment, without any event. Throws the refusal that the API would answer with. */
export const plantRefund = (account: Account, paymentOrOrder: string, wanted: RefundToPlant): string =>
  silently(account.events, () => {
    const { amount, metadata, status, created } = refundToPlantSchema.parse(wanted);
    const { id } = account.capturedPayment(paymentOrOrder);
    const fields = { notes: notesOf(metadata), ...(amount === undefined ? {} : { amount }) };
    const mode =
      status === 'failed'
        ? { mode: status, answer: status, failureReason: 'bank_refused', times: null }
        : { mode: status, times: null };
    return createRefund(account, id, fields, mode, created).id;
  });

/** Gives an object another time of birth; an order takes its payments along. Throws for an unknown id. */
export const backdate = (account: Account, id: string, created: number): void => {
  const others = [
    account.orders.get(id),
    account.payments.get(id),
    account.refunds.get(id),
    account.disputes.get(id),
  ];
  const found = [...others, ...account.paymentsOf(id)].filter((one) => one !== undefined);
  if (found.length === 0) throw new Error(`there is no object ${id}`);
  for (const one of found) {
    one.created_at = created;
    account.bornAt.set(one.id, created * 1000);
  }
};

/** Changes what a payment captured, without any event. Throws when nothing was. */
export const recapture = (account: Account, paymentOrOrder: string, wanted: Recapture): void => {
  const { amount, currency } = recaptureSchema.parse(wanted);
  const payment = account.capturedPayment(paymentOrOrder);
  Object.assign(payment, { amount, ...(currency === undefined ? {} : { currency }) });
};

/** Removes a refund, or an order with everything of it, as if it had never been. Throws for an unknown id. */
export const forget = (account: Account, id: string): void => {
  const refund = account.refunds.get(id);
  if (refund !== undefined) {
    if (refund.status !== 'failed') countIn(account.payment(refund.payment_id), -refund.amount);
    account.refunds.delete(id);
    return;
  }
  account.order(id);
  for (const payment of account.paymentsOf(id)) {
    for (const kind of [account.refunds, account.disputes])
      for (const one of kind.values()) if (one.payment_id === payment.id) kind.delete(one.id);
    account.payments.delete(payment.id);
  }
  account.orders.delete(id);
};
