import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { makeAuthenticator } from '../src/api/auth';

const secret = 'a secret for tests only, long enough for HS256';
const auth = { secret: undefined, jwksUrl: undefined, issuer: undefined, audience: undefined };
const sign = (alg: string, key: Parameters<SignJWT['sign']>[0], claims: Record<string, unknown> = {}) =>
  new SignJWT({ scope: 'bookings admin ops', ...claims })
    .setProtectedHeader({ alg, kid: alg })
    .setSubject('ada')
    .setExpirationTime('1h')
    .sign(key);

describe('tokens signed by a published key', () => {
  let server: Server;
  let jwksUrl: string;
  let keys: Record<string, Awaited<ReturnType<typeof generateKeyPair>>>;

  beforeAll(async () => {
    keys = {};
    const published: Record<string, unknown>[] = [];
    for (const alg of ['RS256', 'ES256', 'EdDSA']) {
      const pair = await generateKeyPair(alg, { extractable: true });
      keys[alg] = pair;
      published.push({ ...(await exportJWK(pair.publicKey)), alg, kid: alg });
    }
    server = createServer((_request, response) => response.end(JSON.stringify({ keys: published })));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  });
  afterAll(async () => {
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  });

  it('are believed, with the scopes we know', async () => {
    const authenticate = makeAuthenticator({ ...auth, jwksUrl });
    for (const [alg, pair] of Object.entries(keys)) {
      const caller = await authenticate(`Bearer ${await sign(alg, pair.privateKey)}`);
      expect([caller.sub, [...caller.scopes]]).toEqual(['ada', ['bookings', 'ops']]);
    }
  });

  it('are refused when another key made them, or the public key was used as a secret', async () => {
    const authenticate = makeAuthenticator({ ...auth, jwksUrl });
    const stranger = await generateKeyPair('RS256');
    await expect(authenticate(`Bearer ${await sign('RS256', stranger.privateKey)}`)).rejects.toMatchObject({
      type: 'unauthenticated',
    });
    const pair = keys['RS256'];
    if (pair === undefined) throw new Error('no key');
    const part = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url');
    const head = `${part({ alg: 'HS256', kid: 'RS256' })}.${part({ sub: 'ada', scope: 'ops' })}`;
    const forged = createHmac('sha256', await exportSPKI(pair.publicKey))
      .update(head)
      .digest('base64url');
    await expect(authenticate(`Bearer ${head}.${forged}`)).rejects.toMatchObject({ type: 'unauthenticated' });
  });

  it('cannot be checked while the keys are out of reach: 503, for nothing is known about them', async () => {
    const authenticate = makeAuthenticator({ ...auth, jwksUrl: 'http://127.0.0.1:1/jwks' });
    const pair = keys['RS256'];
    if (pair === undefined) throw new Error('no key');
    await expect(authenticate(`Bearer ${await sign('RS256', pair.privateKey)}`)).rejects.toMatchObject({
      type: 'unavailable',
    });
    await expect(authenticate('Bearer nonsense')).rejects.toMatchObject({ type: 'unauthenticated' });
  });

  it('may stand beside tokens signed by the shared secret', async () => {
    const authenticate = makeAuthenticator({ ...auth, secret, jwksUrl });
    const shared = await sign('HS256', new TextEncoder().encode(secret));
    expect((await authenticate(`bearer ${shared}`)).sub).toBe('ada');
  });
});

describe('issuer and audience', () => {
  it('are checked when they are set', async () => {
    const key = new TextEncoder().encode(secret);
    const strict = makeAuthenticator({ ...auth, secret, issuer: 'https://id.example', audience: 'payfirst' });
    const good = { iss: 'https://id.example', aud: 'payfirst' };
    expect((await strict(`Bearer ${await sign('HS256', key, good)}`)).sub).toBe('ada');
    for (const claims of [{}, { ...good, iss: 'https://evil.example' }, { ...good, aud: 'other' }]) {
      await expect(strict(`Bearer ${await sign('HS256', key, claims)}`)).rejects.toMatchObject({
        type: 'unauthenticated',
      });
    }
  });
});
