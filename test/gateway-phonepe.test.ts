/** What is PhonePe's own: its token, its two layouts, its orders' time, and states that say nothing. */
import type { Gateway } from '../src/gateways/gateway';
import { phonepeGateway } from '../src/gateways/phonepe';
import { scripted, type Asked, type Said, type Scripted } from './gateway-scripted';

const bookingId = `bkg_${'0'.repeat(24)}`;
const ref = `${bookingId}_1`;
const wanted = {
  bookingId,
  try: 1,
  keyNumber: 1,
  total: { amountMinor: 2500, currency: 'INR' },
  payWithinSeconds: 900,
};
const toRefund = {
  refundId: `ref_${'1'.repeat(24)}`,
  bookingId,
  go: 1,
  keyNumber: 1,
  ref,
  chargeRef: 'OMO1',
  amountMinor: 2500,
  refundRef: null,
};

let server: Scripted;
/** Says of every path but the token's. */
let say: (asked: Asked) => Said | undefined;
let sayToken: () => Said;
let issued: number;
const now = (): number => Math.floor(Date.now() / 1000);
const pending = { body: { orderId: 'OMO1', state: 'PENDING', amount: 2500 } };

const gatewayAt = (apiBase: string): Gateway =>
  phonepeGateway({
    clientId: 'client',
    clientVersion: '3',
    clientSecret: 'secret-of-client',
    webhookLogins: [{ username: 'hooks', password: 'password1' }],
    apiBase,
  });
let gateway: Gateway;

beforeEach(async () => {
  issued = 0;
  sayToken = () => ({
    body: {
      access_token: `token-${++issued}`,
      issued_at: now(),
      expires_at: now() + 3600,
      token_type: 'O-Bearer',
    },
  });
  say = () => pending;
  server = await scripted((asked) => (asked.path.endsWith('/v1/oauth/token') ? sayToken() : say(asked)));
  gateway = gatewayAt(`${server.origin}/apis/pg-sandbox`);
});
afterEach(async () => {
  jest.restoreAllMocks();
  await server.close();
});

const tokenCalls = (): Asked[] => server.asked.filter(({ path }) => path.endsWith('/v1/oauth/token'));
const bearers = (): (string | undefined)[] =>
  server.asked.filter(({ path }) => !path.endsWith('/token')).map(({ headers }) => headers.authorization);
/** Lets time pass for the adapter, without waiting. */
const later = (seconds: number): void => {
  const at = Date.now() + seconds * 1000;
  jest.spyOn(Date, 'now').mockReturnValue(at);
};

