/** Lists on the wire, page by page, and what can be planted into them, with the official package. */
import type Stripe from 'stripe';
import { control, paid, receiver, refusal, stripe, useStripeSandbox } from './sandbox-stripe-setup';

useStripeSandbox();

/** A day long past, in seconds since 1970: 2026-03-01. */
const day = Date.UTC(2026, 2, 1) / 1000;
const hour = 3600;

/** So many payments on that day, a minute apart, oldest first. */
const plantDay = async (count: number): Promise<{ paymentIntent: string; charge: string }[]> => {
  const made = [];
  for (let number = 0; number < count; number++) {
    const { paymentIntent, charge } = await control.plantPayment({
      amount: 1000 + number,
      currency: 'eur',
      created: day + number * 60,
    });
    made.push({ paymentIntent: paymentIntent ?? '', charge });
  }
  return made;
};

describe('a list', () => {
  test('is paged in both directions, newest first', async () => {
    const ids = (await plantDay(7)).map((one) => one.charge).reverse();
    const first = await stripe.charges.list({ limit: 3 });
    expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 3));
    expect(first.has_more).toBe(true);
    const second = await stripe.charges.list({ limit: 3, starting_after: ids[2] ?? '' });
    expect(second.data.map(({ id }) => id)).toEqual(ids.slice(3, 6));
    const last = await stripe.charges.list({ limit: 3, starting_after: ids[5] ?? '' });
    expect(last.data.map(({ id }) => id)).toEqual(ids.slice(6));
    expect(last.has_more).toBe(false);
    const back = await stripe.charges.list({ limit: 2, ending_before: ids[6] ?? '' });
    expect(back.data.map(({ id }) => id)).toEqual(ids.slice(4, 6));
    expect(back.has_more).toBe(true);
    const start = await stripe.charges.list({ limit: 2, ending_before: ids[1] ?? '' });
    expect(start.data.map(({ id }) => id)).toEqual(ids.slice(0, 1));
    expect(start.has_more).toBe(false);
  });

  test('of an interval has its lower bound and not its upper one', async () => {
    const made = await plantDay(4);
    const within = await stripe.paymentIntents.list({ created: { gte: day + 60, lt: day + 180 } });
    expect(within.data.map(({ id }) => id)).toEqual([made[2]?.paymentIntent, made[1]?.paymentIntent]);
    const between = await stripe.charges.list({ created: { gt: day + 60, lte: day + 180 } });
    expect(between.data.map(({ id }) => id)).toEqual([made[3]?.charge, made[2]?.charge]);
    expect((await stripe.charges.list({ created: day })).data).toHaveLength(1);
  });

  test('goes on through more than a hundred', async () => {
    await plantDay(230);
    const seen: number[] = [];
    for await (const charge of stripe.charges.list({
      created: { gte: day, lt: day + 24 * hour },
      limit: 100,
    }))
      seen.push(charge.created);
    expect(seen).toHaveLength(230);
    expect(seen).toEqual([...seen].sort((one, other) => other - one));
    const { requests } = await control.ledger();
    expect(requests.filter(({ operation }) => operation === 'charges.list')).toHaveLength(3);
  });

  test.each([
    [{ limit: 0 }, 'limit'],
    [{ limit: 101 }, 'limit'],
    [{ colour: 'red' }, 'colour'],
  ])('refuses %j', async (parameters, param) => {
    const error = await refusal(stripe.disputes.list(parameters as Stripe.DisputeListParams));
    expect(error).toMatchObject({ statusCode: 400, param });
  });

  test('refuses two places at once, and one that is nowhere', async () => {
    const { charge } = (await plantDay(1))[0] ?? { charge: '' };
    const both = stripe.charges.list({ starting_after: charge, ending_before: charge });
    expect(await refusal(both)).toMatchObject({ statusCode: 400 });
    expect(await refusal(stripe.refunds.list({ starting_after: 're_none' }))).toMatchObject({
      code: 'resource_missing',
    });
  });

  test('of refunds and disputes is filtered by intent and charge', async () => {
    const [one, other] = [await paid(), await paid()];
    const { id: refund } = await control.refundByHand(one.id, { amount: 100, created: day });
    const { id: dispute } = await control.dispute(other.id, { created: day });
    expect((await stripe.refunds.list({ payment_intent: other.id })).data).toEqual([]);
    expect((await stripe.refunds.list({ charge: String(one.latest_charge) })).data).toMatchObject([
      { id: refund },
    ]);
    expect((await stripe.disputes.list({ payment_intent: one.id })).data).toEqual([]);
    expect((await stripe.disputes.list({ charge: String(other.latest_charge) })).data).toMatchObject([
      { id: dispute },
    ]);
    expect((await stripe.disputes.list({ created: { lt: day } })).data).toEqual([]);
    expect((await stripe.refunds.list({ created: { gte: day, lte: day } })).data).toMatchObject([
      { id: refund },
    ]);
  });

  test('gives whole objects where asked', async () => {
    const intent = await paid();
    const { data } = await stripe.charges.list({ expand: ['data.payment_intent'] });
    expect(data[0]?.payment_intent).toMatchObject({ id: intent.id, object: 'payment_intent' });
  });
});

