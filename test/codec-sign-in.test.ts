/** Who may have payloads opened: operators, by token or by a cookie of the sign-in page, and nobody else. */
import { randomBytes } from 'node:crypto';
import { EncryptJWT } from 'jose';
import { readConfig } from '../src/config';
import { startApi, type Answer, type ApiUnderTest, type CallOptions } from './api-setup';
import {
  ask as askOf,
  clear,
  codecEnv,
  localUi,
  lostKey,
  newKey,
  publicUrl,
  sealedBy,
  ui,
} from './codec-setup';

let api: ApiUnderTest;
let ops: string;
beforeAll(async () => {
  api = await startApi({ env: codecEnv });
  ops = await api.token('olga', 'ops');
});
afterAll(() => api.stop());

const ask = (name: 'encode' | 'decode', payloads: unknown, options: CallOptions = {}): Promise<Answer> =>
  askOf(api, name, payloads, { token: ops, ...options });

/** What a browser would send back, and the rest of the header. */
function cookieIn(answer: Answer): { pair: string; attributes: string } {
  const [pair = '', ...attributes] = (answer.headers.get('set-cookie') ?? '').split('; ');
  return { pair, attributes: attributes.join('; ') };
}

const signIn = (token: string, origin: string | undefined = publicUrl, to = api): Promise<Answer> =>
  to.call('POST', '/codec/sign-in', {
    body: { token },
    headers: origin === undefined ? {} : { origin },
  });

async function cookieOf(token = ops): Promise<string> {
  return cookieIn(await signIn(token)).pair;
}

/** A request with this cookie and no token. */
const askBy = async (cookie: string, origin: string | undefined): Promise<Answer> =>
  ask('decode', [await sealedBy(newKey, 'secret')], {
    token: undefined,
    headers: { cookie, ...(origin === undefined ? {} : { origin }) },
  });

/** Refused, and nothing of the payload told. */
function expectRefused({ status, body }: Answer, expected: 401 | 403): void {
  expect([status, body.type]).toEqual([
    expected,
    expected === 401 ? '/problems/unauthenticated' : '/problems/forbidden',
  ]);
  expect(body.payloads).toBeUndefined();
}

