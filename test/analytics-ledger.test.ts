/**
 * A generated day through the API and Stripe's sandbox: what analytics tell is reckoned a second time from the sandbox's own
 * ledger, which knows nothing of our tables.
 */
import fc from 'fast-check';
import { atStripe, outcomeOf, pay, publish, Shopper } from './book-setup';
import { startWorld, type Json, type World } from './world';

let world: World;
beforeAll(async () => {
  world = await startWorld({ standing: false });
});
afterAll(() => world.stop());

/** What one customer does; a rival pays for the same seat first. */
const ways = [
  'pays',
  'declined, then pays',
  'declined, then leaves',
  'leaves',
  'loses to a rival',
  'pays, then cancels',
] as const;
type Way = (typeof ways)[number];

/** Every way at least twice, and then as it comes. */
const days = fc
  .record({
    more: fc.array(fc.constantFrom(...ways), { minLength: 18, maxLength: 18 }),
    prices: fc.array(fc.integer({ min: 50, max: 99_999 }), { minLength: 30, maxLength: 30 }),
    currencies: fc.array(fc.constantFrom('EUR', 'USD', 'JPY'), { minLength: 30, maxLength: 30 }),
  })
  .map(({ more, prices, currencies }) =>
    [...ways, ...ways, ...more].map((way, n) => ({
      way,
      price: { amountMinor: prices[n] ?? 0, currency: currencies[n] ?? '' },
    })),
  );

async function live({
  way,
  price,
}: {
  way: Way;
  price: { amountMinor: number; currency: string };
}): Promise<void> {
  const offeringId = await publish(world, { price });
  const shopper = new Shopper(world);
  const booking = await shopper.start(offeringId);
  const { id } = booking;
  if (way === 'loses to a rival') {
    const rival = new Shopper(world);
    const faster = await rival.start(offeringId);
    await pay(world, faster);
    await rival.until(faster.id, 'confirmed');
  }
  if (way.startsWith('declined')) {
    await pay(world, booking, 'pm_card_chargeDeclined');
    await shopper.until(id, (now) => now.failure !== undefined);
  }
  if (way.endsWith('leaves')) await shopper.cancel(id);
  else await pay(world, booking);
  if (way === 'pays, then cancels') {
    await shopper.until(id, 'confirmed');
    await shopper.cancel(id);
  }
  if (way === 'loses to a rival' || way === 'pays, then cancels') await shopper.until(id, 'refunded');
  await outcomeOf(world, id);
}

const sum = (list: readonly { amount: number }[]) => list.reduce((total, { amount }) => total + amount, 0);

/** The day as the gateway has it. */
async function byLedger() {
  const ledger = await world.sandbox.ledger();
  const ours = new Map(
    ledger.intents.flatMap(({ id, metadata }) =>
      metadata['bookingId'] ? [[id, metadata['bookingId']]] : [],
    ),
  );
  const isOurs = (one: { paymentIntent: string }) => ours.has(one.paymentIntent);
  const charges = ledger.charges.filter((one) => isOurs(one) && one.status === 'succeeded');
  const refunds = ledger.refunds.filter((one) => isOurs(one) && one.status === 'succeeded');
  const of = (currency: string) => (one: { currency: string }) => one.currency.toUpperCase() === currency;
  return {
    attempts: new Set(ours.values()).size,
    declines: ledger.charges.filter((one) => isOurs(one) && one.status === 'failed').length,
    paid: charges.length,
    refunds: refunds.length,
    money: ['EUR', 'JPY', 'USD'].map((currency) => {
      const [capturedMinor, returnedMinor] = [
        sum(charges.filter(of(currency))),
        sum(refunds.filter(of(currency))),
      ];
      return { currency, capturedMinor, returnedMinor, keptMinor: capturedMinor - returnedMinor };
    }),
    refundedMinor: Object.fromEntries(
      ['EUR', 'JPY', 'USD'].map((currency) => [currency, sum(refunds.filter(of(currency)))]),
    ),
  };
}

test('analytics of a generated day equal what the gateway’s ledger says', async () => {
  const day = fc.sample(days, { seed: 7, numRuns: 1 })[0] ?? [];
  // Another shop’s payment on the account is in the ledger, and must be in none of our numbers.
  const form = { amount: '500', currency: 'eur', 'payment_method_types[]': 'card' };
  const { body: other } = await atStripe(world, 'payment_intents', form);
  await atStripe(world, `payment_intents/${other.id}/confirm`, { payment_method: 'pm_card_visa' });
  for (let n = 0; n < day.length; n += 5) await Promise.all(day.slice(n, n + 5).map(live));

  const token = await world.token('olga', 'ops');
  const payments = (await world.call('GET', '/v1/analytics/payments', { token })).body;
  const money = (await world.call('GET', '/v1/analytics/money', { token })).body;
  const ledger = await byLedger();
  expect(ledger.attempts).toBeGreaterThan(day.length);
  const refundsIn = (currency: string) => payments.refunds.filter((one: Json) => one.currency === currency);
  const lost = payments.refunds
    .filter((one: Json) => one.reason === 'slot-unavailable')
    .reduce((total: number, one: Json) => total + one.count, 0);
  expect({
    attempts: payments.attempts,
    declines: payments.failures.find((one: Json) => one.type === 'payment-declined').count,
    // Who lost the seat paid and was never confirmed.
    paid: payments.confirmed + lost,
    refunds: payments.refunds.reduce((total: number, one: Json) => total + one.count, 0),
    money: money.items.map(({ currency, capturedMinor, returnedMinor, keptMinor }: Json) => ({
      currency,
      capturedMinor,
      returnedMinor,
      keptMinor,
    })),
    refundedMinor: Object.fromEntries(
      ['EUR', 'JPY', 'USD'].map((currency) => [
        currency,
        refundsIn(currency).reduce((total: number, one: Json) => total + one.amountMinor, 0),
      ]),
    ),
  }).toEqual(ledger);
  expect(money.items.every((one: Json) => one.imbalanceMinor === 0)).toBe(true);
});
