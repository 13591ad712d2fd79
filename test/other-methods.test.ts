/** Another way to pay for the same attempt, and payment objects that cannot be closed, on the activities. */
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { endActivities } from '../src/activities/end';
import { openActivities } from '../src/activities/open';
import { retryActivities } from '../src/activities/retry';
import { settleActivities } from '../src/activities/settle';
import type { Charge } from '../src/gateways/gateway';
import { freshDatabase, type FreshDatabase } from './database';
import { addSlot, nextId } from './settling-setup';
import { atTills, oneRound, till, type Till } from './till-gateways';
import { balanceOf, fillWallets } from './ways-setup';

const price = 700;
const threeDays = 3 * 86_400;

let database: FreshDatabase;
let db: Knex;
let card: Till;
/** Cannot be closed. */
let order: Till;
let deps: Dependencies;
let rings: string[];
let slot: string;

beforeEach(async () => {
  database = await freshDatabase(4);
  db = database.db;
  card = till('card');
  order = till('order', { closes: false, lateForSeconds: threeDays, lookSchedule: [20, 50] });
  ({ deps, rings } = atTills(db, [card, order]));
  slot = await addSlot(db, 5);
});
afterEach(() => database.close());

async function start(method: string): Promise<string> {
  const bookingId = nextId('bkg_');
  await openActivities(deps).open({
    bookingId,
    customerId: 'ada',
    requestHash: 'hash',
    requestId: 'request',
    request: {
      items: [{ offeringId: slot, seats: 1 }],
      payment: { method },
      customer: { name: 'Ada', email: 'ada@example.org' },
    },
  });
  return bookingId;
}

const refOf = (method: string, id: string, n = 1) => `${method}_${id}_${n}`;
const charge = (chargeRef: string): Charge => ({
  chargeRef,
  total: { amountMinor: price, currency: 'USD' },
});
function paid(at: Till, ref: string, ...others: string[]): void {
  at.says.set(ref, { status: 'paid', ...charge(`ch_${ref}`), others: others.map(charge) });
}
function declined(at: Till, ref: string, payable = true): void {
  at.says.set(ref, { status: 'failed', payable, failureRef: `no_${ref}`, detail: 'Declined.' });
}
const settle = (id: string) => settleActivities(deps).settle(id, []);
const retry = (id: string, method?: string) => retryActivities(deps).retry(id, method);
const end = (id: string) => endActivities(deps).end(id, 'expired', []);
const tries = (id: string) =>
  db('payment_tries')
    .where({ booking_id: id })
    .orderBy('try')
    .select('try', 'gateway', 'status', db.raw('next_look_at IS NOT NULL AS watched'));
const attempt = (id: string) => db('attempts').where({ booking_id: id }).first();
const refunds = (id: string) =>
  db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where({ booking_id: id })
    .orderBy('gateway_payment_id')
    .select('gateway_payment_id', 'reason', 'refunds.amount_minor');

