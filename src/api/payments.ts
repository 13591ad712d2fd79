/** Payments as support finds them: one payment by any id a gateway gave it, its refunds, and what was heard of it. */
import { z } from 'zod';
import type { CaseRow, PaymentRow, RefundRow } from '../database';
import { bookingId } from './booking-schemas';
import type { ApiDependencies } from './dependencies';
import { defineRoute, type Route } from './route';
import { currency, instantShown } from './validation';

const paymentView = z
  .object({
    id: z.string(),
    gateway: z.string().meta({ example: 'stripe' }),
    gatewayRef: z
      .string()
      .meta({ description: 'The payment object: Stripe’s payment intent, a wallet’s entry.' }),
    gatewayPaymentId: z.string().meta({ description: 'The money itself: Stripe’s charge.' }),
    amountMinor: z.int(),
    currency,
    status: z.enum(['captured']),
    disposition: z.enum(['booked', 'returned', 'unmatched']).meta({
      description:
        'booked: bought the booking. returned: bought nothing, a refund is owed. unmatched: no attempt of ours; an operator decides.',
    }),
    bookingId: bookingId.optional(),
    refunds: z.array(
      z.object({
        id: z.string(),
        amountMinor: z.int(),
        status: z.enum(['unsent', 'pending', 'succeeded', 'failed']).meta({
          description: 'unsent: owed, and the gateway has not acknowledged it yet.',
        }),
        reason: z.string(),
        go: z.int().meta({ description: '1, and one more each time an operator sent it again.' }),
        gatewayRefundId: z.string().optional(),
        createdAt: instantShown,
        settledAt: instantShown.optional(),
      }),
    ),
    heard: z
      .array(z.object({ eventId: z.string(), type: z.string(), at: instantShown }))
      .meta({ description: 'Webhooks that named this payment object, as they came; empty where none did.' }),
    cases: z.array(z.string()).meta({ description: 'Ids of cases about this money, open or resolved.' }),
  })
  .meta({ id: 'Payment' });
type PaymentView = z.infer<typeof paymentView>;

/** Most payments of one answer. An id is one payment's, or its few captures'; more would be another shop's noise. */
const mostPayments = 100;

interface HeardRow {
  gateway: string;
  gateway_ref: string;
  event_id: string;
  type: string;
  heard_at: Date;
}

/** The route of payments, for operators. */
export function paymentRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/payments',
      tag: 'Payments',
      summary: 'Find a payment by the gateway’s id',
      description:
        'Finds captured money. A payment object that nobody paid is no payment: then `items` is empty, as for an unknown id.',
      scopes: ['ops'],
      query: z.strictObject({
        gatewayRef: z.string().trim().min(1).max(255).meta({
          description: 'Id of the payment object, of the charge, or of a refund, as the gateway shows it.',
          example: 'pi_3PqXyZ2eZvKYlo2C0mVb1sQd',
        }),
      }),
      answers: {
        200: { description: 'What was found', schema: z.object({ items: z.array(paymentView) }) },
      },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, response }) => {
        response.json({ items: await find(deps, query.gatewayRef) });
      },
    }),
  ];
}

async function find({ reading }: ApiDependencies, ref: string): Promise<PaymentView[]> {
  const payments = await reading<PaymentRow>('payments')
    .whereRaw(
      `id IN (SELECT id FROM payments WHERE gateway_ref = ?
         UNION SELECT id FROM payments WHERE gateway_payment_id = ?
         UNION SELECT payment_id FROM refunds WHERE gateway_refund_id = ?)`,
      [ref, ref, ref],
    )
    .orderBy(['recorded_at', 'id'])
    .limit(mostPayments);
  if (payments.length === 0) return [];
  const ids = payments.map((payment) => payment.id);
  const objects = payments.map(({ gateway, gateway_ref }) => [gateway, gateway_ref] as const);
  const [refunds, cases, heard] = await Promise.all([
    reading<RefundRow>('refunds').whereIn('payment_id', ids).orderBy(['created_at', 'id']),
    reading<CaseRow>('cases').whereIn('payment_id', ids).orderBy(['opened_at', 'id']),
    reading<HeardRow>('gateway_events')
      .whereIn(['gateway', 'gateway_ref'], objects)
      .orderBy(['heard_at', 'event_id']),
  ]);
  return payments.map((payment) =>
    show(
      payment,
      refunds.filter((refund) => refund.payment_id === payment.id),
      heard.filter((one) => one.gateway === payment.gateway && one.gateway_ref === payment.gateway_ref),
      cases.filter((one) => one.payment_id === payment.id),
    ),
  );
}

function show(
  payment: PaymentRow,
  refunds: readonly RefundRow[],
  heard: readonly HeardRow[],
  cases: readonly CaseRow[],
): PaymentView {
  return {
    id: payment.id,
    gateway: payment.gateway,
    gatewayRef: payment.gateway_ref,
    gatewayPaymentId: payment.gateway_payment_id,
    amountMinor: payment.amount_minor,
    currency: payment.currency,
    status: payment.status,
    disposition: payment.disposition,
    ...(payment.booking_id === null ? {} : { bookingId: payment.booking_id }),
    refunds: refunds.map((refund) => ({
      id: refund.id,
      amountMinor: refund.amount_minor,
      status: refund.status,
      reason: refund.reason,
      go: refund.go,
      ...(refund.gateway_refund_id === null ? {} : { gatewayRefundId: refund.gateway_refund_id }),
      createdAt: refund.created_at.toISOString(),
      ...(refund.settled_at === null ? {} : { settledAt: refund.settled_at.toISOString() }),
    })),
    heard: heard.map(({ event_id, type, heard_at }) => ({
      eventId: event_id,
      type,
      at: heard_at.toISOString(),
    })),
    cases: cases.map((one) => one.id),
  };
}
