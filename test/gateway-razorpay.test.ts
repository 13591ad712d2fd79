/** What is Razorpay's own: two readings of a receipt, what an order's list may hide, keys in use, disputes without money. */
import { createHmac } from 'node:crypto';
import type { Gateway } from '../src/gateways/gateway';
import { razorpayGateway } from '../src/gateways/razorpay';
import { scripted, type Asked, type Said, type Scripted } from './gateway-scripted';

const bookingId = `bkg_${'0'.repeat(24)}`;
const wanted = {
  bookingId,
  try: 2,
  keyNumber: 3,
  total: { amountMinor: 2500, currency: 'INR' },
  payWithinSeconds: 900,
};
const receipt = `${bookingId}-2-3`;
const toRefund = {
  refundId: `ref_${'1'.repeat(24)}`,
  bookingId,
  go: 1,
  keyNumber: 1,
  ref: 'order_1',
  chargeRef: 'pay_1',
  amountMinor: 1000,
  refundRef: null,
};

let server: Scripted;
/** Says by method and path. */
let says: Record<string, Said | ((asked: Asked) => Said)>;
let gateway: Gateway;

beforeEach(async () => {
  says = {};
  server = await scripted((asked) => {
    const said = says[`${asked.method} ${asked.path}`];
    return typeof said === 'function' ? said(asked) : said;
  });
  gateway = razorpayGateway({
    keyId: 'rzp_test_key',
    keySecret: 'key-secret',
    webhookSecrets: ['hook-secret'],
    apiBase: server.origin,
  });
});
afterEach(() => server.close());

const onlyAsked = (): Asked => {
  const [one, ...others] = server.asked;
  if (one === undefined || others.length > 0) throw new Error(`${server.asked.length} requests`);
  return one;
};
const refusal = (description: string, status = 400, code = 'BAD_REQUEST_ERROR'): Said => ({
  status,
  body: { error: { code, description, source: 'business', step: 'NA', reason: 'NA', metadata: {} } },
});
const list = (items: object[]): Said => ({ body: { entity: 'collection', count: items.length, items } });
/** A list as Razorpay cuts it into pages: ten unless asked for more, at most a hundred. */
const paged =
  (items: object[]) =>
  ({ query }: Asked): Said => {
    const skip = Number(query.get('skip') ?? 0);
    return list(items.slice(skip, skip + Math.min(100, Number(query.get('count') ?? 10))));
  };
const order = (change: object = {}): object => ({
  id: 'order_1', entity: 'order', amount: 2500, currency: 'INR', receipt, status: 'created', notes: { bookingId, try: '2' }, ...change,
}); // prettier-ignore
const payment = (n: number, change: object = {}): object => ({
  id: `pay_${n}`, entity: 'payment', amount: 2500, currency: 'INR', status: 'captured', captured: true,
  order_id: 'order_1', notes: [], error_code: null, created_at: 1_700_000_000 + n, ...change,
}); // prettier-ignore
const refund = (change: object = {}): object => ({
  id: 'rfnd_1', entity: 'refund', payment_id: 'pay_1', amount: 1000, currency: 'INR', status: 'processed',
  notes: { refundId: toRefund.refundId, go: '1' }, created_at: 1_700_000_100, ...change,
}); // prettier-ignore

