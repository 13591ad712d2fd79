/** The steps of the demo about what comes after "confirmed": canceled and booked again, called off, a case, live seats. */
import {
  callApi,
  callOff,
  cancelBooking,
  Customer,
  publishSlot,
  readOffering,
  seatsAsTheyChange,
  type Booking,
} from './customer';
import { check, eventually, lineOf, mailed, must, price, settled, type Stage, type Step } from './demo-stage';

/** A case as the API shows it; only what is read here. */
interface Case {
  id: string;
  kind: string;
  status: string;
  bookingId?: string;
}

const operator = { sub: 'olga', scope: 'ops' };

/** Whether what was taken went back. */
function givenBack(booking: Booking): boolean {
  return booking.status === 'refunded';
}

/** Makes these steps, in the order they are told. */
export function afterSteps({ place, sandbox, mail }: Stage): Step[] {
  async function booked(name: string, offeringId: string): Promise<{ who: Customer; booking: Booking }> {
    const who = new Customer(place, name);
    const started = await who.start(offeringId);
    await who.pay(started);
    return { who, booking: await who.until(started, settled) };
  }

  async function canceledAndRebooked() {
    const slot = await publishSlot(place, { title: 'Wanted by two', hour: 8, capacity: 1 });
    const pia = await booked('Pia', slot.id);
    const canceled = await cancelBooking(place, pia.who, pia.booking);
    check(canceled.status === 'refunding' || givenBack(canceled), 'a booking can be canceled');
    check((await readOffering(place, slot.id)).seatsAvailable === 1, 'its seat is free at once');
    const quin = await booked('Quin', slot.id);
    check(quin.booking.status === 'confirmed', 'and somebody else has it');
    const done = await pia.who.until(canceled, givenBack);
    check(done.refund?.reason === 'canceled-by-customer', 'the money went back, and it says why');
    return {
      told: 'Pia canceled her booking: the seat was free at once, Quin has it, and Pia has her money back.',
      lines: [lineOf(pia.who, done, price, price), lineOf(quin.who, quin.booking, price, 0)],
    };
  }

  async function calledOff() {
    const slot = await publishSlot(place, { title: 'A class that is called off', hour: 9, capacity: 3 });
    const guests = [await booked('Rae', slot.id), await booked('Sol', slot.id)];
    const undecided = new Customer(place, 'Tom');
    const open = await undecided.start(slot.id);
    await callOff(place, slot.id);
    const done = await Promise.all(guests.map(({ who, booking }) => who.until(booking, givenBack)));
    check(
      done.every((booking) => booking.refund?.amountMinor === price),
      'everybody has everything back',
    );
    const ended = await undecided.until(open, (now) => now.status !== 'awaiting_payment');
    check(ended.status === 'canceled', 'an attempt that was still open is ended');
    for (const { who } of guests) {
      await mailed(mail, `${who.name.toLowerCase()}@example.com`, 'is canceled');
    }
    return {
      told: 'The provider called a class off: both guests were told and refunded in full, an open attempt was ended.',
      lines: [
        ...guests.map(({ who }, i) => lineOf(who, done[i] as Booking, price, price)),
        lineOf(undecided, ended, 0, 0),
      ],
    };
  }

  async function caseResolved() {
    const stripe = must(sandbox);
    const slot = await publishSlot(place, { title: 'A refund that fails', hour: 10, capacity: 1 });
    const { who, booking } = await booked('Uma', slot.id);
    const match = { paymentIntent: booking.payment.gatewayRef ?? '' };
    await stripe.refundMode({ mode: 'failed', match, times: 1, failureReason: 'expired_or_canceled_card' });
    const canceled = await cancelBooking(place, who, booking);
    const stuck = await who.until(canceled, (now) => now.status === 'needs_attention');
    const { items } = await callApi<{ items: Case[] }>(place, operator, {
      method: 'GET',
      path: '/v1/cases',
      expected: [200],
    });
    const open = items.find((one) => one.bookingId === booking.id);
    check(open?.kind === 'refund-failed', 'a refund that fails for good is a case');
    await callApi(place, operator, {
      method: 'POST',
      path: `/v1/cases/${open?.id ?? ''}/resolve`,
      expected: [200],
      body: { action: 'retry-refund', note: 'The card works again' },
    });
    const done = await who.until(stuck, givenBack);
    return {
      told: 'Uma’s refund failed for good and became a case; operator Olga sent it again, and it arrived.',
      lines: [lineOf(who, done, price, price)],
    };
  }

  async function liveSeats() {
    const slot = await publishSlot(place, { title: 'Watched by a browser', hour: 11, capacity: 2 });
    const watched = seatsAsTheyChange(place, slot.id);
    await eventually('the first state comes at once', async () => watched.seen.length > 0, 10);
    const first = await booked('Vic', slot.id);
    const second = await booked('Wyn', slot.id);
    await eventually('every change is told', async () => watched.seen.at(-1) === 0, 10);
    watched.end();
    return {
      told: `An open page saw the free seats without asking: ${watched.seen.join(' → ')}.`,
      lines: [lineOf(first.who, first.booking, price, 0), lineOf(second.who, second.booking, price, 0)],
    };
  }

  return [
    { title: 'Canceled, and booked again', play: canceledAndRebooked },
    { title: 'Called off', play: calledOff },
    { title: 'A case, resolved', sandboxOf: 'stripe', play: caseResolved },
    { title: 'Live seats', play: liveSeats },
  ];
}
