import { countRows, pagesOf, publish, quoted, settle, slot, startApi, writeAttempt } from './api-setup';
import type { Answer, ApiUnderTest, Json } from './api-setup';

let api: ApiUnderTest;
const tokens: Record<string, string> = {};

const profile = { displayName: 'Dr Ada', email: 'dr.ada@clinic.example', locale: 'de' };
const contact = { name: 'Grace', email: 'grace@example.org', phone: '+49 30 1', locale: 'en' };

beforeAll(async () => {
  api = await startApi();
  for (const sub of ['doctor', 'mentor', 'busy', 'nobody']) tokens[sub] = await api.token(sub, 'catalog');
  tokens['grace'] = await api.token('grace');
});
afterAll(() => api.stop());

const as = (sub: string) => ({ token: tokens[sub] });
const write = (sub: string, body: unknown) => api.call('PUT', '/v1/provider', { ...as(sub), body });
const list = (sub: string, path = '/v1/provider/bookings') => api.call('GET', path, as(sub));
const idsOf = ({ body }: Answer): string[] => body.items.map(({ id }: Json) => String(id));
const consultation = (price = 900) => ({
  kind: 'consultation',
  title: 'Advice',
  price: { amountMinor: price, currency: 'EUR' },
});

/** One booking of two providers' offerings: two seats of the doctor's slot, the mentor's consultation. */
async function sharedBooking(paid: boolean): Promise<{ id: string; slotId: string; adviceId: string }> {
  const hers = await publish(api, 'doctor', slot({ capacity: 3 }));
  const his = await publish(api, 'mentor', consultation());
  const items = [
    quoted(hers, { seats: 2, details: 'for the doctor' }),
    quoted(his, { details: 'for the mentor' }),
  ];
  const id = await writeAttempt(api.db, items, {
    customer_id: 'grace',
    contact: JSON.stringify(contact),
  });
  if (paid) await settle(api.db, id);
  return { id, slotId: hers.id, adviceId: his.id };
}

describe('a profile', () => {
  it('is written, replaced and read by its provider; its name stands in offerings, its address nowhere', async () => {
    const none = await api.call('GET', '/v1/provider', as('doctor'));
    expect([none.status, none.body.type]).toEqual([404, '/problems/not-found']);
    const offering = await publish(api, 'doctor');
    expect(offering.displayName).toBeUndefined();
    const made = await write('doctor', profile);
    expect([made.status, made.body]).toEqual([
      200,
      { id: 'doctor', ...profile, changedAt: expect.any(String) },
    ]);
    expect((await api.call('GET', '/v1/provider', as('doctor'))).body).toEqual(made.body);
    const replaced = await write('doctor', { displayName: '  Dr Ada L.  ', email: profile.email });
    expect(replaced.body).toEqual({
      id: 'doctor',
      displayName: 'Dr Ada L.',
      email: profile.email,
      changedAt: expect.any(String),
    });
    expect(Date.parse(replaced.body.changedAt)).toBeGreaterThanOrEqual(Date.parse(made.body.changedAt));
    const shown = await api.call('GET', `/v1/offerings/${offering.id}`);
    expect(shown.body.displayName).toBe('Dr Ada L.');
    const listed = await api.call('GET', '/v1/offerings?providerId=doctor');
    expect(JSON.stringify([shown.body, listed.body])).not.toContain('clinic.example');
    expect(api.logged.join('')).not.toMatch(/clinic|Dr Ada/);
    expect((await api.call('GET', '/v1/provider', as('mentor'))).status).toBe(404);
  });

  it('is refused with a pointer to each fault, and nothing is written', async () => {
    const before = await countRows(api.db);
    const rows = await api.db('providers').orderBy('id');
    for (const [body, pointer] of [
      [{}, '/displayName'],
      [{}, '/email'],
      [{ ...profile, displayName: ' ' }, '/displayName'],
      [{ ...profile, displayName: 'x'.repeat(201) }, '/displayName'],
      [{ ...profile, displayName: 'a\r\nBcc: x@example.org' }, '/displayName'],
      [{ ...profile, displayName: 'nul \0' }, '/displayName'],
      [{ ...profile, displayName: '\ud800' }, '/displayName'],
      [{ ...profile, displayName: 7 }, '/displayName'],
      [{ ...profile, email: 'nobody' }, '/email'],
      [{ ...profile, email: 'a@example.org\r\nBcc: x@example.org' }, '/email'],
      [{ ...profile, email: `${'x'.repeat(250)}@example.org` }, '/email'],
      [{ ...profile, locale: 'not a tag' }, '/locale'],
      [{ ...profile, id: 'mentor' }, '/id'],
    ] as [Json, string][]) {
      const answer = await write('doctor', body);
      expect([body, answer.status, answer.body.type]).toEqual([body, 400, '/problems/invalid-request']);
      expect(answer.body.errors.map((fault: Json) => fault.pointer)).toContain(pointer);
    }
    expect((await api.call('PUT', '/v1/provider', { ...as('grace'), body: profile })).status).toBe(403);
    expect(await countRows(api.db)).toEqual(before);
    expect(await api.db('providers').orderBy('id')).toEqual(rows);
  });

  it('written 20 times at once is one', async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, n) => write('busy', { ...profile, displayName: `Busy ${n}` })),
    );
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect(await api.db('providers').where({ id: 'busy' })).toHaveLength(1);
  });
});