describe('the token', () => {
  test('is asked for once, as a form, and carried by every call', async () => {
    await gateway.read(ref);
    await gateway.read(ref);
    expect(tokenCalls()).toHaveLength(1);
    expect(tokenCalls()[0]?.headers['content-type']).toMatch('application/x-www-form-urlencoded');
    expect(tokenCalls()[0]?.body).toEqual({
      client_id: 'client',
      client_version: '3',
      client_secret: 'secret-of-client',
      grant_type: 'client_credentials',
    });
    expect(bearers()).toEqual(['O-Bearer token-1', 'O-Bearer token-1']);
  });

  test('is asked for by one request, however many calls wait for it', async () => {
    const { body } = sayToken();
    sayToken = () => ({ body, afterMs: 50 });
    await Promise.all(Array.from({ length: 20 }, () => gateway.read(ref)));
    expect(tokenCalls()).toHaveLength(1);
  });

  test('is renewed behind the calls from half of its life on', async () => {
    await gateway.read(ref);
    later(1790);
    await gateway.read(ref);
    expect(tokenCalls()).toHaveLength(1);
    later(20);
    await Promise.all([gateway.read(ref), gateway.read(ref)]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(tokenCalls()).toHaveLength(2);
    await gateway.read(ref);
    expect(bearers().at(-1)).toBe('O-Bearer token-2');
  });

  test('serves to its end when it cannot be renewed, and not beyond', async () => {
    await gateway.read(ref);
    sayToken = () => ({ status: 503, body: {} });
    later(3500);
    expect(await gateway.read(ref)).toMatchObject({ status: 'unpaid' });
    later(200);
    expect(await gateway.read(ref)).toEqual({ status: 'unknown', reason: 'token: HTTP 503' });
  });

  test('lives as long as PhonePe says, whatever our clock', async () => {
    const wrong = now() - 7200;
    sayToken = () => ({ body: { access_token: 'early', issued_at: wrong, expires_at: wrong + 3600 } });
    await gateway.read(ref);
    await gateway.read(ref);
    expect(tokenCalls()).toHaveLength(1);
  });

  test('that is turned down is replaced, and the call is made once more and no more', async () => {
    await gateway.read(ref);
    say = ({ headers }) =>
      headers.authorization === 'O-Bearer token-1'
        ? { status: 401, body: { code: 'UNAUTHORIZED' } }
        : pending;
    expect(await gateway.read(ref)).toMatchObject({ status: 'unpaid' });
    expect(bearers()).toEqual(['O-Bearer token-1', 'O-Bearer token-1', 'O-Bearer token-2']);
    say = () => ({ status: 401, body: { code: 'UNAUTHORIZED' } });
    expect(await gateway.read(ref)).toEqual({ status: 'unknown', reason: 'HTTP 401' });
    expect(bearers()).toHaveLength(5);
  });

  test('that many calls find turned down is replaced once', async () => {
    await gateway.read(ref);
    say = ({ headers }) =>
      headers.authorization === 'O-Bearer token-1'
        ? { status: 401, body: { code: 'UNAUTHORIZED' } }
        : pending;
    const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.read(ref)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 'unpaid'));
    expect(tokenCalls()).toHaveLength(2);
  });

  test('that a client is refused is unknown, for an operator to mend', async () => {
    sayToken = () => ({ status: 400, body: { code: 'OIM000', message: 'Bad client secret-of-client' } });
    expect(await gateway.open(wanted)).toEqual({ status: 'unknown', reason: 'token: OIM000' });
    expect(await gateway.refund(toRefund)).toEqual({ status: 'unknown', reason: 'token: OIM000' });
  });
});

describe('the address', () => {
  test.each([
    ['/apis', '/apis/identity-manager/v1/oauth/token', '/apis/pg/checkout/v2/order'],
    ['/apis/pg-sandbox', '/apis/pg-sandbox/v1/oauth/token', '/apis/pg-sandbox/checkout/v2/order'],
  ])('%s leads to %s and %s', async (base, token, order) => {
    await gatewayAt(`${server.origin}${base}`).read(ref);
    expect(server.asked.map(({ path }) => path)).toEqual([token, `${order}/${ref}/status`]);
    expect(server.asked[1]?.query.get('details')).toBe('false');
  });
});

