import { countRows, pagesOf, publish, startApi, writeAttempt } from './api-setup';
import type { Answer, ApiUnderTest, Json } from './api-setup';

let api: ApiUnderTest;
let operator: string;
let keys = 0;

beforeAll(async () => {
  api = await startApi();
  operator = await api.token('olga', 'ops');
});
afterAll(() => api.stop());

const euros = (amountMinor: number, more: Json = {}) => ({ amountMinor, currency: 'EUR', ...more });

function credit(
  customer: string,
  body: unknown,
  key = `k-${(keys += 1)}`,
  token = operator,
): Promise<Answer> {
  const path = `/v1/wallets/${encodeURIComponent(customer)}/credits`;
  return api.call('POST', path, { token, body, key });
}
async function wallet(customer: string, query = ''): Promise<Json> {
  const token = await api.token(customer);
  const { status, body } = await api.call('GET', `/v1/wallet${query}`, { token });
  expect(status).toBe(200);
  return body;
}

/** Moves money as booking and giving back do. */
async function move(customer: string, kind: string, amountMinor: number, bookingId: string): Promise<string> {
  const id = `wen_${bookingId.slice(4, -1)}${kind === 'payment' ? 'p' : 'r'}`;
  await api.db.raw(`SELECT move_wallet_money(?, ?, ?, 'EUR', ?, ?, NULL, NULL)`, [
    id,
    kind,
    customer,
    amountMinor,
    bookingId,
  ]);
  return id;
}

describe('a wallet', () => {
  it('that nothing was put into is empty', async () => {
    expect(await wallet('empty')).toEqual({ balances: [], entries: { items: [] } });
  });

  it('shows its owner balances by currency, and entries newest first, with the bookings they were for', async () => {
    const given = await credit('ada', euros(5000, { note: 'a hushed apology' }));
    expect([given.status, given.body]).toEqual([
      201,
      { id: expect.stringMatching(/^wen_/), ...euros(5000), kind: 'credit', at: expect.any(String) },
    ]);
    const yen = await credit('ada', { amountMinor: 700, currency: 'JPY' });
    const bookingId = await writeAttempt(api.db, await publish(api, 'doctor'), { method: 'wallet' });
    const paid = await move('ada', 'payment', -2500, bookingId);
    const back = await move('ada', 'refund', 1000, bookingId);
    const shown = await wallet('ada');
    expect(shown.balances).toEqual([euros(3500), { amountMinor: 700, currency: 'JPY' }]);
    expect(shown.entries.items).toEqual([
      { id: back, ...euros(1000), kind: 'refund', bookingId, at: expect.any(String) },
      { id: paid, ...euros(-2500), kind: 'payment', bookingId, at: expect.any(String) },
      yen.body,
      given.body,
    ]);
    expect(JSON.stringify([shown, given.body]) + api.logged.join('')).not.toContain('hushed');
    expect((await wallet('bob')).balances).toEqual([]);
    const rows = await api.db('wallet_entries').where({ id: given.body.id }).orderBy('account');
    expect(rows).toMatchObject([
      { account: 'customer', customer_id: 'ada', amount_minor: 5000, note: 'a hushed apology' },
      { account: 'issued', customer_id: null, amount_minor: -5000 },
    ]);
  });

  it('is read in pages', async () => {
    const made: string[] = [];
    for (let n = 0; n < 5; n += 1) made.push((await credit('paul', euros(n + 1))).body.id);
    const pages = await pagesOf(api, '/v1/wallet?limit=2', await api.token('paul'));
    expect(pages.map(({ length }) => length)).toEqual([2, 2, 1]);
    expect(pages.flat().map(({ id }) => String(id))).toEqual(made.reverse());
    // Entries of one instant are told apart by their ids.
    const at = new Date();
    const ids = ['a', 'b', 'c', 'd', 'e'].map((letter) => `wen_${letter.padStart(24, '0')}`);
    await api.db.raw(`INSERT INTO wallets (customer_id, currency) VALUES ('twin', 'EUR')`);
    await api.db('wallet_entries').insert(
      ids.flatMap((id) => [
        {
          id,
          account: 'customer',
          customer_id: 'twin',
          currency: 'EUR',
          amount_minor: 1,
          kind: 'credit',
          at,
        },
        { id, account: 'issued', customer_id: null, currency: 'EUR', amount_minor: -1, kind: 'credit', at },
      ]),
    );
    const twins = await pagesOf(api, '/v1/wallet?limit=2', await api.token('twin'));
    expect(twins.flat().map(({ id }) => String(id))).toEqual(ids);
    const token = await api.token('paul');
    for (const query of ['limit=0', 'limit=101', 'cursor=x', 'currency=EUR', 'customerId=ada']) {
      const { status, body } = await api.call('GET', `/v1/wallet?${query}`, { token });
      expect([query, status, body.type]).toEqual([query, 400, '/problems/invalid-request']);
    }
  });

  it('holds more than one entry can, and agrees with its entries at every moment', async () => {
    const credits = Promise.all(Array.from({ length: 40 }, () => credit('rich', euros(99_999_999))));
    const reads: Json[] = [];
    for (let n = 0; n < 20; n += 1) reads.push(await wallet('rich', '?limit=100'));
    expect(new Set((await credits).map(({ status }) => status))).toEqual(new Set([201]));
    reads.push(await wallet('rich', '?limit=100'));
    for (const { balances, entries } of reads) {
      const sum = entries.items.reduce((total: number, entry: Json) => total + Number(entry.amountMinor), 0);
      expect(sum).toBe(balances[0]?.amountMinor ?? 0);
    }
    expect(reads.at(-1).balances).toEqual([euros(3_999_999_960)]);
  });
});

