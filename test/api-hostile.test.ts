import { createHmac } from 'node:crypto';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { booking, countRows, slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';
import { eventually } from './world';

let api: ApiUnderTest;
let everything: string;
let offering: Json;
let ids: Record<string, string>;
let routes: { method: string; path: string; scopes: string[]; body: boolean }[];
let before: Record<string, number>;

beforeAll(async () => {
  api = await startApi();
  everything = await api.token('mallory', 'bookings catalog ops');
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
  const bookingId = await writeAttempt(api.db, offering);
  const caseId = 'cas_000000000000000000000001';
  await api.db('cases').insert({ id: caseId, workflow_id: 'w', kind: 'message-failed', detail: 'x' });
  const cart = (await api.call('POST', '/v1/carts', { token: await api.token('ada') })).body;
  ids = {
    offerings: offering.id,
    items: offering.id,
    bookings: bookingId,
    cases: caseId,
    carts: cart.id,
    wallets: 'ada',
    problems: 'internal',
  };
  const document = (await api.call('GET', '/openapi.json')).body;
  routes = Object.entries<Json>(document.paths).flatMap(([path, operations]) =>
    Object.entries<Json>(operations).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      scopes: operation.security.flatMap((one: Json) => one.token),
      body: operation.requestBody !== undefined,
    })),
  );
  before = await countRows(api.db);
});
afterAll(async () => {
  expect(await countRows(api.db)).toEqual(before);
  await api.stop();
});

/** Puts an id of its noun into each place of a path; `id` into the first. */
function fill(path: string, id?: string): string {
  let given = id;
  return path.replace(/(\w+)\/\{\w+\}/g, (_all, noun: string) => {
    const filled = given ?? ids[noun] ?? 'x';
    given = undefined;
    return `${noun}/${filled}`;
  });
}

/** Asserts a problem document with this status. */
function expectProblem(
  what: unknown,
  answer: { status: number; headers: Headers; body: Json },
  status: number,
) {
  expect([what, answer.status, answer.body]).toEqual([what, status, answer.body]);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(answer.body).toMatchObject({ type: expect.stringMatching(/^\/problems\/[a-z-]+$/), status });
  expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
}

function unsigned(claims: Json, header: Json = { alg: 'none' }): string {
  const part = (json: Json) => Buffer.from(JSON.stringify(json)).toString('base64url');
  return `${part(header)}.${part(claims)}.`;
}

describe('tokens', () => {
  it('that are missing, expired, foreign, unsigned or broken are 401 on every guarded route', async () => {
    const inAnHour = Math.floor(Date.now() / 1000) + 3600;
    const claims = { sub: 'ada', scope: 'bookings catalog ops', exp: inAnHour };
    const confused = unsigned(claims, { alg: 'RS256' }).split('.').slice(0, 2).join('.');
    const bad: [string, string | undefined][] = [
      ['none', undefined],
      ['expired', await api.token('ada', claims.scope, { expiresIn: '-1s' })],
      ['foreign', await api.token('ada', claims.scope, { secret: 'another secret, long enough for HS256!' })],
      ['unsigned', unsigned(claims)],
      ['confused', `${confused}.${createHmac('sha256', 'x').update(confused).digest('base64url')}`],
      ['broken', 'abc'],
      ['long', 'a'.repeat(8000)],
      ['no subject', await api.token('', claims.scope)],
      ['a subject with NUL', await api.token('a\0b', claims.scope)],
      ['a subject without end', await api.token('x'.repeat(256), claims.scope)],
    ];
    for (const { method, path } of routes.filter(({ scopes }) => scopes.length > 0)) {
      for (const [name, token] of bad) {
        const answer = await api.call(method, fill(path), { token, key: 'k' });
        expectProblem([name, method, path], answer, 401);
        expect(answer.headers.get('www-authenticate')).toContain('Bearer');
      }
    }
  });

  it('without the scope are 403 on every guarded route', async () => {
    const all = ['bookings', 'catalog', 'ops'];
    for (const { method, path, scopes } of routes.filter((route) => route.scopes.length > 0)) {
      const others = ['', 'admin', ...all.filter((scope) => !scopes.includes(scope))];
      for (const scope of others) {
        const token = await api.token('ada', scope);
        expectProblem([scope, method, path], await api.call(method, fill(path), { token, key: 'k' }), 403);
      }
    }
  });
});

