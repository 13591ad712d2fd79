/** Analytics against a second count: a made-up day is told, written as rows, and counted from the telling. */
import {
  balance,
  count,
  seeded,
  tellDay,
  write,
  writePayment,
  type Money,
  type Story,
} from './analytics-setup';
import { startApi, type ApiUnderTest, type Json } from './api-setup';

const midnight = new Date('2024-11-20T00:00:00.000Z');
const at = (offsetMs: number): string => new Date(midnight.getTime() + offsetMs).toISOString();
const dayMs = 86_400_000;
const wholeDay = `from=${at(0)}&to=${at(dayMs)}`;
const money = (answer: Json) => answer.body.items.map((item: Json) => item);

let api: ApiUnderTest;
let olga: string;

async function start(): Promise<void> {
  api = await startApi();
  olga = await api.token('olga', 'ops');
}
const payments = (query = '') => api.call('GET', `/v1/analytics/payments?${query}`, { token: olga });
const whereMoneyIs = () => api.call('GET', '/v1/analytics/money', { token: olga });

describe('analytics of a day', () => {
  const day = tellDay(midnight, 240, seeded(45));
  beforeAll(async () => {
    await start();
    await write(api.db, day);
  });
  afterAll(() => api.stop());

  const within = (from: number, to: number): Story[] =>
    day.filter(
      (one) =>
        one.startedAt.getTime() >= midnight.getTime() + from &&
        one.startedAt.getTime() < midnight.getTime() + to,
    );

  it('count attempts, failures, retries, refunds and times as a second count does', async () => {
    const { status, body } = await payments(wholeDay);
    expect([status, body]).toEqual([200, count(day)]);
    // The day has something of everything, or nothing would be shown.
    expect(body.failures.map((one: Json) => one.type)).toEqual(
      expect.arrayContaining([
        'payment-declined',
        'payment-canceled',
        'slot-unavailable',
        'insufficient-funds',
      ]),
    );
    expect(body.refunds.length).toBeGreaterThan(5);
    expect([body.abandoned, body.retries, body.confirmed].every((n: number) => n > 10)).toBe(true);
  });

  it('count any part of it, and parts that touch count nothing twice', async () => {
    const random = seeded(46);
    let [attempts, failures, from] = [0, 0, 0];
    while (from < dayMs) {
      const to = Math.min(dayMs, from + 1 + Math.floor(random() * dayMs * 0.3));
      const { body } = await payments(`from=${at(from)}&to=${at(to)}`);
      expect(body).toEqual(count(within(from, to)));
      attempts += body.attempts;
      failures += body.failures.reduce((sum: number, one: Json) => sum + one.count, 0);
      from = to;
    }
    expect(attempts).toBe(day.length);
    expect(failures).toBe(count(day).failures.reduce((sum, one) => sum + one.count, 0));
  });

  it('count groups by gateway, which add up', async () => {
    const { body } = await payments(`${wholeDay}&groupBy=gateway`);
    const methods = ['none', 'razorpay', 'stripe', 'wallet'];
    expect(body).toEqual({
      groups: methods.map((key) => ({ key, ...count(day.filter((one) => (one.method ?? 'none') === key)) })),
    });
    for (const number of ['attempts', 'confirmed', 'abandoned', 'retries'] as const) {
      const sum = body.groups.reduce((total: number, group: Json) => total + group[number], 0);
      expect([number, sum]).toEqual([number, count(day)[number]]);
    }
  });

  it('count groups by kind, a cart of both in each', async () => {
    const { body } = await payments(`${wholeDay}&groupBy=kind`);
    const kinds = ['consultation', 'slot'] as const;
    expect(body).toEqual({
      groups: kinds.map((key) => ({ key, ...count(day.filter((one) => one.kinds.includes(key))) })),
    });
    const both = day.filter((one) => new Set(one.kinds).size === 2).length;
    expect(both).toBeGreaterThan(10);
    expect(body.groups[0].attempts + body.groups[1].attempts).toBe(day.length + both);
  });

  it('say where the money is, by currency', async () => {
    const answer = await whereMoneyIs();
    expect([answer.status, money(answer)]).toEqual([200, [balance(day, 'EUR'), balance(day, 'JPY')]]);
    for (const one of money(answer)) {
      expect(one.keptMinor + one.returnedMinor + one.onItsWayMinor + one.openCasesMinor).toBe(
        one.capturedMinor,
      );
    }
  });
});

