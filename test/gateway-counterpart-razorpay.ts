/** Razorpay as the counterpart of its adapter: a sandbox of its own, with all its switches. */
import { createHmac, randomBytes } from 'node:crypto';
import { startRazorpaySandbox, type RazorpaySandbox } from '../sandbox/razorpay/sandbox';
import { razorpayGateway } from '../src/gateways/razorpay';
import {
  deliveredTo,
  type Counterpart,
  type EventSketch,
  type Operation,
  type Signer,
} from './gateway-counterpart';
import { layWire } from './gateway-wire';
import { asTheyCame, Receiver } from './sandbox-receiver';

const keyId = 'rzp_test_contract';
const keySecret = 'razorpay-contract-key-secret';
const secretOf: Record<Signer, string> = {
  first: 'razorpay-contract-first',
  second: 'razorpay-contract-second',
  nobody: 'razorpay-contract-nobody',
};

const carriers: Record<Operation, RegExp> = {
  open: /^POST \/v1\/orders$/,
  read: /^GET \/v1\/orders\/\w+/,
  close: /^GET \/v1\/orders\/\w+/,
  refund: /^POST \/v1\/payments\/\w+\/refund$/,
  readRefund: /^GET \/v1\/(payments\/\w+\/refunds|refunds\/)/,
};

/** Which of two readings of Razorpay's pages the sandbox has: what a used receipt is answered. */
export async function razorpayCounterpart(receipts: 'same' | 'refused'): Promise<Counterpart> {
  const receiver = await Receiver.start(asTheyCame);
  const sandbox = await startRazorpaySandbox({
    keyId,
    keySecret,
    webhookSecret: secretOf.first,
    webhookUrl: receiver.url,
  });
  await sandbox.setReadings({ receipts });
  const wire = await layWire(sandbox.url);
  const adapter = (secret: string) =>
    razorpayGateway({
      keyId,
      keySecret: secret,
      webhookSecrets: [secretOf.first, secretOf.second],
      apiBase: wire.origin,
    });
  return {
    gateway: adapter(keySecret),
    wire,
    total: { amountMinor: 2500, currency: 'INR' },
    tooSmall: { amountMinor: 99, currency: 'INR' },
    secrets: [keySecret, 'stranger-secret', basic(keySecret), ...Object.values(secretOf)],
    nowhere: { ref: 'order_NowhereNowhere', chargeRef: 'pay_NowhereNowhere' },
    carries: (operation, { method, path }) =>
      carriers[operation].test(`${method} ${path.split('?')[0] ?? ''}`),
    stranger: () => adapter('stranger-secret'),
    event: razorpayEvent,
    sign: (rawBody, signer) => ({
      'x-razorpay-signature': createHmac('sha256', secretOf[signer]).update(rawBody).digest('hex'),
      'x-razorpay-event-id': createHmac('sha256', 'event').update(rawBody).digest('hex').slice(0, 14),
    }),
    pay: async (ref, how) => {
      // The page hands on the notes that it was given as `howToPay.parameters.notes`: the order's own.
      const order = (await sandbox.ledger()).orders.find(({ id }) => id === ref);
      await sandbox.pay(ref, how, { notes: order?.metadata ?? {} });
    },
    returned: async (ref) => {
      const { payments, refunds } = await sandbox.ledger();
      const ours = new Set(payments.filter((payment) => payment.order === ref).map(({ id }) => id));
      const went = refunds.filter((refund) => ours.has(refund.payment) && refund.status !== 'failed');
      return went.reduce((sum, { amount }) => sum + amount, 0);
    },
    close: async () => {
      await wire.close();
      await sandbox.close();
      await receiver.close();
    },
    ...switchesOf(sandbox),
    delivered: deliveredTo(receiver, { paid: '"payment.captured"', refunded: '"refund.created"' }),
  };
}

function basic(secret: string): string {
  return Buffer.from(`${keyId}:${secret}`).toString('base64');
}

function switchesOf(sandbox: RazorpaySandbox): Partial<Counterpart> {
  return {
    payLater: async (ref) => {
      await sandbox.pay(ref, 'processing');
    },
    payAgain: async (ref) => {
      await sandbox.pay(ref, 'ok', { again: 'captured' });
    },
    payInVain: async (ref) => {
      await sandbox.pay(ref, 'processing');
      await sandbox.settleProcessing(ref, 'failed');
    },
    confirmLate: async (ref) => {
      await sandbox.authorizeLate(ref);
    },
    refundMode: (mode) => sandbox.refundMode({ mode }),
    endRefund: async (refundRef, outcome) => {
      const { refunds } = await sandbox.ledger();
      const pending = refunds.some(({ id, status }) => id === refundRef && status === 'pending');
      if (pending) await sandbox.settleRefund(refundRef, outcome);
      else await sandbox.failRefund(refundRef);
    },
    refundByHand: async (ref, amount) => {
      await sandbox.refundByHand(ref, { amount });
    },
    dispute: async (ref, amount) => {
      const { id } = await sandbox.dispute(ref, { amount });
      return { end: (outcome) => sandbox.closeDispute(id, outcome) };
    },
    plantPayment: async (created, amount, metadata) => {
      const { order, payment } = await sandbox.plantPayment({ amount, metadata, created });
      return { ref: order ?? '', chargeRef: payment };
    },
    plantRefund: async (of, created, amount, refundId) => {
      const metadata: Record<string, string> =
        refundId === null ? {} : { refundId, go: '1', orderId: of.ref };
      await sandbox.plantRefund(of.chargeRef, { amount, metadata, created });
    },
    handedBack: async (ref) => (await sandbox.pay(ref, 'ok')).handedBack,
  };
}

const typeOf: Record<EventSketch['kind'], string> = {
  paid: 'payment.captured',
  declined: 'payment.failed',
  refunded: 'refund.created',
  disputed: 'payment.dispute.created',
  'unheard-of': 'invoice.paid',
};

function razorpayEvent(sketch: EventSketch): string {
  const { ref, bookingId, kind } = sketch;
  const event = typeOf[kind];
  const captured = kind !== 'declined';
  const payment = { entity: { id: 'pay_1', order_id: ref, captured, notes: { bookingId } } };
  const refundNotes =
    kind === 'refunded' && sketch.refundId !== null ? { refundId: sketch.refundId, go: '1' } : [];
  const also = {
    refunded: { refund: { entity: { id: 'rfnd_1', payment_id: 'pay_1', notes: refundNotes } } },
    disputed: { dispute: { entity: { id: 'disp_1', payment_id: 'pay_1' } } },
    paid: {},
    declined: {},
    'unheard-of': {},
  }[kind];
  const payload = { payment, ...also };
  return JSON.stringify({
    entity: 'event',
    account_id: 'acc_contract',
    event,
    contains: Object.keys(payload),
    payload,
    created_at: Math.floor(Date.now() / 1000),
    nonce: randomBytes(4).toString('hex'),
  });
}