describe('a booking as its providers see it', () => {
  it('is not there before it is paid, whatever its status', async () => {
    const { id, slotId } = await sharedBooking(false);
    for (const status of ['awaiting_payment', 'processing', 'canceled', 'expired', 'failed', 'refunded']) {
      // No arrow leads from one of these to the next; here only the reading matters.
      await api.db.raw('ALTER TABLE attempts DISABLE TRIGGER attempts_legal_transition');
      await api.db('attempts').where({ booking_id: id }).update({ status });
      await api.db.raw('ALTER TABLE attempts ENABLE TRIGGER attempts_legal_transition');
      expect([status, idsOf(await list('doctor'))]).toEqual([status, []]);
      expect([status, idsOf(await list('mentor'))]).toEqual([status, []]);
      expect([status, idsOf(await list('doctor', `/v1/offerings/${slotId}/bookings`))]).toEqual([status, []]);
      const single = await api.call('GET', `/v1/bookings/${id}`, as('doctor'));
      expect([status, single.status]).toEqual([status, 404]);
    }
  });

  it('shows each their own items, their sum and who comes, and nothing of the rest', async () => {
    const { id, slotId, adviceId } = await sharedBooking(true);
    const { name, email, phone } = contact;
    const seen = { id, status: 'confirmed', customer: { name, email, phone }, payment: { method: 'stripe' } };
    for (const [sub, offeringId, seats, amountMinor, own, foreign] of [
      ['doctor', slotId, 2, 5000, 'for the doctor', /mentor|Advice|5900|pi_|secret/],
      ['mentor', adviceId, 1, 900, 'for the mentor', /doctor|Check-up|5900|pi_|secret/],
    ] as const) {
      const total = { amountMinor, currency: 'EUR' };
      const single = await api.call('GET', `/v1/bookings/${id}`, as(sub));
      expect(single.status).toBe(200);
      expect(single.body).toMatchObject({ ...seen, total, items: [{ offeringId, seats, details: own }] });
      expect(JSON.stringify(single.body)).not.toMatch(foreign);
      for (const path of ['/v1/provider/bookings', `/v1/offerings/${offeringId}/bookings`]) {
        const { body } = await list(sub, path);
        expect(body.items[0]).toEqual({
          ...single.body,
          items: [{ ...single.body.items[0], details: undefined }],
        });
        expect(JSON.stringify(body)).not.toContain('details');
      }
    }
    const strangers = [list('nobody'), list('busy'), list('mentor', `/v1/offerings/${slotId}/bookings`)];
    const answers = await Promise.all(strangers);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 404]);
    expect(answers.slice(0, 2).map(idsOf)).toEqual([[], []]);
    expect((await api.call('GET', `/v1/bookings/${id}`, as('nobody'))).status).toBe(404);
    expect((await list('doctor', '/v1/offerings/off_zzzzzzzzzzzzzzzzzzzzzzzz/bookings')).status).toBe(404);
    expect((await list('grace')).status).toBe(403);
    // The customer sees all of it, and needs no telling who they are.
    const whole = await api.call('GET', `/v1/bookings/${id}`, as('grace'));
    expect(whole.body).toMatchObject({
      total: { amountMinor: 5900 },
      payment: { gatewayRef: `pi_${id}` },
      items: [{ details: 'for the doctor' }, { details: 'for the mentor' }],
    });
    expect(whole.body.customer).toBeUndefined();
    const operator = await api.call('GET', `/v1/bookings/${id}`, { token: await api.token('olga', 'ops') });
    expect(operator.body.items).toHaveLength(2);
    expect(operator.body.customer).toBeUndefined();
  });

  it('shows what goes back only to whose items are all of it', async () => {
    const shared = await sharedBooking(true);
    const alone = await writeAttempt(api.db, await publish(api, 'doctor'));
    await settle(api.db, alone);
    for (const id of [shared.id, alone]) {
      await api.db('refunds').insert({
        id: `ref_${id}`,
        payment_id: `pay_${id}`,
        amount_minor: 100,
        status: 'pending',
        reason: 'x',
      });
    }
    const refund = { status: 'pending', amountMinor: 100, reason: 'x' };
    const read = async (sub: string, id: string) =>
      (await api.call('GET', `/v1/bookings/${id}`, as(sub))).body.refund;
    expect(await read('doctor', alone)).toEqual(refund);
    expect(await read('doctor', shared.id)).toBeUndefined();
    expect(await read('mentor', shared.id)).toBeUndefined();
    expect(await read('grace', shared.id)).toEqual(refund);
  });

  it('is the customer’s own where the provider is the customer; lists of providers stay the provider’s', async () => {
    const both = await api.token('doctor', 'catalog bookings');
    const hers = await publish(api, 'doctor');
    const his = await publish(api, 'mentor', consultation());
    const id = await writeAttempt(api.db, [quoted(hers), quoted(his)], { customer_id: 'doctor' });
    await settle(api.db, id);
    const own = await api.call('GET', `/v1/bookings/${id}`, { token: both });
    expect(own.body.items).toHaveLength(2);
    expect(own.body.payment.gatewayRef).toBe(`pi_${id}`);
    const listed = await api.call('GET', '/v1/provider/bookings?limit=1', { token: both });
    expect(listed.body.items[0]).toMatchObject({ id, total: { amountMinor: 2500 }, items: [{ seats: 1 }] });
    expect(JSON.stringify(listed.body)).not.toContain('pi_');
    const catalogOnly = await api.call('GET', `/v1/bookings/${id}`, as('doctor'));
    expect(catalogOnly.body.items).toHaveLength(1);
  });
});

