/** The gateways' own pages, as a customer uses them: with Stripe's test cards, at any test account; elsewhere only at a sandbox. */
import Stripe from 'stripe';
import { connectPhonepeSandbox } from '../sandbox/phonepe/control';
import { connectRazorpaySandbox } from '../sandbox/razorpay/control';
import type { Booking, Place } from './customer';

/** What a customer can pay with: Stripe's own test cards. Source: docs.stripe.com/testing */
export const cards = {
  visa: 'pm_card_visa',
  declined: 'pm_card_chargeDeclined',
  insufficient: 'pm_card_visa_chargeDeclinedInsufficientFunds',
  authentication: 'pm_card_authenticationRequired',
} as const;
export type Card = keyof typeof cards;

/** What the page said. */
export type Paid = 'paid' | 'declined' | 'needs the customer';

/** Pays a booking's payment object on the page of its gateway. @throws when nobody can, and says why */
export async function payOnPage(place: Place, booking: Booking, card: Card): Promise<Paid> {
  const { gatewayRef: ref, method, parameters } = booking.payment;
  if (ref === undefined) throw new Error(`${booking.id} cannot be paid yet: its gateway has not answered.`);
  if (method === 'stripe') return payByCard(place, ref, card);
  const how = card === 'visa' ? 'ok' : card === 'authentication' ? 'processing' : 'declined';
  if (method === 'razorpay') {
    // A page that was opened in time still has its notes when the booking shows them no more.
    const given = parameters?.['notes'];
    const notes =
      given === undefined ? { bookingId: booking.id } : (JSON.parse(given) as Record<string, string>);
    await connectRazorpaySandbox(originOf(place, 'RAZORPAY_API_BASE')).pay(ref, how, { notes });
  } else {
    await connectPhonepeSandbox(originOf(place, 'PHONEPE_API_BASE')).pay(ref, how);
  }
  return how === 'ok' ? 'paid' : how === 'declined' ? 'declined' : 'needs the customer';
}

async function payByCard(place: Place, ref: string, card: Card): Promise<Paid> {
  try {
    const intent = await stripeOf(place).paymentIntents.confirm(ref, {
      payment_method: cards[card],
      return_url: `${place.api}/docs`,
    });
    return intent.status === 'requires_action' ? 'needs the customer' : 'paid';
  } catch (error) {
    if (error instanceof Stripe.errors.StripeCardError) return 'declined';
    throw error;
  }
}

function stripeOf(place: Place): Stripe {
  const { STRIPE_API_BASE: base, STRIPE_SECRET_KEY: key } = place.env;
  const url = base === undefined || base === '' ? undefined : new URL(base);
  const at =
    url === undefined
      ? {}
      : {
          host: url.hostname,
          port: Number(url.port),
          protocol: url.protocol === 'https:' ? ('https' as const) : ('http' as const),
        };
  return new Stripe(key ?? '', { telemetry: false, maxNetworkRetries: 0, ...at });
}

/** Razorpay and PhonePe have no call by which a program could pay at a test account. */
function originOf(place: Place, base: string): string {
  const url = place.env[base];
  if (!url) throw new Error(`Pay on the gateway’s own page: ${base} names no sandbox.`);
  return new URL(url).origin;
}