describe('what is planted', () => {
  test('is there as if it had always been, and nobody is told', async () => {
    const { paymentIntent, charge } = await control.plantPayment({
      amount: 4200,
      currency: 'USD',
      metadata: { bookingId: 'bkg_nobody' },
      created: day,
    });
    const { id } = await control.plantRefund(paymentIntent ?? '', { amount: 200, created: day + hour });
    expect(await stripe.paymentIntents.retrieve(paymentIntent ?? '')).toMatchObject({
      status: 'succeeded',
      amount_received: 4200,
      created: day,
      latest_charge: charge,
      metadata: { bookingId: 'bkg_nobody' },
    });
    expect(await stripe.charges.retrieve(charge)).toMatchObject({
      created: day,
      amount_refunded: 200,
      metadata: { bookingId: 'bkg_nobody' },
    });
    expect(await stripe.refunds.retrieve(id)).toMatchObject({ created: day + hour, status: 'succeeded' });
    const ledger = await control.ledger();
    expect(ledger.events).toEqual([]);
    expect(ledger.charges).toMatchObject([{ at: '2026-03-01T00:00:00.000Z' }]);
    expect(receiver.heard).toEqual([]);
  });

  test('may be a bare charge, as old integrations make them', async () => {
    const { paymentIntent, charge } = await control.plantPayment({
      amount: 900,
      currency: 'eur',
      withoutIntent: true,
    });
    expect(paymentIntent).toBeNull();
    expect(await stripe.charges.retrieve(charge)).toMatchObject({ payment_intent: null, paid: true });
    expect((await control.ledger()).intents).toEqual([]);
  });

  test('may make what we know untrue', async () => {
    const intent = await paid();
    const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 300 });
    await control.recapture(intent.id, { amount: 1400 });
    await control.backdate(intent.id, day);
    await control.forget(refund.id);
    expect(await stripe.paymentIntents.retrieve(intent.id)).toMatchObject({
      amount_received: 1400,
      created: day,
    });
    expect(await stripe.charges.retrieve(String(intent.latest_charge))).toMatchObject({
      amount_captured: 1400,
      amount_refunded: 0,
      created: day,
    });
    expect(await refusal(stripe.refunds.retrieve(refund.id))).toMatchObject({ code: 'resource_missing' });
    await control.forget(intent.id);
    expect(await refusal(stripe.paymentIntents.retrieve(intent.id))).toMatchObject({
      code: 'resource_missing',
    });
    expect((await stripe.charges.list()).data).toEqual([]);
    await expect(control.forget('pi_none')).rejects.toThrow('No such payment_intent');
    await expect(control.backdate('pi_none', day)).rejects.toThrow('no object');
  });
});