describe('an order', () => {
  test('is asked for with a receipt of its own, our ids, and what becomes of late money', async () => {
    says['POST /v1/orders'] = { body: order({ notes: [] }) };
    const returnUrl = 'https://shop.example.test/back';
    const answer = await gateway.open({ ...wanted, returnUrl });
    const { headers, body } = onlyAsked();
    expect(headers.authorization).toBe(`Basic ${Buffer.from('rzp_test_key:key-secret').toString('base64')}`);
    expect(body).toEqual({
      amount: 2500,
      currency: 'INR',
      receipt,
      unique_receipt: true,
      notes: { bookingId, try: '2' },
      payment: {
        capture: 'automatic',
        capture_options: { automatic_expiry_period: 20, manual_expiry_period: 20, refund_speed: 'normal' },
      },
    });
    expect(receipt.length).toBeLessThanOrEqual(40);
    expect(answer).toEqual({
      status: 'opened',
      ref: 'order_1',
      howToPay: {
        parameters: {
          keyId: 'rzp_test_key',
          orderId: 'order_1',
          amountMinor: '2500',
          currency: 'INR',
          notes: JSON.stringify({ bookingId, try: '2' }),
          timeoutSeconds: '900',
          returnUrl,
        },
      },
    });
  });

  test('whose receipt is refused as used is found by it, and no other’s is taken for it', async () => {
    says['POST /v1/orders'] = refusal('Receipt should be unique.');
    says['GET /v1/orders'] = list([
      order({ id: 'order_longer', receipt: `${receipt}0` }),
      order({ id: 'order_shops', notes: [] }),
      order({ id: 'order_ours' }),
    ]);
    expect(await gateway.open(wanted)).toMatchObject({ status: 'opened', ref: 'order_ours' });
    expect(server.asked[1]?.query.get('receipt')).toBe(receipt);
  });

  test('that is refused and nowhere found is refused; without a word on that it is unknown', async () => {
    says['POST /v1/orders'] = refusal('Amount exceeds maximum amount allowed.');
    says['GET /v1/orders'] = list([]);
    expect(await gateway.open(wanted)).toEqual({
      status: 'refused',
      replayed: false,
      reason: 'BAD_REQUEST_ERROR: Amount exceeds maximum amount allowed.',
    });
    says['GET /v1/orders'] = { status: 502, body: {} };
    expect(await gateway.open(wanted)).toMatchObject({ status: 'unknown' });
  });

  test('is unknown while Razorpay is in trouble, whatever it says', async () => {
    says['POST /v1/orders'] = refusal('We are facing some trouble', 500, 'SERVER_ERROR');
    says['GET /v1/orders'] = list([]);
    expect(await gateway.open(wanted)).toEqual({ status: 'unknown', reason: 'HTTP 500' });
  });

  test.each([
    refusal('Authentication failed', 401),
    refusal('Authentication failed'),
    refusal('The api key provided is invalid'),
    refusal('Forbidden', 403),
    refusal('Your account is on hold', 401),
    { status: 404, body: { message: 'no Route matched' } },
    refusal('The requested URL was not found on the server.', 404),
  ])('is unknown while credentials or address are wrong: %j', async (said) => {
    says['POST /v1/orders'] = said;
    says['GET /v1/orders'] = list([]);
    expect(await gateway.open(wanted)).toMatchObject({ status: 'unknown' });
    says['GET /v1/orders/order_1/payments'] = said;
    expect(await gateway.read('order_1')).toMatchObject({ status: 'unknown' });
  });
});

describe('payments of an order', () => {
  const path = 'GET /v1/orders/order_1/payments';
  beforeEach(() => {
    says['GET /v1/orders/order_1'] = { body: order() };
  });

  test('are told by the oldest first, and whose they are by the order alone', async () => {
    says[path] = list([
      payment(3),
      payment(1, { notes: { bookingId: 'bkg_forged' } }),
      payment(2, { captured: false, status: 'refunded' }),
    ]);
    const total = { amountMinor: 2500, currency: 'INR' };
    expect(await gateway.read('order_1')).toEqual({
      status: 'paid',
      chargeRef: 'pay_1',
      total,
      others: [{ chargeRef: 'pay_3', total }],
      bookingId,
    });
  });

  test('that went back stay money, unless they never were', async () => {
    says[path] = list([payment(1, { status: 'refunded', captured: true })]);
    expect(await gateway.read('order_1')).toMatchObject({ status: 'paid' });
    says[path] = list([payment(1, { status: 'refunded', captured: false })]);
    expect(await gateway.read('order_1')).toMatchObject({ status: 'failed', payable: true });
  });

  test('that fail, are authorized, and are given back by Razorpay are three things', async () => {
    const seen = async (change: object): Promise<unknown> => {
      says[path] = list([payment(1, { captured: false, ...change })]);
      return gateway.read('order_1');
    };
    const unexplained = {
      status: 'failed',
      error_code: 'BAD_REQUEST_ERROR',
      error_reason: 'payment_failed',
    } as const;
    expect(await seen(unexplained)).not.toHaveProperty('code');
    expect(await seen({ status: 'failed', error_code: 'BAD_REQUEST_ERROR', error_reason: 'incorrect_otp' })).toMatchObject({
      status: 'failed', failureRef: 'pay_1-1', code: 'incorrect_otp',
    }); // prettier-ignore
    expect(await seen({ status: 'authorized' })).toEqual({ status: 'processing' });
    expect(await seen({ status: 'refunded' })).toMatchObject({
      status: 'failed',
      failureRef: 'pay_1-1-released',
    });
    expect(await seen({ status: 'created' })).toEqual({ status: 'unpaid' });
  });

  test.each(['that has pages', 'that refuses to be asked for pages', 'that ignores what it is asked'])(
    'are complete beyond ten, in a list %s',
    async (kind) => {
      const all = [
        payment(13),
        ...Array.from({ length: 12 }, (_, n) => payment(12 - n, { status: 'failed', captured: false })),
      ];
      const whole = list(all.toReversed());
      says[path] = (asked) => {
        if (kind === 'that has pages') return paged(all.toReversed())(asked);
        if (asked.query.size === 0 || kind === 'that ignores what it is asked') return whole;
        return refusal('count is/are not required and should not be sent');
      };
      expect(await gateway.read('order_1')).toMatchObject({ status: 'paid', chargeRef: 'pay_13' });
    },
  );

  test('of an order that is not there are missing', async () => {
    says[path] = refusal('The id provided does not exist');
    expect(await gateway.read('order_1')).toEqual({ status: 'missing' });
    says[path] = refusal('order_1 is not a valid id');
    expect(await gateway.read('order_1')).toEqual({ status: 'missing' });
  });
});

