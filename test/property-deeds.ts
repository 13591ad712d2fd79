/** The deeds of the property test: what customers, operators, time, the gateway and bad luck do to a shop. */
import fc from 'fast-check';
import { mishaps } from './property-gateway';
import { isUndecided, type Model } from './property-model';
import { customers, providers, type NewOffering, type Shop } from './property-shop';
import { losses } from './property-temporal';

/** One thing that happens. It only begins it: whoever runs it waits until the shop is quiet. */
export interface Deed {
  name: string;
  [fc.toStringMethod]: () => string;
  possible: (model: Readonly<Model>) => boolean;
  act: (model: Model, shop: Shop) => Promise<unknown>;
}

/** Picks from a list, the newest for 0: so a shrunk command speaks of what was just made. */
function pick<T>(list: readonly T[], n: number): T {
  const found = list[list.length - 1 - (n % list.length)];
  if (found === undefined) throw new Error('Bug: picked from an empty list');
  return found;
}

const always = () => true;
const anyOffering = (model: Readonly<Model>) => model.offerings.length > 0;
const anyAttempt = (model: Readonly<Model>) => model.attempts.length > 0;

/** An attempt to do something about: mostly one that is still open. */
function attemptOf(model: Model, n: number) {
  const open = model.attempts.filter((attempt) => isUndecided(attempt.status));
  return pick(open.length > 0 && n !== mostly ? open : model.attempts, n);
}

/** The draw that takes any of all, where others take one that is worth it. */
const mostly = 7;
const nth = fc.nat(mostly);
const customer = fc.nat(customers - 1);
const currency = fc.oneof(
  { weight: 19, arbitrary: fc.constant('USD') },
  { weight: 1, arbitrary: fc.constant('EUR') },
);
const money = fc.constantFrom(700, 0, 500, 1200);

const newOffering: fc.Arbitrary<NewOffering> = fc.record({
  kind: fc.oneof(
    { weight: 5, arbitrary: fc.constant('slot' as const) },
    { weight: 1, arbitrary: fc.constant('consultation' as const) },
  ),
  capacity: fc.integer({ min: 1, max: 4 }),
  priceMinor: money,
  currency,
  holdSeconds: fc.option(fc.constantFrom(60, 300), { freq: 2 }),
  limit: fc.option(fc.constantFrom(1, 2), { freq: 2 }),
  provider: fc.nat(providers - 1),
});

/** What a deed takes is drawn with it, so that a printed command says all there is to know. */
function deed<T>(
  name: string,
  data: fc.Arbitrary<T>,
  possible: Deed['possible'],
  act: (model: Model, shop: Shop, data: T) => Promise<unknown>,
): fc.Arbitrary<Deed> {
  return data.map((drawn) => ({
    name: `${name}(${JSON.stringify(drawn)})`,
    [fc.toStringMethod]: () => `${name}(${JSON.stringify(drawn)})`,
    possible,
    act: (model, shop) => act(model, shop, drawn),
  }));
}

/** Publishes an offering; a list begins with some. */
export const publishing = deed('publish', newOffering, always, async (model, shop, wanted) => {
  const startsAt = wanted.kind === 'slot' ? model.now + 86_400 : Infinity;
  const id = await shop.publish(wanted);
  model.offerings.push({ ...wanted, id, open: true, startsAt, sold: new Map() });
});

/** Seats asked of an offering: one consultation is one. */
function wantedOf(model: Model, n: number, seats: number) {
  const open = model.offerings.filter((offering) => offering.open && model.now < offering.startsAt);
  const { id, kind } = pick(open.length > 0 && n !== mostly ? open : model.offerings, n);
  return { offeringId: id, seats: kind === 'consultation' ? 1 : seats };
}

const seats = fc.constantFrom(1, 1, 2);

const cartEdit = deed(
  'putIntoCart',
  fc.record({ cart: nth, offering: nth, seats: fc.constantFrom(1, 2, 0) }),
  anyOffering,
  async (model, shop, drawn) => {
    const cart = pick(model.carts, drawn.cart);
    const { offeringId, seats: wanted } = wantedOf(model, drawn.offering, drawn.seats);
    const count = drawn.seats === 0 ? 0 : wanted;
    if (!(await shop.editCart(cart.id, offeringId, count))) return;
    if (count === 0) cart.items.delete(offeringId);
    else cart.items.set(offeringId, count);
  },
);

const newCart = deed('openCart', customer, always, async (model, shop, who) => {
  model.carts.push({ id: await shop.openCart(who), customer: who, items: new Map(), converted: false });
});

const method = fc.constantFrom('stub', 'stub', 'stub', 'stub', 'stub', 'wallet', 'wallet', undefined);

