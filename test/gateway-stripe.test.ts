/** What the Stripe adapter says took money back, what it lists, and what it hears, against the stand-in. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Gateway, ListedPage } from '../src/gateways/gateway';
import { stripeGateway } from '../src/gateways/stripe';
import {
  control,
  open,
  paid,
  sandbox,
  stripe,
  useStripeSandbox,
  webhookSecret,
} from './sandbox-stripe-setup';

useStripeSandbox();

const gatewayAt = (apiBase: string): Gateway =>
  stripeGateway({
    secretKey: 'sk_test_sandbox',
    publishableKey: undefined,
    webhookSecrets: [webhookSecret],
    apiBase,
  });
let gateway: Gateway;
beforeEach(() => {
  gateway = gatewayAt(sandbox.url);
});

/** A day long past: 2026-03-01. */
const from = new Date('2026-03-01T00:00:00.000Z');
const to = new Date('2026-03-02T00:00:00.000Z');
const day = from.getTime() / 1000;

type Listed = Required<Pick<ListedPage, 'payments' | 'refunds' | 'disputes'>>;

/** All pages of the interval; fails when one is unknown. */
const everything = async (start = from, end = to) => {
  const all = { payments: [], refunds: [], disputes: [], pages: 0 } as Listed & { pages: number };
  let cursor: string | undefined;
  do {
    const page = await gateway.list?.(start, end, cursor);
    if (page?.status !== 'known') throw new Error(`page ${all.pages}: ${JSON.stringify(page)}`);
    all.payments.push(...page.payments);
    all.refunds.push(...page.refunds);
    all.disputes.push(...(page.disputes ?? []));
    all.pages += 1;
    cursor = page.next;
  } while (cursor !== undefined);
  return all;
};

describe('what took money back', () => {
  test('is nothing for a payment that nobody touched, and missing for one that is not there', async () => {
    expect(await gateway.reversals((await paid()).id)).toEqual({
      status: 'known',
      refunds: [],
      disputes: [],
    });
    expect(await gateway.reversals((await open()).id)).toEqual({
      status: 'known',
      refunds: [],
      disputes: [],
    });
    expect(await gateway.reversals('pi_none')).toEqual({ status: 'missing' });
  });

  test('is every refund, ours and those made by hand, in every state', async () => {
    const { id: ref } = await paid();
    await control.refundMode({ mode: 'failed', times: 1 });
    const wanted = {
      bookingId: 'b1',
      go: 1,
      keyNumber: 1,
      ref,
      chargeRef: 'ch_1',
      amountMinor: 300,
      refundRef: null,
    };
    const failed = await gateway.refund({ ...wanted, refundId: 'ref_a' });
    const again = await gateway.refund({ ...wanted, refundId: 'ref_a', go: 2 });
    const byHand = await control.refundByHand(ref, { amount: 200 });
    await control.refundMode({ mode: 'pending', times: 1 });
    const pending = await control.refundByHand(ref, { amount: 100 });
    const answer = await gateway.reversals(ref);
    expect(answer).toEqual({
      status: 'known',
      refunds: [
        { refundRef: pending.id, refundId: null, amountMinor: 100, status: 'pending' },
        { refundRef: byHand.id, refundId: null, amountMinor: 200, status: 'succeeded' },
        { refundRef: refOf(again), refundId: 'ref_a', amountMinor: 300, status: 'succeeded' },
        {
          refundRef: refOf(failed),
          refundId: 'ref_a',
          amountMinor: 300,
          status: 'failed',
          code: 'expired_or_canceled_card',
        },
      ],
      disputes: [],
    });
  });

  test('is a dispute as it goes on', async () => {
    const { id: ref } = await paid();
    const seen = async (): Promise<unknown> => {
      const answer = await gateway.reversals(ref);
      return answer.status === 'known' ? answer.disputes : answer;
    };
    const { id } = await control.dispute(ref, { amount: 1200, reason: 'duplicate' });
    const dispute = { disputeRef: id, amountMinor: 1200, currency: 'EUR', reason: 'duplicate' };
    expect(await seen()).toEqual([{ ...dispute, status: 'open' }]);
    await control.updateDispute(id, 'under_review');
    expect(await seen()).toEqual([{ ...dispute, status: 'open' }]);
    await control.closeDispute(id, 'won');
    expect(await seen()).toEqual([{ ...dispute, status: 'won' }]);
    const second = await control.dispute(ref, { amount: 700 });
    await control.closeDispute(second.id, 'lost');
    expect(await seen()).toMatchObject([{ disputeRef: second.id, status: 'lost' }, { disputeRef: id }]);
  });

  test('is no inquiry, until the bank escalates it', async () => {
    const { id: ref } = await paid();
    const { id } = await control.dispute(ref, { inquiry: true });
    expect(await gateway.reversals(ref)).toEqual({ status: 'known', refunds: [], disputes: [] });
    await control.updateDispute(id, 'needs_response');
    expect(await gateway.reversals(ref)).toMatchObject({ disputes: [{ disputeRef: id, status: 'open' }] });
  });

  test('is complete beyond one page, and nobody else’s', async () => {
    const [one, other] = [await paid(), await paid()];
    for (let number = 0; number < 120; number++) await control.plantRefund(one.id, { amount: 1 });
    const foreign = await control.refundByHand(other.id);
    const answer = await gateway.reversals(one.id);
    if (answer.status !== 'known') throw new Error(answer.status);
    expect(new Set(answer.refunds.map(({ refundRef }) => refundRef)).size).toBe(120);
    expect(await gateway.reversals(other.id)).toMatchObject({ refunds: [{ refundRef: foreign.id }] });
  });
});

