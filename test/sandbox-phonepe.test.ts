/** The PhonePe sandbox on the wire: tokens, orders and their page, as PhonePe v2 answers. */
import { until } from './sandbox-receiver';
import {
  askToken,
  call,
  constant,
  control,
  layouts,
  open,
  receiver,
  refundStatus,
  sandbox,
  statusOf,
  usePhonepeSandbox,
  wanted,
} from './sandbox-phonepe-setup';

usePhonepeSandbox();

describe('tokens', () => {
  test('A token says when it ends, in seconds', async () => {
    const { status, body } = await askToken();
    expect(status).toBe(200);
    expect(body).toMatchObject({
      access_token: expect.any(String),
      expires_in: 3600,
      token_type: 'O-Bearer',
    });
    expect(body.expires_at - body.issued_at).toBe(3600);
    expect(Math.abs(body.issued_at - Date.now() / 1000)).toBeLessThan(2);
  });

  test.each([{ client_secret: 'wrong' }, { client_id: 'nobody' }, { client_version: '2' }])(
    'A client that is refused gets 400 OIM000: %p',
    async (change) => {
      expect(await askToken(change as Record<string, string>)).toMatchObject({
        status: 400,
        body: { code: 'OIM000' },
      });
    },
  );

  test('The form must be a form, and ask for client credentials', async () => {
    expect((await askToken({ grant_type: 'password' })).status).toBe(400);
    const json = await fetch(`${sandbox.url}/apis/identity-manager/v1/oauth/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    });
    expect(json.status).toBe(400);
  });

  test.each(Object.entries(layouts))('The %s layout serves every call', async (_name, { identity, pg }) => {
    const token = String((await askToken({}, identity)).body.access_token);
    const by = { token, folder: pg };
    expect((await call('POST', '/checkout/v2/pay', wanted(), by)).status).toBe(200);
    expect((await call('GET', '/checkout/v2/order/bkg_1_1/status', undefined, by)).status).toBe(200);
    await control.pay('bkg_1_1', 'ok');
    const body = { merchantRefundId: 'ref_1', originalMerchantOrderId: 'bkg_1_1', amount: 100 };
    expect((await call('POST', '/payments/v2/refund', body, by)).status).toBe(200);
    expect((await call('GET', '/payments/v2/refund/ref_1/status', undefined, by)).status).toBe(200);
  });

  test('A token that is over, or never was, is 401', async () => {
    expect((await call('GET', '/checkout/v2/order/x/status', undefined, { token: 'made-up' })).status).toBe(
      401,
    );
    await open();
    await control.expireTokens();
    expect((await statusOf()).status).toBe(401);
  });

  test('A token lives as long as it was told to', async () => {
    await control.setTokenLife(4);
    const { body } = await askToken();
    expect(body.expires_at - body.issued_at).toBe(4);
    const by = { token: String(body.access_token) };
    expect((await call('POST', '/checkout/v2/pay', wanted(), by)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 4010));
    expect((await call('POST', '/checkout/v2/pay', wanted(), by)).status).toBe(401);
  });
});

describe('orders', () => {
  test('A new order is pending, ends in milliseconds, and has a page', async () => {
    const { status, body } = await call('POST', '/checkout/v2/pay', wanted());
    expect(status).toBe(200);
    expect(body).toEqual({
      orderId: expect.stringMatching(/^OMO\d+$/),
      state: 'PENDING',
      expireAt: expect.any(Number),
      redirectUrl: expect.stringContaining(`${sandbox.url}/_sandbox/pay/`),
    });
    expect(Math.abs(body.expireAt - Date.now() - 900_000)).toBeLessThan(2000);
    expect((await statusOf()).body).toMatchObject({
      orderId: body.orderId,
      state: 'PENDING',
      amount: 25_000,
      expireAt: body.expireAt,
      metaInfo: { udf1: 'bkg_1', udf2: '1' },
      paymentDetails: [],
    });
  });

  test.each([
    ['an id of 64 characters', { merchantOrderId: 'x'.repeat(64) }],
    ['an id with a dot', { merchantOrderId: 'a.b' }],
    ['no id', { merchantOrderId: undefined }],
    ['99 paisa', { amount: 99 }],
    ['a fraction', { amount: 100.5 }],
    ['an amount in words', { amount: '100' }],
    ['too short a time', { expireAfter: 299 }],
    ['too long a time', { expireAfter: 3601 }],
    ['another flow', { paymentFlow: { type: 'PG' } }],
    ['a place that is none', { paymentFlow: { type: 'PG_CHECKOUT', merchantUrls: { redirectUrl: 'x' } } }],
    ['udf16', { metaInfo: { udf16: 'x' } }],
    ['udf1 of 257 characters', { metaInfo: { udf1: 'x'.repeat(257) } }],
    ['udf11 of 51 characters', { metaInfo: { udf11: 'x'.repeat(51) } }],
    ['udf12 of other signs', { metaInfo: { udf12: '{}' } }],
  ])('%s: 400', async (_name, change: object) => {
    const { status, body } = await call('POST', '/checkout/v2/pay', wanted(change));
    expect(status).toBe(400);
    expect(body.code).toBe('BAD_REQUEST');
    expect((await control.ledger()).orders).toEqual([]);
  });

  test('The longest id, both ends of the time and every udf are let in', async () => {
    await open({ merchantOrderId: 'x'.repeat(63), expireAfter: 300, metaInfo: { udf10: 'x'.repeat(256) } });
    await open({ merchantOrderId: 'y', expireAfter: 3600, metaInfo: { udf15: 'a_b-c+d@e.f g' } });
    const plain = wanted({ merchantOrderId: 'z', expireAfter: undefined });
    const { body } = await call('POST', '/checkout/v2/pay', plain);
    expect(Math.abs(body.expireAt - Date.now() - 1_200_000)).toBeLessThan(2000);
  });

  test('A body that is not JSON is 400, an unknown route 404', async () => {
    expect((await call('POST', '/checkout/v2/pay', '{"amount":')).status).toBe(400);
    expect((await call('GET', '/checkout/v3/order')).status).toBe(404);
  });

  test('A repeated id is refused, or the same order, as the reading says', async () => {
    const page = await open();
    const repeat = async (more: object = {}) => call('POST', '/checkout/v2/pay', wanted(more));
    expect(await repeat()).toMatchObject({ status: 400, body: { code: 'INVALID_TRANSACTION_ID' } });
    await control.setReadings({ orders: 'same' });
    expect(await repeat()).toMatchObject({ status: 200, body: { redirectUrl: page, state: 'PENDING' } });
    expect((await repeat({ amount: 25_001 })).status).toBe(400);
    expect((await control.ledger()).orders).toHaveLength(1);
  });

  test('An unknown id is 404, or 400, as the reading says', async () => {
    expect(await statusOf('nobody')).toMatchObject({ status: 404, body: { code: 'ORDER_NOT_FOUND' } });
    await control.setReadings({ missing: 400 });
    expect((await statusOf('nobody')).status).toBe(400);
    expect(await refundStatus('nobody')).toMatchObject({ status: 400, body: { code: 'REFUND_NOT_FOUND' } });
  });
});

describe('paying', () => {
  test('A paid order is COMPLETED, and its event carries the constant that does not cover the body', async () => {
    await open();
    await control.pay('bkg_1_1', 'ok');
    expect((await statusOf()).body).toMatchObject({ state: 'COMPLETED', amount: 25_000 });
    await until(() => receiver.heard.length === 1);
    const [{ headers, body } = { headers: {}, body: {} }] = receiver.heard as {
      headers: object;
      body: object;
    }[];
    expect(headers).toMatchObject({ authorization: constant });
    expect(body).toMatchObject({
      event: 'checkout.order.completed',
      type: 'CHECKOUT_ORDER_COMPLETED',
      payload: {
        merchantId: expect.any(String),
        merchantOrderId: 'bkg_1_1',
        orderId: expect.stringMatching(/^OMO/),
        state: 'COMPLETED',
        amount: 25_000,
        metaInfo: { udf1: 'bkg_1' },
        paymentDetails: [{ state: 'COMPLETED', amount: 25_000, paymentMode: 'UPI_INTENT' }],
      },
    });
    await expect(control.pay('bkg_1_1', 'ok')).rejects.toThrow('COMPLETED');
  });

  test('A declined try leaves the order PENDING and tells an intermediate event; details show every try', async () => {
    await open();
    await control.pay('bkg_1_1', 'attempt-failed');
    await until(() => receiver.heard.length === 1);
    expect(receiver.heard[0]?.body).toMatchObject({
      event: 'checkout.transaction.attempt.failed',
      payload: { state: 'PENDING', merchantOrderId: 'bkg_1_1' },
    });
    await control.pay('bkg_1_1', 'ok');
    const tries = async (query: string) =>
      (await statusOf('bkg_1_1', query)).body.paymentDetails.map(({ state }: { state: string }) => state);
    expect(await tries('?details=true')).toEqual(['FAILED', 'COMPLETED']);
    expect(await tries('?details=false')).toEqual(['COMPLETED']);
  });

  test('Who gives up after a decline leaves a FAILED order with a reason', async () => {
    await open();
    await control.pay('bkg_1_1', 'declined');
    expect((await statusOf()).body).toMatchObject({ state: 'FAILED', errorCode: 'AUTHORIZATION_ERROR' });
    await until(() => receiver.heard.length === 2);
    expect(receiver.types()).toEqual(['checkout.transaction.attempt.failed', 'checkout.order.failed']);
    await expect(control.pay('bkg_1_1', 'ok')).rejects.toThrow('FAILED');
  });

  test('Without retry one decline fails the order', async () => {
    await open({ disablePaymentRetry: true });
    await control.pay('bkg_1_1', 'attempt-failed');
    expect((await statusOf()).body.state).toBe('FAILED');
  });

  test.each([
    ['succeeded', 'COMPLETED'],
    ['failed', 'FAILED'],
  ] as const)('A bank that answers later: %s', async (outcome, state) => {
    await open();
    await control.pay('bkg_1_1', 'processing');
    expect((await statusOf()).body).toMatchObject({
      state: 'PENDING',
      paymentDetails: [{ state: 'PENDING' }],
    });
    await control.settleProcessing('bkg_1_1', outcome);
    expect((await statusOf()).body.state).toBe(state);
  });

  test('The page pays, and sends the browser to the shop', async () => {
    const page = await open();
    const press = async (how: string) =>
      fetch(page, { method: 'POST', body: new URLSearchParams({ how }), redirect: 'manual' });
    expect(await (await fetch(page)).text()).toContain('25000 INR');
    expect((await press('gold')).status).toBe(400);
    const stays = await press('attempt-failed');
    expect(new URL(stays.headers.get('location') ?? '', page).href).toBe(page);
    expect((await press('leave')).headers.get('location')).toBe('https://shop.example.test/return');
    expect((await statusOf()).body.state).toBe('PENDING');
    const done = await press('ok');
    expect([done.status, done.headers.get('location')]).toEqual([303, 'https://shop.example.test/return']);
    expect((await statusOf()).body.state).toBe('COMPLETED');
    // Pressed again, it takes no second payment.
    await press('ok');
    expect((await control.ledger()).payments).toHaveLength(2);
    expect((await fetch(`${sandbox.url}/_sandbox/pay/guessed`)).status).toBe(404);
  });

  test('The page declines and gives up; without a place to go it answers JSON', async () => {
    const page = await open({ paymentFlow: { type: 'PG_CHECKOUT' } });
    const answer = await fetch(page, { method: 'POST', body: new URLSearchParams({ how: 'declined' }) });
    expect(await answer.json()).toEqual({ merchantOrderId: 'bkg_1_1', state: 'FAILED' });
  });
});