describe('a retry that names another way to pay', () => {
  test('closes the old object first, opens the new one and starts the window anew', async () => {
    const id = await start('card');
    declined(card, refOf('card', id));
    await settle(id);
    await db('attempts')
      .where({ booking_id: id })
      .update({ expires_at: db.raw("now() + interval '1 second'") });
    expect(await retry(id, 'order')).toMatchObject({
      status: 'awaiting_payment',
      windowMs: expect.any(Number),
    });
    expect(await tries(id)).toEqual([
      { try: 1, gateway: 'card', status: 'closed', watched: false },
      { try: 2, gateway: 'order', status: 'open', watched: true },
    ]);
    const now = await attempt(id);
    expect(now).toMatchObject({ method: 'order', tries: 2, failure: null });
    expect(now.expires_at.getTime()).toBeGreaterThan(Date.now() + 800_000);
    expect(card.asked.at(-1)).toBe(`close ${refOf('card', id)}`);
  });

  test('needs no failure: the customer changed their mind', async () => {
    const id = await start('card');
    await retry(id, 'order');
    expect(await tries(id)).toMatchObject([{ status: 'closed' }, { gateway: 'order', status: 'open' }]);
  });

  test('finds the old object paid: that settles, and no new one is opened', async () => {
    const id = await start('card');
    paid(card, refOf('card', id));
    expect(await retry(id, 'order')).toMatchObject({ status: 'confirmed' });
    expect(order.asked).toEqual([]);
    expect(await attempt(id)).toMatchObject({ method: 'card', tries: 1 });
  });

  test('finds the old object processing: not now', async () => {
    const id = await start('card');
    card.says.set(refOf('card', id), { status: 'processing' });
    expect(await retry(id, 'order')).toEqual({ refused: 'not-retryable' });
    expect(await attempt(id)).toMatchObject({ method: 'card', status: 'processing' });
  });

  test('cannot close the old object: both stay watched, the first money books, the second goes back', async () => {
    const id = await start('order');
    await retry(id, 'card');
    expect(await tries(id)).toEqual([
      { try: 1, gateway: 'order', status: 'open', watched: true },
      { try: 2, gateway: 'card', status: 'open', watched: true },
    ]);
    paid(order, refOf('order', id));
    paid(card, refOf('card', id, 2));
    expect(await settle(id)).toMatchObject({ status: 'confirmed' });
    expect(await refunds(id)).toEqual([
      { gateway_payment_id: `ch_${refOf('card', id, 2)}`, reason: 'second-payment', amount_minor: price },
    ]);
  });

  test('closes the new object when the old one has been paid: nobody should pay twice', async () => {
    const id = await start('order');
    await retry(id, 'card');
    paid(order, refOf('order', id));
    expect(await settle(id)).toMatchObject({ status: 'confirmed' });
    expect(card.asked).toContain(`close ${refOf('card', id, 2)}`);
    expect(await tries(id)).toEqual([
      { try: 1, gateway: 'order', status: 'paid', watched: false },
      { try: 2, gateway: 'card', status: 'closed', watched: false },
    ]);
  });

  test('leaves the new object watched when it cannot be closed now, and gives back what comes by it', async () => {
    const id = await start('order');
    await retry(id, 'card');
    paid(order, refOf('order', id));
    card.down = true;
    expect(await settle(id)).toMatchObject({ status: 'confirmed' });
    card.down = false;
    paid(card, refOf('card', id, 2));
    await settle(id);
    expect(await refunds(id)).toMatchObject([{ reason: 'second-payment' }]);
  });

  test('bad news of the old object does not fail the new one', async () => {
    const id = await start('order');
    await retry(id, 'card');
    declined(order, refOf('order', id));
    const before = (await attempt(id)).version;
    expect(await settle(id)).toMatchObject({ status: 'awaiting_payment', version: before });
    expect(await attempt(id)).toMatchObject({ failure: null });
  });

  test('replaces a try whose gateway never answered, without asking it', async () => {
    card.down = true;
    const opening = start('card');
    await expect(opening).rejects.toMatchObject({ type: 'gateway-unavailable' });
    const { booking_id: id } = await db('attempts').first();
    expect(await retry(id, 'order')).toMatchObject({ status: 'awaiting_payment' });
    expect(await tries(id)).toMatchObject([{ status: 'closed' }, { gateway: 'order', status: 'open' }]);
  });

  test('goes on where it was cut off, whatever was done', async () => {
    const id = await start('card');
    order.down = true;
    await expect(retry(id, 'order')).rejects.toMatchObject({ type: 'gateway-unavailable' });
    order.down = false;
    await retry(id, 'order');
    await retry(id, 'order');
    expect(await tries(id)).toMatchObject([{ status: 'closed' }, { gateway: 'order', status: 'open' }]);
    expect(await attempt(id)).toMatchObject({ tries: 2 });
  });

  test('is refused at the limit, and the old object stays payable', async () => {
    const id = await start('card');
    await db('attempts').where({ booking_id: id }).update({ tries: 5 });
    expect(await retry(id, 'order')).toEqual({ refused: 'retry-limit' });
    expect(card.asked.filter((call) => call.startsWith('close'))).toEqual([]);
  });

  test('pays from the wallet: booked at once, the old object closed', async () => {
    await fillWallets(db, ['ada'], 1_000);
    const id = await start('card');
    declined(card, refOf('card', id));
    await settle(id);
    expect(await retry(id, 'wallet')).toMatchObject({ status: 'confirmed' });
    expect(await balanceOf(db, 'ada')).toBe(300);
    expect(await attempt(id)).toMatchObject({ method: 'wallet', tries: 2, failure: null });
    expect(await tries(id)).toMatchObject([
      { gateway: 'card', status: 'closed' },
      { try: 2, gateway: 'wallet', status: 'paid' },
    ]);
  });

  test('pays from the wallet once, and a second run for the same wish is told so', async () => {
    await fillWallets(db, ['ada'], 2_000);
    const id = await start('card');
    expect(await retry(id, 'wallet')).toMatchObject({ status: 'confirmed', method: 'wallet' });
    const { version } = await attempt(id);
    expect(await retry(id, 'wallet')).toMatchObject({ status: 'confirmed', version });
    expect(await balanceOf(db, 'ada')).toBe(1_300);
  });

  test('is refused for want of funds, and the old object stays payable', async () => {
    await fillWallets(db, ['ada'], 699);
    const id = await start('card');
    expect(await retry(id, 'wallet')).toEqual({ refused: 'insufficient-funds' });
    expect(await attempt(id)).toMatchObject({ method: 'card', status: 'awaiting_payment', tries: 1 });
    expect(await tries(id)).toMatchObject([{ status: 'open' }]);
    expect(await balanceOf(db, 'ada')).toBe(699);
  });
});

