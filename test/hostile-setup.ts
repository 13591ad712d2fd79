/** Money that must balance by the definition that operators see, in a world of several gateways. */
import { readBalances } from '../src/api/money';
import { priceMinor, publish, Shopper } from './book-setup';
import type { Json, World } from './world';

/** No currency has an imbalance. */
export async function expectBalance(world: World): Promise<void> {
  expect((await readBalances(world.db)).filter((one) => one.imbalance_minor !== 0)).toEqual([]);
}

/** An attempt that can be paid. */
export type Started = { shopper: Shopper; booking: Json; offeringId: string; ref: string };

/** Starts an attempt for a slot of its own, in rupees. */
export async function startInRupees(world: World, method: 'razorpay' | 'phonepe'): Promise<Started> {
  const offeringId = await publish(world, { price: { amountMinor: priceMinor, currency: 'INR' } });
  const shopper = new Shopper(world);
  const booking = await shopper.start(offeringId, undefined, method);
  return { shopper, booking, offeringId, ref: String(booking.payment.gatewayRef) };
}
