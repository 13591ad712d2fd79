/** Outgoing webhooks, from their cause to the backend that verifies them: once each, again when unheard, never inside. */
import type { Knex } from 'knex';
import { webhookEvents } from '../src/booking';
import { headersOf, postWebhook } from '../src/activities/webhook-post';
import { lookUp } from '../src/public-address';
import { openAttempt, openCaseOf, outcomeOf, pay, payForNothing } from './refunds-setup';
import { startReceiver, type Received, type Receiver, type Reply } from './webhook-receiver';
import { eventually, startWorld, type Json, type World } from './world';

let world: World;
let receiver: Receiver;
let ops: string;

beforeAll(async () => {
  world = await startWorld({ env: { WEBHOOKS_ALLOW_PRIVATE: 'true' } });
  ops = await world.token('olga', 'ops');
});
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  await world.db('webhook_endpoints').del();
  Object.assign(world.dependencies.webhooks, { allowPrivate: true, lookUp });
  await receiver.stop();
});
afterAll(() => world.stop());

interface Endpoint {
  id: string;
  secret: string;
}

async function register(events?: string[], url = `${receiver.url}/hooks`): Promise<Endpoint> {
  const answer = await world.call('POST', '/v1/webhook-endpoints', { token: ops, body: { url, events } });
  expect(answer.status).toBe(201);
  return answer.body;
}

async function book(): Promise<string> {
  const attempt = await openAttempt(world);
  await pay(world, attempt.ref);
  expect(await outcomeOf(attempt)).toBe('confirmed');
  return attempt.bookingId;
}

/** Everything that arrives, once at least so many have. */
async function arrived(count: number): Promise<Received[]> {
  await eventually(`${count} webhooks`, async () => receiver.received.length >= count);
  return receiver.received;
}

async function rows(where: Json = {}): Promise<Json[]> {
  return world.db('webhook_deliveries').where(where).orderBy('occurred_at');
}

/** The one delivery there is, once it is so. */
async function deliveryThat(looks: string, isSo: (row: Json) => boolean): Promise<Json> {
  return eventually(looks, async () => {
    const [row] = await rows();
    return row !== undefined && isSo(row) && row;
  });
}

const change = (to: Record<string, Knex.Raw | number>) => world.db('webhook_deliveries').update(to);
const makeDue = () => change({ next_try_at: world.db.fn.now() });

async function secondsToNext(): Promise<number> {
  const { rows: found } = await world.db.raw<{ rows: { gap: number }[] }>(
    'SELECT extract(epoch FROM next_try_at - now())::float AS gap FROM webhook_deliveries',
  );
  return found[0]?.gap ?? Number.NaN;
}

const failedTimes = (tries: number) =>
  deliveryThat(
    `${tries} posts in vain`,
    (row) => row.tries === tries && (row.last_error !== null || row.last_status_code !== null),
  );

