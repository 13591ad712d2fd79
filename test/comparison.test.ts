/** The daily comparison of a gateway's books with ours: what it finds, what it does not, and when it runs. */
import { randomInt } from 'node:crypto';
import { comparisonId } from '../src/workflows/messages';
import type { Gateway } from '../src/gateways/gateway';
import { keepSchedule } from '../src/worker';
import { amount, compareDay, findings, live, noonOf, writeRefund } from './comparison-setup';
import { newBookingId } from './refunds-setup';
import { eventually, startWorld, type World } from './world';

let world: World;
beforeEach(async () => {
  world = await startWorld({ standing: false });
});
afterEach(() => world.stop());

const [day, nextDay, clean] = ['2026-03-01', '2026-03-02', '2026-02-01'];
const noon = noonOf(day);

test('of 1,000 payments five differ: five cases, of another kind or detail each; a second run finds no more', async () => {
  const lived = await live(world, 990, noon);
  const returned = await live(world, 5, noon, { disposition: 'returned' });
  for (const one of returned) {
    const { id } = await world.sandbox.plantRefund(one.ref, { created: noon });
    await writeRefund(world, one, id, new Date(noon * 1000));
  }
  // Around both midnights the two clocks disagree about the day.
  const edge = Date.parse(`${day}T00:00:00Z`) / 1000;
  await live(world, 2, edge - 2, { recordedAt: new Date((edge + 2) * 1000) });
  await live(world, 2, edge + 86_398, { recordedAt: new Date((edge + 86_402) * 1000) });
  // Other shops on the same account.
  await world.sandbox.plantPayment({ amount: 100, currency: 'usd', created: noon });
  await world.sandbox.plantPayment({
    amount: 100,
    currency: 'usd',
    created: noon,
    metadata: { bookingId: '4711' },
  });
  await world.sandbox.plantPayment({ amount: 100, currency: 'usd', created: noon, withoutIntent: true });
  const expected = {
    gateway: 'stripe',
    notOurs: 3,
    rung: 0,
    caseIds: [],
    payments: 990 + 5 + 2 + 3,
    refunds: 5,
  };
  expect(await compareDay(world, day)).toEqual([expected]);
  expect(await findings(world, 0)).toEqual([]);

  const [wrongAmount, goneThere, byHand] = lived;
  const [neverSent] = returned;
  if (!wrongAmount || !goneThere || !byHand || !neverSent) throw new Error('Bug: nothing was planted');
  const unknown = newBookingId();
  await world.sandbox.plantPayment({
    amount,
    currency: 'eur',
    created: noon,
    metadata: { bookingId: unknown, try: '1' },
  });
  await world.sandbox.recapture(wrongAmount.ref, { amount: amount - 1 });
  await world.sandbox.forget(goneThere.ref);
  await world.sandbox.plantRefund(byHand.ref, { amount: 700, created: noon });
  const [row] = await world
    .db('refunds')
    .where({ payment_id: neverSent.paymentId })
    .select<{ id: string; gateway_refund_id: string }[]>();
  await world.sandbox.forget(String(row?.gateway_refund_id));

  const five = [
    ['difference', `Payment ${goneThere.charge} of 2500 EUR is captured here and missing at stripe.`],
    ['difference', `Payment ${wrongAmount.charge} is 2500 EUR here and 2499 EUR at stripe.`],
    ['difference', `Refund ${String(row?.id)} of 2500 EUR is done here and missing at stripe.`],
    ['external-refund', '700 EUR of a booking that stands were refunded at stripe, not by Payfirst.'],
    ['unmatched-payment', expect.stringContaining(`in the name of ${unknown}`)],
  ];
  const shown = (cases: { kind: string; detail: string }[]) =>
    cases.map(({ kind, detail }) => [kind, detail]);
  const [found] = await compareDay(world, day);
  expect(found).toMatchObject({ rung: 2, notOurs: 3 });
  const sorted = (list: unknown[][]) => [...list].sort((a, b) => String(a[0]).localeCompare(String(b[0])));
  const cases = await findings(world, 5);
  expect(sorted(shown(cases))).toEqual(expect.arrayContaining(five));
  expect(cases).toHaveLength(5);
  for (const { workflow_id: keeper } of cases)
    expect((await world.temporal.workflow.getHandle(keeper).describe()).status.name).toBe('RUNNING');

  // The gateway is away in the middle, twice, and the comparison goes on when it is back.
  await world.sandbox.fault({ kind: 'lost-undone', operation: 'refunds.list', times: 2 });
  expect(await compareDay(world, day)).toMatchObject([{ notOurs: 3 }]);
  expect(await findings(world, 5)).toHaveLength(5);
  expect(await compareDay(world, clean)).toMatchObject([{ payments: 0, refunds: 0, caseIds: [] }]);
  expect(await compareDay(world, nextDay)).toMatchObject([{ caseIds: [] }]);
  expect(await findings(world, 5)).toHaveLength(5);
});

