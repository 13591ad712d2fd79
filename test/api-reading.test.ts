import { slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';
import { openDatabase } from '../src/database';

describe('on a role that may only read', () => {
  let api: ApiUnderTest;
  let publisher: ApiUnderTest;
  let offering: Json;
  let bookingId: string;
  let cartId: string;

  beforeAll(async () => {
    publisher = await startApi();
    const doctor = await publisher.token('doctor', 'catalog');
    offering = (await publisher.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
    bookingId = await writeAttempt(publisher.db, offering);
    await publisher.call('PUT', '/v1/provider', {
      token: doctor,
      body: { displayName: 'Dr', email: 'dr@example.org' },
    });
    cartId = (await publisher.call('POST', '/v1/carts', { token: await publisher.token('ada') })).body.id;
    // The main role is not even there: whatever passes here passes by reading alone.
    api = await startApi({
      databaseUrl: 'postgres://nobody@127.0.0.1:1/none',
      readonlyUrl: publisher.database.readonlyUrl,
    });
  });
  afterAll(async () => {
    await api.stop();
    await publisher.stop();
  });

  it('status, waiting, lists, availability, carts, wallets, cases, payments, analytics, readiness and metrics pass', async () => {
    const ada = await api.token('ada');
    const operator = await api.token('olga', 'ops');
    const doctor = await api.token('doctor', 'catalog');
    for (const [path, token, status] of [
      [`/v1/bookings/${bookingId}`, ada, 200],
      [`/v1/bookings/${bookingId}?wait=1&after=1`, ada, 304],
      ['/v1/bookings', ada, 200],
      ['/v1/bookings?status=open', operator, 200],
      ['/v1/offerings?available=true', undefined, 200],
      [`/v1/offerings/${offering.id}`, undefined, 200],
      ['/v1/cases?status=all', operator, 200],
      ['/v1/payments?gatewayRef=pi_none', operator, 200],
      ['/v1/analytics/payments', operator, 200],
      ['/v1/analytics/payments?groupBy=kind', operator, 200],
      ['/v1/analytics/money', operator, 200],
      [`/v1/carts/${cartId}`, ada, 200],
      ['/v1/wallet', ada, 200],
      ['/v1/provider', doctor, 200],
      ['/v1/provider/bookings', doctor, 200],
      [`/v1/offerings/${offering.id}/bookings`, doctor, 200],
      ['/readyz', undefined, 200],
      ['/metrics', undefined, 200],
    ] as const) {
      expect([path, (await api.call('GET', path, { token })).status]).toEqual([path, status]);
    }
  });

  it('nothing can be written (control)', async () => {
    const reader = openDatabase(publisher.database.readonlyUrl, { poolMax: 1, name: 'test-control' });
    try {
      await expect(reader('offerings').update({ title: 'x' })).rejects.toThrow('permission denied');
      await expect(reader('attempts').del()).rejects.toThrow('permission denied');
      await expect(reader('cart_items').del()).rejects.toThrow('permission denied');
    } finally {
      await reader.destroy();
    }
    const doctor = await api.token('doctor', 'catalog');
    expect((await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).status).toBe(503);
  });
});