/** Two rounds of the courier, in which whatever is due is taken up. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 1_300));

describe('an event', () => {
  test('is posted once, signed so that the public library verifies it, and holds ids and states only', async () => {
    const { secret } = await register();
    const bookingId = await book();
    const [post] = await arrived(1);
    if (post === undefined) throw new Error('Bug');
    const booking = await world.db('bookings').where({ id: bookingId }).first<{ reference: string }>();
    expect(receiver.verify(post, secret)).toEqual({
      type: 'booking.confirmed',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { bookingId, reference: booking.reference, status: 'confirmed', version: expect.any(Number) },
    });
    expect(post.id).toMatch(/^whd_[0-9a-z]{24}$/);
    expect(post.headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'Payfirst' });
    const read = await world.call('GET', `/v1/bookings/${bookingId}`, { token: ops });
    expect(post.json.data.version).toBe(read.body.version);
    for (const changed of [`${post.body} `, post.body.replace('confirmed', 'refunded')]) {
      expect(() => receiver.verify({ ...post, body: changed }, secret)).toThrow();
    }
    expect(() => receiver.verify(post, `whsec_${Buffer.alloc(32).toString('base64')}`)).toThrow();
    await deliveryThat('delivered', (row) => row.status === 'delivered');
    await aWhile();
    expect(receiver.received).toHaveLength(1);
    expect(await rows()).toMatchObject([{ tries: 1, last_status_code: 204, next_try_at: null }]);
  });

  test('of settling the same payment twice is one, and goes to each endpoint that wants it', async () => {
    await register(['booking.confirmed', 'case.opened'], `${receiver.url}/one`);
    await register(undefined, `${receiver.url}/two`);
    await register(['booking.refunded'], `${receiver.url}/three`);
    const attempt = await openAttempt(world);
    await pay(world, attempt.ref);
    expect(await outcomeOf(attempt)).toBe('confirmed');
    await arrived(2);
    await aWhile();
    expect(receiver.received.map(({ path }) => path).sort()).toEqual(['/one', '/two']);
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(2);
  });

  test('tells of money that went back, of an attempt that was canceled, and of a case', async () => {
    await register();
    const refunded = await payForNothing(world);
    expect(await outcomeOf(refunded)).toBe('refunded');
    const canceled = await openAttempt(world);
    const customer = await world.db('attempts').where({ booking_id: canceled.bookingId }).first<Json>();
    const asked = await world.call('POST', `/v1/bookings/${canceled.bookingId}/cancel`, {
      token: await world.token(customer.customer_id),
      body: {},
    });
    expect(asked.body.status).toBe('canceled');
    await world.db('cases').insert({
      id: 'cas_000000000000000000000001',
      workflow_id: 'none',
      booking_id: canceled.bookingId,
      kind: 'message-failed',
      detail: 'The mail to ada@example.org',
    });
    await arrived(3);
    const told = Object.fromEntries(receiver.received.map(({ json }) => [json.type, json.data]));
    expect(told['booking.refunded']).toMatchObject({ bookingId: refunded.bookingId, status: 'refunded' });
    expect(told['booking.canceled']).toMatchObject({ bookingId: canceled.bookingId, status: 'canceled' });
    expect(told['case.opened']).toEqual({
      caseId: 'cas_000000000000000000000001',
      kind: 'message-failed',
      bookingId: canceled.bookingId,
    });
    expect(receiver.received).toHaveLength(3);
    await world.db('cases').del();
  });

  test('of a confirmed booking that is called off is canceled at once, and refunded when the money is back', async () => {
    await register();
    const bookingId = await book();
    const { customer_id: customer } = await world
      .db('attempts')
      .where({ booking_id: bookingId })
      .first<Json>();
    await world.call('POST', `/v1/bookings/${bookingId}/cancel`, {
      token: await world.token(customer),
      body: {},
    });
    await arrived(3);
    expect(receiver.received.map(({ json }) => [json.type, json.data.status]).sort()).toEqual([
      ['booking.canceled', 'refunding'],
      ['booking.confirmed', 'confirmed'],
      ['booking.refunded', 'refunded'],
    ]);
  });

  test('that is rolled back was none, and one whose attempt expires is one', async () => {
    await register();
    const { bookingId } = await openAttempt(world);
    const mine = world.db('attempts').where({ booking_id: bookingId });
    const rolledBack = world.db.transaction(async (trx) => {
      await mine.clone().transacting(trx).update({ status: 'expired' });
      expect(await trx('webhook_deliveries')).toHaveLength(1);
      throw new Error('undone');
    });
    await expect(rolledBack).rejects.toThrow('undone');
    expect(await rows()).toEqual([]);
    await mine.clone().update({ status: 'expired' });
    const [post] = await arrived(1);
    expect(post?.json).toMatchObject({ type: 'booking.expired', data: { bookingId, status: 'expired' } });
  });

  test('that changed its mind is not told twice: a dispute that ends leaves one confirmation', async () => {
    await register();
    const bookingId = await book();
    const mine = world.db('attempts').where({ booking_id: bookingId });
    for (const status of ['needs_attention', 'confirmed']) await mine.clone().update({ status });
    expect(await rows()).toHaveLength(1);
  });

  test('can be each of the vocabulary, and the table takes no other', async () => {
    const { rows: found } = await world.db.raw<{ rows: { definition: string }[] }>(
      "SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'webhook_endpoints_events_check'",
    );
    const named = [...(found[0]?.definition ?? '').matchAll(/'([a-z]+\.[a-z]+)'/g)].map((match) => match[1]);
    expect(named.sort()).toEqual([...webhookEvents].sort());
  });
});

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
    await receiver.stop();
    await register();
    await book();
    expect(await failedTimes(1)).toMatchObject({ status: 'queued', last_error: 'ECONNREFUSED' });
    const { id } = await world.db('webhook_endpoints').first<Json>();
    receiver = await startReceiver();
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
      await aWhile();
      const shown = await world.call('GET', `/v1/webhook-endpoints/${id}`, { token: ops });
      expect(shown.body.status).toBe(disabled ? 'disabled' : 'enabled');
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
    Object.assign(world.dependencies.webhooks, { timeoutMs: 15_000 });
    try {
      await register();
      await register(undefined, `${other.url}/`);
      for (let n = 0; n < 5; n += 1) await book();
      // Four lanes, and no more.
      await eventually('hanging posts', async () => receiver.received.length === 4);
      const began = Date.now();
      const bookingId = await book();
      await eventually('the mail', async () => {
        const mails = await world.mail.messages();
        return mails.some((mail) => mail.to.includes(`${bookingId}@example.org`));
      });
      await eventually('the other endpoint', async () => other.received.length === 6);
      expect(Date.now() - began).toBeLessThan(8_000);
      expect(receiver.received).toHaveLength(4);
    } finally {
      Object.assign(world.dependencies.webhooks, { timeoutMs: 2_000 });
      await other.stop();
    }
  });
});

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

describe('a delivery', () => {
  test('is repeated under the same id when an operator asks', async () => {
    const { id } = await register();
    await book();
    const row = await deliveryThat('delivered', (one) => one.status === 'delivered');
    const answer = await world.call('POST', `/v1/webhook-endpoints/${id}/deliveries/${row.id}/repeat`, {
      token: ops,
    });
    expect(answer.status).toBe(202);
    const [first, second] = await arrived(2);
    expect([second?.id, second?.body]).toEqual([first?.id, first?.body]);
    await deliveryThat('delivered again', (one) => one.status === 'delivered' && one.tries === 2);
  });

  test('stops when its endpoint is deleted, also while it is under way', async () => {
    receiver.replies = ['hang', 500];
    const { id } = await register();
    await book();
    await arrived(1);
    expect((await world.call('DELETE', `/v1/webhook-endpoints/${id}`, { token: ops })).status).toBe(204);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await rows()).toEqual([]);
    expect(receiver.received).toHaveLength(1);
  });

  test('that its courier died over is posted again under the same id, later each time, and not for ever', async () => {
    await register();
    const { bookingId } = await openAttempt(world);
    receiver.always = 'hang';
    await world.db('attempts').where({ booking_id: bookingId }).update({ status: 'expired' });
    await arrived(1);
    // As a dead courier leaves it: counted, due some time after any answer could come, and no outcome.
    const left = (await rows())[0];
    expect(left).toMatchObject({ tries: 1, step: 1, status: 'queued', last_error: null });
    expect(left.next_try_at.getTime() - Date.now()).toBeGreaterThan(25_000);
    receiver.always = 204;
    // Its late word must not count any more.
    await change({ next_try_at: world.db.fn.now() });
    await arrived(2);
    expect(receiver.received[1]?.id).toBe(receiver.received[0]?.id);
    await deliveryThat('delivered', (row) => row.status === 'delivered' && row.tries === 2);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await rows()).toMatchObject([{ status: 'delivered', last_error: null }]);
    await world
      .db('webhook_deliveries')
      .update({ status: 'queued', step: 10, next_try_at: world.db.fn.now() });
    await deliveryThat('given up', (row) => row.status === 'failed' && row.last_error === 'courier-died');
    expect(receiver.received).toHaveLength(2);
  });

  test('is one row per event and endpoint, whoever writes it', async () => {
    const { id } = await register();
    const bookingId = await book();
    const again = world.db.raw("SELECT queue_webhooks('booking.confirmed', ?, '{}')", [bookingId]);
    await again;
    expect(await rows({ subject: bookingId })).toHaveLength(1);
    const copy = { id: 'whd_x', endpoint_id: id, type: 'booking.confirmed', subject: bookingId, data: '{}' };
    await expect(world.db('webhook_deliveries').insert(copy)).rejects.toMatchObject({ code: '23505' });
  });
});

test('a case that an undeliverable mail opens is told of', async () => {
  await register(['case.opened']);
  await world.mail.fault('refuse', null);
  const bookingId = await book();
  const mine = world.db('messages').where({ booking_id: bookingId });
  await eventually('a go', async () => (await mine.clone().first<Json>())?.tries === 1);
  await mine.clone().update({ tries: 15, next_send_at: world.db.fn.now() });
  const found = await openCaseOf(world, bookingId);
  const [post] = await arrived(1);
  expect(post?.json.data).toEqual({ caseId: found.id, kind: 'message-failed', bookingId });
  await world.mail.clearFaults();
});
