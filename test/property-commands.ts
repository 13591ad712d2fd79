/** The commands of the property test: what customers, operators, time, the gateway and bad luck do to a shop. */
import fc from 'fast-check';
import { mishaps } from './property-gateway';
import type { Model } from './property-model';
import { customers, providers, type NewOffering, type Shop } from './property-shop';
import { losses } from './property-temporal';

/** One thing that happens. It only begins it: whoever runs it waits until the shop is quiet. */
interface Deed {
  name: string;
  [fc.toStringMethod]: () => string;
  possible: (model: Model) => boolean;
  act: (model: Model, shop: Shop) => Promise<unknown>;
}

/** Picks from a list, the newest for 0: so a shrunk command speaks of what was just made. */
function pick<T>(list: readonly T[], n: number): T {
  const found = list[list.length - 1 - (n % list.length)];
  if (found === undefined) throw new Error('Bug: picked from an empty list');
  return found;
}

const always = () => true;
const anyOffering = (model: Model) => model.offerings.length > 0;
const anyAttempt = (model: Model) => model.attempts.length > 0;

const nth = fc.nat(7);
const customer = fc.nat(customers - 1);
const currency = fc.oneof(
  { weight: 9, arbitrary: fc.constant('USD') },
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
  limit: fc.option(fc.integer({ min: 1, max: 2 }), { freq: 1 }),
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
  const { id, kind } = pick(model.offerings, n);
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

const method = fc.constantFrom('stub', 'stub', 'stub', 'wallet', undefined);

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
  (model) => model.carts.length > 0,
  async (model, shop, drawn) => {
    const cart = pick(model.carts, drawn.cart);
    const wish = { customer: cart.customer, method: drawn.method, cartId: cart.id };
    model.asked(shop.startAttempt(wish), wish);
  },
);

/** The newest object of an attempt that a customer was handed, if any. */
function objectOf(shop: Shop, bookingId: string) {
  return shop.gateway.objects.findLast((one) => one.bookingId === bookingId && one.handedOut);
}

/** The customer acts on the gateway's page, and its webhook comes, or never does. */
const atTheGateway = deed(
  'atTheGateway',
  fc.record({
    attempt: nth,
    does: fc.constantFrom('pays', 'pays', 'pays', 'pays', 'pays too little', 'is declined', 'begins'),
    rings: fc.boolean(),
  }),
  anyAttempt,
  async (model, shop, drawn) => {
    const attempt = pick(model.attempts, drawn.attempt);
    const object = objectOf(shop, attempt.id);
    if (object === undefined || object.status === 'closed' || object.status === 'paid') return;
    if (drawn.does === 'pays') shop.gateway.capture(object, object.total);
    else if (drawn.does === 'pays too little') {
      shop.gateway.capture(object, { ...object.total, amountMinor: object.total.amountMinor - 1 });
    } else if (drawn.does === 'begins') object.status = 'processing';
    else {
      object.status = 'unpaid';
      object.declines += 1;
    }
    if (drawn.rings) await shop.ringFor(object.ref, attempt.id);
  },
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

const retry = deed('retry', nth, anyAttempt, async (model, shop, n) =>
  shop.ask(pick(model.attempts, n).id, 'retry'),
);
const cancel = deed('cancel', nth, anyAttempt, async (model, shop, n) =>
  shop.ask(pick(model.attempts, n).id, 'cancel'),
);

const credit = deed(
  'credit',
  fc.record({ customer, currency, amountMinor: fc.constantFrom(1000, 3000), times: fc.constantFrom(1, 2) }),
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

/** Time passes: less than a hold, past holds, past windows, past the start of a slot, past a refund's patience. */
const time = deed(
  'pass',
  fc.record({ seconds: fc.constantFrom(40, 130, 400, 1000, 4000, 90_000, 2_700_000), timers: fc.boolean() }),
  always,
  async (model, shop, { seconds, timers }) => {
    await shop.pass(seconds, timers);
    model.now += seconds;
  },
);

const timers = deed('timers', fc.constant(null), always, async (_, shop) => shop.temporal.fireTimers());

/** Deeds that may come at once. Time is not among them: it moves rows that others have locked. */
const deeds = (
  [
    [1, publishing],
    [5, cartEdit],
    [1, newCart],
    [7, startFromItems],
    [4, startFromCart],
    [11, atTheGateway],
    [3, doorbell],
    [2, payLate],
    [3, retry],
    [3, cancel],
    [2, credit],
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
).map(([weight, arbitrary]) => ({ weight, arbitrary }));

class Command implements fc.AsyncCommand<Model, Shop> {
  constructor(private readonly parts: readonly Deed[]) {}

  check = (model: Readonly<Model>) => this.parts.every((part) => part.possible(model as Model));

  async run(model: Model, shop: Shop): Promise<void> {
    model.racing = this.parts.length > 1;
    const mishapsAhead = shop.gateway.ahead.length > 0;
    await Promise.all(this.parts.map((part) => part.act(model, shop)));
    await shop.temporal.quiet();
    expect(shop.temporal.faults).toEqual([]);
    await model.sync(shop, mishapsAhead);
  }

  toString = () => {
    const names = this.parts.map((part) => part.name).join(', ');
    return this.parts.length > 1 ? `atOnce(${names})` : names;
  };
}

const one = fc.oneof(...deeds);
const single = one.map((part) => new Command([part]));
const atOnce = fc.array(one, { minLength: 2, maxLength: 4 }).map((parts) => new Command(parts));
const passing = time.map((part) => new Command([part]));

/** A list of commands, beginning with offerings; `replayPath` is fast-check's own, from an earlier failure. */
export function commandLists(replayPath: string | undefined) {
  const many = fc.commands([single, single, single, single, single, single, atOnce, atOnce, passing], {
    maxCommands: 40,
    size: 'max',
    ...(replayPath === undefined ? {} : { replayPath }),
  });
  return fc.tuple(fc.array(publishing, { minLength: 1, maxLength: 3 }), many);
}