describe('an object that failed for good', () => {
  test('is closed, and a retry opens another at the same gateway', async () => {
    const id = await start('order');
    declined(order, refOf('order', id), false);
    expect(await settle(id)).toMatchObject({ status: 'awaiting_payment', failure: 'payment-declined' });
    await retry(id);
    expect(await tries(id)).toEqual([
      { try: 1, gateway: 'order', status: 'closed', watched: false },
      { try: 2, gateway: 'order', status: 'open', watched: true },
    ]);
  });
});

describe('a gateway that does not answer', () => {
  test('holds nothing up that another try has decided', async () => {
    const id = await start('order');
    await retry(id, 'card');
    order.down = true;
    paid(card, refOf('card', id, 2));
    expect(await settle(id)).toMatchObject({ status: 'confirmed' });
    expect(await tries(id)).toMatchObject([{ status: 'open', watched: true }, { status: 'paid' }]);
  });

  test('and is asked by keys that were taken away holds up no money either', async () => {
    const id = await start('order');
    await retry(id, 'card');
    paid(card, refOf('card', id, 2));
    (deps.gateways as Map<string, unknown>).delete('order');
    expect(await settle(id)).toMatchObject({ status: 'confirmed' });
  });

  test('without keys and with nothing decided is waited for', async () => {
    const id = await start('order');
    await retry(id, 'card');
    (deps.gateways as Map<string, unknown>).delete('order');
    for (const wait of [() => settle(id), () => end(id)])
      await expect(wait()).rejects.toMatchObject({ type: 'gateway-unavailable' });
    expect(await attempt(id)).toMatchObject({ status: 'awaiting_payment' });
  });

  test('at the window’s end holds up no money of another try', async () => {
    const id = await start('order');
    await retry(id, 'card');
    order.down = true;
    paid(card, refOf('card', id, 2));
    expect(await end(id)).toMatchObject({ status: 'confirmed' });
    expect(await tries(id)).toMatchObject([{ status: 'open', watched: true }, { status: 'paid' }]);
  });

  test('leaves the attempt open at the window’s end, until it answers', async () => {
    const id = await start('order');
    await retry(id, 'card');
    order.down = true;
    await expect(end(id)).rejects.toMatchObject({ type: 'gateway-unavailable' });
    expect(await attempt(id)).toMatchObject({ status: 'awaiting_payment' });
    order.down = false;
    expect(await end(id)).toMatchObject({ status: 'expired' });
  });

  test('and was processing is processing still', async () => {
    const id = await start('order');
    await retry(id, 'card');
    order.says.set(refOf('order', id), { status: 'processing' });
    await settle(id);
    order.down = true;
    await expect(settle(id)).rejects.toMatchObject({ type: 'gateway-unavailable' });
    expect(await attempt(id)).toMatchObject({ status: 'processing' });
  });

  test('is asked again while nothing is decided', async () => {
    const id = await start('order');
    await retry(id, 'card');
    order.down = true;
    await expect(settle(id)).rejects.toMatchObject({ type: 'gateway-unavailable' });
  });
});

