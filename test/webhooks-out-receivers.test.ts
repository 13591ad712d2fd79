/** Outgoing webhooks to receivers that fail, hang, ask for time or are gone: again, later each time, and nobody else waits. */
import { startReceiver, type Reply } from './webhook-receiver';
import {
  aWhile,
  arrived,
  book,
  change,
  deliveryThat,
  failedTimes,
  makeDue,
  moveReceiver,
  ops,
  receiver,
  register,
  rows,
  useWebhooks,
  world,
} from './webhooks-out-setup';
import { eventually, type Json } from './world';

useWebhooks();

/** Seconds until the delivery is posted again. */
async function secondsToNext(): Promise<number> {
  const { rows: found } = await world.db.raw<{ rows: { gap: number }[] }>(
    'SELECT extract(epoch FROM next_try_at - now())::float AS gap FROM webhook_deliveries',
  );
  return found[0]?.gap ?? Number.NaN;
}

describe('a receiver', () => {
  test.each<[string, Reply, Json]>([
    ['500', 500, { last_status_code: 500, last_error: null }],
    ['404', 404, { last_status_code: 404, last_error: null }],
    ['nothing in time', 'hang', { last_status_code: null, last_error: 'timeout' }],
    ['a cut connection', 'cut', { last_status_code: null, last_error: 'ECONNRESET' }],
  ])('that answers %s is told again, under the same id with a new signature', async (_what, reply, seen) => {
    receiver.replies = [reply];
    const { secret } = await register();
    await book();
    expect(await failedTimes(1)).toMatchObject({ status: 'queued', ...seen });
    const gap = await secondsToNext();
    expect(gap).toBeGreaterThan(1);
    expect(gap).toBeLessThanOrEqual(5.5);
    await makeDue();
    await deliveryThat('delivered', (row) => row.status === 'delivered' && row.tries === 2);
    const [first, second] = receiver.received;
    if (first === undefined || second === undefined) throw new Error('Bug');
    expect([second.id, second.body]).toEqual([first.id, first.body]);
    for (const post of [first, second]) receiver.verify(post, secret);
  });

  test('that nobody is behind is told again once somebody is', async () => {
    await register();
    await receiver.stop();
    await book();
    expect(await failedTimes(1)).toMatchObject({ status: 'queued', last_error: 'ECONNREFUSED' });
    const { id } = await world.db('webhook_endpoints').first<Json>();
    await moveReceiver();
    await world.db('webhook_endpoints').where({ id }).update({ url: receiver.url });
    await makeDue();
    await arrived(1);
  });

  test.each([
    [1, 300],
    [2, 1_800],
    [5, 36_000],
    [8, 86_400],
  ])('that failed %d times before is left alone for %d seconds', async (step, seconds) => {
    receiver.always = 503;
    await register();
    await book();
    await failedTimes(1);
    await change({ step, next_try_at: world.db.fn.now() });
    await failedTimes(2);
    const gap = await secondsToNext();
    expect(gap).toBeGreaterThan(seconds - 8);
    expect(gap).toBeLessThanOrEqual(seconds * 1.1);
  });

  test('that asks for time gets it', async () => {
    receiver.replies = [(response) => response.writeHead(429, { 'retry-after': '120' }).end()];
    await register();
    await book();
    await failedTimes(1);
    expect(await secondsToNext()).toBeGreaterThan(110);
    expect(await secondsToNext()).toBeLessThanOrEqual(120);
  });

  test('that fails to the end is given up, and disabled when it took nothing in all that time', async () => {
    const { id } = await register();
    const first = await book();
    await deliveryThat('delivered', (row) => row.status === 'delivered');
    receiver.always = 500;
    for (const disabled of [false, true]) {
      const bookingId = await book();
      const mine = world.db('webhook_deliveries').where({ subject: bookingId });
      await eventually(
        'a post in vain',
        async () => (await mine.clone().first<Json>())?.last_status_code === 500,
      );
      // Within the time of the first of them something was taken; within that of the second, nothing.
      await mine.clone().update({ step: 9, next_try_at: world.db.fn.now() });
      if (!disabled)
        await world
          .db('webhook_deliveries')
          .where({ subject: first })
          .update({ delivered_at: world.db.raw("now() + interval '1 second'") });
      else
        await world
          .db('webhook_deliveries')
          .where({ subject: first })
          .update({ delivered_at: world.db.raw("now() - interval '4 days'") });
      await eventually('given up', async () => (await mine.clone().first<Json>())?.status === 'failed');
      const shown = () => world.call('GET', `/v1/webhook-endpoints/${id}`, { token: ops });
      if (disabled) await eventually('disabled', async () => (await shown()).body.status === 'disabled');
      else await aWhile();
      expect((await shown()).body.status).toBe(disabled ? 'disabled' : 'enabled');
    }
    const shown = await world.call('GET', `/v1/webhook-endpoints/${id}`, { token: ops });
    expect(shown.body.disabledBecause).toBe('failing');
  });

  test('that says 410 is told nothing more', async () => {
    receiver.always = 410;
    const { id } = await register();
    const waiting = await book();
    await deliveryThat('failed', (row) => row.status === 'failed');
    await eventually('disabled', async () => {
      const shown = await world.call('GET', `/v1/webhook-endpoints/${id}`, { token: ops });
      return shown.body.status === 'disabled' && shown.body.disabledBecause === 'gone';
    });
    await book();
    await aWhile();
    expect(receiver.received).toHaveLength(1);
    expect(await rows()).toMatchObject([{ subject: waiting, last_status_code: 410, status: 'failed' }]);
  });

  test('that redirects is not followed', async () => {
    const elsewhere = await startReceiver();
    receiver.replies = [(response) => response.writeHead(307, { location: `${elsewhere.url}/` }).end()];
    await register();
    await book();
    expect(await failedTimes(1)).toMatchObject({ last_status_code: 307, status: 'queued' });
    expect(elsewhere.connections()).toBe(0);
    await elsewhere.stop();
  });

  test('that answers without end is heard by its status, and cut off', async () => {
    let written = 0;
    let cut = false;
    receiver.replies = [
      (response) => {
        response.writeHead(200);
        const more = () => {
          if (cut) return;
          written += 65_536;
          response.write(Buffer.alloc(65_536), () => setImmediate(more));
        };
        response.on('close', () => (cut = true));
        more();
      },
    ];
    await register();
    await book();
    await deliveryThat('delivered', (row) => row.status === 'delivered');
    await eventually('cut off', async () => cut);
    expect(written).toBeLessThan(20 * 1_048_576);
  });

  test('that hangs keeps neither mails nor other endpoints waiting', async () => {
    receiver.always = 'hang';
    const other = await startReceiver();
    // Longer than the test may take: a lane that anybody had to wait for would be seen.
    Object.assign(world.dependencies.webhooks, { timeoutMs: 120_000 });
    try {
      await register();
      await register(undefined, `${other.url}/`);
      for (let n = 0; n < 5; n += 1) await book();
      await eventually('hanging posts', async () => receiver.waiting.now === 4);
      const bookingId = await book();
      await eventually('the mail', async () => {
        const mails = await world.mail.messages();
        return mails.some((mail) => mail.to.includes(`${bookingId}@example.org`));
      });
      await eventually('the other endpoint', async () => other.received.length >= 6);
      // Four lanes, and no more; those that hung then hang still.
      expect(receiver.waiting).toEqual({ now: 4, most: 4 });
    } finally {
      Object.assign(world.dependencies.webhooks, { timeoutMs: 2_000 });
      await other.stop();
    }
  });
});
