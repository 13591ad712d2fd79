/** PhonePe in the words of `at-gateways.ts`. */
import { startPhonepeSandbox, type PhonepeSandbox } from '../sandbox/phonepe/sandbox';
import { atSandbox, codeStrikes, plainStrikes, type AtGateway } from './at-gateways';

export interface AtPhonepe extends AtGateway {
  readonly sandbox: PhonepeSandbox;
}

/** What webhooks of the tests authenticate with. */
export const phonepeLogin = { username: 'tests_only', password: 'testsOnly1' };

export async function atPhonepe(): Promise<AtPhonepe> {
  const client = { clientId: 'tests_only', clientVersion: '1', clientSecret: 'a client secret for tests' };
  const sandbox = await startPhonepeSandbox({
    ...client,
    webhookUsername: phonepeLogin.username,
    webhookPassword: phonepeLogin.password,
    webhookRetryGapsMs: [200, 500, 1000],
  });
  const at = atSandbox(
    sandbox,
    {
      method: 'phonepe',
      currency: 'INR',
      env: {
        PHONEPE_CLIENT_ID: client.clientId,
        PHONEPE_CLIENT_VERSION: client.clientVersion,
        PHONEPE_CLIENT_SECRET: client.clientSecret,
        PHONEPE_WEBHOOK_USERNAME: phonepeLogin.username,
        PHONEPE_WEBHOOK_PASSWORD: phonepeLogin.password,
        PHONEPE_API_BASE: `${sandbox.url}/apis`,
      },
      closes: false,
      operations: {
        open: 'orders.create',
        read: 'orders.status',
        // No call closes an order: it is only read whether it was paid.
        close: 'orders.status',
        refund: 'refunds.create',
        'look for the refund': 'refunds.status',
        'read the refund': 'refunds.status',
      },
      strikes: { ...plainStrikes, ...codeStrikes },
      mark: (bookingId) => ({ udf1: bookingId }),
      paidEvent: 'checkout.order.completed',
    },
    {
      pay: async (booking, how) => {
        const { gatewayRef } = booking.payment;
        const { orders } = await sandbox.ledger();
        if (orders.some(({ id, status }) => id === gatewayRef && status !== 'PENDING')) return false;
        await sandbox.pay(String(gatewayRef), how);
        return true;
      },
      endsObjects: {
        end: (ref) => sandbox.pay(ref, 'declined'),
        payEnded: (ref) => sandbox.payClosed(ref),
      },
      entries: async () => {
        const { orders, refunds } = await sandbox.ledger();
        return {
          objects: orders.map(({ id, metadata, status }) => ({
            id,
            metadata,
            payable: status === 'PENDING',
          })),
          charges: orders
            .filter(({ captured }) => captured)
            .map(({ id, amount }) => ({ object: id, amount })),
          refunds: refunds.map(({ refundId, order, amount, status }) => ({
            ref: refundId,
            object: order,
            amount,
            done: status === 'COMPLETED',
          })),
        };
      },
    },
  );
  return { ...at, sandbox };
}
