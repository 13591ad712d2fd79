/** The steps of the demo about cards. Each tells what a newcomer should see, checks it, and throws when it was not so. */
import type { StripeControl } from '../sandbox/stripe/control';
import { Customer, publishSlot, readOffering, type Booking } from './customer';
import { check, eventually, lineOf, mailed, must, price, settled, type Stage, type Step } from './demo-stage';

/** The steps about one slot paid by card, in the order they are told. */
export function cardSteps({ stack, place, sandbox, mail, untilWindowEnds }: Stage): Step[] {
  async function payAndBeConfirmed() {
    const slot = await publishSlot(place, { title: 'Appointment at nine', hour: 9, capacity: 1 });
    const ana = new Customer(place, 'Ana');
    const started = await ana.start(slot.id);
    check((await readOffering(place, slot.id)).seatsAvailable === 1, 'a started attempt takes no seat');
    await ana.pay(started);
    const done = await ana.until(started, settled);
    check(done.status === 'confirmed', 'the payer is confirmed');
    check((await readOffering(place, slot.id)).seatsAvailable === 0, 'the seat is taken now');
    await mailed(mail, 'ana@example.com', done.reference ?? '');
    return {
      told: `Ana paid, has booking ${done.reference ?? ''} and one confirmation mail.`,
      lines: [lineOf(ana, done, price, 0)],
    };
  }

  async function declinedAndRetried() {
    const slot = await publishSlot(place, { title: 'Appointment at ten', hour: 10, capacity: 1 });
    const ben = new Customer(place, 'Ben');
    const started = await ben.start(slot.id);
    check((await ben.pay(started, 'insufficient')) === 'declined', 'the card is declined');
    const declined = await ben.until(started, (now) => now.failure !== undefined);
    check(
      declined.retryable && declined.failure?.code === 'insufficient_funds',
      'the decline is named and can be retried',
    );
    check((await readOffering(place, slot.id)).seatsAvailable === 1, 'the slot is still free for everyone');
    const retried = await ben.retry(declined);
    check(retried.payment.try === 2, 'the retry is the second try');
    await ben.pay(retried);
    const done = await ben.until(retried, settled);
    check(done.status === 'confirmed', 'the second card confirms');
    return {
      told: 'Ben’s first card was declined, the slot stayed free, his second card confirmed.',
      lines: [lineOf(ben, done, price, 0)],
    };
  }

  async function twoPayersLastSeat() {
    const slot = await publishSlot(place, { title: 'The last seat at eleven', hour: 11, capacity: 1 });
    const rivals = [new Customer(place, 'Cleo'), new Customer(place, 'Dan')];
    const started = await Promise.all(rivals.map((who) => who.start(slot.id)));
    await Promise.all(rivals.map((who, i) => who.pay(started[i] as Booking)));
    const done = await Promise.all(rivals.map((who, i) => who.until(started[i] as Booking, settled)));
    const loser = done.findIndex((booking) => booking.status === 'refunded');
    check(
      done.filter((booking) => booking.status === 'confirmed').length === 1,
      'exactly one of two payers has the seat',
    );
    const refund = done[loser]?.refund;
    check(refund?.amountMinor === price && refund.status === 'succeeded', 'the other has all the money back');
    check(refund?.reason === 'slot-unavailable', 'and was told why');
    const who = rivals[loser] as Customer;
    await mailed(mail, `${who.name.toLowerCase()}@example.com`, 'given back');
    return {
      told: `Cleo and Dan both paid for the last seat: one has it, ${who.name} has the money back and knows why.`,
      lines: rivals.map((rival, i) => lineOf(rival, done[i] as Booking, price, i === loser ? price : 0)),
    };
  }

  async function abandoned() {
    const slot = await publishSlot(place, { title: 'Appointment at twelve', hour: 12, capacity: 1 });
    const eve = new Customer(place, 'Eve');
    const started = await eve.start(slot.id);
    const done = await eve.until(started, (now) => now.status !== 'awaiting_payment', untilWindowEnds);
    check(done.status === 'expired', 'an abandoned attempt expires');
    const late = await eve.pay(started).catch(() => 'refused');
    check(late === 'refused', 'its payment is closed at the gateway');
    check((await readOffering(place, slot.id)).seatsAvailable === 1, 'the seat was never taken');
    return {
      told: 'Eve walked away: expired, her payment closed at Stripe, the seat never taken.',
      lines: [lineOf(eve, done, 0, 0)],
    };
  }

  async function webhookDropped() {
    const slot = await publishSlot(place, { title: 'Appointment at one', hour: 13, capacity: 1 });
    const fay = new Customer(place, 'Fay');
    const started = await fay.start(slot.id);
    const match = { paymentIntent: started.payment.gatewayRef ?? '' };
    await sandbox?.webhookFault({ event: '*', kind: 'drop', times: null, match });
    await fay.pay(started);
    const done = await fay.until(started, settled);
    check(done.status === 'confirmed', 'the payment watch finds money that no webhook told of');
    return {
      told: 'Every webhook of Fay’s payment was lost: the payment watch found the money, confirmed.',
      lines: [lineOf(fay, done, price, 0)],
    };
  }

  async function closeWithoutAnswer() {
    const stripe = must(sandbox);
    const slot = await publishSlot(place, { title: 'Appointment at two', hour: 14, capacity: 1 });
    const [gil, hal] = [new Customer(place, 'Gil'), new Customer(place, 'Hal')] as const;
    const [started, left] = await Promise.all([gil.start(slot.id), hal.start(slot.id)]);
    const ref = started.payment.gatewayRef ?? '';
    await stripe.fault({
      operation: 'payment_intents.cancel',
      kind: 'lost-undone',
      times: null,
      match: { id: ref },
    });
    await eventually(
      'the close at the window’s end is tried',
      () => closeTried(stripe, ref),
      untilWindowEnds,
    );
    const waiting = await gil.read(started);
    check(
      waiting.status === 'awaiting_payment' && !waiting.retryable,
      'without an answer nothing is decided',
    );
    await gil.pay(started);
    const done = await gil.until(started, settled);
    check(done.status === 'confirmed', 'who pays while the close gets no answer is confirmed');

    const over = await hal.until(left, (now) => now.status === 'expired', untilWindowEnds);
    await stripe.payClosed(over.payment.gatewayRef ?? left.payment.gatewayRef ?? '');
    const repaid = await hal.until(over, (now) => now.refund?.status === 'succeeded');
    check(
      repaid.status === 'expired' && repaid.refund?.reason === 'late-payment',
      'late money goes back, the attempt stays expired',
    );
    return {
      told: 'Gil paid while Stripe did not answer the close: confirmed. Money on Hal’s closed payment: reconciled, refunded.',
      lines: [lineOf(gil, done, price, 0), lineOf(hal, repaid, price, price)],
    };
  }

  async function workerKilled() {
    const stripe = must(sandbox);
    const slot = await publishSlot(place, { title: 'Appointment at three', hour: 15, capacity: 1 });
    const ira = new Customer(place, 'Ira');
    const started = await ira.start(slot.id);
    const match = { id: started.payment.gatewayRef ?? '' };
    const gate = {
      name: 'charge-before-booking',
      operation: 'payment_intents.retrieve' as const,
      when: 'before' as const,
      match,
    };
    await stripe.gate(gate);
    await ira.pay(started);
    await stripe.waitForGate(gate.name, 1, 10_000);
    await stack.kill('worker');
    await stripe.releaseGate(gate.name);
    await stack.start('worker');
    const done = await ira.until(started, settled);
    check(done.status === 'confirmed', 'the attempt goes on where it was');
    const ledger = await stripe.ledger();
    const charged = ledger.charges.filter(
      (charge) => charge.paymentIntent === match.id && charge.status === 'succeeded',
    );
    check(charged.length === 1 && charged[0]?.amountRefunded === 0, 'there is one charge and no refund');
    return {
      told: 'The worker was killed between charge and booking, and started again: one charge, one booking.',
      lines: [lineOf(ira, done, price, 0)],
    };
  }

  return [
    { title: 'Pay and be confirmed', play: payAndBeConfirmed },
    { title: 'Declined, then retried', play: declinedAndRetried },
    { title: 'Two payers, one seat', play: twoPayersLastSeat },
    { title: 'Abandoned', waits: true, windowMustEnd: true, play: abandoned },
    { title: 'Webhook lost', waits: true, play: webhookDropped },
    {
      title: 'Close without an answer',
      sandboxOf: 'stripe',
      waits: true,
      windowMustEnd: true,
      play: closeWithoutAnswer,
    },
    { title: 'Worker killed', sandboxOf: 'stripe', play: workerKilled },
  ];
}

async function closeTried(stripe: StripeControl, ref: string): Promise<boolean> {
  const { requests } = await stripe.ledger();
  return requests.some((request) => request.operation === 'payment_intents.cancel' && request.id === ref);
}