describe('ids', () => {
  it('that are foreign, unknown or nonsense are 404', async () => {
    const mallory = await api.token('mallory', 'bookings catalog');
    const nonsense = [
      'x',
      '%00',
      '%ff',
      '..%2f..',
      `bkg_${'0'.repeat(25)}`,
      "bkg_'; drop table attempts; --",
    ];
    for (const { method, path } of routes.filter((route) => /^\/v1.*\{id\}/.test(route.path))) {
      const kind = path.split('/')[2] ?? '';
      const unknown = `${(ids[kind] ?? '').slice(0, 4)}zzzzzzzzzzzzzzzzzzzzzzzz`;
      const body = { title: 'x', action: 'mark-settled', note: 'x' };
      const fitting = path.endsWith('resolve')
        ? { action: body.action, note: body.note }
        : method === 'PATCH'
          ? { title: body.title }
          : {};
      for (const id of [unknown, ...nonsense]) {
        const answer = await api.call(method, fill(path, id), {
          token: everything,
          ...(method === 'GET' ? {} : { body: fitting }),
        });
        expectProblem([method, path, id], answer, id === '%ff' ? 400 : 404);
      }
      if (kind === 'bookings' || kind === 'carts' || method === 'PATCH' || path.endsWith('/bookings')) {
        const foreign = await api.call(method, fill(path), {
          token: mallory,
          ...(method === 'GET' ? {} : { body: fitting }),
        });
        expectProblem([method, path, 'foreign'], foreign, 404);
      }
    }
  });
});

describe('bodies', () => {
  const hostile: [string, Json][] = [
    ['a list', []],
    ['a word', '"word"'],
    ['a number', '1'],
    ['null', 'null'],
    ['no JSON', '{'],
    ['an empty text', ' '],
    ['unknown fields', { __unknown__: 1 }],
    ['a prototype', '{"__proto__":{"admin":true}}'],
    ['NUL', { title: 'a\0b', reason: 'a\0b', note: '\0' }],
    ['half a surrogate', { title: '\ud800', reason: '\ud800' }],
    ['a number beyond measure', '{"capacity":1e400,"items":[{"seats":1e400}]}'],
    ['deep nesting', `${'{"a":'.repeat(8_000)}1${'}'.repeat(8_000)}`],
    ['wrong types', { title: 1, items: 'x', payment: [], customer: 7, action: {}, reason: [], kind: null }],
    [
      'wrong types inside',
      { items: [null, 1, {}], payment: { method: {} }, customer: { name: {}, email: 1 } },
    ],
  ];

  it('of every wrong kind are 400 on every route that takes one', async () => {
    for (const { method, path } of routes.filter((route) => route.body)) {
      for (const [name, body] of hostile) {
        const raw = typeof body === 'string' ? body : JSON.stringify(body);
        const answer = await api.call(method, fill(path), { token: everything, key: 'hostile', raw });
        expect([name, method, path, answer.status < 500]).toEqual([name, method, path, true]);
        expectProblem([name, method, path], answer, 400);
      }
    }
  });

  it('that are huge are 413, of another content type or encoding 400', async () => {
    for (const { method, path } of routes.filter((route) => route.body)) {
      // Payloads of Temporal may be larger than anything a customer sends.
      const huge = JSON.stringify({ title: 'x'.repeat(path.startsWith('/codec/') ? 5_000_000 : 300_000) });
      const send = (raw: string | Buffer, headers: Record<string, string>) =>
        api.call(method, fill(path), { token: everything, key: 'huge', raw, headers });
      expectProblem([method, path, 'huge'], await send(huge, {}), 413);
      for (const headers of [
        { 'content-type': 'text/plain' },
        { 'content-type': 'application/x-www-form-urlencoded' },
        { 'content-type': 'application/json; charset=klingon' },
        { 'content-encoding': 'compress' },
        { 'content-encoding': 'gzip' },
      ]) {
        expectProblem([method, path, headers], await send('{"title":"x"}', headers), 400);
      }
    }
  });
});

