/**
 * PhonePe v2, Standard Checkout: an order that expires by itself, paid on PhonePe's page. It can neither be closed nor
 * listed. Facts: developer.phonepe.com …/standard-checkout/api-integration/api-reference/{create-payment, order-status,
 * refund} (read 2026-11).
 */
import { z } from 'zod';
import { largestAmountMinor } from '../booking';
import type { PhonepeSettings } from '../config';
import type {
  CloseState,
  Gateway,
  OpenedTry,
  PaymentState,
  Refused,
  RefundState,
  RefundToSend,
  TryToOpen,
  Unknown,
} from './gateway';
import { internalError, phonepeApi, type Outcome } from './phonepe-api';
import { bookingOf, orderIdOf, refundIdOf } from './phonepe-ids';
import { verifiedWebhook } from './phonepe-webhooks';

/** Bounds of `expireAfter`, in seconds: …/create-payment/initiate-payment. */
const expireAfter = { least: 300, most: 3600 };

/** Without a state it is no order, but a failure that came as 200. */
const openedShape = z.object({ state: z.string(), redirectUrl: z.url().nullish() });

/** Only the root state is to be relied on: …/v1/reference/handling-webhooks-standard-checkout. */
const orderShape = z.object({
  orderId: z.string().nullish(),
  state: z.string(),
  amount: z.int().nullish(),
  errorCode: z.string().nullish(),
});

const refundShape = z.object({
  refundId: z.string().nullish(),
  state: z.string(),
  errorCode: z.string().nullish(),
});

/** Makes the adapter. */
export function phonepeGateway(settings: PhonepeSettings): Gateway {
  const api = phonepeApi(settings);

  async function open(wanted: TryToOpen): Promise<OpenedTry | Refused | Unknown> {
    const merchantOrderId = orderIdOf(wanted);
    const { least, most } = expireAfter;
    const made = await api.post(
      '/checkout/v2/pay',
      {
        merchantOrderId,
        amount: wanted.total.amountMinor,
        expireAfter: Math.min(most, Math.max(least, Math.ceil(wanted.payWithinSeconds))),
        metaInfo: { udf1: wanted.bookingId, udf2: String(wanted.try) },
        paymentFlow: {
          type: 'PG_CHECKOUT',
          ...(wanted.returnUrl === undefined ? {} : { merchantUrls: { redirectUrl: wanted.returnUrl } }),
        },
      },
      openedShape,
    );
    if (made.status === 'unknown') return made;
    if (made.status === 'ok') {
      const { redirectUrl } = made.result;
      if (!redirectUrl) return lost('without redirectUrl');
      return { status: 'opened', ref: merchantOrderId, howToPay: { checkoutUrl: redirectUrl } };
    }
    // What a repeat is answered is on no page. Whether the order stands tells a repeat from any other refusal.
    const now = await read(merchantOrderId);
    if (now.status === 'unknown') return now;
    return now.status === 'missing' ? refused(made) : lost(made.reason);
  }

  async function read(ref: string): Promise<PaymentState & { bookingId?: string | null }> {
    const order = await api.get(
      `/checkout/v2/order/${encodeURIComponent(ref)}/status?details=false`,
      orderShape,
    );
    if (order.status !== 'ok') return missingOrUnknown(order);
    const { state, orderId, amount, errorCode } = order.result;
    // The id is ours to give, so it says whose the order is.
    const bookingId = bookingOf(ref);
    switch (state) {
      // Custom checkout's word for an order that nobody tried to pay yet.
      case 'CREATED':
      case 'PENDING':
        return { status: 'unpaid', bookingId };
      case 'COMPLETED':
        if (!orderId || !amount) return { status: 'unknown', reason: 'COMPLETED without orderId or amount' };
        return {
          status: 'paid',
          chargeRef: orderId,
          total: { amountMinor: amount, currency: 'INR' },
          bookingId,
        };
      case 'FAILED':
        return {
          status: 'failed',
          payable: false,
          // An order fails once, for good.
          failureRef: ref,
          ...(errorCode ? { code: errorCode } : {}),
          detail: 'The payment did not go through.',
          bookingId,
        };
      default:
        return { status: 'unknown', reason: state === internalError ? state : 'a state that is not known' };
    }
  }

  async function close(ref: string): Promise<CloseState> {
    const now = await read(ref);
    switch (now.status) {
      case 'paid':
        return { status: 'paid' };
      case 'failed':
      case 'missing':
        return { status: 'closed' };
      case 'unknown':
        return now;
      default:
        // It ends by itself, at the end of `expireAfter`.
        return { status: 'open' };
    }
  }

  async function refund(wanted: RefundToSend): Promise<RefundState> {
    const made = await api.post(
      '/payments/v2/refund',
      {
        merchantRefundId: refundIdOf(wanted),
        originalMerchantOrderId: wanted.ref,
        amount: wanted.amountMinor,
      },
      refundShape,
    );
    if (made.status === 'ok') return refundState(wanted, made.result);
    if (made.status === 'unknown') return made;
    // The id is the key: behind the refusal the refund may stand that an answer was lost of.
    const found = await readRefund(wanted);
    return found.status === 'missing' ? refused(made) : found;
  }

  async function readRefund(wanted: RefundToSend): Promise<RefundState> {
    const found = await api.get(
      `/payments/v2/refund/${encodeURIComponent(refundIdOf(wanted))}/status`,
      refundShape,
    );
    return found.status === 'ok' ? refundState(wanted, found.result) : missingOrUnknown(found);
  }

  return {
    name: 'phonepe',
    capabilities: {
      insideTransaction: false,
      closes: false,
      signedBody: false,
      // Whether money may come after an order's end is on no page, so a day more than the longest order is waited for.
      lateForSeconds: expireAfter.most + 86_400,
      lookSchedule,
      // No limit is published, and the schedule is PhonePe's own: an order costs some 40 looks in a quarter of an hour. This is
      // what two thousand open orders take; when there are more, or PhonePe is slow, looks come later.
      looksPerSecond: 100,
      lists: false,
      // 100 paisa: …/create-payment/initiate-payment. There is no field for a currency.
      minimumAmountMinor: { INR: 100 },
      // PhonePe's own limit is that of the account and of each way to pay, and on no page.
      maximumAmountMinor: largestAmountMinor,
    },
    open,
    read,
    close,
    refund,
    readRefund,
    // PhonePe's API names neither refunds made by others nor disputes; they are in the reports of its dashboard.
    reversals: async () => ({ status: 'known', refunds: [], disputes: [] }),
    verifyWebhook: (rawBody, headers) => verifiedWebhook(rawBody, headers, settings.webhookLogins),
  };
}

