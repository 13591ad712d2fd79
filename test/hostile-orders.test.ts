/** What was found by trying to lose money at gateways whose orders cannot be closed and may take several payments. */
import { createHash, createHmac } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { reconcileWorkflowId } from '../src/workflows/messages';
import { atPhonepe, phonepeLogin, type AtPhonepe } from './at-phonepe';
import { atRazorpay, type AtRazorpay } from './at-razorpay';
import { lookedBeside, outcomeOf, priceMinor } from './book-setup';
import { expectBalance, startInRupees, type Started } from './hostile-setup';
import { refundRows, restOf } from './reversals-setup';
import { rowsOf } from './row-snapshots';
import { eventually, startWorld, type Json, type World } from './world';

let razorpay: AtRazorpay;
let phonepe: AtPhonepe;
let world: World;
beforeAll(async () => {
  [razorpay, phonepe] = await Promise.all([atRazorpay(), atPhonepe()]);
  world = await startWorld({ gateways: [razorpay, phonepe], standing: false });
});
afterEach(() => expectBalance(world));
afterAll(() => world.stop());

const start = (method: 'razorpay' | 'phonepe'): Promise<Started> => startInRupees(world, method);

/** A booking whose order was paid twice; the second payment went back. */
async function paidTwice(): Promise<Started & { first: string; second: string }> {
  const started = await start('razorpay');
  const { shopper, booking, ref } = started;
  const { id: first } = await razorpay.sandbox.pay(ref, 'ok');
  await shopper.until(booking.id, 'confirmed');
  await outcomeOf(world, booking.id);
  const { id: second } = await razorpay.sandbox.pay(ref, 'ok', { again: 'captured' });
  await eventually('its refund', async () =>
    (await refundRows(world, booking.id)).some(([, status]) => status === 'succeeded'),
  );
  await atRest(ref);
  return { ...started, first, second };
}

const atRest = (ref: string): Promise<void> => restOf(world, reconcileWorkflowId('razorpay', ref));
const casesOf = (id: string): Promise<Json[]> =>
  world
    .db('cases')
    .where({ booking_id: id })
    .orderBy('opened_at')
    .select('kind', 'amount_minor', 'payment_id');
const paymentOf = (charge: string): Promise<Json> =>
  world.db('payments').where({ gateway_payment_id: charge }).first();