describe('a refund', () => {
  const send = 'POST /v1/payments/pay_1/refund';
  const all = 'GET /v1/payments/pay_1/refunds';

  test('goes to the charge, with a key of its own and our ids', async () => {
    says[send] = { body: refund({ status: 'pending' }) };
    expect(await gateway.refund(toRefund)).toEqual({ status: 'pending', refundRef: 'rfnd_1' });
    const { headers, body } = onlyAsked();
    expect(headers['x-refund-idempotency']).toBe(`refund-${toRefund.refundId}-1-1`);
    expect(headers['x-refund-idempotency']).toMatch(/^[\w-]{10,}$/);
    expect(body).toEqual({
      amount: 1000,
      speed: 'normal',
      notes: { refundId: toRefund.refundId, go: '1', orderId: 'order_1', bookingId },
    });
  });

  test.each([
    refusal('The payment has been fully refunded already'),
    refusal('Different request with the same idempotency key has already been processed.', 409),
    refusal('Another request with the same idempotency key is still in progress.', 409),
  ])('that stands already is found behind %j', async (said) => {
    says[send] = said;
    says[all] = list([
      refund({ id: 'rfnd_other_go', notes: { refundId: toRefund.refundId, go: '2' } }),
      refund(),
    ]);
    expect(await gateway.refund(toRefund)).toEqual({ status: 'succeeded', refundRef: 'rfnd_1' });
  });

  test('that stands nowhere is refused, waits for its key, or needs the next one', async () => {
    says[all] = list([refund({ notes: [] })]);
    says[send] = refusal('The payment has been fully refunded already');
    expect(await gateway.refund(toRefund)).toMatchObject({ status: 'refused', replayed: false });
    says[send] = refusal('Another request with the same idempotency key is still in progress.', 409);
    expect(await gateway.refund(toRefund)).toMatchObject({ status: 'unknown' });
    says[send] = refusal('Different request with the same idempotency key has already been processed.', 409);
    expect(await gateway.refund(toRefund)).toMatchObject({ status: 'refused', replayed: true });
    says[all] = { status: 503, body: {} };
    expect(await gateway.refund(toRefund)).toMatchObject({ status: 'unknown' });
  });

  test('is found beyond the first page', async () => {
    says[all] = paged([
      ...Array.from({ length: 150 }, (_, n) => refund({ id: `rfnd_${n + 2}`, notes: [] })),
      refund(),
    ]);
    expect(await gateway.readRefund(toRefund)).toEqual({ status: 'succeeded', refundRef: 'rfnd_1' });
  });
});