describe('lists of a provider’s bookings', () => {
  it('come newest first, in pages, of all offerings and of one', async () => {
    const one = await publish(api, 'busy', slot({ capacity: 9 }));
    const two = await publish(api, 'busy', consultation(0));
    const paid: { id: string; offering: string; at: number }[] = [];
    for (let n = 0; n < 7; n += 1) {
      const offering = n % 3 === 0 ? two : one;
      const id = await writeAttempt(api.db, [quoted(offering, { priceMinor: 2500 })]);
      await settle(api.db, id);
      // Two share each microsecond, so ids decide.
      const at = 1_800_000_000_000_000 + Math.floor(n / 2);
      await api.db.raw(
        `UPDATE bookings SET confirmed_at = timestamptz 'epoch' + ?::double precision * interval '1 microsecond' WHERE id = ?`,
        [at, id],
      );
      paid.push({ id, offering: offering.id, at });
      await writeAttempt(api.db, offering);
    }
    const newest = paid.sort((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1));
    const ids = async (path: string) =>
      (await pagesOf(api, path, tokens['busy'])).map((page) => page.map(({ id }) => String(id)));
    const all = await ids('/v1/provider/bookings?limit=2');
    expect(all.map(({ length }) => length)).toEqual([2, 2, 2, 1]);
    expect(all.flat()).toEqual(newest.map(({ id }) => id));
    const ofOne = await ids(`/v1/offerings/${one.id}/bookings?limit=3`);
    expect(ofOne.flat()).toEqual(newest.filter(({ offering }) => offering === one.id).map(({ id }) => id));
    expect(JSON.stringify((await list('busy')).body)).not.toContain('nuts');
    for (const path of ['/v1/provider/bookings', `/v1/offerings/${one.id}/bookings`]) {
      for (const query of ['limit=0', 'limit=101', 'cursor=x', 'status=open', 'cursor=%00']) {
        const { status, body } = await list('busy', `${path}?${query}`);
        expect([query, status, body.type]).toEqual([query, 400, '/problems/invalid-request']);
      }
    }
  });
});
