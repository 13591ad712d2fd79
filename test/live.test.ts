import { ticketMark } from '../src/api/marks';
import { eventsLink } from '../src/api/tickets';
import { slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';
import { change, follow, tell, type Follower } from './live-setup';
import { eventually } from './world';

let api: ApiUnderTest;
let ada: string;
let doctor: string;
let offering: Json;
const followers: Follower[] = [];

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  doctor = await api.token('doctor', 'catalog');
  offering = await publish();
});
afterAll(() => api.stop());
afterEach(() => {
  for (const follower of followers.splice(0)) follower.leave();
});

async function publish(more: Record<string, unknown> = {}): Promise<Json> {
  const body = slot({ capacity: 5, ...more });
  return (await api.call('POST', '/v1/offerings', { token: doctor, body })).body;
}

async function following(path: string, options?: Parameters<typeof follow>[1]): Promise<Follower> {
  const follower = await follow(`${api.url}${path}`, options);
  followers.push(follower);
  return follower;
}

const eventsOf = (id: string) => `/v1/bookings/${id}/events`;
const ownLink = async (id: string): Promise<string> =>
  (await api.call('GET', `/v1/bookings/${id}`, { token: ada })).body.links.events;

async function settle(id: string): Promise<void> {
  await api.db.raw('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
    id,
    'stripe',
    `pi_${id}`,
    `ch_${id}`,
    2500,
    'EUR',
    `pay_${id}`,
    `ref_${id}`,
    [`BK-${id.slice(-10).toUpperCase()}`],
  ]);
  tell(api.db, { bookingId: id });
}

describe('a long poll', () => {
  it('answers when its booking has changed, and not before', async () => {
    const [id, other] = [await writeAttempt(api.db, offering), await writeAttempt(api.db, offering)];
    let answered = false;
    const waiting = api.call('GET', `/v1/bookings/${id}?wait=30&after=1`, { token: ada }).finally(() => {
      answered = true;
    });
    const witness = await following(eventsOf(other), { token: ada });
    await witness.have(1);
    await change(api.db, other);
    tell(api.db, { bookingId: id });
    await witness.have(2);
    expect(answered).toBe(false);
    await change(api.db, id);
    const answer = await waiting;
    expect([answer.status, answer.body.version]).toEqual([200, 2]);
  });
});