describe('an order', () => {
  const made = { body: { orderId: 'OMO1', state: 'PENDING', redirectUrl: 'https://pay.example.test/x' } };
  const paySent = (): Asked | undefined => server.asked.findLast(({ path }) => path.endsWith('/pay'));

  test('carries our id, our number and the way back', async () => {
    say = () => made;
    const returnUrl = 'https://shop.example.test/back';
    expect(await gateway.open({ ...wanted, returnUrl })).toEqual({
      status: 'opened',
      ref,
      howToPay: { checkoutUrl: 'https://pay.example.test/x' },
    });
    expect(paySent()?.body).toEqual({
      merchantOrderId: ref,
      amount: 2500,
      expireAfter: 900,
      metaInfo: { udf1: bookingId, udf2: '1' },
      paymentFlow: { type: 'PG_CHECKOUT', merchantUrls: { redirectUrl: returnUrl } },
    });
  });

  test('has the key number in its id from the second on', async () => {
    say = () => made;
    await gateway.open({ ...wanted, try: 2, keyNumber: 3 });
    expect(paySent()?.body['merchantOrderId']).toBe(`${bookingId}_2_3`);
  });

  test.each([
    [5, 300],
    [299.5, 300],
    [301.2, 302],
    [3600, 3600],
    [86_400, 3600],
  ])('that may be paid for %d s expires after %d', async (payWithinSeconds, expireAfter) => {
    say = () => made;
    await gateway.open({ ...wanted, payWithinSeconds });
    expect(paySent()?.body['expireAfter']).toBe(expireAfter);
  });

  test('that stands already and has lost its page asks for the next key', async () => {
    say = ({ method }) =>
      method === 'POST' ? { status: 400, body: { code: 'BAD_REQUEST', message: 'Duplicate' } } : pending;
    expect(await gateway.open(wanted)).toEqual({
      status: 'refused',
      replayed: true,
      reason: 'BAD_REQUEST: Duplicate',
    });
    say = () => ({ body: { orderId: 'OMO1', state: 'PENDING' } });
    expect(await gateway.open(wanted)).toMatchObject({ status: 'refused', replayed: true });
  });

  test('is unknown while PhonePe is in trouble, whatever it says', async () => {
    say = ({ method }) =>
      method === 'POST'
        ? { status: 503, body: { code: 'UNAVAILABLE' } }
        : { status: 404, body: { code: 'ORDER_NOT_FOUND' } };
    expect(await gateway.open(wanted)).toEqual({ status: 'unknown', reason: 'HTTP 503' });
    expect(await gateway.refund(toRefund)).toEqual({ status: 'unknown', reason: 'HTTP 503' });
  });

  test('is not opened by a failure that comes as 200', async () => {
    say = () => ({
      body: { code: 'INTERNAL_SERVER_ERROR', message: 'Something went wrong', success: false },
    });
    expect(await gateway.open(wanted)).toMatchObject({ status: 'unknown' });
    expect(await gateway.refund(toRefund)).toMatchObject({ status: 'unknown' });
  });

  test('that is refused and does not stand is refused for good; without a word on that it is unknown', async () => {
    let order: Said = { status: 404, body: { code: 'ORDER_NOT_FOUND' } };
    say = ({ method }) => (method === 'POST' ? { status: 400, body: { code: 'BAD_REQUEST' } } : order);
    expect(await gateway.open(wanted)).toEqual({ status: 'refused', replayed: false, reason: 'BAD_REQUEST' });
    order = { status: 500, body: {} };
    expect(await gateway.open(wanted)).toMatchObject({ status: 'unknown' });
  });

  test.each([
    [
      'COMPLETED',
      { status: 'paid', chargeRef: 'OMO1', total: { amountMinor: 2500, currency: 'INR' }, bookingId },
    ],
    ['PENDING', { status: 'unpaid', bookingId }],
    ['CREATED', { status: 'unpaid', bookingId }],
    [
      'FAILED',
      {
        status: 'failed',
        payable: false,
        failureRef: ref,
        code: 'TIMED_OUT',
        detail: expect.any(String) as string,
        bookingId,
      },
    ],
    ['INTERNAL_SERVER_ERROR', { status: 'unknown', reason: 'INTERNAL_SERVER_ERROR' }],
    ['REVERSED', { status: 'unknown', reason: 'a state that is not known' }],
  ])('in root state %s is read as such, whatever its payments say', async (state, expected) => {
    const paymentDetails = [{ state: state === 'COMPLETED' ? 'FAILED' : 'COMPLETED', amount: 2500 }];
    const errorCode = state === 'FAILED' ? 'TIMED_OUT' : undefined;
    say = () => ({ body: { orderId: 'OMO1', state, amount: 2500, errorCode, paymentDetails, news: 1 } });
    expect(await gateway.read(ref)).toEqual(expected);
  });

  test.each([
    ['no amount', { orderId: 'OMO1', state: 'COMPLETED' }],
    ['no id', { state: 'COMPLETED', amount: 2500 }],
    ['half a paisa', { orderId: 'OMO1', state: 'COMPLETED', amount: 2500.5 }],
    ['no state', { orderId: 'OMO1', amount: 2500 }],
  ])('with %s is not believed to be paid', async (_, body) => {
    say = () => ({ body });
    expect(await gateway.read(ref)).toMatchObject({ status: 'unknown' });
  });

  test.each([
    [404, { code: 'ORDER_NOT_FOUND' }, 'missing'],
    [400, { code: 'ORDER_NOT_FOUND' }, 'missing'],
    [400, { code: 'BAD_REQUEST', message: 'No entry found for the order' }, 'missing'],
    [400, { code: 'BAD_REQUEST', message: 'Please check the inputs' }, 'unknown'],
    [400, { success: false, code: 'INTERNAL_SERVER_ERROR', message: 'not found' }, 'unknown'],
    [500, { code: 'INTERNAL_SERVER_ERROR' }, 'unknown'],
    [403, { code: 'FORBIDDEN' }, 'unknown'],
    [404, { oops: 1 }, 'unknown'],
    [404, { code: 'NOT_FOUND', message: 'Api Mapping Not Found' }, 'unknown'],
    [200, { code: 'INTERNAL_SERVER_ERROR', success: false }, 'unknown'],
  ])('answered %d %j is %s', async (status, body, expected) => {
    say = () => ({ status, body });
    expect(await gateway.read(ref)).toMatchObject({ status: expected });
  });
});

