/** The Razorpay sandbox on the wire: orders, payments, webhooks and lists, as Razorpay answers. */
import { until } from './sandbox-receiver';
import {
  call,
  control,
  hmac,
  keyId,
  keySecret,
  order,
  paid,
  receiver,
  sandbox,
  useRazorpaySandbox,
  webhookSecret,
} from './sandbox-razorpay-setup';

useRazorpaySandbox();

describe('requests', () => {
  test.each([
    ['no credentials', {}],
    ['another secret', { authorization: `Basic ${Buffer.from(`${keyId}:wrong`).toString('base64')}` }],
    ['another scheme', { authorization: `Bearer ${keyId}:${keySecret}` }],
  ])('%s: 401', async (_name, headers: Record<string, string>) => {
    const response = await fetch(`${sandbox.url}/v1/orders`, { headers });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: 'BAD_REQUEST_ERROR' } });
  });

  test('A body that is not JSON is 400, an unknown route 404', async () => {
    expect((await call('POST', '/orders', '{"amount":')).status).toBe(400);
    expect((await call('GET', '/invoices')).status).toBe(404);
  });

  test.each([
    '/orders/order_NoSuchOrder00',
    '/payments/pay_NoSuchPaymnt0',
    '/refunds/rfnd_NoSuchRefund',
    '/disputes/x',
  ])('%s: 400, not 404', async (path) => {
    const { status, body } = await call('GET', path);
    expect(status).toBe(400);
    expect(body).toEqual({
      error: {
        code: 'BAD_REQUEST_ERROR',
        description: 'The id provided does not exist',
        source: 'business',
        step: 'payment_initiation',
        reason: 'input_validation_failed',
        metadata: {},
      },
    });
  });
});

describe('orders', () => {
  test('A new order is created, unpaid and readable', async () => {
    const { status, body } = await call('POST', '/orders', {
      amount: 25_000,
      currency: 'INR',
      receipt: 'r-1',
      notes: { bookingId: 'b1' },
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      id: expect.stringMatching(/^order_\w{14}$/),
      entity: 'order',
      amount: 25_000,
      amount_paid: 0,
      amount_due: 25_000,
      currency: 'INR',
      receipt: 'r-1',
      offer_id: null,
      status: 'created',
      attempts: 0,
      notes: { bookingId: 'b1' },
      created_at: expect.any(Number),
    });
    expect((await call('GET', `/orders/${body.id}`)).body).toEqual(body);
  });

  test('Empty notes travel as an empty list', async () => {
    expect((await call('POST', '/orders', { amount: 100, currency: 'INR' })).body.notes).toEqual([]);
  });

  test.each([
    ['less than INR 1.00', { amount: 99 }, 'amount'],
    ['a fraction of a paisa', { amount: 100.5 }, 'amount'],
    ['an amount in words', { amount: '100' }, 'amount'],
    ['no amount', { amount: undefined }, 'amount'],
    ['no currency', { currency: undefined }, 'currency'],
    ['another currency', { currency: 'EUR' }, 'currency'],
    ['a receipt of 41 characters', { receipt: 'r'.repeat(41) }, 'receipt'],
    [
      '16 notes',
      { notes: Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`n${index}`, 'v'])) },
      'notes',
    ],
    ['a note of 257 characters', { notes: { n: 'v'.repeat(257) } }, 'notes'],
    ['a time to expire, which orders do not have', { expire_by: 1_900_000_000 }, undefined],
    [
      'an expiry below 12 minutes',
      { payment: { capture: 'automatic', capture_options: { automatic_expiry_period: 11 } } },
      'automatic_expiry_period',
    ],
    [
      'an expiry above 7200 minutes',
      { payment: { capture: 'automatic', capture_options: { manual_expiry_period: 7201 } } },
      'manual_expiry_period',
    ],
  ])('%s: 400', async (_name, change: object, field) => {
    const { status, body } = await call('POST', '/orders', { amount: 100, currency: 'INR', ...change });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({
      code: 'BAD_REQUEST_ERROR',
      ...(field === undefined ? {} : { field }),
    });
    expect((await control.ledger()).orders).toEqual([]);
  });

  test('15 notes of 256 characters and a receipt of 40 are let in', async () => {
    const notes = Object.fromEntries(
      Array.from({ length: 15 }, (_, index) => [`n${index}`, 'v'.repeat(256)]),
    );
    await order({ notes, receipt: 'r'.repeat(40) });
  });

  test('A repeated unique receipt is the same order, or refused, as the reading says', async () => {
    const first = await order({ receipt: 'r-1', unique_receipt: true });
    expect(await order({ receipt: 'r-1', unique_receipt: true })).toBe(first);
    await control.setReadings({ receipts: 'refused' });
    const { status, body } = await call('POST', '/orders', {
      amount: 25_000,
      currency: 'INR',
      receipt: 'r-1',
      unique_receipt: true,
    });
    expect(status).toBe(400);
    expect(body.error.description).toContain('should be unique');
    // Without the wish to be unique a receipt may repeat.
    expect(await order({ receipt: 'r-1' })).not.toBe(first);
    const found = await call('GET', '/orders?receipt=r-1');
    expect(found.body.items.map(({ id }: { id: string }) => id)).toContain(first);
    expect(found.body.count).toBe(2);
  });
});