describe('who is let in', () => {
  it('Nobody without an operator’s token', async () => {
    const sealed = await sealedBy(newKey, 'secret');
    const others: [string | undefined, 401 | 403][] = [
      [undefined, 401],
      ['rubbish', 401],
      [await api.token('ada'), 403],
      [await api.token('dr', 'catalog'), 403],
      [await api.token('both', 'bookings catalog'), 403],
      [await api.token('olga', 'ops', { expiresIn: '-1s' }), 401],
      [await api.token('olga', 'ops', { secret: 'another secret, long enough for HS256 as well' }), 401],
    ];
    for (const [token, expected] of others) {
      for (const name of ['decode', 'encode'] as const)
        expectRefused(await ask(name, [sealed], { token }), expected);
    }
    // Refused before the body is read: nobody else can make the process parse megabytes.
    const raw = 'x'.repeat(5 * 1024 * 1024);
    expect((await api.call('POST', '/codec/decode', { raw }).catch(() => ({ status: 401 }))).status).toBe(
      401,
    );
  });

  it('An operator who has signed in, on the Temporal UI’s pages only', async () => {
    const cookie = await cookieOf();
    for (const origin of [ui, localUi]) expect((await askBy(cookie, origin)).status).toBe(200);
    for (const origin of ['https://evil.example', publicUrl, 'null', `${ui}.evil.example`, undefined]) {
      expectRefused(await askBy(cookie, origin), 403);
    }
  });

  it('The cookie opens nothing else', async () => {
    const headers = { cookie: await cookieOf(), origin: ui };
    for (const path of ['/v1/cases', '/v1/bookings', '/v1/wallet'])
      expect((await api.call('GET', path, { headers })).status).toBe(401);
  });

  it('A token that is sent is meant, whatever the cookie says', async () => {
    const headers = { cookie: await cookieOf(), origin: ui };
    expectRefused(await ask('decode', [clear], { token: await api.token('ada'), headers }), 403);
  });

  it('No cookie that is forged, changed, of another secret or over', async () => {
    const cookie = await cookieOf();
    const [name] = cookie.split('=');
    const [flipped, last] = [cookie.slice(0, -1), cookie.at(-1) === 'A' ? 'Q' : 'A'];
    const other = await startApi({ env: { APP_SECRET: 'quite another secret', TEMPORAL_UI_ORIGIN: ui } });
    const ofOther = cookieIn(await signIn(await other.token('olga', 'ops'), 'http://localhost:3000', other));
    await other.stop();
    const forged = await new EncryptJWT()
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setSubject('olga')
      .setAudience('payfirst/codec-session')
      .setExpirationTime('1h')
      .encrypt(randomBytes(32));
    const values = [
      `${flipped}${last}`,
      `${name}=${ofOther.pair.split('=')[1]}`,
      `${name}=${forged}`,
      `${name}=${ops}`,
      `${name}=x`,
    ];
    for (const value of values) expectRefused(await askBy(value, ui), 401);
  });

  it('The cookie ends with the token, and after 8 hours at most', async () => {
    const short = await signIn(await api.token('olga', 'ops', { expiresIn: '2s' }));
    expect((await askBy(cookieIn(short).pair, ui)).status).toBe(200);
    const long = await signIn(await api.token('olga', 'ops', { expiresIn: '30d' }));
    const seconds = (Date.parse(long.body.expiresAt) - Date.now()) / 1000;
    expect(Math.round(seconds / 60)).toBe(8 * 60);
    expect(cookieIn(long).attributes).toContain(`Expires=${new Date(long.body.expiresAt).toUTCString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const late = await askBy(cookieIn(short).pair, ui);
    expectRefused(late, 401);
    expect(late.body.detail).toContain(`The sign-in has ended. Sign in at ${publicUrl}/codec/sign-in`);
  });

  it('Nothing decoded, no token and no cookie is logged', async () => {
    const cookie = await cookieOf();
    await ask('decode', [await sealedBy(newKey, 'zanzibar-5150')]);
    await ask('decode', [{ ...(await sealedBy(lostKey, 'zanzibar-5150')) }]);
    await askBy(cookie, ui);
    const lines = api.logged.join('');
    expect(lines).toContain('/codec/decode');
    for (const secret of ['zanzibar', Buffer.from('"zanzibar').toString('base64').slice(0, 10), ops, cookie])
      expect(lines).not.toContain(secret);
  });

  it('Cookie requests are no unknown callers: the Temporal UI asks often', async () => {
    const strict = await startApi({ env: { RATE_ANONYMOUS_PER_MINUTE: '2', TEMPORAL_UI_ORIGIN: ui } });
    try {
      const origin = 'http://localhost:3000';
      const cookie = cookieIn(await signIn(await strict.token('olga', 'ops'), origin, strict)).pair;
      const call = (headers: Record<string, string>) =>
        strict.call('POST', '/codec/decode', { body: { payloads: [clear] }, headers });
      for (let time = 0; time < 5; time += 1) expect((await call({ cookie, origin: ui })).status).toBe(200);
      const statuses = [];
      for (let time = 0; time < 3; time += 1) statuses.push((await call({ origin: ui })).status);
      expect(statuses).toContain(429);
    } finally {
      await strict.stop();
    }
  });
});

describe('signing in', () => {
  it('Takes an operator’s token only, from its own page or the UI’s', async () => {
    expect((await signIn(ops)).body).toMatchObject({ sub: 'olga' });
    expect((await signIn(ops, ui)).status).toBe(200);
    for (const origin of ['https://evil.example', 'null', undefined]) {
      // fetch of Node sends no Origin by itself, as no browser would.
      const answer = await signIn(ops, origin === undefined ? '' : origin);
      expectRefused(answer, 403);
      expect(answer.headers.get('set-cookie')).toBeNull();
    }
    for (const [token, expected] of [
      [await api.token('ada'), 403],
      ['rubbish', 401],
      ['two words', 401],
    ] as const) {
      const answer = await signIn(token);
      expectRefused(answer, expected);
      expect(answer.headers.get('set-cookie')).toBeNull();
    }
  });

  it('Over https the cookie is for this host, https, cross-site and no script', async () => {
    const { pair, attributes } = cookieIn(await signIn(ops));
    expect(pair).toMatch(/^__Host-payfirst-codec=[\w-]+\.\.[\w.-]+$/);
    expect(attributes).toMatch(/^Path=\/; Expires=[^;]+; HttpOnly; Secure; SameSite=None$/);
  });

  it('On one host, and over plain http, it is Lax', async () => {
    for (const [url, origin, expected] of [
      ['http://localhost:3000', 'http://localhost:8080', /HttpOnly; SameSite=Lax$/],
      ['http://127.0.0.1:3000', 'http://other.example', /HttpOnly; SameSite=Lax$/],
      ['https://one.example', 'https://one.example:8443', /HttpOnly; Secure; SameSite=Lax$/],
    ] as const) {
      const one = await startApi({ env: { PUBLIC_URL: url, TEMPORAL_UI_ORIGIN: origin } });
      const { attributes } = cookieIn(await signIn(await one.token('olga', 'ops'), url, one));
      await one.stop();
      expect(attributes).toMatch(expected);
    }
  });

  it('The page shows who is signed in, and runs and loads nothing that is not its own', async () => {
    const page = (cookie = '') => api.call('GET', '/codec/sign-in', { headers: { cookie } });
    const out = await page();
    expect([out.status, out.headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(out.body).toContain('id="token"');
    expect(out.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; connect-src 'self'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    const strange = await api.token('<img src=x onerror=alert(1)>', 'ops');
    const inside = await page(await cookieOf(strange));
    expect(inside.body).toContain('signed in as &#60;img src=x');
    expect(inside.body).not.toContain('<img');
    expect(inside.body).toContain(`href="${ui}"`);
  });

  it('Signing out takes the cookie away, from its own page only', async () => {
    const out = (origin: string) => api.call('POST', '/codec/sign-out', { headers: { origin } });
    const answer = await out(publicUrl);
    expect(answer.status).toBe(204);
    expect(answer.headers.get('set-cookie')).toMatch(/^__Host-payfirst-codec=; .*Expires=Thu, 01 Jan 1970/);
    expectRefused(await out('https://evil.example'), 403);
  });
});

test.each(['https://temporal.example/', 'https://temporal.example/ui', 'temporal.example', '*'])(
  'TEMPORAL_UI_ORIGIN=%s is refused at the start: no browser would ever send it',
  (origin) => {
    const env = {
      DATABASE_URL: 'postgres://x/x',
      AUTH_JWT_SECRET: 'x'.repeat(32),
      APP_SECRET: 'x'.repeat(16),
    };
    expect(() => readConfig({ ...env, TEMPORAL_UI_ORIGIN: `${ui},${origin}` })).toThrow(
      /TEMPORAL_UI_ORIGIN, number 2: origins/,
    );
  },
);

describe('other origins', () => {
  const preflight = (path: string, origin: string, headers: Record<string, string> = {}) =>
    api.call('OPTIONS', path, {
      headers: { origin, 'access-control-request-method': 'POST', ...headers },
    });
  const allowed = (answer: Answer) => answer.headers.get('access-control-allow-origin');

  it('The Temporal UI may call, with cookies and the headers it sends', async () => {
    const asked = { 'access-control-request-headers': 'authorization,content-type,x-namespace' };
    for (const origin of [ui, localUi]) {
      const answer = await preflight('/codec/decode', origin, asked);
      expect([answer.status, allowed(answer)]).toEqual([204, origin]);
      expect(answer.headers.get('access-control-allow-credentials')).toBe('true');
      expect(answer.headers.get('access-control-allow-methods')).toBe('POST');
      expect(answer.headers.get('access-control-allow-headers')).toMatch(
        /authorization,content-type,x-namespace/,
      );
      expect(answer.headers.get('access-control-allow-private-network')).toBeNull();
      expect(answer.headers.get('vary')).toContain('Origin');
    }
    // A refusal can be read, too, or the UI could not say what is wrong.
    expect(allowed(await ask('decode', [], { token: undefined, headers: { origin: ui } }))).toBe(ui);
  });

  it('A browser that asks about private networks is answered', async () => {
    const asked = { 'access-control-request-private-network': 'true' };
    const told = async (origin: string) =>
      (await preflight('/codec/decode', origin, asked)).headers.get('access-control-allow-private-network');
    expect([await told(ui), await told('https://evil.example')]).toEqual(['true', null]);
  });

  it('Shops may not call the codec, nor the Temporal UI the API', async () => {
    const shop = 'https://shop.example';
    for (const path of ['/codec/decode', '/Codec/Decode', '/codec/sign-in', '/codec']) {
      expect(allowed(await preflight(path, shop))).toBeNull();
    }
    expect(allowed(await preflight('/v1/bookings', ui))).toBeNull();
    expect(allowed(await preflight('/v1/bookings', shop))).toBe(shop);
    expect(allowed(await preflight('/codecs', shop))).toBe(shop);
  });
});
