/** The steps of the demo about the other ways to book: consultations, carts, the wallet, holds. */
import {
  creditWallet,
  Customer,
  introduceProvider,
  providerBookings,
  publishConsultation,
  publishSlot,
  readOffering,
} from './customer';
import { check, lineOf, mailed, price, settled, type Stage, type Step } from './demo-stage';

/** Hold of the demo in seconds: long enough for another customer to be refused, short enough to see its end. */
const holdSeconds = 8;

/** Makes these steps, in the order they are told. */
export function waySteps({ place, mail }: Stage): Step[] {
  async function consultation() {
    await introduceProvider(place, 'Dr Ada', 'dr-ada@example.com');
    const asked = await publishConsultation(place, 'A question by letter', price);
    const jan = new Customer(place, 'Jan');
    const details = { subject: 'A rash', message: 'Since Monday, on both arms.' };
    const started = await jan.want({ items: [{ offeringId: asked.id, details }] });
    const unpaid = await providerBookings(place);
    check(!unpaid.some(({ id }) => id === started.id), 'nobody hears of a request that is not paid');
    await jan.pay(started);
    const done = await jan.until(started, settled);
    check(done.status === 'confirmed', 'the paid request is a booking');
    const paid = await providerBookings(place);
    check(
      paid.some(({ id }) => id === started.id),
      'the provider finds it among her bookings',
    );
    await mailed(mail, 'dr-ada@example.com', done.reference ?? '');
    return {
      told: 'Jan’s request did not exist for Dr Ada until it was paid; then she was told, once.',
      lines: [lineOf(jan, done, price, 0)],
    };
  }

  async function soldOutCart() {
    const titles = ['A massage', 'The sauna', 'A class with one place'];
    const slots = await Promise.all(
      titles.map((title, i) => publishSlot(place, { title, hour: 16 + i, capacity: 1 })),
    );
    const [kai, lou] = [new Customer(place, 'Kai'), new Customer(place, 'Lou')];
    const cartId = await kai.fillCart(slots.map((slot) => slot.id));
    const started = await kai.want({ cartId });
    const last = slots[2]?.id ?? '';
    const rival = await lou.start(last);
    await lou.pay(rival);
    const lous = await lou.until(rival, settled);
    await kai.pay(started);
    const done = await kai.until(started, settled);
    check(done.status === 'refunded', 'a cart with one item gone is refunded');
    check(done.refund?.amountMinor === 3 * price, 'the whole sum goes back');
    const free = await Promise.all(slots.slice(0, 2).map((slot) => readOffering(place, slot.id)));
    check(
      free.every((slot) => slot.seatsAvailable === 1),
      'nothing of the cart was booked',
    );
    return {
      told: 'Lou took the last place of one of Kai’s three items: nothing of the cart was booked, all of it went back.',
      lines: [lineOf(kai, done, 3 * price, 3 * price), lineOf(lou, lous, price, 0)],
    };
  }

  async function walletPays() {
    const slot = await publishSlot(place, { title: 'Paid from the wallet', hour: 19, capacity: 2 });
    const mia = new Customer(place, 'Mia');
    await creditWallet(place, 'mia', price + 100);
    const wish = { items: [{ offeringId: slot.id }], method: 'wallet' };
    const done = await mia.want(wish);
    check(done.status === 'confirmed', 'the wallet pays at once');
    check((await mia.balance()) === 100, 'the balance is less by the price');
    const refused = await mia.want(wish).then(
      () => 'booked',
      (error: unknown) => String(error),
    );
    check(refused.includes('insufficient-funds'), 'a wallet too small is told so');
    check((await mia.balance()) === 100, 'and nothing is taken');
    check((await readOffering(place, slot.id)).seatsAvailable === 1, 'nor booked');
    return {
      told: 'Mia’s wallet paid at once; the second time it held too little: 402, nothing taken.',
      lines: [lineOf(mia, done, price, 0)],
    };
  }

  async function holdRunsOut() {
    const slot = await publishSlot(place, {
      title: 'A place that is held',
      hour: 20,
      capacity: 1,
      holdSeconds,
    });
    const [nia, oli] = [new Customer(place, 'Nia'), new Customer(place, 'Oli')];
    const started = await nia.start(slot.id);
    check((await readOffering(place, slot.id)).seatsAvailable === 0, 'a held seat reads as taken');
    const refused = await oli.start(slot.id).then(
      () => 'started',
      (error: unknown) => String(error),
    );
    check(refused.includes('slot-unavailable'), 'another customer is refused while the hold lasts');
    const over = await nia.until(started, (now) => now.status === 'expired');
    check(
      (await readOffering(place, slot.id)).seatsAvailable === 1,
      'the seat is free when the hold is over',
    );
    const next = await oli.start(slot.id);
    await oli.pay(next);
    const done = await oli.until(next, settled);
    check(done.status === 'confirmed', 'and whoever pays has it');
    return {
      told: `The seat was Nia’s for ${holdSeconds} seconds; she did not pay, and Oli has it now.`,
      lines: [lineOf(nia, over, 0, 0), lineOf(oli, done, price, 0)],
    };
  }

  return [
    { title: 'A consultation', play: consultation },
    { title: 'A cart with one item gone', play: soldOutCart },
    { title: 'The wallet', play: walletPays },
    { title: 'A hold that runs out', waits: true, play: holdRunsOut },
  ];
}