describe('parameters', () => {
  it('that are wrong are 400 on every list', async () => {
    const lists = ['/v1/offerings', '/v1/bookings', '/v1/cases', '/v1/wallet', '/v1/provider/bookings'];
    const wrong = [
      'limit=0',
      'limit=101',
      'limit=x',
      'limit=1e9',
      'limit=1&limit=2',
      'limit[]=1',
      'cursor=',
      'cursor=AAAA',
      `cursor=${Buffer.from('[1e300,"x"]').toString('base64url')}`,
      `cursor=${Buffer.from('[-1,"off_000000000000000000000000"]').toString('base64url')}`,
      `cursor=${'A'.repeat(5_000)}`,
      'status=%00',
      'unknown=1',
      '__proto__=1',
      'status=open&status=open',
    ];
    for (const path of lists) {
      for (const query of wrong) {
        const answer = await api.call('GET', `${path}?${query}`, { token: everything });
        expectProblem([path, query], answer, 400);
      }
    }
    for (const query of [
      'from=0000-01-01T00:00:00Z',
      'to=2027-02-30T00:00:00Z',
      'providerId=%00',
      'from=1',
    ]) {
      expectProblem(query, await api.call('GET', `/v1/offerings?${query}`), 400);
    }
    for (const query of ['reference=%00', 'customerId=%00', 'status=lost']) {
      expectProblem(query, await api.call('GET', `/v1/bookings?${query}`, { token: everything }), 400);
    }
  });

  it('in headers are harmless', async () => {
    for (const given of ['x'.repeat(65), 'a b', '<script>', '']) {
      const answer = await api.call('GET', '/v1/cases', { headers: { 'x-request-id': given } });
      expectProblem(given, answer, 401);
      expect(answer.headers.get('x-request-id')).not.toBe(given);
    }
    const kept = await api.call('GET', '/healthz', { headers: { 'x-request-id': 'trace-1.a_B' } });
    expect(kept.headers.get('x-request-id')).toBe('trace-1.a_B');
    for (const key of ['x'.repeat(256), 'k\u00e9y', '\t']) {
      const answer = await api.call('POST', '/v1/bookings', {
        token: everything,
        headers: { 'idempotency-key': key },
        body: booking(offering.id),
      });
      expect(answer.status).toBe(400);
    }
  });
});

describe('routes', () => {
  it('that do not exist, or not with this method, are 404', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/v1'],
      ['GET', '/v2/bookings'],
      ['DELETE', '/v1/bookings'],
      ['PUT', `/v1/offerings/${offering.id}`],
      ['GET', '/v1/carts'],
      ['DELETE', `/v1/carts/${ids['carts']}`],
      ['POST', '/v1/wallet'],
      ['GET', '/v1/wallets/ada'],
      ['POST', `/v1/bookings/${ids['bookings']}/events`],
      ['PUT', `/v1/bookings/${ids['bookings']}/events`],
      ['DELETE', `/v1/offerings/${offering.id}/events`],
      ['POST', `/v1/offerings/${offering.id}/events`],
      ['GET', '/webhooks/stripe'],
      ['GET', '/.env'],
    ] as const) {
      expectProblem([method, path], await api.call(method, path, { token: everything }), 404);
    }
  });

  it('say nothing about what serves them, and let only known origins in', async () => {
    const answer = await api.call('GET', '/v1/offerings', { headers: { origin: 'https://shop.example' } });
    expect(answer.headers.get('x-powered-by')).toBeNull();
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    const stranger = await api.call('GET', '/v1/offerings', { headers: { origin: 'https://evil.example' } });
    expect(stranger.headers.get('access-control-allow-origin')).toBeNull();
    expect(stranger.status).toBe(200);
  });

  it('survive what is not HTTP', async () => {
    const { port, hostname } = new URL(api.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => socket.write('\0\r\n\r\nGET / HTTP/9\r\n\r\n'));
      socket.on('close', () => resolve()).on('error', () => resolve());
      socket.resume();
    });
    expect((await api.call('GET', '/healthz')).status).toBe(200);
  });
});

describe('the log', () => {
  it('says who went before the answer, and claims no status for them', async () => {
    api.logged.length = 0;
    const asked = request(`${api.url}/v1/bookings/${ids['bookings']}?wait=5&after=99`, {
      headers: { authorization: `Bearer ${everything}` },
    });
    asked.on('error', () => undefined).end();
    await setTimeout(1_000);
    asked.destroy();
    const line = await eventually('its line', async () => api.logged.find((text) => text.includes('http.')));
    expect(JSON.parse(line)).toMatchObject({ event: 'http.abandoned', method: 'GET' });
    expect(JSON.parse(line)).not.toHaveProperty('status');
  });

  it('holds one line per request with ids, and nothing private', async () => {
    api.logged.length = 0;
    await api.call('POST', `/v1/bookings?secret=hidden`, {
      token: everything,
      key: 'logged',
      body: booking(offering.id, { customer: { name: 'Grace', email: 'grace@example.org' } }),
    });
    await api.call('GET', `/v1/bookings/${ids['bookings']}`, { token: everything });
    await api.call('GET', '/healthz');
    const lines = api.logged.map((text) => JSON.parse(text));
    const answered = lines.filter((one) => one.event === 'http.answered');
    expect(answered).toHaveLength(2);
    expect(answered[1]).toMatchObject({
      method: 'GET',
      route: '/v1/bookings/{id}',
      subject: ids['bookings'],
      status: 200,
      requestId: expect.any(String) as string,
    });
    expect(api.logged.join('')).not.toMatch(/grace|hidden|Bearer|eyJ|secret/i);
  });
});
