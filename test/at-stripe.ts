/** Stripe in the words of `at-gateways.ts`. */
import type { StripeSandbox } from '../sandbox/stripe/sandbox';
import { atSandbox, plainStrikes, type AtGateway } from './at-gateways';

/** Stripe's cards for each way. */
const cards = { ok: 'pm_card_visa', declined: 'pm_card_chargeDeclined', processing: 'pm_usBankAccount' };

export function atStripeSandbox(sandbox: StripeSandbox, env: Record<string, string>): AtGateway {
  const post = (path: string, form: Record<string, string>) =>
    fetch(`${sandbox.url}/v1/payment_intents/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${env['STRIPE_SECRET_KEY']}` },
      body: new URLSearchParams(form),
    });
  return atSandbox(
    sandbox,
    {
      method: 'stripe',
      currency: 'EUR',
      env,
      closes: true,
      operations: {
        open: 'payment_intents.create',
        read: 'payment_intents.retrieve',
        close: 'payment_intents.cancel',
        refund: 'refunds.create',
        'look for the refund': 'refunds.list',
        'read the refund': 'refunds.retrieve',
      },
      // The official package tries once more by itself when a connection breaks, so it takes two to lose an answer.
      strikes: { ...plainStrikes, 'lost-done': 2, 'lost-undone': 2 },
      mark: (bookingId) => ({ bookingId }),
      paidEvent: 'payment_intent.succeeded',
    },
    {
      pay: async (booking, how) => {
        const ref = String(booking.payment.gatewayRef);
        const { status } = await post(`${ref}/confirm`, { payment_method: cards[how] });
        return status !== 400;
      },
      endsObjects: {
        end: (ref) => post(`${ref}/cancel`, {}),
        payEnded: (ref) => sandbox.payClosed(ref),
      },
      entries: async () => {
        const { intents, charges, refunds } = await sandbox.ledger();
        return {
          objects: intents.map(({ id, metadata, status }) => ({
            id,
            metadata,
            payable: !['succeeded', 'canceled'].includes(status),
          })),
          charges: charges
            .filter(({ status }) => status === 'succeeded')
            .map(({ paymentIntent, amount }) => ({ object: paymentIntent, amount })),
          refunds: refunds.map(({ id, paymentIntent, amount, status }) => ({
            ref: id,
            object: paymentIntent,
            amount,
            done: status === 'succeeded',
          })),
        };
      },
    },
  );
}
