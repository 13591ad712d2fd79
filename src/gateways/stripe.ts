/**
 * Stripe, by its own package, with PaymentIntents captured automatically. One intent serves many declines; it can be
 * canceled until it has succeeded. Facts: docs.stripe.com/payments/paymentintents/lifecycle, …/api/idempotent_requests,
 * …/refunds, …/rate-limits, …/webhooks (read 2026-11).
 */
import { randomUUID } from 'node:crypto';
import Stripe from 'stripe';
import { z } from 'zod';
import { largestAmountMinor } from '../booking';
import type { StripeSettings } from '../config';
import {
  callTimeoutMs,
  type CloseState,
  type Gateway,
  type Heard,
  type OpenedTry,
  type PaymentState,
  type Refused,
  type RefundState,
  type RefundToSend,
  type TryToOpen,
  type Unknown,
  type WebhookHeaders,
} from './gateway';
import { isMissing, refusedOrUnknown, strictClient, unknown } from './stripe-errors';
import { listed, refundSeen, reversalsOf } from './stripe-listings';

/** Age up to which a signed webhook is believed, in seconds: Stripe's own default. */
const webhookToleranceSeconds = 300;

/**
 * Currencies taken, with their smallest charge. Left out on purpose: those whose unit at Stripe is not ISO 4217's (ISK and
 * UGX are sent with two decimals, BHD, JOD, KWD, OMR and TND in multiples of ten: docs.stripe.com/currencies#special-cases).
 * Source: docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, read 2026-11. */
const minimumAmountMinor = {
  AED: 200, AUD: 50, BGN: 100, BRL: 50, CAD: 50, CHF: 50, CZK: 1500, DKK: 250, EUR: 50, GBP: 30, HKD: 400,
  HUF: 17500, INR: 50, JPY: 50, MXN: 1000, MYR: 200, NOK: 300, NZD: 50, PLN: 200, RON: 200, SEK: 300, SGD: 50,
  THB: 1000, USD: 50,
} as const; // prettier-ignore

/** Events after which the intent or one of its refunds may stand differently. */
const ringingEvents = new Set([
  'payment_intent.succeeded',
  'payment_intent.payment_failed',
  'payment_intent.processing',
  'payment_intent.canceled',
  'payment_intent.amount_capturable_updated',
  'refund.created',
  'refund.updated',
  'refund.failed',
]);

function rings(type: string): boolean {
  return ringingEvents.has(type) || type.startsWith('charge.dispute.');
}

/** Only what is needed to know where to look. What is no text where Stripe has texts names nothing. */
const text = z.string().nullish().catch(null);
const eventShape = z.object({
  id: z.string(),
  type: z.string(),
  data: z.object({
    object: z.object({
      object: text,
      id: text,
      payment_intent: z
        .union([z.string(), z.object({ id: z.string() })])
        .nullish()
        .catch(null),
      metadata: z.record(z.string(), z.string()).nullish().catch(null),
    }),
  }),
});

/**
 * Stripe tells refunds of all kinds by `refund.*`; `charge.refunded` and `charge.refund.updated` only repeat some of them.
 * Source: docs.stripe.com/api/events/types. A refund that bears our id is no news of others: it is read by that id.
 */
function isReversal(type: string, metadata: Record<string, string> | null | undefined): boolean {
  if (type.startsWith('charge.dispute.')) return true;
  return type.startsWith('refund.') && metadata?.['refundId'] === undefined;
}

/**
 * Makes the adapter.
 * @param settings.apiBase an origin such as `http://127.0.0.1:12111`; Stripe's own when undefined
 */