describe('paying', () => {
  test('A paid order is captured, and the browser gets a signature over both ids', async () => {
    const orderId = await order();
    const { id, handedBack } = await control.pay(orderId, 'ok');
    expect(handedBack).toEqual({
      razorpay_order_id: orderId,
      razorpay_payment_id: id,
      razorpay_signature: hmac(`${orderId}|${id}`, keySecret),
    });
    expect((await call('GET', `/orders/${orderId}`)).body).toMatchObject({
      status: 'paid',
      amount_paid: 25_000,
      amount_due: 0,
      attempts: 1,
    });
    const { body } = await call('GET', `/orders/${orderId}/payments`);
    expect(body).toMatchObject({ entity: 'collection', count: 1 });
    expect(body.items[0]).toMatchObject({
      id,
      entity: 'payment',
      status: 'captured',
      captured: true,
      order_id: orderId,
      amount: 25_000,
      notes: [],
    });
  });

  test('A decline leaves the order attempted and payable', async () => {
    const orderId = await order();
    const { id, handedBack } = await control.pay(orderId, 'declined');
    expect(handedBack['error[code]']).toBe('BAD_REQUEST_ERROR');
    expect((await call('GET', `/payments/${id}`)).body).toMatchObject({
      status: 'failed',
      captured: false,
      error_reason: 'payment_failed',
    });
    expect((await call('GET', `/orders/${orderId}`)).body).toMatchObject({
      status: 'attempted',
      attempts: 1,
    });
    await control.pay(orderId, 'ok');
    expect((await call('GET', `/orders/${orderId}`)).body).toMatchObject({ status: 'paid', attempts: 2 });
  });

  test('A paid order takes no second payment, nor does one with an authorized payment', async () => {
    const { orderId } = await paid();
    await expect(control.pay(orderId, 'ok')).rejects.toThrow('already paid');
    const other = await order();
    await control.pay(other, 'processing');
    await expect(control.pay(other, 'ok')).rejects.toThrow('already paid');
  });

  test('What is authorized waits for a capture of exactly its amount, once', async () => {
    const orderId = await order({ payment: { capture: 'manual' } });
    const { id } = await control.pay(orderId, 'ok');
    expect((await call('GET', `/payments/${id}`)).body).toMatchObject({
      status: 'authorized',
      captured: false,
    });
    const capture = (amount: number) => call('POST', `/payments/${id}/capture`, { amount, currency: 'INR' });
    expect((await capture(24_999)).status).toBe(400);
    expect((await capture(25_000)).body).toMatchObject({ id, status: 'captured', captured: true });
    expect((await capture(25_000)).body.error.description).toContain('already been captured');
  });

  test('Notes that the checkout was given are the payment’s; the order’s are not, unless the reading says so', async () => {
    const notes = { bookingId: 'b1' };
    const { id } = await control.pay(await order(), 'ok', { notes });
    expect((await call('GET', `/payments/${id}`)).body.notes).toEqual(notes);
    await control.setReadings({ paymentNotes: 'order' });
    const { paymentId } = await paid({ notes: { bookingId: 'b2' } });
    expect((await call('GET', `/payments/${paymentId}`)).body.notes).toEqual({ bookingId: 'b2' });
  });

  test('The page pays in a browser, and sends it back by a form', async () => {
    const orderId = await order({ notes: { bookingId: '<b>' } });
    const page = await fetch(
      `${sandbox.url}/_sandbox/checkout/${orderId}?callback_url=https://shop.example/%22`,
    );
    expect(await page.text()).toContain('value="https://shop.example/&#34;"');
    const post = async (form: Record<string, string>) =>
      fetch(`${sandbox.url}/_sandbox/checkout/${orderId}`, {
        method: 'POST',
        body: new URLSearchParams(form),
      });
    const declined = await post({ how: 'declined', callback_url: 'https://shop.example/return?a=1' });
    const html = await declined.text();
    expect(html).toContain('action="https://shop.example/return?a=1"');
    expect(html).toContain('error[code]');
    const answer: unknown = await (await post({ how: 'ok', notes: '{"bookingId":"b1"}' })).json();
    expect(answer).toMatchObject({ razorpay_order_id: orderId, razorpay_signature: expect.any(String) });
    expect((await post({ how: 'ok' })).status).toBe(400);
    expect((await post({ how: 'ok', callback_url: 'javascript:alert(1)' })).status).toBe(400);
  });
});

