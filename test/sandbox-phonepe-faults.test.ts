/** The PhonePe sandbox's switches: the faults of every sandbox, and PhonePe's own quirks. */
import { startPhonepeSandbox } from '../sandbox/phonepe/sandbox';
import { describeFaults } from './sandbox-faults';
import { until } from './sandbox-receiver';
import {
  askToken,
  call,
  client,
  constant,
  control,
  open,
  options,
  receiver,
  refund,
  refundStatus,
  sandbox,
  statusOf,
  usePhonepeSandbox,
  wanted,
} from './sandbox-phonepe-setup';

usePhonepeSandbox();

const idOf = (name: string): string => `bkg_${name.replaceAll(/\W/g, '')}_1`;

describeFaults({
  control: () => control,
  sandbox: () => sandbox,
  receiver: () => receiver,
  create: (name) =>
    call('POST', '/checkout/v2/pay', wanted({ merchantOrderId: idOf(name), metaInfo: { udf1: name } })),
  metadata: (name) => ({ udf1: name }),
  retrieve: (id) => statusOf(id),
  idOf,
  act: (id) => control.pay(id, 'declined'),
  events: ['checkout.transaction.attempt.failed', 'checkout.order.failed'],
});

describe('INTERNAL_SERVER_ERROR', () => {
  test.each([
    ['status-500-done', 500, 1],
    ['status-500-undone', 500, 0],
    ['code-500-done', 200, 1],
    ['code-500-undone', 200, 0],
  ] as const)('%s: HTTP %i with the code, %i orders', async (kind, status, count) => {
    await control.fault({ operation: 'orders.create', kind });
    expect(await call('POST', '/checkout/v2/pay', wanted())).toMatchObject({
      status,
      body: { code: 'INTERNAL_SERVER_ERROR' },
    });
    expect((await control.ledger()).orders).toHaveLength(count);
  });

  test('A refund can be made behind it, and its status tells', async () => {
    await open();
    await control.pay('bkg_1_1', 'ok');
    await control.fault({ operation: 'refunds.create', kind: 'code-500-done' });
    expect((await refund('ref_1')).body.state).toBeUndefined();
    await until(async () => (await refundStatus('ref_1')).body.state === 'COMPLETED');
  });
});

describe('tokens', () => {
  test('The token’s own call can fail, and is neither limited nor in need of a token', async () => {
    await control.fault({ operation: 'oauth.token', kind: 'status-500-undone' });
    expect((await askToken()).status).toBe(500);
    await control.rateLimit(1);
    const statuses = await Promise.all(Array.from({ length: 4 }, () => askToken()));
    expect(statuses.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  test('Every request for one is in the ledger', async () => {
    const asked = (await control.ledger()).requests.filter(({ operation }) => operation === 'oauth.token');
    expect(asked).toHaveLength(1);
  });
});

describe('forgery and logins', () => {
  test('A forged body travels under the right header, and changes nothing at PhonePe', async () => {
    await open();
    const body = {
      event: 'checkout.order.completed',
      type: 'CHECKOUT_ORDER_COMPLETED',
      payload: { merchantOrderId: 'bkg_1_1', state: 'COMPLETED', amount: 25_000 },
    };
    expect(await control.forge(body)).toBe(200);
    expect(receiver.heard[0]).toMatchObject({ body, headers: { authorization: constant } });
    expect((await statusOf()).body.state).toBe('PENDING');
    expect((await control.ledger()).events).toEqual([]);
    await control.setWebhookUrl('');
    expect(await control.forge(body)).toBeNull();
  });

  test('A new login makes a new constant', async () => {
    await control.setWebhookLogin({ username: 'other_user', password: 'otherPassword1' });
    await open();
    await control.pay('bkg_1_1', 'ok');
    await until(() => receiver.heard.length === 1);
    const { authorization } = receiver.heard[0]?.headers ?? {};
    expect(authorization).toMatch(/^[0-9a-f]{64}$/);
    expect(authorization).not.toBe(constant);
  });
});

describe('the end of an order', () => {
  test('An expired order is FAILED and told, its try with it', async () => {
    await open();
    await control.pay('bkg_1_1', 'processing');
    await control.expireOrder('bkg_1_1');
    expect((await statusOf()).body).toMatchObject({ state: 'FAILED', paymentDetails: [{ state: 'FAILED' }] });
    await until(() => receiver.of('checkout.order.failed').length === 1);
    await expect(control.expireOrder('bkg_1_1')).rejects.toThrow('FAILED');
    await expect(control.pay('bkg_1_1', 'ok')).rejects.toThrow('FAILED');
  });

  test('Money can land on an order that is over', async () => {
    await open();
    await expect(control.payClosed('bkg_1_1')).rejects.toThrow('PENDING');
    await control.expireOrder('bkg_1_1');
    await control.payClosed('bkg_1_1');
    const { body } = await statusOf();
    expect([body.state, body.errorCode]).toEqual(['COMPLETED', undefined]);
    await until(() => receiver.of('checkout.order.completed').length === 1);
  });

  test('An order ends by its own clock, unless it is paid', async () => {
    const brief = await startPhonepeSandbox({ ...options, expirySecondMs: 1 });
    try {
      const form = new URLSearchParams(client);
      const answer = await fetch(`${brief.url}/apis/pg-sandbox/v1/oauth/token`, {
        method: 'POST',
        body: form,
      });
      const { access_token: token } = (await answer.json()) as { access_token: string };
      for (const merchantOrderId of ['left', 'paid'])
        await fetch(`${brief.url}/apis/pg-sandbox/checkout/v2/pay`, {
          method: 'POST',
          headers: { authorization: `O-Bearer ${token}`, 'Content-Type': 'application/json' },
          body: JSON.stringify(wanted({ merchantOrderId, expireAfter: 300 })),
        });
      await brief.pay('paid', 'ok');
      const states = async () => (await brief.ledger()).orders.map(({ status }) => status);
      expect(await states()).toEqual(['PENDING', 'COMPLETED']);
      await until(async () => (await states())[0] === 'FAILED');
      expect(await states()).toEqual(['FAILED', 'COMPLETED']);
    } finally {
      await brief.close();
    }
  });
});