export function stripeGateway(settings: StripeSettings): Gateway {
  const base = settings.apiBase === undefined ? undefined : new URL(settings.apiBase);
  const stripe = new Stripe(settings.secretKey, {
    timeout: callTimeoutMs,
    httpClient: strictClient(),
    // Retries are the workflow's: they outlive the process and are visible.
    maxNetworkRetries: 0,
    telemetry: false,
    ...(base === undefined
      ? {}
      : {
          host: base.hostname,
          port: base.port === '' ? (base.protocol === 'https:' ? 443 : 80) : Number(base.port),
          protocol: base.protocol === 'https:' ? ('https' as const) : ('http' as const),
        }),
  });

  async function open(wanted: TryToOpen): Promise<OpenedTry | Refused | Unknown> {
    try {
      const intent = await stripe.paymentIntents.create(
        {
          amount: wanted.total.amountMinor,
          currency: wanted.total.currency.toLowerCase(),
          // Cards only: their money is there or not within seconds. Delayed methods would wait for days.
          payment_method_types: ['card'],
          metadata: { bookingId: wanted.bookingId, try: String(wanted.try) },
        },
        { idempotencyKey: `${wanted.bookingId}-open-${wanted.try}-${wanted.keyNumber}` },
      );
      const { client_secret: clientSecret } = intent;
      return {
        status: 'opened',
        ref: intent.id,
        howToPay: {
          ...(clientSecret === null ? {} : { clientSecret }),
          // What Stripe's script in the browser asks for.
          parameters: {
            ...(settings.publishableKey === undefined ? {} : { publishableKey: settings.publishableKey }),
            ...(wanted.returnUrl === undefined ? {} : { returnUrl: wanted.returnUrl }),
          },
        },
      };
    } catch (error) {
      return refusedOrUnknown(error);
    }
  }

  async function read(ref: string): Promise<PaymentState & { bookingId?: string | null }> {
    try {
      const intent = await stripe.paymentIntents.retrieve(ref);
      return { ...intentState(intent), bookingId: intent.metadata['bookingId'] ?? null };
    } catch (error) {
      if (isMissing(error)) return { status: 'missing' };
      return unknown(error);
    }
  }

  async function close(ref: string): Promise<CloseState> {
    try {
      await stripe.paymentIntents.cancel(
        ref,
        { cancellation_reason: 'abandoned' },
        // Closing twice is closing once, so each call has a key of its own: under one fixed key Stripe would repeat a
        // 500, or the refusal of an intent that was still processing, for a day, and the attempt could not end.
        { idempotencyKey: `${ref}-close-${randomUUID()}` },
      );
      return { status: 'closed' };
    } catch (error) {
      if (isMissing(error)) return { status: 'closed' };
      // Refused or unanswered: what the intent says now decides.
      const now = await read(ref);
      if (now.status === 'paid') return { status: 'paid' };
      if (now.status === 'expired' || now.status === 'missing') return { status: 'closed' };
      if (now.status === 'processing') return { status: 'processing' };
      return unknown(error);
    }
  }

  async function refund(wanted: RefundToSend): Promise<RefundState> {
    try {
      const made = await stripe.refunds.create(
        {
          payment_intent: wanted.ref,
          amount: wanted.amountMinor,
          metadata: {
            refundId: wanted.refundId,
            go: String(wanted.go),
            ...(wanted.bookingId === null ? {} : { bookingId: wanted.bookingId }),
          },
        },
        { idempotencyKey: `${wanted.refundId}-${wanted.go}-${wanted.keyNumber}` },
      );
      return refundState(made);
    } catch (error) {
      return refusedOrUnknown(error);
    }
  }

  async function readRefund(wanted: RefundToSend): Promise<RefundState> {
    try {
      if (wanted.refundRef !== null) return refundState(await stripe.refunds.retrieve(wanted.refundRef));
      for await (const found of stripe.refunds.list({ payment_intent: wanted.ref, limit: 100 })) {
        const { refundId, go } = found.metadata ?? {};
        if (refundId === wanted.refundId && go === String(wanted.go)) return refundState(found);
      }
      return { status: 'missing' };
    } catch (error) {
      if (isMissing(error)) return { status: 'missing' };
      return unknown(error);
    }
  }

  function verifyWebhook(rawBody: Buffer, headers: WebhookHeaders): Heard {
    const signature = headers['stripe-signature'];
    if (typeof signature !== 'string') throw new Error('The Stripe-Signature header is missing');
    const event = eventShape.parse(verifiedEvent(rawBody, signature, settings.webhookSecrets));
    const { object } = event.data;
    const paymentIntent =
      typeof object.payment_intent === 'object' ? object.payment_intent?.id : object.payment_intent;
    return {
      eventId: event.id,
      type: event.type,
      ref: asRef(object.object === 'payment_intent' ? object.id : paymentIntent),
      // A dispute has metadata of its own, which is not its payment's.
      bookingId: object.object === 'dispute' ? null : (object.metadata?.['bookingId'] ?? null),
      rings: rings(event.type),
      reversal: isReversal(event.type, object.metadata),
    };
  }

  return {
    name: 'stripe',
    capabilities: {
      insideTransaction: false,
      closes: true,
      signedBody: true,
      // A canceled intent takes no money any more, and one that cannot be canceled is paid or processing.
      lateForSeconds: 0,
      lookSchedule: [15, 30, 60, 120],
      // Stripe allows 100 operations a second live and 25 in a sandbox, for everything together: docs.stripe.com/rate-limits.
      looksPerSecond: 5,
      lists: true,
      minimumAmountMinor,
      maximumAmountMinor: largestAmountMinor,
    },
    open,
    read,
    close,
    refund,
    readRefund,
    reversals: (ref) => reversalsOf(stripe, ref),
    list: (from, to, cursor) => listed(stripe, from, to, cursor),
    verifyWebhook,
  };
}

/** An id as Stripe makes them; it becomes part of a workflow id, so anything else is none. */
function asRef(id: string | null | undefined): string | null {
  return id && /^[\w-]{1,255}$/.test(id) ? id : null;
}

function intentState(intent: Stripe.PaymentIntent): PaymentState {
  const charge = typeof intent.latest_charge === 'string' ? intent.latest_charge : intent.latest_charge?.id;
  switch (intent.status) {
    case 'succeeded':
      return {
        status: 'paid',
        total: { amountMinor: intent.amount_received, currency: intent.currency.toUpperCase() },
        chargeRef: charge ?? intent.id,
      };
    case 'processing':
    case 'requires_capture':
      return { status: 'processing' };
    case 'canceled':
      return { status: 'expired' };
    case 'requires_payment_method': {
      const declined = intent.last_payment_error;
      if (!declined) return { status: 'unpaid' };
      const code = declined.decline_code ?? declined.code;
      return {
        status: 'failed',
        payable: true,
        // Each decline leaves a charge of its own, so its id names this decline and no other.
        failureRef: declined.charge ?? charge ?? code ?? declined.type,
        ...(code === undefined ? {} : { code }),
        detail: declined.message ?? 'The card was declined.',
      };
    }
    default:
      return { status: 'unpaid' };
  }
}

function refundState(refund: Stripe.Refund): RefundState {
  const { refundRef, status, code } = refundSeen(refund);
  return { status, refundRef, ...(code === undefined ? {} : { code }) };
}

/** Checks the signature against every secret in force; the error of the last one is thrown. */
function verifiedEvent(rawBody: Buffer, signature: string, secrets: readonly string[]): Stripe.Event {
  let failure: unknown = new Error('No webhook secret is configured');
  for (const secret of secrets) {
    try {
      return Stripe.webhooks.constructEvent(rawBody, signature, secret, webhookToleranceSeconds);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