test('a refund that failed at the gateway, and nobody told us, becomes its own case', async () => {
  const [one] = await live(world, 1, noon, { disposition: 'returned' });
  if (!one) throw new Error('Bug: nothing was planted');
  const refundId = await writeRefund(world, one, 'to be named', new Date(noon * 1000));
  const metadata = { refundId, go: '1', bookingId: one.bookingId };
  const { id } = await world.sandbox.plantRefund(one.ref, { status: 'failed', created: noon, metadata });
  await world.db('refunds').where({ id: refundId }).update({ gateway_refund_id: id });
  expect(await compareDay(world, day)).toMatchObject([{ rung: 1 }]);
  expect(await findings(world, 1)).toMatchObject([{ kind: 'refund-failed' }]);
  expect(await compareDay(world, day)).toMatchObject([{ rung: 0 }]);
  expect(await findings(world, 1)).toHaveLength(1);
});

test('a dispute that nobody told us of is found, once, and so is its end', async () => {
  const [one, won] = await live(world, 2, noon);
  if (!one || !won) throw new Error('Bug: nothing was planted');
  const other = await world.sandbox.plantPayment({ amount, currency: 'eur', created: noon });
  await world.sandbox.webhookFault({ kind: 'drop', event: '*', times: null });
  const ids: string[] = [];
  for (const ref of [one.ref, won.ref, String(other.paymentIntent)]) {
    const { id } = await world.sandbox.dispute(ref);
    await world.sandbox.backdate(id, noon);
    ids.push(id);
  }
  const [disputed = '', wonInTheEnd = ''] = ids;
  await world.sandbox.closeDispute(wonInTheEnd, 'won');
  const status = async () =>
    (await world.db('attempts').where({ booking_id: one.bookingId }).first<{ status: string }>('status'))
      .status;

  expect(await compareDay(world, day)).toMatchObject([{ rung: 1, caseIds: [] }]);
  const [found] = await findings(world, 1);
  expect(found).toMatchObject({ kind: 'dispute', detail: expect.stringContaining(disputed) as unknown });
  expect(await status()).toBe('needs_attention');
  const keeper = world.temporal.workflow.getHandle(String(found?.workflow_id));
  await eventually('its keeper', () => keeper.describe().catch(() => undefined));
  expect(await compareDay(world, day)).toMatchObject([{ rung: 0, caseIds: [] }]);
  expect(await findings(world, 1)).toHaveLength(1);

  await world.sandbox.closeDispute(disputed, 'lost');
  expect(await compareDay(world, day)).toMatchObject([{ rung: 1, caseIds: [] }]);
  await eventually('the loss', async () => (await status()) === 'refunded');
  await keeper.result();
  expect(await compareDay(world, day)).toMatchObject([{ rung: 0, caseIds: [] }]);
  expect(await findings(world, 1)).toHaveLength(1);
});

test('money that settling can mend is rung for: no case', async () => {
  const [late] = await live(world, 1, noon);
  if (!late) throw new Error('Bug: nothing was planted');
  // As if nobody had ever told us of it, and the attempt had run out.
  await world.db('payments').where({ id: late.paymentId }).delete();
  await world.db('bookings').where({ id: late.bookingId }).delete();
  await world.db('payment_tries').where({ booking_id: late.bookingId }).update({ status: 'closed' });
  await world.db.raw('ALTER TABLE attempts DISABLE TRIGGER attempts_legal_transition');
  await world.db('attempts').where({ booking_id: late.bookingId }).update({ status: 'expired' });
  expect(await compareDay(world, day)).toMatchObject([{ rung: 1, caseIds: [] }]);
  await eventually('the late money is given back', async () =>
    (await world.sandbox.ledger()).refunds.some(
      (one) => one.paymentIntent === late.ref && one.status === 'succeeded',
    ),
  );
  expect(await findings(world, 0)).toEqual([]);
});