describe('an order that cannot be closed', () => {
  test('is left open when the window ends; late money is found by the watch, less and less often', async () => {
    const id = await start('order');
    expect(await end(id)).toMatchObject({ status: 'expired' });
    expect(await tries(id)).toEqual([{ try: 1, gateway: 'order', status: 'open', watched: true }]);
    const gaps: number[] = [];
    for (const hours of [0, 1, 2, 8, 71]) {
      await age(id, hours);
      await oneRound(deps);
      const row = await db('payment_tries')
        .where({ booking_id: id })
        .first(db.raw('extract(epoch FROM next_look_at - now())::float8 AS gap'));
      gaps.push(Math.round(row.gap));
    }
    // A quarter of the time since the end; at least the schedule's last gap, at most an hour.
    expect(gaps).toEqual([30, 900, 1800, 3600, 3600]);
    expect(rings).toEqual([]);
    await age(id, 72);
    await oneRound(deps);
    expect(await tries(id)).toMatchObject([{ watched: false }]);
  });

  test('and is paid after the end rings for it', async () => {
    const id = await start('order');
    await end(id);
    await age(id, 1);
    paid(order, refOf('order', id));
    await oneRound(deps);
    expect(rings).toEqual([`booking/${id}`]);
  });

  test('is let go once the gateway says that nothing can come', async () => {
    const id = await start('order');
    await end(id);
    await age(id, 1);
    declined(order, refOf('order', id), false);
    await oneRound(deps);
    expect(await tries(id)).toEqual([{ try: 1, gateway: 'order', status: 'closed', watched: false }]);
    expect(rings).toEqual([]);
  });

  test('that was paid twice gives the second payment back, once', async () => {
    const id = await start('order');
    paid(order, refOf('order', id), 'ch_again');
    await settle(id);
    await settle(id);
    expect(await attempt(id)).toMatchObject({ status: 'confirmed' });
    expect(await refunds(id)).toEqual([
      { gateway_payment_id: 'ch_again', reason: 'second-payment', amount_minor: price },
    ]);
  });

  /** As if the attempt had ended that long ago, and a look were due now. */
  async function age(id: string, hours: number): Promise<void> {
    const then = db.raw('now() - make_interval(secs => ?)', [hours * 3600]);
    await db('attempts').where({ booking_id: id }).update({ ended_at: then });
    await db('payment_tries')
      .where({ booking_id: id })
      .update({ next_look_at: db.fn.now(), watch_until: then });
  }
});

describe('the payment watch', () => {
  test('a gateway that is down rests, and delays only its own', async () => {
    const [ids, others] = [[await start('card'), await start('card')], [await start('order')]];
    await db('payment_tries').update({ next_look_at: db.fn.now() });
    card.down = true;
    card.asked.length = 0;
    order.asked.length = 0;
    await oneRound(deps);
    expect(card.asked.length).toBe(ids.length);
    expect(order.asked.length).toBe(others.length);
  });
});