const startFromItems = deed(
  'start',
  fc.record({
    customer,
    method,
    items: fc.array(fc.record({ offering: nth, seats }), { minLength: 1, maxLength: 3 }),
  }),
  anyOffering,
  async (model, shop, drawn) => {
    const wanted = new Map(
      drawn.items.map((item) => {
        const { offeringId, seats: count } = wantedOf(model, item.offering, item.seats);
        return [offeringId, count];
      }),
    );
    const items = [...wanted].map(([offeringId, count]) => ({ offeringId, seats: count }));
    const wish = { customer: drawn.customer, method: drawn.method, items };
    model.asked(shop.startAttempt(wish), wish);
  },
);

const startFromCart = deed(
  'startFromCart',
  fc.record({ cart: nth, method }),
  (model) => model.carts.some((cart) => cart.items.size > 0),
  async (model, shop, drawn) => {
    const filled = model.carts.filter((one) => one.items.size > 0);
    const cart = pick(drawn.cart === mostly ? model.carts : filled, drawn.cart);
    const wish = { customer: cart.customer, method: drawn.method, cartId: cart.id };
    model.asked(shop.startAttempt(wish), wish);
  },
);

/** The newest object of an attempt that a customer was handed, if any. */
function objectOf(shop: Shop, bookingId: string) {
  return shop.gateway.objects.findLast((one) => one.bookingId === bookingId && one.handedOut);
}

type Paying = 'pays' | 'pays too little' | 'is declined' | 'begins' | 'lets it expire';

/** The customer acts on the gateway's page, and its webhook comes, or never does. */
function atTheGateway(
  attempt: fc.Arbitrary<number>,
  does: fc.Arbitrary<Paying>,
  rings: fc.Arbitrary<boolean>,
) {
  return deed('atTheGateway', fc.record({ attempt, does, rings }), anyAttempt, async (model, shop, drawn) => {
    const { id } = attemptOf(model, drawn.attempt);
    const object = objectOf(shop, id);
    if (object === undefined || object.status === 'closed' || object.status === 'paid') return;
    if (drawn.does === 'pays') shop.gateway.capture(object, object.total);
    else if (drawn.does === 'pays too little') {
      shop.gateway.capture(object, { ...object.total, amountMinor: object.total.amountMinor - 1 });
    } else if (drawn.does === 'begins') object.status = 'processing';
    else if (drawn.does === 'lets it expire') object.status = 'closed';
    else {
      object.status = 'unpaid';
      object.declines += 1;
    }
    if (drawn.rings) await shop.ringFor(object.ref, id);
  });
}

const paying = atTheGateway(
  nth,
  fc.constantFrom(
    ...(['pays', 'pays', 'pays', 'pays', 'is declined', 'is declined'] as const),
    ...(['begins', 'pays too little', 'lets it expire'] as const),
  ),
  fc.constantFrom(true, true, false),
);

/** The newest attempts pay, each its own, and the webhooks come. */
const newestPays = (n: number) => atTheGateway(fc.constant(n), fc.constant('pays'), fc.constant(true));
const newestFails = atTheGateway(
  fc.constant(0),
  fc.constantFrom('is declined', 'lets it expire'),
  fc.constant(true),
);

const doorbell = deed(
  'ring',
  fc.record({ object: nth, named: fc.boolean() }),
  anyAttempt,
  async (_, shop, { object, named }) => {
    if (shop.gateway.objects.length === 0) return;
    const { ref, bookingId } = pick(shop.gateway.objects, object);
    await shop.ringFor(ref, named ? bookingId : null);
  },
);

/** Money comes by an object that nobody should be able to pay any more: not every gateway can close one. */
const payLate = deed('payLate', nth, anyAttempt, async (_, shop, n) => {
  if (shop.gateway.objects.length === 0) return;
  const object = pick(shop.gateway.objects, n);
  shop.gateway.capture(object, object.total);
  await shop.ringFor(object.ref, object.bookingId);
});

const retrying = (which: fc.Arbitrary<number>) =>
  deed('retry', which, anyAttempt, async (model, shop, n) => shop.ask(attemptOf(model, n).id, 'retry'));
const cancel = deed('cancel', nth, anyAttempt, async (model, shop, n) =>
  shop.ask(attemptOf(model, n).id, 'cancel'),
);

const credit = deed(
  'credit',
  fc.record({ customer, currency, amountMinor: fc.constantFrom(1000, 5000), times: fc.constantFrom(1, 2) }),
  always,
  async (model, shop, drawn) => {
    // The same credit asked for twice is one.
    await shop.credit(drawn.customer, drawn.currency, drawn.amountMinor, drawn.times);
    model.credit(drawn.customer, drawn.currency, drawn.amountMinor);
  },
);

const close = deed('close', nth, anyOffering, async (model, shop, n) => {
  const offering = pick(model.offerings, n);
  await shop.db('offerings').where({ id: offering.id }).update({ status: 'closed' });
  offering.open = false;
});

const price = deed('price', fc.record({ offering: nth, money }), anyOffering, async (model, shop, drawn) => {
  const offering = pick(model.offerings, drawn.offering);
  await shop.db('offerings').where({ id: offering.id }).update({ price_minor: drawn.money });
  offering.priceMinor = drawn.money;
});

