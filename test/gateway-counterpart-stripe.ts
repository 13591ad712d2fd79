/** Stripe as the counterpart of its adapter: the sandbox, or any stand-in that speaks Stripe's protocol. */
import { randomBytes } from 'node:crypto';
import Stripe from 'stripe';
import { startStripeSandbox, type StripeSandbox } from '../sandbox/stripe/sandbox';
import { stripeGateway } from '../src/gateways/stripe';
import {
  deliveredTo,
  type Counterpart,
  type EventSketch,
  type Operation,
  type Signer,
} from './gateway-counterpart';
import { layWire, type WireRequest } from './gateway-wire';
import { asTheyCame, Receiver } from './sandbox-receiver';

const webhookSecrets = ['whsec_contract_first', 'whsec_contract_second'];
const secretOf: Record<Signer, string> = {
  first: 'whsec_contract_first',
  second: 'whsec_contract_second',
  nobody: 'whsec_contract_nobody',
};

const carriers: Record<Operation, RegExp> = {
  open: /^POST \/v1\/payment_intents$/,
  read: /^GET \/v1\/payment_intents\//,
  close: /^(POST \/v1\/payment_intents\/\w+\/cancel|GET \/v1\/payment_intents\/\w+)$/,
  refund: /^POST \/v1\/refunds$/,
  readRefund: /^GET \/v1\/refunds/,
};

/** What both a sandbox and a stand-in can be asked for, by Stripe's own test calls alone. */
export async function anyStripeCounterpart(
  target: string,
  secretKey: string,
  end: () => Promise<void>,
): Promise<Counterpart> {
  const wire = await layWire(target);
  const adapter = (key: string) =>
    stripeGateway({
      secretKey: key,
      publishableKey: 'pk_test_contract',
      webhookSecrets,
      apiBase: wire.origin,
    });
  const ask = async (method: string, path: string, form?: Record<string, string>) => {
    const response = await fetch(`${target}/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${secretKey}` },
      ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
    });
    return { status: response.status, body: (await response.json()) as { data?: Stripe.Refund[] } };
  };
  return {
    gateway: adapter(secretKey),
    wire,
    total: { amountMinor: 2500, currency: 'EUR' },
    tooSmall: { amountMinor: 1, currency: 'EUR' },
    secrets: [secretKey, 'sk_test_stranger', ...Object.values(secretOf)],
    nowhere: { ref: 'pi_3NowhereNowhere0', chargeRef: 'ch_3NowhereNowhere0' },
    carries: (operation, { method, path }: WireRequest) =>
      carriers[operation].test(`${method} ${path.split('?')[0] ?? ''}`),
    stranger: () => adapter('sk_live_stranger'),
    event: stripeEvent,
    sign: (rawBody, signer) => ({
      'stripe-signature': Stripe.webhooks.generateTestHeaderString({
        payload: rawBody.toString('utf8'),
        secret: secretOf[signer],
      }),
    }),
    pay: async (ref, how) => {
      const card = how === 'ok' ? 'pm_card_visa' : 'pm_card_chargeDeclined';
      const { status } = await ask('POST', `payment_intents/${ref}/confirm`, { payment_method: card });
      if (status !== (how === 'ok' ? 200 : 402)) throw new Error(`paying was answered ${status}`);
    },
    returned: async (ref) => {
      const { body } = await ask('GET', `refunds?payment_intent=${ref}&limit=100`);
      const went = (body.data ?? []).filter(({ status }) => status !== 'failed' && status !== 'canceled');
      return went.reduce((sum, { amount }) => sum + amount, 0);
    },
    close: async () => {
      await wire.close();
      await end();
    },
  };
}

/** A sandbox of its own, with all its switches. */
export async function stripeCounterpart(): Promise<Counterpart> {
  const receiver = await Receiver.start(asTheyCame);
  const secretKey = `sk_test_${randomBytes(8).toString('hex')}`;
  const sandbox = await startStripeSandbox({
    secretKey,
    webhookSecret: secretOf.first,
    webhookUrl: receiver.url,
  });
  const plain = await anyStripeCounterpart(sandbox.url, secretKey, async () => {
    await sandbox.close();
    await receiver.close();
  });
  return {
    ...plain,
    ...switchesOf(sandbox, secretKey),
    delivered: deliveredTo(receiver, { paid: '"payment_intent.succeeded"', refunded: '"refund.created"' }),
  };
}

function switchesOf(sandbox: StripeSandbox, secretKey: string): Partial<Counterpart> {
  return {
    payLater: async (ref) => {
      await fetch(`${sandbox.url}/v1/payment_intents/${ref}/confirm`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secretKey}` },
        body: new URLSearchParams({ payment_method: 'pm_usBankAccount_processing' }),
      });
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
      const { paymentIntent, charge } = await sandbox.plantPayment({
        amount,
        currency: 'eur',
        metadata,
        created,
      });
      return { ref: paymentIntent ?? '', chargeRef: charge };
    },
    plantRefund: async (of, created, amount, refundId) => {
      const metadata: Record<string, string> = refundId === null ? {} : { refundId, go: '1' };
      await sandbox.plantRefund(of.ref, { amount, metadata, created });
    },
  };
}

const typeOf: Record<EventSketch['kind'], string> = {
  paid: 'payment_intent.succeeded',
  declined: 'payment_intent.payment_failed',
  refunded: 'refund.created',
  disputed: 'charge.dispute.created',
  'unheard-of': 'customer.created',
};

function stripeEvent(sketch: EventSketch): string {
  const { ref, bookingId, kind } = sketch;
  const metadata = {
    bookingId,
    ...(kind === 'refunded' && sketch.refundId !== null ? { refundId: sketch.refundId } : {}),
  };
  const object = {
    paid: { object: 'payment_intent', id: ref, metadata },
    declined: { object: 'payment_intent', id: ref, metadata },
    refunded: { object: 'refund', id: 're_1', payment_intent: ref, metadata },
    disputed: { object: 'dispute', id: 'du_1', payment_intent: ref, metadata: {} },
    'unheard-of': { object: 'customer', id: 'cus_1', metadata: {} },
  }[kind];
  return JSON.stringify({
    id: `evt_${randomBytes(12).toString('hex')}`,
    object: 'event',
    type: typeOf[kind],
    created: Math.floor(Date.now() / 1000),
    data: { object },
  });
}
