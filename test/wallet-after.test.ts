/** What can still happen to a wallet's payment: money that goes back, wishes that come too late, another currency. */
import { ring } from '../src/doorbell';
import { reconcileWorkflowId } from '../src/workflows/messages';
import { expectOneEnd, mailsArrive, outcomeOf, priceMinor, publish, seatsFree, Shopper } from './book-setup';
import { expectBooksToBalance } from './refunds-setup';
import { balanceOf, credit, movementsOf } from './wallet-setup';
import { eventually, startWorld, withoutTicket, type Answer, type Json, type World } from './world';

let world: World;
let ada: Shopper;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  ada = new Shopper(world);
});
afterEach(() => expectBooksToBalance(world));

const problemOf = ({ status, body }: Answer) => [status, body.type];

/** A booking that ada paid from a wallet of 100.00, and its payment. */
async function bookedAndPaid(): Promise<{ booking: Json; payment: Json; slot: string }> {
  const slot = await publish(world);
  await credit(world, ada, 10_000);
  const booking = await ada.start(slot, undefined, 'wallet');
  await outcomeOf(world, booking.id);
  return {
    booking,
    slot,
    payment: await world.db('payments').where({ booking_id: booking.id }).first<Json>(),
  };
}

/** Owes a part of a payment, as what cancels a booking does in its transaction; nobody has been told to send it. */
async function owe(payment: Json, amountMinor: number, reason = 'late-payment'): Promise<string> {
  const id = `ref_${reason}_${String(payment.id)}`;
  await world.db('refunds').insert({
    id,
    payment_id: payment.id,
    amount_minor: amountMinor,
    status: 'unsent',
    reason,
    next_look_at: world.db.raw("now() - interval '1 second'"),
  });
  return id;
}

const refundRow = (id: string) => world.db('refunds').where({ id }).first<Json>();

/** Waits until a refund is done and whoever did it has ended. */
async function refunded(id: string, payment: Json): Promise<void> {
  await eventually('the refund', async () => (await refundRow(id)).status === 'succeeded');
  const workflowId = reconcileWorkflowId('wallet', String(payment.gateway_ref));
  await world.temporal.workflow.getHandle(workflowId).result();
}

/** Rings for the payment object as the payment watch does. */
const ringFor = (payment: Json) =>
  ring(
    world.temporal,
    world.taskQueue,
    { bookingId: payment.booking_id, gateway: 'wallet', ref: payment.gateway_ref },
    { by: 'watch', gateway: 'wallet', ref: payment.gateway_ref, at: new Date().toISOString() },
  );

test.each([
  ['all of it', priceMinor],
  ['a part of it', 1000],
])(
  'a refund of a wallet’s payment, %s, is credited once, whoever rings and however often',
  async (_, amountMinor) => {
    const { booking, payment } = await bookedAndPaid();
    const id = await owe(payment, amountMinor);
    // The payment watch finds it by itself; others ring at the same time.
    await Promise.all(Array.from({ length: 10 }, () => ringFor(payment)));
    await refunded(id, payment);
    const after = [`refund ${amountMinor}`, `payment ${-priceMinor}`, 'credit 10000'];
    expect(await movementsOf(ada)).toEqual(after);
    expect(await balanceOf(ada)).toBe(10_000 - priceMinor + amountMinor);
    expect(await refundRow(id)).toMatchObject({ next_look_at: null, settled_at: expect.any(Date) });
    // Looked at again, by a late ring or by mistake, it stays one.
    await world
      .db('refunds')
      .where({ id })
      .update({ next_look_at: world.db.raw('now()') });
    expect(await ringFor(payment)).toBe('reconcile');
    await refunded(id, payment);
    expect(await movementsOf(ada)).toEqual(after);
    expect((await ada.read(booking.id)).body).toMatchObject({
      status: 'confirmed',
      refund: { status: 'succeeded', amountMinor },
    });
    const mails = await mailsArrive(world, ada.email, 2);
    expect(mails).toContain(`Your payment of €${(amountMinor / 100).toFixed(2)} has been given back`);
    const metrics = await (await fetch(`${world.api}/metrics`)).text();
    expect(metrics).toContain('money_imbalance_minor{currency="EUR"} 0');
  },
);

test('the payment watch alone brings a refund that nobody sent', async () => {
  const { payment } = await bookedAndPaid();
  const id = await owe(payment, priceMinor);
  await refunded(id, payment);
  expect(await balanceOf(ada)).toBe(10_000);
});

