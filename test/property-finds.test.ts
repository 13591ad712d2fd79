/** What random lists found, each played again in its shortest form. */
import { freshDatabase, type FreshDatabase } from './database';
import { comeToRest, expectSound, expectSoundAtRest } from './property-invariants';
import { openShop, type NewOffering, type Shop } from './property-shop';

jest.mock('@temporalio/workflow', () => ({
  ...jest.requireActual<object>('@temporalio/workflow'),
  ...jest.requireActual<typeof import('./property-workflow')>('./property-workflow').workflowStandIns,
}));

const oneSeat: NewOffering = {
  kind: 'slot',
  capacity: 1,
  priceMinor: 700,
  currency: 'USD',
  holdSeconds: null,
  limit: null,
  provider: 0,
};

let database: FreshDatabase;
let lists = 0;
beforeAll(async () => (database = await freshDatabase()));
afterAll(() => database.close());

async function furnished(): Promise<Shop> {
  const shop = openShop(database.db, `found${(lists += 1)}`);
  await shop.furnish();
  return shop;
}

/** Starts an attempt for one seat; gives its id and its payment object, once it can be paid. */
async function started(shop: Shop, customer: number, offeringId: string) {
  const id = shop.startAttempt({ customer, method: 'stub', items: [{ offeringId, seats: 1 }] });
  await shop.temporal.quiet();
  const object = shop.gateway.objects.findLast((one) => one.bookingId === id);
  if (object === undefined) throw new Error(`${id} cannot be paid`);
  return { id, object };
}

async function paid(shop: Shop, { id, object }: Awaited<ReturnType<typeof started>>): Promise<void> {
  shop.gateway.capture(object, object.total);
  await shop.ringFor(object.ref, id);
  await shop.temporal.quiet();
}

async function restsSoundly(shop: Shop): Promise<void> {
  await expectSound(shop);
  await comeToRest(shop);
  await expectSoundAtRest(shop);
}

test('a look at an unmatched payment that is cut off before it could tell leaves a case that somebody keeps', async () => {
  const shop = await furnished();
  shop.gateway.ahead.push('kept-done');
  const attempt = await started(shop, 0, await shop.publish(oneSeat));
  await shop.pass(1_000, true);
  await shop.temporal.quiet();
  const [lost] = shop.gateway.objects;
  if (lost === undefined) throw new Error('Nothing was made');
  shop.gateway.capture(lost, lost.total);
  // The first look writes the case, and its worker dies before it says so.
  shop.temporal.ahead.push('lost');
  await shop.ringFor(lost.ref, attempt.id);
  await shop.temporal.quiet();
  const [found] = await shop.openCases();
  expect(found).toMatchObject({ kind: 'unmatched-payment' });
  expect(shop.temporal.runs(found?.workflow_id ?? '')).toBe(true);
  await restsSoundly(shop);
});

test.each(['succeeded', 'failed'] as const)(
  'a refund that was sent again from a case, and that the gateway then lets wait, is followed until it has %s',
  async (end) => {
    const shop = await furnished();
    const offeringId = await shop.publish(oneSeat);
    const [first, second] = [await started(shop, 0, offeringId), await started(shop, 1, offeringId)];
    await paid(shop, first);
    await paid(shop, second);
    const [sent] = shop.gateway.refunds;
    if (sent === undefined) throw new Error('Nothing was given back');
    sent.status = 'failed';
    await shop.ringFor(sent.ref, second.id);
    await shop.temporal.quiet();
    const [found] = await shop.openCases();
    if (found === undefined) throw new Error('Nobody was asked');
    shop.gateway.refundsBecome.push('pending');
    await shop.resolveCase(found, 'retry-refund');
    await shop.temporal.quiet();
    const again = shop.gateway.refunds[1];
    if (again === undefined) throw new Error('It was not sent again');
    again.status = end;
    await shop.ringFor(again.ref, second.id);
    await shop.temporal.quiet();
    // The keeper heard: it is done, or asks about the new failure.
    expect(shop.temporal.runs(found.workflow_id)).toBe(end === 'failed');
    expect(await shop.openCases()).toMatchObject(
      end === 'failed' ? [{ kind: 'refund-failed', workflow_id: found.workflow_id }] : [],
    );
    await restsSoundly(shop);
  },
);

test('two couriers at once send a mail once', async () => {
  const shop = await furnished();
  await paid(shop, await started(shop, 0, await shop.publish(oneSeat)));
  await Promise.all([shop.temporal.oneRound('carryMessages'), shop.temporal.oneRound('carryMessages')]);
  expect(shop.mails).toHaveLength(2);
  await restsSoundly(shop);
});
