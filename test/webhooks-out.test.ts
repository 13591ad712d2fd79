/** Outgoing webhooks, from their cause to the backend that verifies them: one per event and endpoint. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { webhookEvents } from '../src/booking';
import { openAttempt, openCaseOf, outcomeOf, pay, payForNothing } from './refunds-setup';
import {
  aWhile,
  arrived,
  book,
  change,
  deliveryThat,
  makeDue,
  ops,
  receiver,
  register,
  rows,
  useWebhooks,
  world,
} from './webhooks-out-setup';
import { eventually, type Json } from './world';

useWebhooks();

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

test('the example of docs/integrate.md verifies what comes, and refuses what was made up', async () => {
  const page = readFileSync(join(__dirname, '..', 'docs', 'integrate.md'), 'utf8');
  const example = /```js\n(import express[\s\S]*?)```/.exec(page)?.[1] ?? '';
  const port = Number(new URL(receiver.url).port);
  // The example takes over its port.
  await receiver.stop();
  const { secret } = await register(undefined, `http://127.0.0.1:${port}/hooks/payfirst`);
  const child = spawn(process.execPath, ['--input-type=module', '--eval', example], {
    cwd: join(__dirname, '..'),
    env: { ...process.env, PORT: String(port), PAYFIRST_WEBHOOK_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  try {
    const bookingId = await book();
    await eventually('the example up', () =>
      fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      ),
    );
    await makeDue();
    await deliveryThat('delivered', (row) => row.status === 'delivered');
    await eventually('its word', async () => said === `booking.confirmed ${bookingId}\n`);
    const forged = await fetch(`http://127.0.0.1:${port}/hooks/payfirst`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': 'x',
        'webhook-timestamp': '1',
        'webhook-signature': 'v1,x',
      },
      body: '{}',
    });
    expect(forged.status).toBe(401);
  } finally {
    child.kill();
  }
});