test('two refunds of one payment are two credits; a third that exceeds it cannot be owed', async () => {
  const { payment } = await bookedAndPaid();
  const ids = [await owe(payment, 1000), await owe(payment, priceMinor - 1000, 'second-payment')];
  await expect(owe(payment, 1, 'external')).rejects.toMatchObject({ constraint: 'payments_refunds_within' });
  for (const id of ids) await refunded(id, payment);
  expect((await movementsOf(ada)).sort()).toEqual(
    ['credit 10000', `payment ${-priceMinor}`, 'refund 1000', `refund ${priceMinor - 1000}`].sort(),
  );
});

test('what went back can be spent again', async () => {
  const { payment, slot } = await bookedAndPaid();
  await refunded(await owe(payment, priceMinor), payment);
  const next = await ada.start(
    [{ offeringId: await publish(world, { capacity: 4 }), seats: 4 }],
    'next',
    'wallet',
  );
  expect(next.status).toBe('confirmed');
  expect(await balanceOf(ada)).toBe(0);
  // The seat is the booking's until somebody frees it: money alone moves no seat.
  expect(await seatsFree(world, slot)).toBe(0);
});

test('a confirmed wallet booking is returned to and retried in vain; canceled, it is credited once', async () => {
  const { booking } = await bookedAndPaid();
  const row = () => world.db('attempts').where({ booking_id: booking.id }).first<Json>();
  const before = await row();
  const wishes = async () => ({
    back: await ada.comeBack(booking.id),
    retry: problemOf(await ada.retry(booking.id)),
  });
  const all = await Promise.all([wishes(), wishes(), wishes()]);
  for (const { back, retry } of all) {
    expect([back.status, withoutTicket(back.body)]).toEqual([202, withoutTicket(booking)]);
    expect(retry).toEqual([410, '/problems/attempt-over']);
  }
  expect(await row()).toEqual(before);
  expect(await movementsOf(ada)).toEqual([`payment ${-priceMinor}`, 'credit 10000']);
  expect(await expectOneEnd(world, booking.id)).toBe('confirmed');

  const canceled = await Promise.all([1, 2, 3].map(() => ada.cancel(booking.id)));
  expect(canceled.map(({ status }) => status)).toEqual([200, 200, 200]);
  await ada.until(booking.id, 'refunded');
  expect(await movementsOf(ada)).toEqual([`refund ${priceMinor}`, `payment ${-priceMinor}`, 'credit 10000']);
});

test('the mails of a canceled wallet booking say that the money is in the wallet, not at a bank', async () => {
  const { booking } = await bookedAndPaid();
  await ada.cancel(booking.id);
  const texts = await eventually('three mails', async () => {
    const mails = (await world.mail.messages()).filter((mail) => mail.to.includes(ada.email));
    return mails.length === 3 && mails.map(({ text }) => text).join('\n');
  });
  expect(texts).toContain('€25.00 go back to your wallet.');
  expect(texts).toContain('because you canceled the booking. It is in your wallet now.');
  expect(texts).not.toMatch(/bank|on their way/);
});

test('a wallet attempt that was refused is over: it is neither retried nor canceled', async () => {
  const slot = await publish(world);
  expect((await ada.book(slot, 'poor', 'wallet')).status).toBe(402);
  const id = ada.bookingId('poor');
  await credit(world, ada, 10_000);
  expect(problemOf(await ada.retry(id))).toEqual([410, '/problems/attempt-over']);
  expect(problemOf(await ada.cancel(id))).toEqual([410, '/problems/attempt-over']);
  expect(await ada.comeBack(id)).toMatchObject({ status: 202, body: { status: 'failed' } });
  expect(await movementsOf(ada)).toEqual(['credit 10000']);
  expect(await seatsFree(world, slot)).toBe(1);
});

test('a wallet pays only in its own currency', async () => {
  const abroad = await publish(world, { price: { amountMinor: 100, currency: 'USD' } });
  await credit(world, ada, 10_000);
  expect(problemOf(await ada.book(abroad, 'euros', 'wallet'))).toEqual([402, '/problems/insufficient-funds']);
  await credit(world, ada, 100, { currency: 'USD' });
  expect((await ada.start(abroad, 'dollars', 'wallet')).status).toBe('confirmed');
  expect([await balanceOf(ada), await balanceOf(ada, 'USD')]).toEqual([10_000, 0]);
});