describe('an order that was paid twice', () => {
  test('a refund made by hand is set against the payment it was made of, and no other', async () => {
    const { booking, ref, first, shopper } = await paidTwice();
    await razorpay.sandbox.refundByHand(first, { amount: 300 });
    await shopper.until(booking.id, 'needs_attention');
    await atRest(ref);
    expect(await refundRows(world, booking.id)).toEqual([
      ['external', 'succeeded', 300],
      ['second-payment', 'succeeded', priceMinor],
    ]);
    const { id } = await paymentOf(first);
    expect(await casesOf(booking.id)).toEqual([
      { kind: 'external-refund', amount_minor: 300, payment_id: id },
    ]);
  });

  test('an operator’s ring takes the refund of the second for no loss of the first', async () => {
    const { booking, ref, shopper } = await paidTwice();
    await world.temporal.workflow.signalWithStart('reconcile', {
      workflowId: reconcileWorkflowId('razorpay', ref),
      taskQueue: world.taskQueue,
      args: [{ gateway: 'razorpay', ref, bookingId: null }],
      signal: 'doorbell',
      signalArgs: [],
    });
    await lookedBeside(world, 'razorpay', ref);
    expect((await shopper.read(booking.id)).body.status).toBe('confirmed');
    expect(await refundRows(world, booking.id)).toEqual([['second-payment', 'succeeded', priceMinor]]);
    expect(await casesOf(booking.id)).toEqual([]);
  });

  test('a dispute of the one that was given back leaves the booking alone', async () => {
    const { booking, ref, second, shopper } = await paidTwice();
    const { id } = await razorpay.sandbox.dispute(second);
    await eventually('the event', async () => razorpay.toldOf(ref));
    await atRest(ref);
    await razorpay.sandbox.closeDispute(id, 'lost');
    await eventually('the event', async () => razorpay.toldOf(ref));
    await atRest(ref);
    expect((await shopper.read(booking.id)).body.status).toBe('confirmed');
    expect(await refundRows(world, booking.id)).toEqual([['second-payment', 'succeeded', priceMinor]]);
  });

  test('of different amounts differs in nothing from the gateway, on whatever day it is compared', async () => {
    const { booking, ref, shopper } = await start('razorpay');
    const { id: first } = await razorpay.sandbox.pay(ref, 'ok');
    await shopper.until(booking.id, 'confirmed');
    await outcomeOf(world, booking.id);
    await razorpay.silence(booking.id);
    const { id: second } = await razorpay.sandbox.pay(ref, 'ok', { again: 'captured' });
    await razorpay.sandbox.recapture(second, { amount: priceMinor + 100 });
    await razorpay.clearFaults();
    expect(await razorpay.copiesOfPaid(ref, 1)).toEqual([200]);
    await eventually('its refund', async () => (await razorpay.ledgerOf(booking.id)).refunds === 1);
    await atRest(ref);
    expect((await paymentOf(second)).amount_minor).toBe(priceMinor + 100);
    // Captured on a later day than begun: then the list of the day has it not, and it is read by itself.
    await world
      .db('payments')
      .whereIn('gateway_payment_id', [first, second])
      .update({ recorded_at: '2026-03-01T12:00:00Z' });
    await world.temporal.workflow.execute('compare', {
      workflowId: `compare-${String(booking.id)}`,
      taskQueue: world.taskQueue,
      args: [{ from: '2026-03-01T00:00:00Z', to: '2026-03-02T00:00:00Z' }],
    });
    expect(await casesOf(booking.id)).toEqual([]);
  });

  test('in the name of an attempt that nobody made is a case for each payment', async () => {
    const bookingId = `bkg_${'0'.repeat(24)}`;
    const planted = await razorpay.sandbox.plantPayment({ amount: 900, metadata: { bookingId } });
    const order = String(planted.order);
    const { id } = await razorpay.sandbox.pay(order, 'ok', { again: 'captured' });
    await lookedBeside(world, 'razorpay', order);
    const rows = await world.db('payments').where({ gateway_ref: order }).orderBy('gateway_payment_id');
    expect(rows.map((row) => [row.gateway_payment_id, row.disposition])).toEqual(
      [planted.payment, id].toSorted().map((charge) => [charge, 'unmatched']),
    );
    const cases = await world.db('cases').whereIn(
      'payment_id',
      rows.map((row) => row.id as string),
    );
    expect(cases.map((row) => [row.kind, row.amount_minor])).toEqual(
      rows.map(() => ['unmatched-payment', 900]),
    );
  });
});

test('a dispute that nobody told us of is found by the daily comparison, and so is its loss', async () => {
  const { booking, ref, shopper } = await start('razorpay');
  await razorpay.sandbox.pay(ref, 'ok');
  await shopper.until(booking.id, 'confirmed');
  await outcomeOf(world, booking.id);
  await razorpay.silence(booking.id);
  const { id } = await razorpay.sandbox.dispute(ref);
  const compareNow = (name: string): Promise<unknown> =>
    world.temporal.workflow.execute('compare', {
      workflowId: `compare-${name}-${String(booking.id)}`,
      taskQueue: world.taskQueue,
      args: [
        {
          from: new Date(Date.now() - 60_000).toISOString(),
          to: new Date(Date.now() + 60_000).toISOString(),
        },
      ],
    });
  await compareNow('open');
  await shopper.until(booking.id, 'needs_attention');
  expect(await casesOf(booking.id)).toMatchObject([{ kind: 'dispute', amount_minor: priceMinor }]);
  await razorpay.sandbox.closeDispute(id, 'lost');
  await compareNow('lost');
  await shopper.until(booking.id, 'refunded');
  expect(await refundRows(world, booking.id)).toEqual([['external', 'succeeded', priceMinor]]);
  await razorpay.clearFaults();
});

