/** Support's way in: money found by any id a gateway gave it. */
import { slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';

let api: ApiUnderTest;
let olga: string;
let bookingId: string;

const settle = (booking: string, ref: string, charge: string, name: string, amount = 2500) =>
  api.db.raw('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
    ...[booking, 'stripe', ref, charge, amount, 'EUR'],
    ...[`pay_${name}`, `ref_${name}`, [`BK-${name.toUpperCase().padStart(10, '0')}`]],
  ]);
const hear = (eventId: string, type: string, ref: string, heardAt: string, gateway = 'stripe') =>
  api.db('gateway_events').insert({ gateway, event_id: eventId, type, gateway_ref: ref, heard_at: heardAt });
const find = async (gatewayRef: string): Promise<Json[]> => {
  const query = new URLSearchParams({ gatewayRef }).toString();
  const { status, body } = await api.call('GET', `/v1/payments?${query}`, { token: olga });
  expect([gatewayRef, status, Object.keys(body)]).toEqual([gatewayRef, 200, ['items']]);
  return body.items;
};

beforeAll(async () => {
  api = await startApi();
  olga = await api.token('olga', 'ops');
  const doctor = await api.token('doctor', 'catalog');
  const offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot({ capacity: 1 }) }))
    .body;
  bookingId = await writeAttempt(api.db, offering);
  await settle(bookingId, 'pi_first', 'ch_first', 'first');
  // The customer paid twice, on another payment object: that money goes back.
  await settle(bookingId, 'pi_second', 'ch_second', 'second');
});
afterAll(() => api.stop());

describe('a payment', () => {
  it('is found with its booking, and without what nobody heard or gave back', async () => {
    expect(await find('pi_first')).toEqual([
      {
        id: 'pay_first',
        gateway: 'stripe',
        gatewayRef: 'pi_first',
        gatewayPaymentId: 'ch_first',
        amountMinor: 2500,
        currency: 'EUR',
        status: 'captured',
        disposition: 'booked',
        bookingId,
        refunds: [],
        heard: [],
        cases: [],
      },
    ]);
  });

  it('is found by its object, its charge or its refund, with all that happened to it', async () => {
    await api
      .db('refunds')
      .where({ id: 'ref_second' })
      .update({
        ...{ status: 'failed', go: 2, gateway_refund_id: 're_second' },
        ...{ created_at: '2026-01-02T03:04:05.678Z', settled_at: '2026-01-02T04:00:00Z' },
      });
    for (const [id, resolved] of [
      ['cas_old', { resolved_at: new Date(), resolution: 'retry-refund', resolved_by: 'olga' }],
      ['cas_new', {}],
    ] as const) {
      await api.db('cases').insert({
        ...{
          id,
          workflow_id: `case/${id}`,
          payment_id: 'pay_second',
          refund_id: 'ref_second',
          booking_id: bookingId,
        },
        ...{ kind: 'refund-failed', amount_minor: 2500, currency: 'EUR', detail: 'Look.', ...resolved },
      });
    }
    await hear('evt_2', 'refund.failed', 'pi_second', '2026-01-02T03:05:00Z');
    await hear('evt_1', 'payment_intent.succeeded', 'pi_second', '2026-01-02T03:04:00Z');
    await hear('evt_3', 'payment_intent.succeeded', 'pi_first', '2026-01-02T03:04:00Z');
    // The same words at another gateway are another payment's.
    await hear('evt_4', 'payment.captured', 'pi_second', '2026-01-02T03:04:00Z', 'razorpay');
    const found = await find('pi_second');
    expect(found).toMatchObject([
      {
        id: 'pay_second',
        disposition: 'returned',
        refunds: [
          {
            ...{ id: 'ref_second', amountMinor: 2500, status: 'failed', reason: 'second-payment', go: 2 },
            gatewayRefundId: 're_second',
            createdAt: '2026-01-02T03:04:05.678Z',
            settledAt: '2026-01-02T04:00:00.000Z',
          },
        ],
        heard: [
          { eventId: 'evt_1', type: 'payment_intent.succeeded', at: '2026-01-02T03:04:00.000Z' },
          { eventId: 'evt_2', type: 'refund.failed', at: '2026-01-02T03:05:00.000Z' },
        ],
        cases: ['cas_old', 'cas_new'],
      },
    ]);
    expect(await find('ch_second')).toEqual(found);
    expect(await find('re_second')).toEqual(found);
    expect(await find('  re_second ')).toEqual(found);
  });

  it('that matches no attempt is found without a booking, and one of each gateway where ids are equal', async () => {
    for (const gateway of ['stripe', 'razorpay']) {
      await api.db('payments').insert({
        ...{
          id: `pay_${gateway}`,
          gateway,
          gateway_ref: 'shared',
          gateway_payment_id: 'one',
          amount_minor: 700,
        },
        ...{ currency: 'JPY', status: 'captured', disposition: 'unmatched' },
        recorded_at: new Date(Date.now() + (gateway === 'stripe' ? 0 : 1000)),
      });
    }
    const found = await find('shared');
    expect(found.map((one) => [one.gateway, one.disposition, 'bookingId' in one])).toEqual([
      ['stripe', 'unmatched', false],
      ['razorpay', 'unmatched', false],
    ]);
    expect(await find('one')).toEqual(found);
  });

  it('that was never captured is none: an unknown id, an open try, part of an id', async () => {
    const open = await api.db('payment_tries').where({ booking_id: bookingId }).first<Json>('gateway_ref');
    for (const ref of ['pi_nowhere', open.gateway_ref, 'pi_firs', '%', 'PI_FIRST', 'x'.repeat(255)]) {
      expect(await find(String(ref))).toEqual([]);
    }
  });

  it.each([
    '',
    'gatewayRef=',
    'gatewayRef=%20',
    `gatewayRef=${'x'.repeat(256)}`,
    'gatewayRef=a&gatewayRef=b',
    'ref=pi_first',
  ])('is 400 for ?%s', async (query) => {
    const { status, body } = await api.call('GET', `/v1/payments?${query}`, { token: olga });
    expect([status, body.type]).toEqual([400, '/problems/invalid-request']);
    expect(body.errors.map((one: Json) => one.pointer)).toContain('/gatewayRef');
  });

  it('is for operators, whoever paid', async () => {
    const path = '/v1/payments?gatewayRef=pi_first';
    expect((await api.call('GET', path)).status).toBe(401);
    for (const scope of ['bookings', 'catalog', '']) {
      expect((await api.call('GET', path, { token: await api.token('ada', scope) })).status).toBe(403);
    }
  });

  it('is 503 while the database is away', async () => {
    const nowhere = 'postgres://nobody@127.0.0.1:1/none';
    const away = await startApi({ databaseUrl: nowhere, readonlyUrl: nowhere });
    try {
      expect((await away.call('GET', '/v1/payments?gatewayRef=pi_first', { token: olga })).status).toBe(503);
    } finally {
      await away.stop();
    }
  });
});
