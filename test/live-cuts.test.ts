import { openListener, type Hearer } from '../src/api/listener';
import { openRoom } from '../src/api/waiting';
import type { AttemptRow } from '../src/database';
import { sendBeat } from '../src/notices';
import { makeLogger } from '../src/telemetry';
import { slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';
import { change, changeSilently, follow, startMuteProxy, tell, type MuteProxy } from './live-setup';
import { eventually } from './world';

const silent = makeLogger('test', 'silent');
/** The pause of the slow look and that of a beat are 5 s each, so this is what a client may wait at worst, with room. */
const atWorstMs = 15_000;

let api: ApiUnderTest;
let ada: string;
let offering: Json;

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot({ capacity: 5 }) })).body;
});
afterAll(() => api.stop());

/** Backends that listen in this database. */
async function listening(): Promise<number[]> {
  const rows = await api
    .db('pg_stat_activity')
    .where({ application_name: 'payfirst-api-listening', query: 'LISTEN payfirst' })
    .whereRaw('datname = current_database()')
    .select<{ pid: number }[]>('pid');
  return rows.map((row) => row.pid);
}

describe('a listening connection that is killed', () => {
  it('is opened again, and nobody misses what happened meanwhile', async () => {
    const id = await writeAttempt(api.db, offering);
    const follower = await follow(`${api.url}/v1/bookings/${id}/events`, { token: ada });
    const waiting = api.call('GET', `/v1/bookings/${id}?wait=60&after=1`, { token: ada });
    await follower.have(1);
    const [pid] = await eventually('the listener', async () => {
      const pids = await listening();
      return pids.length === 1 && pids;
    });
    await api.db.raw('SELECT pg_terminate_backend(?)', [pid ?? 0]);
    // Nobody hears this one.
    await change(api.db, id);
    await follower.have(2);
    expect((await waiting).body.version).toBe(2);
    const [anew] = await eventually('another listener', async () => {
      const pids = await listening();
      return pids.length === 1 && pids[0] !== pid && pids;
    });
    expect(anew).not.toBe(pid);
    await change(api.db, id);
    expect((await follower.have(3)).map((one) => one.id)).toEqual(['1', '2', '3']);
    follower.leave();
    expect(api.logged.filter((text) => text.includes('listener.lost'))).toHaveLength(1);
  });
});

describe('a notice that is lost', () => {
  it('costs the pause of the slow look, and nothing else', async () => {
    const id = await writeAttempt(api.db, offering);
    const follower = await follow(`${api.url}/v1/bookings/${id}/events`, { token: ada });
    const watcher = await follow(`${api.url}/v1/offerings/${offering.id}/events`);
    await Promise.all([follower.have(1), watcher.have(1)]);
    const waiting = api.call('GET', `/v1/bookings/${id}?wait=60&after=1`, { token: ada });
    await changeSilently(api.db, id);
    await api.db('offerings').where({ id: offering.id }).update({ status: 'closed' });
    expect((await follower.have(2))[1]?.id).toBe('2');
    expect((await watcher.have(2))[1]?.data).toEqual({ seatsAvailable: 0 });
    expect((await waiting).body.version).toBe(2);
    follower.leave();
    watcher.leave();
  });
});

describe('a connection that is dead without a word', () => {
  let proxy: MuteProxy;
  beforeAll(async () => {
    proxy = await startMuteProxy(api.database.url);
  });
  afterAll(() => proxy.close());
  afterEach(() => proxy.unmute());

  it('keeps nobody from the newest state', async () => {
    const other = await startApi({ beside: api.database, listenUrl: proxy.url });
    const id = await writeAttempt(api.db, offering);
    const follower = await follow(`${other.url}/v1/bookings/${id}/events`, { token: ada });
    await follower.have(1);
    await eventually('a listener through the proxy', async () => proxy.opened() > 0);
    await change(api.db, id);
    await follower.have(2);
    proxy.mute();
    await change(api.db, id);
    await eventually('the newest version', async () => follower.events.at(-1)?.id === '3', atWorstMs);
    proxy.unmute();
    await eventually('word of the loss', async () =>
      other.logged.some((text) => text.includes('listener.lost') && text.includes('deaf')),
    );
    follower.leave();
    await other.stop();
  });

  it('is found by its own beat and replaced, and then everything is looked at once', async () => {
    const id = await writeAttempt(api.db, offering);
    const told: number[] = [];
    // No slow look in this test: what is told came by the listener.
    const room = openRoom<number>({
      slowMs: 3_600_000,
      log: silent,
      read: async (ids) => {
        const rows = await api.db<AttemptRow>('attempts').whereIn('booking_id', [...ids]);
        return new Map(rows.map((row) => [row.booking_id, row.version]));
      },
    });
    const leave = room.enter(id, (version) => told.push(version));
    const hearer: Hearer = {
      hear: (notice) => notice.kind === 'booking' && room.tell(notice.id, notice.version),
      lookAgain: () => room.lookAgain(),
      isNeeded: () => room.size > 0,
    };
    const listener = openListener({
      url: proxy.url,
      log: silent,
      sendBeat: (beat) => sendBeat(api.db, beat),
      beatEveryMs: 400,
    });
    listener.listen(hearer);
    await eventually('the first look', async () => told.includes(1));
    await change(api.db, id);
    await eventually('the second version', async () => told.includes(2));
    const before = proxy.opened();
    proxy.mute();
    await change(api.db, id);
    await eventually('a new connection', async () => proxy.opened() > before);
    proxy.unmute();
    await eventually('the third version', async () => told.includes(3));
    await change(api.db, id);
    await eventually('the fourth version', async () => told.includes(4));
    leave();
    listener.close();
  });

  it('is not looked for while nobody waits', async () => {
    const beats = jest.fn((id: string) => sendBeat(api.db, id));
    let needed = false;
    const listener = openListener({
      url: api.database.url,
      log: silent,
      sendBeat: beats,
      // Long enough that a busy machine hears the first one in time, and takes no dead connection for granted.
      beatEveryMs: 1_000,
    });
    listener.listen({ hear: () => undefined, lookAgain: () => undefined, isNeeded: () => needed });
    await eventually('the beat of the beginning', async () => beats.mock.calls.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(beats).toHaveBeenCalledTimes(1);
    needed = true;
    await eventually('beats', async () => beats.mock.calls.length > 5);
    listener.close();
  });
});

describe('without any listener', () => {
  it('the slow look alone serves everybody, as behind a pooler that breaks LISTEN', async () => {
    const deaf = await startApi({ beside: api.database, listenUrl: 'nowhere' });
    const id = await writeAttempt(api.db, offering);
    const follower = await follow(`${deaf.url}/v1/bookings/${id}/events`, { token: ada });
    await follower.have(1);
    await change(api.db, id);
    await follower.have(2);
    follower.leave();
    await deaf.stop();
  });

  it('what is no notice of ours is passed over', async () => {
    const id = await writeAttempt(api.db, offering);
    const follower = await follow(`${api.url}/v1/bookings/${id}/events`, { token: ada });
    await follower.have(1);
    for (const payload of ['', 'x', '[]', '{"kind":"booking"}', 'null', `{"kind":"booking","id":"${id}"}`]) {
      await api.db.raw("SELECT pg_notify('payfirst', ?)", [payload]);
    }
    await change(api.db, id);
    expect((await follower.have(2)).map((one) => one.id)).toEqual(['1', '2']);
    follower.leave();
    tell(api.db, { bookingId: null });
  });
});
