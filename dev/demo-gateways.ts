/** The steps of the demo at the gateways of India: Razorpay's orders, which cannot be closed, and PhonePe's, whose webhook proves nothing. */
import { connectPhonepeSandbox, type PhonepeControl } from '../sandbox/phonepe/control';
import { Customer, publishSlot, readOffering, type Booking } from './customer';
import { check, eventually, lineOf, mailed, settled, type Stage, type Step } from './demo-stage';

/** Price of these slots, in paise. */
const price = 50_000;
const inRupees = { amountMinor: price, currency: 'INR' };

/** Status reads at the instant of the webhook. */
const polls = 20;

/** Makes these steps, in the order they are told. */
export function gatewaySteps({ place, stack, mail }: Stage): Step[] {
  const slot = (title: string, hour: number) =>
    publishSlot(place, { title, hour, capacity: 1, price: inRupees });

  async function windowClosed() {
    const session = await slot('A mentor’s hour', 12);
    const vik = new Customer(place, 'Vik');
    const wish = { items: [{ offeringId: session.id }], method: 'razorpay' };
    const left = await vik.want(wish);
    check((await readOffering(place, session.id)).seatsAvailable === 1, 'a closed window holds nothing');
    const again = await vik.want(wish);
    await vik.pay(again);
    const booked = await vik.until(again, settled);
    check(booked.status === 'confirmed', 'the second go is the booking');
    await vik.pay(left);
    const back = await vik.until(left, settled);
    check(back.status === 'refunded', 'what was paid in the forgotten window went back');
    return {
      told: 'Vik closed Razorpay’s window and booked again. Then he paid in the forgotten window, which Razorpay cannot close: all of that went back.',
      lines: [lineOf(vik, booked, price, 0), lineOf(vik, back, price, price)],
    };
  }

  async function cartByPhonepe() {
    const slots = [await slot('A class in the morning', 6), await slot('A class in the evening', 18)];
    const wes = new Customer(place, 'Wes');
    const cartId = await wes.fillCart(slots.map(({ id }) => id));
    const started = await wes.want({ cartId, method: 'phonepe' });
    await wes.pay(started);
    const done = await wes.until(started, settled);
    check(done.status === 'confirmed', 'the cart is a booking');
    const left = await Promise.all(slots.map(({ id }) => readOffering(place, id)));
    check(
      left.every(({ seatsAvailable }) => seatsAvailable === 0),
      'of everything in it',
    );
    return {
      told: 'Wes paid a cart of two classes on PhonePe’s page: both or none, so both.',
      lines: [lineOf(wes, done, 2 * price, 0)],
    };
  }

  async function allAtOnce() {
    const where = stack.urls.gateways.phonepe;
    if (where === undefined) throw new Error('Bug: this step needs the sandbox');
    const phonepe = connectPhonepeSandbox(where);
    const workshop = await slot('A workshop', 15);
    const xia = new Customer(place, 'Xia');
    const started = await xia.want({ items: [{ offeringId: workshop.id }], method: 'phonepe' });
    await forge(phonepe, xia, started);
    const gate = { name: `webhook-of-${started.id}`, event: 'checkout.order.completed' as const };
    await phonepe.gate({ ...gate, match: { order: started.payment.gatewayRef ?? '' } });
    await xia.pay(started);
    await phonepe.waitForGate(gate.name, 1);
    await Promise.all([
      phonepe.releaseGate(gate.name),
      xia.comeBack(started),
      ...Array.from({ length: polls }, () => xia.read(started)),
    ]);
    const done = await xia.until(started, settled);
    check(done.status === 'confirmed', 'there is a booking');
    await mailed(mail, 'xia@example.com', done.reference ?? '');
    return {
      told: `A forged webhook booked nothing. Then the real one, the browser’s return and ${polls} status reads came at one instant: one booking, one mail.`,
      lines: [lineOf(xia, done, price, 0)],
    };
  }

  /** A body of anybody's making under the right header, before any money came. */
  async function forge(phonepe: PhonepeControl, customer: Customer, started: Booking): Promise<void> {
    const payload = { merchantOrderId: started.payment.gatewayRef, state: 'COMPLETED', amount: price };
    const status = await phonepe.forge({ event: 'checkout.order.completed', payload });
    check(status === 200, 'a forged body under the right header is taken as a ring');
    await eventually(
      'it was looked at',
      async () => (await phonepe.ledger()).requests.some((one) => one.operation === 'orders.status'),
      10,
    );
    const { status: now } = await customer.read(started);
    check(now === 'awaiting_payment', 'and confirms nothing');
  }

  return [
    { title: 'A closed window', sandboxOf: 'razorpay', play: windowClosed },
    { title: 'A cart on PhonePe', sandboxOf: 'phonepe', play: cartByPhonepe },
    { title: 'Everybody rings at once', sandboxOf: 'phonepe', play: allAtOnce },
  ];
}