describe('a credit', () => {
  it('is one under one key: 201, then 200 with the same entry; another body is 422 and moves nothing', async () => {
    const body = euros(100, { note: 'once' });
    const first = await credit('kim', body, 'same');
    const again = await credit('kim', { note: 'once', currency: 'EUR', amountMinor: 100 }, 'same');
    expect([first.status, again.status, again.body]).toEqual([201, 200, first.body]);
    const before = await countRows(api.db);
    for (const other of [
      euros(101, { note: 'once' }),
      euros(100),
      euros(100, { note: 'twice' }),
      { ...body, currency: 'USD' },
    ]) {
      const answer = await credit('kim', other, 'same');
      expect([other, answer.status, answer.body.type]).toEqual([
        other,
        422,
        '/problems/idempotency-key-reused',
      ]);
    }
    expect(await countRows(api.db)).toEqual(before);
    expect((await wallet('kim')).balances).toEqual([euros(100)]);
  });

  it('under the same key of another operator, or to another customer, is another', async () => {
    const otto = await api.token('otto', 'ops');
    const all = [
      await credit('lee', euros(100), 'shared'),
      await credit('lee', euros(100), 'shared', otto),
      await credit('mia', euros(100), 'shared'),
    ];
    expect(all.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(all.map(({ body }) => String(body.id))).size).toBe(3);
    expect((await wallet('lee')).balances).toEqual([euros(200)]);
  });

  it('sent 20 times at once moves money once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => credit('nia', euros(100), 'at once')));
    expect(all.map(({ status }) => status).sort()).toEqual([...Array<number>(19).fill(200), 201]);
    expect(new Set(all.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect((await wallet('nia')).balances).toEqual([euros(100)]);
  });

  it('sent at once with different bodies under one key is one of them; the others are 422', async () => {
    const currencies = ['EUR', 'USD', 'JPY', 'GBP', 'INR', 'CHF', 'SEK', 'PLN'];
    for (let round = 0; round < 5; round += 1) {
      const customer = `torn-${round}`;
      const all = await Promise.all(
        currencies.map((currency) => credit(customer, { amountMinor: 100, currency }, 'torn')),
      );
      expect(all.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(7).fill(422)]);
      expect((await wallet(customer)).balances).toHaveLength(1);
    }
  });

  it('is refused with its problem, and writes nothing', async () => {
    const before = await countRows(api.db);
    for (const [body, pointer] of [
      [{}, '/amountMinor'],
      [euros(0), '/amountMinor'],
      [euros(-1), '/amountMinor'],
      [euros(1.5), '/amountMinor'],
      [euros(100_000_000), '/amountMinor'],
      [euros(2 ** 53), '/amountMinor'],
      [euros('100' as never), '/amountMinor'],
      [{ amountMinor: 1, currency: 'eur' }, '/currency'],
      [{ amountMinor: 1, currency: 'EUE' }, '/currency'],
      [{ amountMinor: 1, currency: 'XXX' }, '/currency'],
      [{ amountMinor: 1, currency: null }, '/currency'],
      [euros(1, { note: ' ' }), '/note'],
      [euros(1, { note: 'x'.repeat(501) }), '/note'],
      [euros(1, { note: 'a\nb' }), '/note'],
      [euros(1, { note: 'a\0b' }), '/note'],
      [euros(1, { customerId: 'x' }), '/customerId'],
    ] as [Json, string][]) {
      const answer = await credit('ida', body);
      expect([body, answer.status, answer.body.type]).toEqual([body, 400, '/problems/invalid-request']);
      expect(answer.body.errors.map((fault: Json) => fault.pointer)).toContain(pointer);
    }
    const keyless = await api.call('POST', '/v1/wallets/ida/credits', { token: operator, body: euros(1) });
    expect([keyless.status, keyless.body.type]).toEqual([400, '/problems/idempotency-key-missing']);
    for (const scope of ['bookings', 'catalog', 'bookings catalog']) {
      const own = await api.token('ida', scope);
      expect((await credit('ida', euros(1), 'own', own)).status).toBe(403);
    }
    expect((await api.call('GET', '/v1/wallet', { token: operator })).status).toBe(403);
    expect(await countRows(api.db)).toEqual(before);
  });

  it('goes to any subject a token can have, and to nothing else', async () => {
    for (const customer of ['auth0|5f7c8ec7', 'a/b?c#d', 'ü 🙂', 'x'.repeat(255), '%41', "o'hara"]) {
      expect([customer, (await credit(customer, euros(7))).status]).toEqual([customer, 201]);
      expect((await wallet(customer)).balances).toEqual([euros(7)]);
    }
    const before = await countRows(api.db);
    for (const [path, status] of [
      ['%00', 404],
      ['a%0ab', 404],
      ['%7f', 404],
      ['%c2%85', 404],
      ['x'.repeat(256), 404],
      ['%ff', 400],
      ['%ed%a0%80', 400],
    ] as const) {
      const answer = await api.call('POST', `/v1/wallets/${path}/credits`, {
        token: operator,
        body: euros(1),
        key: 'strange',
      });
      expect([path, answer.status]).toEqual([path, status]);
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
    }
    expect(await countRows(api.db)).toEqual(before);
  });
});
