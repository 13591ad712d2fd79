/** Razorpay in the words of `at-gateways.ts`. */
import { startRazorpaySandbox, type RazorpaySandbox } from '../sandbox/razorpay/sandbox';
import { atSandbox, plainStrikes, type AtGateway } from './at-gateways';

export interface AtRazorpay extends AtGateway {
  readonly sandbox: RazorpaySandbox;
}

export async function atRazorpay(): Promise<AtRazorpay> {
  const secrets = {
    keyId: 'rzp_test_tests_only',
    keySecret: 'a key secret for tests',
    webhookSecret: 'a webhook secret for tests',
  };
  const sandbox = await startRazorpaySandbox({ ...secrets, webhookRetryGapsMs: [200, 500, 1000] });
  const at = atSandbox(
    sandbox,
    {
      method: 'razorpay',
      currency: 'INR',
      env: {
        RAZORPAY_KEY_ID: secrets.keyId,
        RAZORPAY_KEY_SECRET: secrets.keySecret,
        RAZORPAY_WEBHOOK_SECRET: secrets.webhookSecret,
        RAZORPAY_API_BASE: sandbox.url,
      },
      closes: false,
      operations: {
        open: 'orders.create',
        read: 'orders.payments',
        // Nothing closes an order: it is only read whether it was paid.
        close: 'orders.payments',
        refund: 'refunds.create',
        'look for the refund': 'payments.refunds',
        'read the refund': 'refunds.retrieve',
      },
      strikes: plainStrikes,
      mark: (bookingId) => ({ bookingId }),
      paidEvent: 'payment.captured',
    },
    {
      pay: async (booking, how) => {
        const { gatewayRef, parameters } = booking.payment;
        const notes = JSON.parse(String(parameters.notes)) as Record<string, string>;
        const { orders } = await sandbox.ledger();
        if (orders.some(({ id, status }) => id === gatewayRef && status === 'paid')) return false;
        await sandbox.pay(String(gatewayRef), how, { notes });
        return true;
      },
      entries: async () => {
        const { orders, payments, refunds } = await sandbox.ledger();
        return {
          objects: orders.map(({ id, metadata, status }) => ({ id, metadata, payable: status !== 'paid' })),
          charges: payments
            .filter(({ captured }) => captured)
            .map(({ order, amount }) => ({ object: order, amount })),
          // What Razorpay gave back by itself was never captured.
          refunds: refunds
            .filter(({ automatic }) => !automatic)
            .map(({ id, order, amount, status }) => ({
              ref: id,
              object: order,
              amount,
              done: status === 'processed',
            })),
        };
      },
    },
  );
  return { ...at, sandbox };
}