describe('statuses that the stand-in does not play', () => {
  test('are decided by the money that moved', async () => {
    const dispute = (id: string, status: string, moves: number[]) => ({
      id,
      object: 'dispute',
      amount: 500,
      currency: 'eur',
      reason: 'general',
      status,
      balance_transactions: moves.map((amount) => ({ amount })),
    });
    const list = (data: object[]) => ({ object: 'list', data, has_more: false, url: '/' });
    const server = http.createServer((request, response) => {
      const isDisputes = request.url?.startsWith('/v1/disputes');
      const disputes = [
        dispute('du_asked', 'warning_closed', []),
        dispute('du_prevented', 'prevented', []),
        dispute('du_resolved', 'prevented', [-500]),
        dispute('du_new', 'arbitration', [-500]),
        dispute('du_back', 'arbitration', [-500, 500]),
      ];
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(list(isDisputes ? disputes : [])));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const answer = await gatewayAt(`http://127.0.0.1:${port}`).reversals('pi_any');
      expect(answer).toMatchObject({
        status: 'known',
        disputes: [
          { disputeRef: 'du_resolved', status: 'lost' },
          { disputeRef: 'du_new', status: 'open' },
        ],
      });
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('a gateway that does not answer', () => {
  test.each(['lost-done', 'status-500-undone', 'status-429'] as const)('with %s is unknown', async (kind) => {
    const { id: ref } = await paid();
    await control.refundByHand(ref, { amount: 100 });
    for (const operation of ['refunds.list', 'disputes.list'] as const) {
      await control.fault({ kind, operation, times: null });
      expect(await gateway.reversals(ref)).toMatchObject({ status: 'unknown' });
      await control.clearFaults();
    }
    expect(await gateway.reversals(ref)).toMatchObject({ status: 'known' });
    await control.fault({ kind, operation: 'charges.list', times: null });
    expect(await gateway.list?.(from, to)).toMatchObject({ status: 'unknown' });
    await control.fault({ kind, operation: 'refunds.list', times: null });
    expect(await gateway.list?.(from, to, 'refunds:')).toMatchObject({ status: 'unknown' });
  });

  test('when it cannot even say whether the payment is there is unknown, not missing', async () => {
    const { id: ref } = await paid();
    await control.fault({ kind: 'status-500-undone', operation: 'payment_intents.retrieve' });
    expect(await gateway.reversals(ref)).toMatchObject({ status: 'unknown' });
  });

  test('in time is unknown within the time of one call', async () => {
    const { id: ref } = await paid();
    await control.fault({ kind: 'hang-undone', operation: 'disputes.list' });
    const start = Date.now();
    expect(await gateway.reversals(ref)).toMatchObject({ status: 'unknown' });
    expect(Date.now() - start).toBeLessThan(4_900);
  });

  test('beyond its rate limit is unknown', async () => {
    const { id: ref } = await paid();
    await control.rateLimit(1);
    expect(await gateway.reversals(ref)).toMatchObject({ status: 'unknown', reason: 'rate_limit' });
  });
});

describe('the list of an interval', () => {
  test('is said to be there', () => {
    expect(gateway.capabilities.lists).toBe(true);
  });

  test('has captured payments and refunds of it, whoever made them, and no others', async () => {
    const bookingId = 'bkg_ours';
    const ours = await control.plantPayment({
      amount: 1500,
      currency: 'eur',
      metadata: { bookingId },
      created: day,
    });
    const shops = await control.plantPayment({ amount: 990, currency: 'jpy', created: day + 5 });
    const bare = await control.plantPayment({
      amount: 70,
      currency: 'usd',
      withoutIntent: true,
      created: day + 9,
    });
    await control.plantPayment({ amount: 100, currency: 'eur', created: day - 1 });
    await control.plantPayment({ amount: 100, currency: 'eur', created: day + 24 * 3600 });
    const ref = ours.paymentIntent ?? '';
    const metadata = { refundId: 'ref_a', go: '1' };
    const sent = await control.plantRefund(ref, { amount: 400, metadata, created: day + 10 });
    const byHand = await control.refundByHand(ref, { amount: 100, created: day + 20 });
    const failed = await control.plantRefund(ref, { amount: 50, status: 'failed', created: day + 30 });
    await control.refundByHand(ref, { amount: 1 });
    const { payments, refunds, pages } = await everything();
    expect(pages).toBe(3);
    const at = (seconds: number) => new Date((day + seconds) * 1000);
    expect(payments).toEqual([
      { ref: bare.charge, chargeRef: bare.charge, total: { amountMinor: 70, currency: 'USD' }, bookingId: null, capturedAt: at(9) },
      { ref: shops.paymentIntent, chargeRef: shops.charge, total: { amountMinor: 990, currency: 'JPY' }, bookingId: null, capturedAt: at(5) },
      { ref, chargeRef: ours.charge, total: { amountMinor: 1500, currency: 'EUR' }, bookingId, capturedAt: at(0) },
    ]); // prettier-ignore
    const common = { ref, currency: 'EUR' };
    expect(refunds).toEqual([
      { ...common, refundRef: failed.id, refundId: null, amountMinor: 50, status: 'failed', code: 'expired_or_canceled_card', createdAt: at(30) },
      { ...common, refundRef: byHand.id, refundId: null, amountMinor: 100, status: 'succeeded', createdAt: at(20) },
      { ...common, refundRef: sent.id, refundId: 'ref_a', amountMinor: 400, status: 'succeeded', createdAt: at(10) },
    ]); // prettier-ignore
  });

  test('leaves out what was declined or never paid, and says what was captured in truth', async () => {
    const declined = await open();
    await stripe.paymentIntents
      .confirm(declined.id, {
        payment_method: 'pm_card_chargeDeclined',
        return_url: 'https://shop.example.test',
      })
      .catch(() => undefined);
    await open();
    const { id } = await paid();
    await control.recapture(id, { amount: 1400 });
    const { payments } = await everything(new Date(Date.now() - 60_000), new Date(Date.now() + 60_000));
    expect(payments).toMatchObject([
      { ref: id, total: { amountMinor: 1400, currency: 'EUR' }, bookingId: 'b1' },
    ]);
  });

  test('is complete over many pages', async () => {
    const made: string[] = [];
    for (let number = 0; number < 205; number++) {
      const { paymentIntent, charge } = await control.plantPayment({
        amount: 500,
        currency: 'eur',
        created: day + number,
      });
      made.unshift(charge);
      if (number < 101) await control.plantRefund(paymentIntent ?? '', { created: day + number });
    }
    const { payments, refunds, pages } = await everything();
    expect(payments.map(({ chargeRef }) => chargeRef)).toEqual(made);
    expect(new Set(refunds.map(({ refundRef }) => refundRef)).size).toBe(101);
    expect(pages).toBe(6);
  });

  test('shares nothing with its neighbour and leaves nothing between them', async () => {
    for (let second = 0; second < 6; second++)
      await control.plantPayment({ amount: 500 + second, currency: 'eur', created: day + second });
    // Bounds need not be whole seconds, although Stripe's times are.
    const middle = new Date(from.getTime() + 2_500);
    const amounts = async (start: Date, end: Date): Promise<number[]> =>
      (await everything(start, end)).payments.map(({ total }) => total.amountMinor);
    expect(await amounts(from, middle)).toEqual([502, 501, 500]);
    expect(await amounts(middle, to)).toEqual([505, 504, 503]);
  });

  test('goes on where it was, after a page that was unknown', async () => {
    await control.plantPayment({ amount: 500, currency: 'eur', created: day });
    const first = await gateway.list?.(from, to);
    if (first?.status !== 'known' || first.next === undefined) throw new Error('no first page');
    await control.fault({ kind: 'status-429', operation: 'refunds.list' });
    expect(await gateway.list?.(from, to, first.next)).toMatchObject({ status: 'unknown' });
    expect(await gateway.list?.(from, to, first.next)).toEqual({
      status: 'known',
      payments: [],
      refunds: [],
      next: 'disputes:',
    });
  });

  test('has the disputes opened in it, and no inquiries', async () => {
    const { id: ref } = await paid();
    const dispute = async (created: number, inquiry = false) => {
      const { id } = await control.dispute(ref, { amount: 100, inquiry });
      await control.backdate(id, created);
      return id;
    };
    const [lost, asked, early] = [await dispute(day), await dispute(day + 1, true), await dispute(day - 1)];
    const open = await dispute(day + 2);
    await control.closeDispute(lost, 'lost');
    const { disputes } = await everything();
    expect(disputes).toMatchObject([
      { disputeRef: open, ref, status: 'open', amountMinor: 100, currency: 'EUR' },
      { disputeRef: lost, ref, status: 'lost', amountMinor: 100, currency: 'EUR' },
    ]);
    expect(JSON.stringify(disputes)).not.toMatch(new RegExp(`${asked}|${early}`));
    await control.fault({ kind: 'status-429', operation: 'disputes.list' });
    expect(await gateway.list?.(from, to, 'disputes:')).toMatchObject({ status: 'unknown' });
  });
});

describe('what is heard', () => {
  /** The adapter's reading of the newest event of a type. */
  const heard = async (type: string) => {
    const found = (await control.ledger()).events.findLast((event) => event.type === type);
    const payload = JSON.stringify(await stripe.events.retrieve(found?.id ?? ''));
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret: webhookSecret });
    return gateway.verifyWebhook(Buffer.from(payload), { 'stripe-signature': header });
  };

  test('of refunds and disputes is a reversal of its payment; of payments it is none', async () => {
    const { id: ref } = await paid();
    const { id } = await control.dispute(ref, { amount: 100 });
    await control.closeDispute(id, 'won');
    await control.refundByHand(ref, { amount: 100 });
    for (const kind of ['created', 'funds_withdrawn', 'funds_reinstated', 'closed'])
      expect(await heard(`charge.dispute.${kind}`)).toMatchObject({
        ref,
        bookingId: null,
        rings: true,
        reversal: true,
      });
    for (const type of ['refund.created', 'refund.updated'])
      expect(await heard(type)).toMatchObject({ ref, bookingId: null, rings: true, reversal: true });
    expect(await heard('payment_intent.succeeded')).toMatchObject({
      ref,
      bookingId: 'b1',
      rings: true,
      reversal: false,
    });
    expect(await heard('charge.refunded')).toMatchObject({ rings: false, reversal: false });
  });

  test('of a refund of ours names the booking, and is no news of others', async () => {
    const { id: ref } = await paid();
    await gateway.refund({
      refundId: 'ref_a', bookingId: 'b1', go: 1, keyNumber: 1, ref, chargeRef: 'ch_1', amountMinor: 300, refundRef: null,
    }); // prettier-ignore
    expect(await heard('refund.created')).toMatchObject({
      ref,
      bookingId: 'b1',
      rings: true,
      reversal: false,
    });
  });
});

function refOf(state: object): string {
  return 'refundRef' in state ? String(state.refundRef) : '';
}