describe('the events of a booking', () => {
  it('begin with its state and tell each change, ids being versions', async () => {
    const id = await writeAttempt(api.db, offering);
    const follower = await following(eventsOf(id), { token: ada });
    expect([follower.status, follower.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    expect(follower.headers.get('cache-control')).toBe('no-store');
    await follower.have(1);
    expect(follower.lines[0]).toMatch(/^retry: \d{4}$/);
    await change(api.db, id);
    await follower.have(2);
    await settle(id);
    const [first, second, third] = await follower.have(3);
    expect([first, second, third].map((one) => [one?.event, one?.id, one?.data.version])).toEqual([
      ['status', '1', 1],
      ['status', '2', 2],
      ['status', '3', 3],
    ]);
    expect(first?.data.payment.clientSecret).toBe(`${id}_secret`);
    expect(third?.data).toMatchObject({ status: 'confirmed', reference: expect.stringMatching(/^BK-/) });
  });

  it('come newest first after a reconnect, skipping those between', async () => {
    const id = await writeAttempt(api.db, offering);
    const before = await following(eventsOf(id), { token: ada });
    await before.have(1);
    before.leave();
    for (let n = 0; n < 3; n += 1) await change(api.db, id);
    const after = await following(eventsOf(id), { token: ada, lastEventId: '1' });
    expect((await after.have(1)).map((one) => one.id)).toEqual(['4']);
    await change(api.db, id);
    expect((await after.have(2)).map((one) => one.id)).toEqual(['4', '5']);
  });

  it('rise with a hundred changes in a row, and end with the newest', async () => {
    const id = await writeAttempt(api.db, offering);
    const follower = await following(eventsOf(id), { token: ada });
    await follower.have(1);
    for (let n = 0; n < 100; n += 1) await change(api.db, id);
    await eventually('the newest version', async () => follower.events.at(-1)?.id === '101');
    const ids = follower.events.map((one) => Number(one.id));
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(follower.events.map((one) => one.data.version)).toEqual(ids);
  });

  it('are for whoever may read the booking, and show what they may see', async () => {
    const id = await writeAttempt(api.db, offering);
    for (const [token, status] of [
      [undefined, 401],
      [await api.token('bob'), 404],
      [doctor, 404],
      ['no token', 401],
    ] as const) {
      const { status: seen } = await following(eventsOf(id), token === undefined ? {} : { token });
      expect([token, seen]).toEqual([token, status]);
    }
    const operator = await following(eventsOf(id), { token: await api.token('olga', 'ops') });
    expect(JSON.stringify(await operator.have(1))).not.toMatch(/secret|nuts|ticket/);
    await settle(id);
    const provider = await following(eventsOf(id), { token: doctor });
    expect((await provider.have(1))[0]?.data.customer.name).toBe('Ada');
    expect(JSON.stringify(provider.events)).not.toMatch(/secret|ticket/);
  });

  it('end when the token does', async () => {
    const id = await writeAttempt(api.db, offering);
    const token = await api.token('ada', 'bookings', { expiresIn: '2s' });
    const follower = await following(eventsOf(id), { token });
    await follower.have(1);
    await follower.ended;
    expect((await following(eventsOf(id), { token })).status).toBe(401);
  });
});

describe('a ticket', () => {
  it('stands in links.events for the owner, and follows without secrets, details or further tickets', async () => {
    const id = await writeAttempt(api.db, offering);
    const follower = await following(await ownLink(id));
    await follower.have(1);
    await change(api.db, id);
    const events = await follower.have(2);
    expect(events.map((one) => [one.event, one.id])).toEqual([
      ['status', '1'],
      ['status', '2'],
    ]);
    expect(events[0]?.data).toMatchObject({ id, payment: { method: 'stripe', gatewayRef: `pi_${id}` } });
    expect(JSON.stringify(events)).not.toMatch(/secret|nuts|ticket/);
  });

  it('is in no list, and in nobody else’s answer', async () => {
    const id = await writeAttempt(api.db, offering);
    await settle(id);
    const operator = await api.token('olga', 'ops');
    for (const [path, token] of [
      ['/v1/bookings', ada],
      ['/v1/bookings', operator],
      [`/v1/bookings/${id}`, operator],
      [`/v1/bookings/${id}`, doctor],
    ] as const) {
      const answer = await api.call('GET', path, { token });
      expect([path, answer.status]).toEqual([path, 200]);
      expect(JSON.stringify(answer.body)).not.toContain('ticket');
    }
  });

  it('is refused for another booking, after its time, and when it is not ours', async () => {
    const [id, other] = [await writeAttempt(api.db, offering), await writeAttempt(api.db, offering)];
    const ticket = new URL(await ownLink(id), api.url).searchParams.get('ticket') ?? '';
    const past = Math.floor(Date.now() / 1000) - 1;
    const expired = `${past}.${ticketMark(api.config.appSecret, id, past)}`;
    const longer = `${Number(ticket.slice(0, 10)) + 60}${ticket.slice(10)}`;
    for (const [booking, given] of [
      [other, ticket],
      [id, expired],
      [id, longer],
      [id, `${ticket}x`],
      [id, 'none'],
    ] as const) {
      // A token does not help: whoever brings a ticket is known by it.
      for (const options of [{}, { token: ada }]) {
        const refused = await following(`${eventsOf(booking)}?ticket=${given}`, options);
        expect([given, refused.status]).toEqual([given, 401]);
      }
    }
    expect((await following(`${eventsOf(id)}?ticket=`)).status).toBe(400);
    expect((await following(`${eventsOf(id)}?ticket=${ticket}`)).status).toBe(200);
    expect((await api.call('GET', `/v1/bookings/${id}?ticket=${ticket}`)).status).toBe(401);
  });

  it('is in no log line', async () => {
    const id = await writeAttempt(api.db, offering);
    const link = await ownLink(id);
    const follower = await following(link);
    await follower.have(1);
    follower.leave();
    await following(`${eventsOf(id)}?ticket=forged`);
    const ticket = new URL(link, api.url).searchParams.get('ticket') ?? 'missing';
    await eventually('the request in the log', async () =>
      api.logged.some((text) => text.includes(id) && text.includes('/events')),
    );
    expect(api.logged.join('')).not.toContain(ticket.slice(11));
    expect(api.logged.join('')).not.toContain('forged');
  });

  it('follows an attempt that has no record yet', async () => {
    const id = 'bkg_0000000000000000000000zz';
    const follower = await following(eventsLink(api.config, id));
    expect(await follower.have(1)).toEqual([
      {
        event: 'status',
        id: '0',
        data: { id, status: 'awaiting_payment', links: { self: `/v1/bookings/${id}` } },
      },
    ]);
    const template = await writeAttempt(api.db, offering);
    await api.db.raw(
      `INSERT INTO attempts SELECT (jsonb_populate_record(a, jsonb_build_object('booking_id', ?::text))).*
       FROM attempts AS a WHERE booking_id = ?`,
      [id, template],
    );
    tell(api.db, { bookingId: id });
    expect((await follower.have(2))[1]).toMatchObject({ id: '1', data: { id, version: 1 } });
  });
});

describe('the events of an offering', () => {
  const availability = (follower: Follower) => follower.events.map((one) => one.data);

  it('begin with its availability and tell when it changes, and only then', async () => {
    const one = await publish();
    const follower = await following(`/v1/offerings/${one.id}/events`);
    expect(await follower.have(1)).toMatchObject([{ event: 'availability', data: { seatsAvailable: 5 } }]);
    const [winner, idler] = [await writeAttempt(api.db, one), await writeAttempt(api.db, one)];
    await change(api.db, idler);
    await settle(winner);
    await follower.have(2);
    await api.call('PATCH', `/v1/offerings/${one.id}`, { token: doctor, body: { title: 'Another' } });
    await api.call('PATCH', `/v1/offerings/${one.id}`, { token: doctor, body: { status: 'closed' } });
    await follower.have(3);
    await api.call('PATCH', `/v1/offerings/${one.id}`, { token: doctor, body: { status: 'open' } });
    await follower.have(4);
    expect(availability(follower)).toEqual([5, 4, 0, 4].map((seatsAvailable) => ({ seatsAvailable })));
    const ids = follower.events.map((event) => Number(event.id));
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    const again = await following(`/v1/offerings/${one.id}/events`, { lastEventId: String(ids[0]) });
    expect((await again.have(1))[0]?.data).toEqual({ seatsAvailable: 4 });
  });

  it('tell when a hold ends by the clock, with nobody writing anything', async () => {
    const one = await publish({ holdSeconds: 60 });
    const holder = await writeAttempt(api.db, one);
    const held = await api.db.raw<{ rows: { until: Date }[] }>(
      `UPDATE seats SET held_by = ?, held_until = clock_timestamp() + interval '5 seconds'
       WHERE offering_id = ? AND seat_no = 1 RETURNING held_until AS until`,
      [holder, one.id],
    );
    const follower = await following(`/v1/offerings/${one.id}/events`);
    const [first, second] = await follower.have(2);
    expect([first?.data, second?.data]).toEqual([{ seatsAvailable: 4 }, { seatsAvailable: 5 }]);
    // An event's id is the instant it was read, in µs: not before the hold was over, and not only by the slow look.
    const late = Number(second?.id) / 1000 - (held.rows[0]?.until.getTime() ?? 0);
    expect(late).toBeGreaterThanOrEqual(-1);
    expect(late).toBeLessThan(2_500);
  });

  it('are for everybody, and of what exists', async () => {
    const consultation = await api.call('POST', '/v1/offerings', {
      token: doctor,
      body: { kind: 'consultation', title: 'Ask', price: { amountMinor: 2500, currency: 'EUR' } },
    });
    const follower = await following(`/v1/offerings/${consultation.body.id}/events`);
    expect((await follower.have(1))[0]?.data).toEqual({ seatsAvailable: null });
    expect((await following('/v1/offerings/off_zzzzzzzzzzzzzzzzzzzzzzzz/events')).status).toBe(404);
    expect((await following('/v1/offerings/nothing/events')).status).toBe(404);
  });
});
