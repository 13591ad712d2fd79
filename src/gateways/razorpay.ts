/**
 * Razorpay: an order that many payments may be tried on, captured automatically. Orders never expire and cannot be closed,
 * and a payment that failed may still be confirmed by its bank days later. Facts: razorpay.com/docs/api/orders,
 * …/payments/payments/capture-settings/api, …/payments/payments/late-authorisation, …/payments/refunds/auto-refunds,
 * …/api/refunds/normal-refunds-idempotent (read 2026-11).
 */
import { largestAmountMinor } from '../booking';
import type { RazorpaySettings } from '../config';
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
import { orderShape, razorpayApi, refundShape, type Order, type Payment, type Refund } from './razorpay-api';
import {
  asUnknown,
  isCaptured,
  listed,
  missingOrUnknown,
  paymentsOf,
  refundSeen,
  refundsOf,
  reversalsOf,
} from './razorpay-listings';
import { verifiedWebhook, verifyRazorpayReturn } from './razorpay-webhooks';

/**
 * Minutes after its beginning within which an authorized payment is captured; 12 is the least. A customer's payment times
 * out after 3 to 15. What a bank confirms later is not captured but given back by Razorpay itself, at once and without a
 * fee: by then the customer was told that it failed, and has paid again or left.
 * Sources: …/payments/payments/capture-settings/api, `automatic_expiry_period` and `manual_expiry_period`;
 * …/payments/payment-gateway/web-integration/standard/troubleshooting-faqs.
 */
const captureWithinMinutes = 20;

/**
 * How long Razorpay goes on asking a bank about a payment, in seconds. …/payments/payments/capture-settings/api says 5
 * days, …/payments/payments/late-authorisation 3: the longer is safe.
 */
const lateForSeconds = 5 * 86_400;

/** Makes the adapter. */
export function razorpayGateway(settings: RazorpaySettings): Gateway {
  const api = razorpayApi(settings);

  async function open(wanted: TryToOpen): Promise<OpenedTry | Refused | Unknown> {
    const { bookingId, total } = wanted;
    // At most 40 characters; an id has 28.
    const receipt = `${bookingId}-${wanted.try}-${wanted.keyNumber}`;
    const made = await api.post(
      '/orders',
      {
        amount: total.amountMinor,
        currency: total.currency,
        receipt,
        unique_receipt: true,
        notes: { bookingId, try: String(wanted.try) },
        payment: {
          capture: 'automatic',
          capture_options: {
            automatic_expiry_period: captureWithinMinutes,
            manual_expiry_period: captureWithinMinutes,
            refund_speed: 'normal',
          },
        },
      },
      orderShape,
    );
    if (made.status === 'ok') return opened(wanted, made.result);
    if (made.status === 'unknown') return made;
    // Razorpay's pages disagree whether a receipt that was used gives the same order or a refusal. So behind any refusal
    // the order may stand that an answer was lost of.
    const found = await api.every('/orders', orderShape, { receipt });
    if (found.status !== 'ok') return asUnknown(found);
    const lost = found.result.find(
      (order) => order.receipt === receipt && order.notes['bookingId'] === bookingId,
    );
    if (lost !== undefined) return opened(wanted, lost);
    return made.status === 'conflict' ? asUnknown(made) : refused(made);
  }

  /** What Razorpay's script in the browser asks for; the notes make each payment bear our ids. */
  function opened(wanted: TryToOpen, { id }: Order): OpenedTry {
    return {
      status: 'opened',
      ref: id,
      howToPay: {
        parameters: {
          keyId: settings.keyId,
          orderId: id,
          amountMinor: String(wanted.total.amountMinor),
          currency: wanted.total.currency,
          notes: JSON.stringify({ bookingId: wanted.bookingId, try: String(wanted.try) }),
          // Closes Razorpay's window in the browser, not the order.
          timeoutSeconds: String(wanted.payWithinSeconds),
          ...(wanted.returnUrl === undefined ? {} : { returnUrl: wanted.returnUrl }),
        },
      },
    };
  }

  async function read(ref: string): Promise<PaymentState & { bookingId?: string | null }> {
    const payments = await paymentsOf(api, ref);
    if (payments.status !== 'ok') return missingOrUnknown(payments);
    const state = orderState(payments.result);
    if (state.status !== 'paid') return state;
    // Whose the money is, only the order says: notes of a payment come from the customer's browser.
    const order = await api.get(`/orders/${encodeURIComponent(ref)}`, orderShape);
    if (order.status !== 'ok') return asUnknown(order);
    return { ...state, bookingId: order.result.notes['bookingId'] ?? null };
  }

  async function close(ref: string): Promise<CloseState> {
    const now = await read(ref);
    switch (now.status) {
      case 'paid':
      case 'processing':
        return { status: now.status };
      case 'missing':
        return { status: 'closed' };
      case 'unknown':
        return now;
      default:
        // Nothing ends an order but its payment.
        return { status: 'open' };
    }
  }

  async function refund(wanted: RefundToSend): Promise<RefundState> {
    const { refundId, go, keyNumber, bookingId } = wanted;
    const made = await api.post(
      `/payments/${encodeURIComponent(wanted.chargeRef)}/refund`,
      {
        amount: wanted.amountMinor,
        speed: 'normal',
        notes: {
          refundId,
          go: String(go),
          // A refund itself only names its payment.
          orderId: wanted.ref,
          ...(bookingId === null ? {} : { bookingId }),
        },
      },
      refundShape,
      // At least 10 characters of letters, digits, `-` and `_`.
      { 'X-Refund-Idempotency': `refund-${refundId}-${go}-${keyNumber}` },
    );
    if (made.status === 'ok') return refundState(made.result);
    if (made.status === 'unknown') return made;
    // Behind "refunded already", a key in use or a used one, our own refund may stand that an answer was lost of.
    const found = await readRefund({ ...wanted, refundRef: null });
    if (found.status !== 'missing') return found;
    return made.status === 'conflict' ? conflict(made.reason) : refused(made);
  }

  async function readRefund(wanted: RefundToSend): Promise<RefundState> {
    if (wanted.refundRef !== null) {
      const found = await api.get(`/refunds/${encodeURIComponent(wanted.refundRef)}`, refundShape);
      return found.status === 'ok' ? refundState(found.result) : missingOrUnknown(found);
    }
    const all = await refundsOf(api, wanted.chargeRef);
    if (all.status !== 'ok') return missingOrUnknown(all);
    const ours = all.result.find(
      ({ notes }) => notes['refundId'] === wanted.refundId && notes['go'] === String(wanted.go),
    );
    return ours === undefined ? { status: 'missing' } : refundState(ours);
  }

  return {
    name: 'razorpay',
    capabilities: {
      insideTransaction: false,
      closes: false,
      signedBody: true,
      lateForSeconds,
      // A few reads with growing gaps, then a steady one: what …/webhooks/webhooks-and-fetch-apis advises beside webhooks.
      lookSchedule: [15, 45, 105, 225, 465],
      // Razorpay answers 429 above a limit that it does not publish. An unpaid order costs one call, a paid one two.
      looksPerSecond: 10,
      lists: true,
      // INR 1.00: …/api/orders/create. Other currencies ask for an approval of the account: …/payments/international-payments.
      minimumAmountMinor: { INR: 100 },
      // Razorpay's own limit is the account's and on no page; above it the order is refused.
      maximumAmountMinor: largestAmountMinor,
    },
    open,
    read,
    close,
    refund,
    readRefund,
    reversals: (ref) => reversalsOf(api, ref),
    list: (from, to, cursor) => listed(api, from, to, cursor),
    verifyReturn: (returned) => verifyRazorpayReturn(returned, settings.keySecret),
    verifyWebhook: (rawBody, headers) => verifiedWebhook(rawBody, headers, settings.webhookSecrets),
  };
}

