/** Outgoing webhooks never go inside, are signed by secrets that change without a gap, and survive their courier. */
import { createActivities } from '../src/activities';
import { headersOf, postWebhook } from '../src/activities/webhook-post';
import { lookUp } from '../src/public-address';
import { buildCrashWorker, startDyingWorker, withWorker } from './crashes-setup';
import { openAttempt } from './refunds-setup';
import {
  arrived,
  aWhile,
  book,
  deliveryThat,
  failedTimes,
  makeDue,
  ops,
  receiver,
  register,
  rows,
  useWebhooks,
  world,
} from './webhooks-out-setup';
import { eventually } from './world';

useWebhooks();

describe('an address', () => {
  test('that was public when it was accepted and is inside now is not connected to', async () => {
    Object.assign(world.dependencies.webhooks, { allowPrivate: false });
    const { port } = new URL(receiver.url);
    const url = `https://hooks.example:${port}/`;
    const asked: string[] = [];
    Object.assign(world.dependencies.webhooks, {
      lookUp: (host: string) => {
        asked.push(host);
        return Promise.resolve([{ address: asked.length > 1 ? '127.0.0.1' : '8.8.8.8', family: 4 }]);
      },
    });
    // The first answer of this DNS is public.
    await world.dependencies.webhooks.lookUp('hooks.example');
    const { id } = await register();
    await world.db('webhook_endpoints').where({ id }).update({ url });
    await book();
    expect(await failedTimes(1)).toMatchObject({ last_error: 'private-address', status: 'queued' });
    expect(asked).toEqual(['hooks.example', 'hooks.example']);
    expect(receiver.connections()).toBe(0);
  });

  test.each([
    'https://127.0.0.1:PORT/',
    'https://[::ffff:127.0.0.1]:PORT/',
    'http://localhost:PORT/',
    'https://localhost:PORT/',
  ])('such as %s in a row of more liberal days is not connected to', async (pattern) => {
    const what = {
      url: pattern.replace('PORT', new URL(receiver.url).port),
      id: 'whd_1',
      body: '{}',
      secrets: [],
    };
    const strict = { allowPrivate: false, lookUp, timeoutMs: 2_000 };
    const never = new AbortController().signal;
    expect(await postWebhook(what, strict, never)).toEqual({ error: 'private-address' });
    expect(receiver.connections()).toBe(0);
    // The control: where it is allowed, somebody is there.
    await postWebhook(what, { ...strict, allowPrivate: true }, never);
    expect(receiver.connections()).toBe(1);
  });
});