describe('analytics at the edges', () => {
  beforeAll(start);
  afterAll(() => api.stop());
  const story = (startedAt: Date, more: Partial<Story> = {}): Story => ({
    ...{
      startedAt,
      method: 'stripe',
      kinds: ['slot'],
      currency: 'EUR',
      failures: [],
      end: 'expired',
      payments: [],
    },
    ...more,
  });

  it('are zeros and empty lists in an empty database', async () => {
    expect((await payments()).body).toEqual(count([]));
    expect(count([]).successRate).toBeNull();
    expect((await payments('groupBy=kind')).body).toEqual({ groups: [] });
    expect((await payments('groupBy=gateway')).body).toEqual({ groups: [] });
    expect((await whereMoneyIs()).body).toEqual({ items: [] });
  });

  it('count what starts at `from`, and no more what starts at `to`', async () => {
    await write(api.db, [story(midnight)]);
    const attempts = async (from: number, to: number) =>
      (await payments(`from=${at(from)}&to=${at(to)}`)).body.attempts;
    expect(await attempts(0, 1)).toBe(1);
    expect(await attempts(-1, 1)).toBe(1);
    expect(await attempts(-1, 0)).toBe(0);
    expect(await attempts(1, 2)).toBe(0);
    // Rows are finer than milliseconds.
    await api.db('attempts').update({ started_at: api.db.raw("started_at - interval '1 microsecond'") });
    expect(await attempts(0, 1)).toBe(0);
    expect(await attempts(-1, 0)).toBe(1);
    // The same instant, told from another zone.
    const zoned = `from=${encodeURIComponent('2024-11-20T00:59:59.999+01:00')}&to=${at(0)}`;
    expect((await payments(zoned)).body.attempts).toBe(1);
  });

  it('count the last 30 days when not told otherwise, up to this moment', async () => {
    const ago = (days: number) => story(new Date(Date.now() - days * dayMs));
    await write(api.db, [ago(0), ago(29.9), ago(30.1), ago(100), ago(365)]);
    expect((await payments()).body.attempts).toBe(2);
    expect((await payments(`from=${ago(200).startedAt.toISOString()}`)).body.attempts).toBe(4);
    expect((await payments(`to=${ago(50).startedAt.toISOString()}`)).body.attempts).toBe(0);
    expect((await payments(`to=${ago(99).startedAt.toISOString()}`)).body.attempts).toBe(1);
    expect((await payments(`from=${ago(365.9).startedAt.toISOString()}`)).body.attempts).toBe(5);
  });

  it('keep a failure that a later try made good, and tell a start refused before its quote apart', async () => {
    const now = new Date(Date.now() - 60 * dayMs);
    const range = `from=${new Date(now.getTime() - 1).toISOString()}&to=${new Date(now.getTime() + 1).toISOString()}`;
    const declined = { type: 'payment-declined', retry: true } as const;
    await write(api.db, [
      story(now, { end: 'confirmed', failures: [declined, { ...declined, retry: false }] }),
      story(now, { end: 'failed', refusal: 'not-found', kinds: [], method: null }),
    ]);
    const { body } = await payments(`${range}&groupBy=kind`);
    expect(body.groups).toMatchObject([
      { key: 'none', attempts: 1, failures: [{ type: 'not-found', count: 1 }] },
      { key: 'slot', confirmed: 1, retries: 1, failures: [{ type: 'payment-declined', count: 2 }] },
    ]);
    // Reading the same decline again, or writing the same failure again, is not another one.
    const [row] = await api.db('payment_tries').whereNotNull('failure_ref').select<Json[]>('*');
    await api
      .db('payment_tries')
      .where({ booking_id: row.booking_id })
      .update({ failure_ref: row.failure_ref });
    await api.db('attempts').update({ failure: api.db.raw('failure') });
    expect((await payments(`${range}&groupBy=kind`)).body).toEqual(body);
  });

  it.each([
    ['from=yesterday', '/from'],
    ['from=2026-11-20', '/from'],
    ['to=2026-13-01T00:00:00Z', '/to'],
    ['from=1999-12-31T23:59:59Z', '/from'],
    [`from=${at(0)}&to=${at(0)}`, '/from'],
    [`from=${at(1)}&to=${at(0)}`, '/from'],
    [`from=2199-01-01T00:00:00Z`, '/from'],
    [`from=${at(-366 * dayMs - 1)}&to=${at(0)}`, '/from'],
    [`from=${at(0)}&from=${at(1)}`, '/from'],
    ['groupBy=method', '/groupBy'],
    ['groupBy=', '/groupBy'],
    ['currency=EUR', '/currency'],
  ])('refuse ?%s', async (query, pointer) => {
    const { status, body } = await payments(query);
    expect([status, body.type, body.errors?.[0]?.pointer]).toEqual([
      400,
      '/problems/invalid-request',
      pointer,
    ]);
  });

  it('take a year with its leap day, and a range in the future', async () => {
    expect((await payments(`from=${at(-366 * dayMs)}&to=${at(0)}`)).status).toBe(200);
    expect((await payments('from=2198-01-01T00:00:00Z&to=2198-02-01T00:00:00Z')).body).toEqual(count([]));
  });

  it('put disputed money in a case until the bank has decided', async () => {
    const kept: Money = { amountMinor: 900, disposition: 'booked', refunds: [], openCase: false };
    const [attempt] = await api.db('attempts').select<Json[]>('booking_id');
    const about = { bookingId: attempt.booking_id, gateway: 'stripe', currency: 'CHF' };
    const paymentId = await writePayment(api.db, kept, about);
    const inChf = async () => money(await whereMoneyIs()).find((one: Json) => one.currency === 'CHF');
    expect(await inChf()).toMatchObject({ keptMinor: 900, openCasesMinor: 0, imbalanceMinor: 0 });
    await api.db('cases').insert({
      ...{ id: 'cas_dispute', workflow_id: 'case/cas_dispute', payment_id: paymentId, kind: 'dispute' },
      ...{ amount_minor: 900, currency: 'CHF', detail: 'Look.' },
    });
    expect(await inChf()).toMatchObject({ keptMinor: 0, openCasesMinor: 900, imbalanceMinor: 0 });
  });

  it('show money that is nowhere, in the answer and in the gauge, and never set one fault off against another', async () => {
    const stray: Money = { amountMinor: 700, disposition: 'unmatched', refunds: [], openCase: true };
    const about = { bookingId: null, gateway: 'stripe', currency: 'USD' };
    const first = await writePayment(api.db, stray, about);
    const inUsd = async () => money(await whereMoneyIs()).find((one: Json) => one.currency === 'USD');
    expect(await inUsd()).toMatchObject({ capturedMinor: 700, openCasesMinor: 700, imbalanceMinor: 0 });
    // A bank that holds the same money is a second case, and no second money.
    await api.db('cases').insert({
      ...{ id: 'cas_held', workflow_id: 'case/cas_held', payment_id: first, kind: 'dispute' },
      ...{ amount_minor: 700, currency: 'USD', detail: 'Look.' },
    });
    expect(await inUsd()).toMatchObject({ openCasesMinor: 700, imbalanceMinor: 0 });
    // A case resolved without a word of where the money went: planted, no code does it.
    await api
      .db('cases')
      .where({ payment_id: first })
      .update({ resolved_at: new Date(), resolution: 'mark-settled' });
    expect(await inUsd()).toMatchObject({ capturedMinor: 700, openCasesMinor: 0, imbalanceMinor: 700 });
    const refund = { amountMinor: 300, status: 'succeeded', reason: 'external' } as const;
    await writePayment(api.db, { ...stray, amountMinor: 300, refunds: [refund] }, about);
    expect(await inUsd()).toMatchObject({ capturedMinor: 1000, returnedMinor: 300, imbalanceMinor: 1000 });
    expect((await api.call('GET', '/metrics')).body).toContain('money_imbalance_minor{currency="USD"} 1000');
  });
});

describe('analytics', () => {
  beforeAll(start);
  afterAll(() => api.stop());

  it('are for operators', async () => {
    for (const path of ['/v1/analytics/payments', '/v1/analytics/money']) {
      expect((await api.call('GET', path)).status).toBe(401);
      for (const scope of ['bookings', 'catalog', 'bookings catalog', '']) {
        const { status, body } = await api.call('GET', path, { token: await api.token('ada', scope) });
        expect([path, scope, status, body.type]).toEqual([path, scope, 403, '/problems/forbidden']);
      }
      expect((await api.call('GET', path, { token: olga })).status).toBe(200);
    }
  });

  it('are 503 while the database is away', async () => {
    const nowhere = 'postgres://nobody@127.0.0.1:1/none';
    const away = await startApi({ databaseUrl: nowhere, readonlyUrl: nowhere });
    try {
      for (const path of [
        '/v1/analytics/payments',
        '/v1/analytics/payments?groupBy=kind',
        '/v1/analytics/money',
      ]) {
        const { status, body } = await away.call('GET', path, { token: olga });
        expect([path, status, body.type]).toEqual([path, 503, '/problems/unavailable']);
      }
    } finally {
      await away.stop();
    }
  });
});
