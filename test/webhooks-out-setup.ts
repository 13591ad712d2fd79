/** Outgoing webhooks in a whole world: an endpoint on a receiver of the test's own, and its rows. */
import type { Knex } from 'knex';
import { lookUp } from '../src/public-address';
import { openAttempt, outcomeOf, pay } from './refunds-setup';
import { startReceiver, type Received, type Receiver } from './webhook-receiver';
import { eventually, startWorld, type Json, type World } from './world';

export let world: World;
/** Another one for each test. */
export let receiver: Receiver;
/** An operator's token. */
export let ops: string;

/** Starts the world of a test file, in which receivers may lie on this machine. */
export function useWebhooks(): void {
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
}

/** Stops the receiver and starts another, elsewhere. */
export async function moveReceiver(): Promise<void> {
  await receiver.stop();
  receiver = await startReceiver();
}

export async function register(
  events?: string[],
  url = `${receiver.url}/hooks`,
): Promise<{ id: string; secret: string }> {
  const answer = await world.call('POST', '/v1/webhook-endpoints', { token: ops, body: { url, events } });
  expect(answer.status).toBe(201);
  return answer.body;
}

/** Books and pays; answers the booking's id. */
export async function book(): Promise<string> {
  const attempt = await openAttempt(world);
  await pay(world, attempt.ref);
  expect(await outcomeOf(attempt)).toBe('confirmed');
  return attempt.bookingId;
}

/** Everything that arrives, once at least so many have. */
export async function arrived(count: number): Promise<Received[]> {
  await eventually(`${count} webhooks`, async () => receiver.received.length >= count);
  return receiver.received;
}

export async function rows(where: Json = {}): Promise<Json[]> {
  return world.db('webhook_deliveries').where(where).orderBy('occurred_at');
}

/** The one delivery there is, once it is so. */
export async function deliveryThat(looks: string, isSo: (row: Json) => boolean): Promise<Json> {
  return eventually(looks, async () => {
    const [row] = await rows();
    return row !== undefined && isSo(row) && row;
  });
}

/** Every delivery becomes so. */
export async function change(to: Record<string, Knex.Raw | number>): Promise<void> {
  await world.db('webhook_deliveries').update(to);
}

/** The next post comes after seconds to hours; it is due now, unless the courier was faster. */
export async function makeDue(): Promise<void> {
  await world.db('webhook_deliveries').where({ status: 'queued' }).update({ next_try_at: world.db.fn.now() });
}

/** The delivery once it was posted that often and not taken. */
export function failedTimes(tries: number): Promise<Json> {
  return deliveryThat(
    `${tries} posts in vain`,
    (row) => row.tries === tries && (row.last_error !== null || row.last_status_code !== null),
  );
}

/** Lets two rounds of the courier pass, in which whatever is due is taken up. */
export const aWhile = () => new Promise((resolve) => setTimeout(resolve, 1_300));