describe('a secret', () => {
  test('that is changed signs beside the one before, for a day', async () => {
    const { id, secret } = await register();
    const rotated = await world.call('POST', `/v1/webhook-endpoints/${id}/rotate-secret`, { token: ops });
    await book();
    const [during] = await arrived(1);
    if (during === undefined) throw new Error('Bug');
    for (const one of [secret, rotated.body.secret]) receiver.verify(during, one);
    await world.db('webhook_endpoints').update({ old_secret_until: world.db.fn.now() });
    await book();
    const after = (await arrived(2))[1];
    if (after === undefined) throw new Error('Bug');
    receiver.verify(after, rotated.body.secret);
    expect(() => receiver.verify(after, secret)).toThrow();
  });

  test('that this installation cannot open signs nothing, and the reason is shown', async () => {
    await register();
    await world.db('webhook_endpoints').update({ secret: 'sealed.by.another.key.here' });
    await book();
    expect(await failedTimes(1)).toMatchObject({ last_error: 'secret-unreadable' });
    expect(receiver.received).toEqual([]);
  });

  test('signs as the specification says', () => {
    // Example of github.com/standard-webhooks/standard-webhooks, libraries/javascript/src/index.test.ts
    const headers = headersOf(
      {
        url: 'https://shop.example/',
        id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        body: '{"test": 2432232314}',
        secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      },
      new Date(1614265330_000),
    );
    expect(headers).toMatchObject({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });
});

test('several that are due at once are taken one by one, whatever the statistics say of the table', async () => {
  await register();
  await book();
  await deliveryThat('delivered', (row) => row.status === 'delivered');
  // As autovacuum may do while there is a single row: the planner then takes the table for that small.
  await world.db.raw('VACUUM (FULL, ANALYZE) webhook_deliveries');
  await world.db.transaction(async (trx) => {
    await trx.raw(
      `INSERT INTO webhook_deliveries (id, endpoint_id, type, subject, data)
         SELECT id || n, endpoint_id, type, subject || n, data FROM webhook_deliveries, generate_series(1, 5) AS n`,
    );
    // The control: looked for in a subquery, one is not what it finds.
    await trx.raw('SAVEPOINT control');
    const { rowCount } = await trx.raw<{ rowCount: number }>(
      `UPDATE webhook_deliveries AS d SET step = 1 FROM (SELECT id FROM webhook_deliveries
         WHERE endpoint_id = (SELECT id FROM webhook_endpoints) AND next_try_at <= now()
         ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS due WHERE d.id = due.id`,
    );
    expect(rowCount).toBe(5);
    await trx.raw('ROLLBACK TO SAVEPOINT control');
  });
  await arrived(6);
  await eventually('all delivered', async () => (await rows({ status: 'delivered', tries: 1 })).length === 6);
});

test('what is finished is kept for 30 days, and what is still queued until it is finished', async () => {
  const { id } = await register();
  const far = world.db.raw("now() + interval '1 hour'");
  const deliveries = [29, 31].flatMap((days) =>
    (['queued', 'delivered', 'failed'] as const).map((status) => ({
      ...{ id: `whd_${status}_${days}`, endpoint_id: id, type: 'booking.confirmed', data: '{}', status },
      subject: `bkg_${status}_${days}`,
      occurred_at: world.db.raw('now() - make_interval(days => ?)', [days]),
      next_try_at: status === 'queued' ? far : null,
    })),
  );
  await world.db('webhook_deliveries').insert(deliveries);
  await createActivities(world.dependencies).forgetOldEvents();
  const left = (await rows()).map((row) => String(row.id)).sort();
  expect(left).toEqual(['whd_delivered_29', 'whd_failed_29', 'whd_queued_29', 'whd_queued_31']);
});

/** The test's own courier is to be the only one: the world's learns by its next heartbeat, seconds later, that it was ended. */
async function endTheWorldsCourier(endpointId: string): Promise<void> {
  await world.temporal.workflow.getHandle(`courier-${world.taskQueue}`).terminate('another takes over');
  const bait = { endpoint_id: endpointId, type: 'booking.confirmed', data: '{}', subject: 'bkg_bait' };
  await eventually('nobody takes what is due', async () => {
    await world.db('webhook_deliveries').del();
    await world.db('webhook_deliveries').insert({ ...bait, id: 'whd_bait', next_try_at: world.db.fn.now() });
    await aWhile();
    return (await rows({ tries: 0 })).length === 1;
  });
  await world.db('webhook_deliveries').del();
  receiver.received.length = 0;
}

test('a worker that is killed while a receiver has the post leaves it to the next, which posts it under the same id', async () => {
  buildCrashWorker();
  const { id } = await register();
  const taskQueue = `${world.taskQueue}-dying`;
  const never = { statement: 'never said', when: 'before' } as const;
  await endTheWorldsCourier(id);
  receiver.always = 'hang';
  const dying = startDyingWorker(world, taskQueue, never);
  const workflowId = `courier-${taskQueue}`;
  await world.temporal.workflow.start('courier', { workflowId, taskQueue });
  try {
    const { bookingId } = await openAttempt(world);
    await world.db('attempts').where({ booking_id: bookingId }).update({ status: 'expired' });
    await arrived(1);
    dying.stop();
    expect((await dying.death).signal).toBe('SIGKILL');
    expect(await rows()).toMatchObject([{ status: 'queued', tries: 1, last_error: null }]);
    receiver.always = 204;
    await makeDue();
    await withWorker(world, taskQueue, () =>
      // The dead one's heart is missed after 10 seconds.
      eventually('the second post', async () => receiver.received.length === 2, 40_000),
    );
    const [first, second] = receiver.received;
    expect([second?.id, second?.body]).toEqual([first?.id, first?.body]);
    expect(await rows()).toMatchObject([{ status: 'delivered', tries: 2 }]);
  } finally {
    dying.stop();
    await world.temporal.workflow.getHandle(workflowId).terminate('the test ends');
  }
});