const standing = deed(
  'standing',
  fc.constantFrom('watchPayments', 'carryMessages'),
  always,
  async (_, shop, name) => shop.temporal.oneRound(name),
);

const mailFails = deed('mailFails', fc.integer({ min: 1, max: 3 }), always, async (_, shop, n) => {
  shop.mailServer.down = n;
});

const refundsBecome = deed(
  'refundsBecome',
  fc.array(fc.constantFrom('pending', 'failed', 'succeeded'), { minLength: 1, maxLength: 3 }),
  always,
  async (_, shop, states) => shop.gateway.refundsBecome.push(...states),
);

const refundTurns = deed(
  'refundTurns',
  fc.record({
    refund: nth,
    to: fc.constantFrom('succeeded' as const, 'failed' as const),
    rings: fc.boolean(),
  }),
  anyAttempt,
  async (_, shop, drawn) => {
    if (shop.gateway.refunds.length === 0) return;
    const refund = pick(shop.gateway.refunds, drawn.refund);
    // A refund that failed is dead; one that succeeded may still fail.
    if (refund.status === 'failed') return;
    refund.status = drawn.to;
    const object = shop.gateway.objects.find((one) => one.ref === refund.ref);
    if (drawn.rings && object !== undefined) await shop.ringFor(object.ref, object.bookingId);
  },
);

const resolve = deed(
  'resolve',
  fc.record({ n: nth, action: fc.constantFrom('retry-refund' as const, 'mark-settled' as const) }),
  anyAttempt,
  async (_, shop, { n, action }) => {
    const open = await shop.openCases();
    if (open.length > 0) await shop.resolveCase(pick(open, n), action);
  },
);

const gatewayMishaps = deed(
  'gatewayMishaps',
  fc.array(fc.constantFrom(...mishaps), { minLength: 1, maxLength: 5 }),
  always,
  async (_, shop, coming) => shop.gateway.ahead.push(...coming),
);

const workerLosses = deed(
  'workerLosses',
  fc.array(fc.constantFrom(...losses), { minLength: 1, maxLength: 3 }),
  always,
  async (_, shop, coming) => shop.temporal.ahead.push(...coming),
);

/** In seconds. Days are rare: after them no slot can be booked any more. */
const moments = [40, 40, 130, 130, 400, 400, 1000, 1000, 4000, 4000, 90_000, 2_700_000];

/** Time passes: less than a hold, past holds, past windows, past the start of a slot, past a refund's patience. */
export const passing = deed(
  'pass',
  fc.record({ seconds: fc.constantFrom(...moments), timers: fc.boolean() }),
  always,
  async (model, shop, { seconds, timers }) => {
    await shop.pass(seconds, timers);
    model.now += seconds;
  },
);

const timers = deed('timers', fc.constant(null), always, async (_, shop) => shop.temporal.fireTimers());

/** Deeds that may come at once. Time is not among them: it moves rows that others have locked. */
export const anyDeed = fc.oneof(
  ...(
    [
      [1, publishing],
      [6, cartEdit],
      [1, newCart],
      [8, startFromItems],
      [6, startFromCart],
      [16, paying],
      [3, doorbell],
      [2, payLate],
      [4, retrying(nth)],
      [3, cancel],
      [3, credit],
      [1, close],
      [1, price],
      [2, standing],
      [1, mailFails],
      [2, refundsBecome],
      [2, refundTurns],
      [2, resolve],
      [2, gatewayMishaps],
      [2, workerLosses],
      [1, timers],
    ] as const
  ).map(([weight, arbitrary]) => ({ weight, arbitrary })),
);

/**
 * What chance alone seldom puts together, each a few rounds of deeds that come at once: a purchase, a decline and its
 * retry, a second payment after one that was thought dead, and two payers at once for the same seats or the same cart.
 */
export const scenes: readonly fc.Arbitrary<Deed[][]>[] = [
  fc.tuple(startFromItems, newestPays(0)).map(([start, pays]) => [[start], [pays]]),
  fc.tuple(cartEdit, startFromCart, newestPays(0)).map(([put, start, pays]) => [[put], [start], [pays]]),
  fc
    .tuple(startFromItems, newestFails, retrying(fc.constant(0)), newestPays(0))
    .map(([start, fails, again, pays]) => [[start], [fails], [again], [pays]]),
  fc
    .tuple(newestFails, retrying(fc.constant(0)), newestPays(0), payLate)
    .map(([fails, again, pays, late]) => [[fails], [again], [pays, late]]),
  fc
    .tuple(startFromItems, startFromItems, newestPays(0), newestPays(1))
    .map(([one, two, pays, paysToo]) => [[one], [two], [pays, paysToo]]),
  fc
    .tuple(startFromCart, newestPays(0), newestPays(1))
    .map(([start, pays, paysToo]) => [[start], [start], [pays, paysToo]]),
  fc.tuple(startFromItems, startFromItems).map(([one, two]) => [[one, two]]),
  fc
    .tuple(startFromItems, startFromItems, newestPays(1))
    .map(([one, two, earlierPays]) => [[one], [two], [earlierPays]]),
];