describe('a gateway that cannot list', () => {
  let silent: World;
  beforeEach(async () => {
    const wrapGateway = (gateway: Gateway): Gateway => {
      const silenced = { ...gateway, capabilities: { ...gateway.capabilities, lists: false } };
      delete silenced.list;
      return silenced;
    };
    silent = await startWorld({ standing: false, wrapGateway });
  });
  afterEach(() => silent.stop());

  test('is compared try by try', async () => {
    const [wrongAmount, gone, unsettled, , neverSent] = [
      ...(await live(silent, 4, noon)),
      ...(await live(silent, 1, noon, { disposition: 'returned' })),
    ];
    if (!wrongAmount || !gone || !unsettled || !neverSent) throw new Error('Bug: nothing was planted');
    await silent.sandbox.recapture(wrongAmount.ref, { amount: 1 });
    await silent.sandbox.forget(gone.ref);
    const refundId = await writeRefund(silent, neverSent, 're_never', new Date(noon * 1000));
    await silent.db('payments').where({ id: unsettled.paymentId }).delete();
    await silent.db('bookings').where({ id: unsettled.bookingId }).delete();
    await silent.db('payment_tries').where({ booking_id: unsettled.bookingId }).update({ status: 'closed' });
    expect(await compareDay(silent, day)).toMatchObject([{ rung: 1, payments: 4, refunds: 1, notOurs: 0 }]);
    const details = (await findings(silent, 3)).map(({ detail }) => detail);
    expect(details).toHaveLength(3);
    expect(details).toEqual(
      expect.arrayContaining([
        expect.stringContaining(`${wrongAmount.charge} is 2500 EUR here and 1 EUR`),
        expect.stringContaining(`${gone.charge} of 2500 EUR is captured here and missing`),
        expect.stringContaining(`${refundId} of 2500 EUR is done here and missing`),
      ]),
    );
  });
});

test('a Schedule runs it each night, for the day before the night it was due, and drops what was heard long ago', async () => {
  const { temporal, taskQueue } = world;
  const schedule = temporal.schedule.getHandle(comparisonId);
  await schedule.delete().catch(() => undefined);
  await keepSchedule(temporal, taskQueue);
  try {
    await keepSchedule(temporal, taskQueue);
    expect(await schedule.describe()).toMatchObject({
      action: { workflowType: 'compare', taskQueue },
      policies: { overlap: 'BUFFER_ALL' },
      spec: { calendars: [{ hour: [{ start: 3, end: 3 }] }] },
    });
    // Any night long past: another run's workflow of the same name may still be known to the server.
    const due = new Date(Date.UTC(2020, 0, randomInt(1, 1800), 3));
    const night = due.toISOString().slice(0, 10);
    const [one] = await live(world, 1, due.getTime() / 1000 - 43_200);
    if (!one) throw new Error('Bug: nothing was planted');
    await world.sandbox.forget(one.ref);
    for (const [event_id, days] of [
      ['evt_old', 31],
      ['evt_new', 29],
    ] as const)
      await world.db.raw(
        `INSERT INTO gateway_events (gateway, event_id, type, heard_at) VALUES ('stripe', ?, 'paid', now() - make_interval(days => ?))`,
        [event_id, days],
      );
    // A night that nobody was up for.
    await schedule.backfill({
      start: new Date(`${night}T02:59:00Z`),
      end: new Date(`${night}T03:01:00Z`),
      overlap: 'ALLOW_ALL',
    });
    const missed = temporal.workflow.getHandle(`${comparisonId}-${night}T03:00:00Z`);
    await eventually(
      'the missed night',
      async () => (await missed.describe().catch(() => undefined)) !== undefined,
    );
    expect(await missed.result()).toMatchObject([{ gateway: 'stripe', caseIds: [expect.any(String)] }]);
    expect((await world.db('gateway_events').select('event_id')) as unknown).toEqual([
      { event_id: 'evt_new' },
    ]);
    await schedule.trigger();
    await eventually(
      'the one by hand',
      async () => (await schedule.describe()).info.recentActions.length >= 1,
    );
    const { recentActions } = (await schedule.describe()).info;
    const started = recentActions.at(-1)?.action;
    if (started?.type !== 'startWorkflow') throw new Error('Bug: nothing was started');
    expect(await temporal.workflow.getHandle(started.workflow.workflowId).result()).toMatchObject([
      { gateway: 'stripe' },
    ]);
  } finally {
    await schedule.delete();
  }
});
