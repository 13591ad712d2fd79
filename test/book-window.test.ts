/** What the end of the payment window does, through HTTP; windows of 5 seconds. */
import { expectOneEnd, mailsTo, pay, publish, seatsFree, Shopper, tracesOf } from './book-setup';
import { eventually, startWorld, type Json, type World } from './world';

let hasty: World;

beforeAll(async () => {
  hasty = await startWorld({ windowSeconds: 5 });
});
afterAll(() => hasty.stop());

describe('an attempt that nobody pays', () => {
  test('expires: the seat was never taken, the payment is closed, and a retry is too late', async () => {
    const shopper = new Shopper(hasty);
    const slot = await publish(hasty);
    const booking = await shopper.start(slot);
    expect(await seatsFree(hasty, slot)).toBe(1);
    const expired = await shopper.until(booking.id, 'expired');
    expect(expired).toMatchObject({ retryable: false });
    expect(await expectOneEnd(hasty, booking.id)).toBe('expired');
    expect((await tracesOf(hasty, booking.id)).intents).toMatchObject([{ status: 'canceled' }]);
    expect(await pay(hasty, booking)).toBe(400);
    for (const { status, body } of [await shopper.retry(booking.id), await shopper.cancel(booking.id)]) {
      expect({ status, type: body.type }).toEqual({
        status: 410,
        type: expect.stringMatching('attempt-over'),
      });
    }
    expect(await mailsTo(hasty, shopper.email)).toEqual([]);
  });

  test('keeps its last failure when it expires', async () => {
    const shopper = new Shopper(hasty);
    const booking = await shopper.start(await publish(hasty));
    await pay(hasty, booking, 'pm_card_chargeDeclined');
    expect(await shopper.until(booking.id, 'expired')).toMatchObject({
      failure: { type: 'payment-declined', code: 'generic_decline' },
      retryable: false,
    });
  });
});

describe('a payment that Stripe still processes when the window ends', () => {
  async function processes(): Promise<{ shopper: Shopper; booking: Json }> {
    const shopper = new Shopper(hasty);
    const booking = await shopper.start(await publish(hasty));
    await pay(hasty, booking, 'pm_usBankAccount_processing');
    await shopper.until(booking.id, 'processing');
    expect(await shopper.retry(booking.id)).toMatchObject({
      status: 409,
      body: { type: expect.stringMatching('not-retryable') },
    });
    expect(await shopper.cancel(booking.id)).toMatchObject({
      status: 409,
      body: { type: expect.stringMatching('not-cancelable') },
    });
    // The end of the window shows as an attempt to close, which Stripe refuses for what it processes.
    await eventually('the close at the end of the window', async () => {
      const { requests } = await hasty.sandbox.ledger();
      const closes = requests.filter(
        ({ operation, id, status }) =>
          operation === 'payment_intents.cancel' && id === booking.payment.gatewayRef && status !== null,
      );
      return closes.length >= 2;
    });
    expect((await shopper.read(booking.id)).body.status).toBe('processing');
    return { shopper, booking };
  }

  test('is booked when it succeeds after all', async () => {
    const { shopper, booking } = await processes();
    await hasty.sandbox.settleProcessing(booking.payment.gatewayRef, 'succeeded');
    await shopper.until(booking.id, 'confirmed');
    await expectOneEnd(hasty, booking.id);
  });

  test('expires when it fails after all', async () => {
    const { shopper, booking } = await processes();
    await hasty.sandbox.settleProcessing(booking.payment.gatewayRef, 'failed');
    await shopper.until(booking.id, 'expired');
    expect(await expectOneEnd(hasty, booking.id)).toBe('expired');
  });
});