describe('a refund', () => {
  const refundSent = (): Asked | undefined =>
    server.asked.findLast(({ method, path }) => method === 'POST' && path.endsWith('/refund'));

  test('names its order and has an id for each go, of at most 63 characters', async () => {
    say = () => ({ body: { refundId: 'OMR1', amount: 2500, state: 'PENDING' } });
    expect(await gateway.refund({ ...toRefund, go: 12 })).toEqual({ status: 'pending', refundRef: 'OMR1' });
    const { merchantRefundId } = refundSent()?.body ?? {};
    expect(refundSent()?.body).toEqual({ merchantRefundId, originalMerchantOrderId: ref, amount: 2500 });
    expect(merchantRefundId).toMatch(/^ref_1+_12_1$/);
    await gateway.readRefund({ ...toRefund, go: 12, refundRef: 'OMR1' });
    expect(server.asked.at(-1)?.path).toMatch(`/payments/v2/refund/${String(merchantRefundId)}/status`);
  });

  test.each([
    ['PENDING', 'pending'],
    ['CONFIRMED', 'pending'],
    ['COMPLETED', 'succeeded'],
    ['FAILED', 'failed'],
    ['INTERNAL_SERVER_ERROR', 'unknown'],
    ['ELSE', 'unknown'],
  ])('in state %s is %s', async (state, expected) => {
    say = () => ({ body: { refundId: 'OMR1', state, errorCode: 'WHY' } });
    expect(await gateway.readRefund(toRefund)).toMatchObject({ status: expected });
    expect(await gateway.refund(toRefund)).toMatchObject({ status: expected });
  });

  test('that is refused because it stands already is found', async () => {
    say = ({ method }) =>
      method === 'POST'
        ? { status: 400, body: { code: 'BAD_REQUEST', message: 'Duplicate refund' } }
        : { body: { refundId: 'OMR1', state: 'COMPLETED' } };
    expect(await gateway.refund(toRefund)).toEqual({ status: 'succeeded', refundRef: 'OMR1' });
  });
});

test('The look schedule is the published one', () => {
  const looks = gateway.capabilities.lookSchedule;
  expect(looks[0]).toBeGreaterThanOrEqual(20);
  expect(looks[0]).toBeLessThanOrEqual(25);
  const gaps = looks.slice(1).map((look, n) => look - (looks[n] ?? 0));
  const times = (n: number, gap: number): number[] => Array.from({ length: n }, () => gap);
  expect(gaps).toEqual([...times(10, 3), ...times(10, 6), ...times(6, 10), ...times(2, 30), 60]);
});