describe('a webhook of an odd shape, under the right signature', () => {
  // What the tests before have set off comes to its end first: no row changes for a second.
  beforeAll(() =>
    eventually('rest', async () => {
      const before = await rowsOf(world.db);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      return isDeepStrictEqual(await rowsOf(world.db), before);
    }),
  );

  async function post(
    method: 'razorpay' | 'phonepe',
    raw: string | Buffer,
    eventId = 'evt_1',
  ): Promise<number> {
    const login = `${phonepeLogin.username}:${phonepeLogin.password}`;
    const headers: Record<string, string> =
      method === 'phonepe'
        ? { authorization: createHash('sha256').update(login).digest('hex') }
        : {
            'x-razorpay-event-id': eventId,
            'x-razorpay-signature': createHmac('sha256', 'a webhook secret for tests')
              .update(raw)
              .digest('hex'),
          };
    const body = typeof raw === 'string' ? raw : new Uint8Array(raw);
    return (await fetch(`${world.api}/webhooks/${method}`, { method: 'POST', headers, body })).status;
  }

  const refund = (id: unknown) => ({
    event: 'pg.refund.completed',
    payload: { originalMerchantOrderId: id },
  });
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;

  test.each<['razorpay' | 'phonepe', string, string | Buffer, number]>([
    ...(['razorpay', 'phonepe'] as const).flatMap(
      (method): ['razorpay' | 'phonepe', string, string | Buffer, number][] => [
        [method, 'nothing', '', 400],
        [method, 'no JSON', '{', 400],
        [method, 'a list', '[]', 400],
        [method, 'null', 'null', 400],
        [method, 'a text', '"x"', 400],
        [method, 'no UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 400],
        [method, 'lists within lists', deep, 400],
        [method, 'a mebibyte', ' '.repeat(1024 * 1024), 413],
        [method, 'a payload that is a list', '{"event":"payment.captured","payload":[]}', 200],
        [
          method,
          'a prototype',
          '{"event":"order.paid","__proto__":{"event":"x"},"payload":{"__proto__":{"order":1}}}',
          200,
        ],
      ],
    ),
    ['razorpay', 'an event that is a number', '{"event":5}', 400],
    [
      'razorpay',
      'ids of other kinds',
      '{"event":"order.paid","payload":{"order":{"entity":{"id":5,"notes":{}}}}}',
      200,
    ],
    [
      'razorpay',
      'an id that no workflow could bear',
      JSON.stringify({
        event: 'order.paid',
        payload: { order: { entity: { id: '../../x\u0000', notes: [] } } },
      }),
      200,
    ],
    [
      'razorpay',
      'notes that are no texts',
      '{"event":"order.paid","payload":{"order":{"entity":{"id":"a b","notes":{"bookingId":{"toString":1}}}}}}',
      200,
    ],
    ['phonepe', 'an id that is a number', JSON.stringify(refund(5)), 200],
    ['phonepe', 'an id that is a list', JSON.stringify(refund([`bkg_${'0'.repeat(24)}_1`])), 200],
    ['phonepe', 'an id that is huge', JSON.stringify(refund('x'.repeat(200_000))), 200],
    ['phonepe', 'an id with a line after it', JSON.stringify(refund(`bkg_${'0'.repeat(24)}_1\n`)), 200],
    [
      'phonepe',
      'the id of a refund',
      JSON.stringify({ event: 'x', payload: { merchantOrderId: `ref_${'0'.repeat(24)}_1_1` } }),
      200,
    ],
    [
      'phonepe',
      'the same key twice',
      `{"event":"x","payload":{"merchantOrderId":"a","merchantOrderId":"b"}}`,
      200,
    ],
  ])('%s: %s', async (method, _, raw, status) => {
    const before = await rowsOf(world.db);
    expect(await post(method, raw)).toBe(status);
    expect(await rowsOf(world.db)).toEqual(before);
  });

  test('an event’s id with another body rings all the same', async () => {
    const { booking, ref, shopper } = await start('razorpay');
    await razorpay.silence(booking.id);
    const body = (event: string) =>
      JSON.stringify({
        event,
        payload: { order: { entity: { id: ref, notes: { bookingId: booking.id } } } },
      });
    expect(await post('razorpay', body('payment.failed'), 'evt_same')).toBe(200);
    await razorpay.sandbox.pay(ref, 'ok');
    expect(await post('razorpay', body('order.paid'), 'evt_same')).toBe(200);
    await shopper.until(booking.id, 'confirmed');
    await razorpay.clearFaults();
  });

  test('an order of one booking told in the name of another books the one that was paid', async () => {
    const [one, other] = [await start('razorpay'), await start('razorpay')];
    await razorpay.silence(one.booking.id);
    await razorpay.sandbox.pay(one.ref, 'ok', { notes: { bookingId: String(other.booking.id) } });
    const payload = {
      payment: { entity: { order_id: one.ref, captured: true, notes: { bookingId: other.booking.id } } },
    };
    expect(await post('razorpay', JSON.stringify({ event: 'payment.captured', payload }), 'evt_mixed')).toBe(
      200,
    );
    await one.shopper.until(one.booking.id, 'confirmed');
    expect((await other.shopper.read(other.booking.id)).body.status).toBe('awaiting_payment');
    await razorpay.clearFaults();
  });
});