/**
 * PhonePe's own schedule, mandatory while an order is pending: first after 20 to 25 s, every 3 s for 30 s, every 6 s for 60 s,
 * every 10 s for 60 s, every 30 s for 60 s, then every minute until the order ends: …/order-status.
 */
const lookSchedule = [
  22, 25, 28, 31, 34, 37, 40, 43, 46, 49, 52, 58, 64, 70, 76, 82, 88, 94, 100, 106, 112, 122, 132, 142, 152,
  162, 172, 202, 232, 292,
];

function refundState(wanted: RefundToSend, refund: z.output<typeof refundShape>): RefundState {
  const refundRef = refund.refundId ?? refundIdOf(wanted);
  switch (refund.state) {
    case 'COMPLETED':
      return { status: 'succeeded', refundRef };
    case 'FAILED':
      return { status: 'failed', refundRef, ...(refund.errorCode ? { code: refund.errorCode } : {}) };
    // CONFIRMED is PhonePe's word for accepted.
    case 'PENDING':
    case 'CONFIRMED':
      return { status: 'pending', refundRef };
    default:
      return {
        status: 'unknown',
        reason: refund.state === internalError ? refund.state : 'a state that is not known',
      };
  }
}

/** An order that stands, and whose page nobody can reach any more, so nobody can pay it. Another id makes another. */
function lost(reason: string): Refused {
  return { status: 'refused', replayed: true, reason };
}

function refused({ reason }: { reason: string }): Refused {
  return { status: 'refused', replayed: false, reason };
}

/** A read that is refused says nothing about the money. */
function missingOrUnknown(
  answer: Exclude<Outcome<unknown>, { status: 'ok' }>,
): { status: 'missing' } | Unknown {
  if (answer.status === 'missing') return { status: 'missing' };
  return answer.status === 'unknown' ? answer : { status: 'unknown', reason: answer.reason };
}
