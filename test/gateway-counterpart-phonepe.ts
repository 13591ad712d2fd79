/** PhonePe as the counterpart of its adapter: a sandbox of its own, with all its switches. */
import { createHash, randomBytes } from 'node:crypto';
import { startPhonepeSandbox, type PhonepeSandbox } from '../sandbox/phonepe/sandbox';
import { phonepeGateway } from '../src/gateways/phonepe';
import {
  deliveredTo,
  type Counterpart,
  type EventSketch,
  type Operation,
  type Signer,
} from './gateway-counterpart';
import { layWire } from './gateway-wire';
import { asTheyCame, Receiver } from './sandbox-receiver';

const clientSecret = 'phonepe-contract-client-secret';
const passwordOf: Record<Signer, string> = {
  first: 'phonepeFirst1',
  second: 'phonepeSecond2',
  nobody: 'phonepeNobody3',
};
const username = 'contract';

const carriers: Record<Operation, RegExp> = {
  open: /^POST .*\/checkout\/v2\/pay$/,
  read: /^GET .*\/checkout\/v2\/order\/[\w-]+\/status$/,
  close: /^GET .*\/checkout\/v2\/order\/[\w-]+\/status$/,
  refund: /^POST .*\/payments\/v2\/refund$/,
  readRefund: /^GET .*\/payments\/v2\/refund\/[\w-]+\/status$/,
};

/**
 * @param layout the path under which the API stands: production's or the sandbox's
 * @param readings which of two readings of PhonePe's pages the sandbox has
 */
export async function phonepeCounterpart(
  layout: '/apis' | '/apis/pg-sandbox',
  readings: { orders: 'refused' | 'same'; refunds: 'refused' | 'same'; missing: 400 | 404 },
): Promise<Counterpart> {
  const receiver = await Receiver.start(asTheyCame);
  const sandbox = await startPhonepeSandbox({
    clientId: 'contract',
    clientVersion: '1',
    clientSecret,
    webhookUsername: username,
    webhookPassword: passwordOf.first,
    webhookUrl: receiver.url,
  });
  await sandbox.setReadings(readings);
  const wire = await layWire(sandbox.url);
  const adapter = (secret: string) =>
    phonepeGateway({
      clientId: 'contract',
      clientVersion: '1',
      clientSecret: secret,
      webhookLogins: [passwordOf.first, passwordOf.second].map((password) => ({ username, password })),
      apiBase: `${wire.origin}${layout}`,
    });
  return {
    gateway: adapter(clientSecret),
    wire,
    total: { amountMinor: 2500, currency: 'INR' },
    tooSmall: { amountMinor: 99, currency: 'INR' },
    secrets: [
      clientSecret,
      'stranger-secret',
      ...Object.values(passwordOf),
      constant('first'),
      constant('second'),
    ],
    nowhere: { ref: `bkg_${'0'.repeat(24)}_1`, chargeRef: 'OMO0000000000000000000000' },
    carries: (operation, { method, path }) =>
      carriers[operation].test(`${method} ${path.split('?')[0] ?? ''}`),
    stranger: () => adapter('stranger-secret'),
    event: phonepeEvent,
    sign: (_, signer) => ({ authorization: constant(signer) }),
    pay: async (ref, how) => {
      await sandbox.pay(ref, how);
    },
    returned: async (ref) => {
      const { refunds } = await sandbox.ledger();
      const went = refunds.filter(({ order, status }) => order === ref && status !== 'FAILED');
      return went.reduce((sum, { amount }) => sum + amount, 0);
    },
    close: async () => {
      await wire.close();
      await sandbox.close();
      await receiver.close();
    },
    ...switchesOf(sandbox),
    delivered: deliveredTo(receiver, {
      paid: '"checkout.order.completed"',
      refunded: '"pg.refund.completed"',
    }),
  };
}

/** What all webhooks of a login carry. */
function constant(signer: Signer): string {
  return createHash('sha256').update(`${username}:${passwordOf[signer]}`).digest('hex');
}

function switchesOf(sandbox: PhonepeSandbox): Partial<Counterpart> {
  return {
    confirmLate: (ref) => sandbox.payClosed(ref),
    expire: (ref) => sandbox.expireOrder(ref),
    refundMode: (mode) => sandbox.refundMode({ mode }),
    endRefund: async (refundRef, outcome) => {
      const { refunds } = await sandbox.ledger();
      const found = refunds.find(({ refundId }) => refundId === refundRef);
      const pending = found?.status === 'PENDING' || found?.status === 'CONFIRMED';
      if (pending) await sandbox.settleRefund(refundRef, outcome);
      else await sandbox.failRefund(refundRef);
    },
  };
}

const eventOf: Record<EventSketch['kind'], [string, string]> = {
  paid: ['checkout.order.completed', 'COMPLETED'],
  declined: ['checkout.order.failed', 'FAILED'],
  refunded: ['pg.refund.completed', 'COMPLETED'],
  disputed: ['pg.dispute.created', 'PENDING'],
  'unheard-of': ['settlement.initiated', 'PENDING'],
};

function phonepeEvent(sketch: EventSketch): string {
  const { ref, kind } = sketch;
  const [event, state] = eventOf[kind];
  const named =
    kind === 'refunded'
      ? { originalMerchantOrderId: ref, merchantRefundId: sketch.refundId ?? 'by-hand', refundId: 'OMR1' }
      : { merchantOrderId: ref, orderId: 'OMO1' };
  return JSON.stringify({
    event,
    type: event.toUpperCase().replaceAll('.', '_'),
    payload: {
      merchantId: 'CONTRACT',
      ...named,
      amount: 2500,
      state,
      timestamp: randomBytes(4).readUInt32BE(),
    },
  });
}
