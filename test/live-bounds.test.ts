import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import type { Response as ExpressResponse } from 'express';
import { openStreams } from '../src/api/streams';
import { makeLogger, makeMetrics } from '../src/telemetry';
import { slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';
import { change, follow, type Follower } from './live-setup';
import { eventually } from './world';

let api: ApiUnderTest;
let ada: string;
let offering: Json;
const followers: Follower[] = [];

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot({ capacity: 5 }) })).body;
});
afterAll(() => api.stop());
afterEach(() => {
  for (const follower of followers.splice(0)) follower.leave();
});

async function following(path: string, options?: Parameters<typeof follow>[1]): Promise<Follower> {
  const follower = await follow(`${api.url}${path}`, options);
  followers.push(follower);
  return follower;
}

const eventsOf = (id: string) => `/v1/bookings/${id}/events`;

describe('streams', () => {
  it('that are left are forgotten, and nothing is asked any more', async () => {
    const id = await writeAttempt(api.db, offering);
    const open = async () => (await api.metrics.liveStreams.get()).values[0]?.value;
    await eventually('an empty room', async () => (await open()) === 0);
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        following(n % 2 === 0 ? `/v1/offerings/${offering.id}/events` : eventsOf(id), { token: ada }),
      ),
    );
    await Promise.all(all.map((follower) => follower.have(1)));
    expect(await open()).toBe(20);
    for (const follower of all) follower.leave();
    await eventually('an empty room', async () => (await open()) === 0);
    const asked = jest.fn();
    api.reading.on('query', asked);
    // Longer than the pause of the slow look.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(asked).not.toHaveBeenCalled();
  });

  it('whose client goes before they begin are forgotten as well', async () => {
    const id = await writeAttempt(api.db, offering);
    const { hostname, port } = new URL(api.url);
    const gone = Array.from({ length: 40 }, (_, n) => {
      const client = connect(Number(port), hostname);
      const path = n % 2 === 0 ? `/v1/offerings/${offering.id}/events` : eventsOf(id);
      client.write(`GET ${path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${ada}\r\n\r\n`);
      client.on('error', () => undefined);
      setTimeout(() => client.resetAndDestroy(), n);
      return new Promise((resolve) => client.once('close', resolve));
    });
    await Promise.all(gone);
    const head = await fetch(`${api.url}/v1/offerings/${offering.id}/events`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    // Whatever was still being read is answered soon.
    await eventually('no stream', async () => (await api.metrics.liveStreams.get()).values[0]?.value === 0);
  });

  it('of one caller are a tenth of all at most, and all are bounded', async () => {
    const small = await startApi({ beside: api.database, env: { STREAMS_MAX: '20', TRUST_PROXY: '1' } });
    const path = `${small.url}/v1/offerings/${offering.id}/events`;
    const from = async (address: string) => {
      const response = await fetch(path, { headers: { 'x-forwarded-for': address } });
      if (response.status !== 200) await response.text();
      return [response.status, response.headers.get('retry-after')];
    };
    for (let caller = 0; caller < 10; caller += 1) {
      expect(await from(`10.0.0.${caller}`)).toEqual([200, null]);
      expect(await from(`10.0.0.${caller}`)).toEqual([200, null]);
      if (caller < 9) expect(await from(`10.0.0.${caller}`)).toEqual([429, '60']);
    }
    expect(await from('10.0.0.99')).toEqual([503, '2']);
    await small.stop();
  });

  it('that nobody reads are cut', async () => {
    const metrics = makeMetrics();
    const streams = openStreams({
      max: 10,
      log: makeLogger('test', 'silent'),
      metrics,
      stopping: undefined,
    });
    let sent = 0;
    const server = createServer((_request, response) => {
      const stream = streams.open(response as ExpressResponse, 'somebody');
      const send = (): void => {
        if (stream.ended) return;
        sent += 1;
        stream.send({ event: 'status', id: sent, data: 'x'.repeat(100_000) });
        setImmediate(send);
      };
      send();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => undefined);
    client.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n');
    client.pause();
    await eventually('the cut', async () => sent > 0 && streams.size === 0);
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it('and waits end at once when the process does', async () => {
    const ending = await startApi({ beside: api.database });
    const id = await writeAttempt(api.db, offering);
    const paths = [eventsOf(id), `/v1/offerings/${offering.id}/events`];
    const all = await Promise.all(paths.map((path) => follow(`${ending.url}${path}`, { token: ada })));
    await Promise.all(all.map((follower) => follower.have(1)));
    const waiting = ending.call('GET', `/v1/bookings/${id}?wait=60&after=1`, { token: ada });
    await new Promise((resolve) => setTimeout(resolve, 100));
    ending.endProcess();
    await Promise.all(all.map((follower) => follower.ended));
    expect((await waiting).status).toBe(304);
    const late = await follow(`${ending.url}${paths[0]}`, { token: ada });
    expect(late.status).toBe(503);
    await ending.stop();
  });

  it('of two processes are told alike', async () => {
    const second = await startApi({ beside: api.database });
    const id = await writeAttempt(api.db, offering);
    const here = await following(eventsOf(id), { token: ada });
    const there = await follow(`${second.url}${eventsOf(id)}`, { token: ada });
    await Promise.all([here.have(1), there.have(1)]);
    await change(api.db, id);
    await Promise.all([here.have(2), there.have(2)]);
    expect([here.events[1]?.id, there.events[1]?.id]).toEqual(['2', '2']);
    there.leave();
    await second.stop();
  });
});

test('reading, waiting and following write nothing', async () => {
  const id = await writeAttempt(api.db, offering);
  // Whoever writes, deletes or locks a row leaves the number of its transaction there.
  const traces = async (): Promise<Json> => {
    const { rows } = await api.db.raw<{ rows: { name: string }[] }>(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
    );
    const found: Record<string, Json> = {};
    for (const { name } of rows) {
      found[name] = await api
        .db(name)
        .select(api.db.raw('ctid::text, xmin::text, xmax::text'))
        .orderBy('ctid');
    }
    return found;
  };
  const before = await traces();
  const follower = await following(eventsOf(id), { token: ada });
  const watcher = await following(`/v1/offerings/${offering.id}/events`);
  await Promise.all([follower.have(1), watcher.have(1)]);
  for (let n = 0; n < 20; n += 1) {
    await Promise.all(
      Array.from({ length: 25 }, () => api.call('GET', `/v1/bookings/${id}`, { token: ada })),
    );
  }
  expect((await api.call('GET', `/v1/bookings/${id}?wait=1&after=1`, { token: ada })).status).toBe(304);
  expect(await traces()).toEqual(before);
});