/**
 * Captured money counts, whatever became of it later; then a promise of money; then the newest payment. One that the
 * customer is still busy with is neither.
 * @param payments the oldest first
 */
function orderState(payments: readonly Payment[]): PaymentState {
  const [first, ...others] = payments.filter(isCaptured).map((payment) => ({
    chargeRef: payment.id,
    total: { amountMinor: payment.amount, currency: payment.currency.toUpperCase() },
  }));
  if (first !== undefined) return { status: 'paid', ...first, ...(others.length === 0 ? {} : { others }) };
  if (payments.some(({ status }) => status === 'authorized')) return { status: 'processing' };
  const newest = payments.at(-1);
  // Times are whole seconds, so of two declines in one the newest is anybody's guess; their number is not.
  if (newest?.status === 'failed') return failed(newest, `${newest.id}-${payments.length}`);
  // Not captured in time, and given back by Razorpay. It may have been reported as failed before it was authorized.
  if (newest?.status === 'refunded') return failed(newest, `${newest.id}-${payments.length}-released`);
  return { status: 'unpaid' };
}

/** The reason that Razorpay gives where it has none: it says no more than the status. */
const noReason = 'payment_failed';

function failed(payment: Payment, failureRef: string): PaymentState {
  const reason = payment.error_reason ?? payment.error_code;
  const code = reason === noReason ? undefined : reason;
  return {
    status: 'failed',
    payable: true,
    failureRef,
    ...(code ? { code } : {}),
    detail: payment.error_description ?? 'The payment did not go through.',
  };
}

function refundState(refund: Refund): RefundState {
  const { refundRef, status } = refundSeen(refund);
  return { status, refundRef };
}

/** What names an object that is not there is refused like anything else that cannot be done. */
function refused(answer: Refused | { status: 'missing'; reason: string }): Refused {
  return { status: 'refused', replayed: false, reason: answer.reason };
}

/**
 * A key that was used for another body, of a refund that nothing shows, is of no use any more: the next one may pass. In any
 * other conflict the first call is still running. Source: …/api/refunds/normal-refunds-idempotent, both are 409.
 */
function conflict(reason: string): Refused | Unknown {
  return /different request/i.test(reason)
    ? { status: 'refused', replayed: true, reason }
    : { status: 'unknown', reason };
}