describe('webhooks', () => {
  test('A payment tells three events, signed over the body, each with an id in a header', async () => {
    const { orderId, paymentId } = await paid();
    await until(() => receiver.heard.length === 3);
    expect(receiver.types()).toEqual(['payment.authorized', 'payment.captured', 'order.paid']);
    for (const { raw, headers } of receiver.heard)
      expect(headers['x-razorpay-signature']).toBe(hmac(raw, webhookSecret));
    expect(new Set(receiver.heard.map(({ headers }) => headers['x-razorpay-event-id'])).size).toBe(3);
    expect(receiver.heard[0]?.body).toMatchObject({
      entity: 'event',
      account_id: expect.stringMatching(/^acc_/),
      event: 'payment.authorized',
      contains: ['payment'],
      payload: { payment: { entity: { id: paymentId, status: 'authorized', order_id: orderId } } },
      created_at: expect.any(Number),
    });
    expect(receiver.of('order.paid')[0]?.body).toMatchObject({
      contains: ['payment', 'order'],
      payload: {
        payment: { entity: { id: paymentId, status: 'captured' } },
        order: { entity: { id: orderId, status: 'paid', notes: { bookingId: 'b1' } } },
      },
    });
  });

  test('A delivery that is answered 500 is repeated under the same id', async () => {
    receiver.answers = [500];
    await control.pay(await order(), 'declined');
    await until(() => receiver.heard.length === 2);
    const [first, second] = receiver.heard;
    expect(second?.headers['x-razorpay-event-id']).toBe(first?.headers['x-razorpay-event-id']);
    expect(second?.raw).toBe(first?.raw);
    const answered = async () => (await control.ledger()).events[0]?.deliveries.map(({ status }) => status);
    await until(async () => (await answered())?.at(-1) === 200);
    expect(await answered()).toEqual([500, 200]);
  });

  test('A new secret signs what is sent from then on', async () => {
    await control.setWebhookSecret('another_secret');
    await control.pay(await order(), 'declined');
    await until(() => receiver.heard.length === 1);
    const [heard] = receiver.heard;
    expect(heard?.headers['x-razorpay-signature']).toBe(hmac(heard?.raw ?? '', 'another_secret'));
  });
});

describe('lists', () => {
  test('Payments come newest first, in pages, both ends of an interval included', async () => {
    for (const created of [1000, 1001, 1002, 1002, 1003])
      await control.plantPayment({ amount: 500, created, metadata: { at: String(created) } });
    const list = async (query: string) =>
      (await call('GET', `/payments?${query}`)).body.items.map(
        (item: { created_at: number }) => item.created_at,
      );
    expect(await list('')).toEqual([1003, 1002, 1002, 1001, 1000]);
    expect(await list('from=1001&to=1002')).toEqual([1002, 1002, 1001]);
    expect(await list('count=2&skip=1')).toEqual([1002, 1002]);
    expect((await call('GET', '/payments?count=101')).status).toBe(400);
    expect((await call('GET', '/payments?limit=2')).status).toBe(400);
    expect(receiver.heard).toEqual([]);
  });

  test('Ten are shown unless told', async () => {
    for (let index = 0; index < 12; index++) await order();
    expect((await call('GET', '/orders')).body.count).toBe(10);
    expect((await call('GET', '/orders?count=100')).body.count).toBe(12);
  });
});