describe('what took money back', () => {
  const dispute = (change: object): object => ({
    id: 'disp_1', payment_id: 'pay_1', amount: 2500, amount_deducted: 0, currency: 'INR', reason_code: 'chargeback',
    status: 'open', phase: 'chargeback', created_at: 1_767_225_600, ...change,
  }); // prettier-ignore
  const seen = async (...disputes: object[]): Promise<unknown> => {
    says['GET /v1/disputes'] = paged(disputes);
    const answer = await gateway.reversals('order_1');
    return answer.status === 'known' ? answer.disputes : answer;
  };
  beforeEach(() => {
    says['GET /v1/orders/order_1/payments'] = list([
      payment(1),
      payment(2, { captured: false, status: 'refunded' }),
    ]);
    says['GET /v1/payments/pay_1/refunds'] = list([]);
  });

  test.each([
    [{ status: 'open' }, 'open', 2500],
    [{ status: 'under_review', phase: 'arbitration' }, 'open', 2500],
    [{ status: 'won' }, 'won', 2500],
    [{ status: 'lost', amount_deducted: 2400 }, 'lost', 2400],
    [{ status: 'lost', phase: 'fraud' }, 'lost', 2500],
    [{ status: 'closed' }, 'won', 2500],
    [{ status: 'closed', phase: 'fraud', amount_deducted: 2500 }, 'lost', 2500],
  ])('by a dispute %j is %s', async (change, status, amountMinor) => {
    expect(await seen(dispute(change))).toEqual([
      {
        disputeRef: 'disp_1',
        chargeRef: 'pay_1',
        status,
        amountMinor,
        currency: 'INR',
        reason: 'chargeback',
      },
    ]);
  });

  test.each([
    { phase: 'fraud' },
    { phase: 'retrieval', status: 'under_review' },
    { phase: 'fraud', status: 'closed' },
  ])('is nothing by an inquiry %j', async (change) => {
    expect(await seen(dispute(change))).toEqual([]);
  });

  test('is asked of all disputes since the payment, on every page, and of no other payment', async () => {
    const others = Array.from({ length: 120 }, (_, n) =>
      dispute({ id: `disp_${n + 2}`, payment_id: 'pay_9' }),
    );
    expect(await seen(...others, dispute({}))).toMatchObject([{ disputeRef: 'disp_1' }]);
    expect(server.asked.at(-1)?.query.get('from')).toBe('1700000001');
  });

  test('is unknown when disputes cannot be read', async () => {
    says['GET /v1/disputes'] = refusal('Access Denied');
    expect(await gateway.reversals('order_1')).toMatchObject({ status: 'unknown' });
  });
});

test('News of a refund of money that was never captured is no reversal, but rings', () => {
  const heard = (captured: boolean): unknown => {
    const payload = {
      payment: { entity: { id: 'pay_1', order_id: 'order_1', captured, notes: [] } },
      refund: { entity: { id: 'rfnd_1', notes: [] } },
    };
    const rawBody = Buffer.from(JSON.stringify({ event: 'refund.created', payload }));
    const signature = createHmac('sha256', 'hook-secret').update(rawBody).digest('hex');
    return gateway.verifyWebhook(rawBody, { 'x-razorpay-signature': signature });
  };
  expect(heard(true)).toMatchObject({ ref: 'order_1', rings: true, reversal: true });
  expect(heard(false)).toMatchObject({ ref: 'order_1', rings: true, reversal: false });
});

test('In a list of refunds, those of money that was never captured are none, and ours cost no further call', async () => {
  const [from, to] = [new Date(1_700_000_000_000), new Date(1_700_001_000_000)];
  says['GET /v1/refunds'] = list([
    refund({ id: 'rfnd_auto', payment_id: 'pay_2', notes: [] }),
    refund({ id: 'rfnd_hand', notes: [] }),
    refund({ notes: { refundId: 'ref_a', go: '1', orderId: 'order_7' }, payment_id: 'pay_7' }),
  ]);
  says['GET /v1/payments/pay_1'] = { body: payment(1) };
  says['GET /v1/payments/pay_2'] = { body: payment(2, { captured: false, status: 'refunded' }) };
  expect(await gateway.list?.(from, to, 'refunds:0')).toMatchObject({
    status: 'known',
    refunds: [
      { refundRef: 'rfnd_hand', refundId: null, ref: 'order_1' },
      { refundRef: 'rfnd_1', refundId: 'ref_a', ref: 'order_7' },
    ],
  });
  expect(server.asked).toHaveLength(3);
});
