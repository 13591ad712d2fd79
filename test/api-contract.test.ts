import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Express } from 'express';
import { createApp } from '../src/api/app';
import { explanations } from '../src/api/problem-pages';
import { readConfig } from '../src/config';
import { failures, type FailureType } from '../src/failures';
import { makeLogger } from '../src/telemetry';
import { startApi, type ApiUnderTest, type Json } from './api-setup';

const file = (name: string) => readFileSync(join(__dirname, '..', name), 'utf8');

describe('.env.example', () => {
  const named = new Set([...file('.env.example').matchAll(/^([A-Z_]+)=/gm)].map((found) => found[1] ?? ''));

  it('names every setting that is read, and no other', () => {
    const read = new Set<string>();
    const source = file('src/config.ts');
    for (const [, name] of source.matchAll(/^ {2}([A-Z_]+): /gm)) read.add(name ?? '');
    expect(read.size).toBeGreaterThan(25);
    // The SDK reads the first two itself; the rest are compose's.
    const byOthers = ['TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE', 'TEMPORAL_UI_PORT'].concat(
      ['POSTGRES', 'DATABASE', 'DATABASE_READONLY', 'TEMPORAL_DB'].map((role) => `${role}_PASSWORD`),
    );
    expect([...named].sort()).toEqual([...read, ...byOthers].sort());
  });

  it('explains each in one comment above it', () => {
    const lines = file('.env.example').split('\n');
    lines.forEach((text, index) => {
      if (/^[A-Z_]+=/.test(text))
        expect([text, lines[index - 1]]).toEqual([text, expect.stringMatching(/^# \S/)]);
    });
  });

  it('is accepted once its secrets are filled in', () => {
    const given = Object.fromEntries(
      [...file('.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
    ) as Record<string, string>;
    const config = readConfig({ ...given, AUTH_JWT_SECRET: 'x'.repeat(32), APP_SECRET: 'x'.repeat(16) });
    expect(config.http.port).toBe(3000);
  });
});

describe('docs/problems.md', () => {
  const page = file('docs/problems.md');
  const sections = new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf('\n')), section.replace(/\s+/g, ' ')]),
  );

  it('explains every failure as the API does, and no other', () => {
    expect([...sections.keys()]).toEqual(Object.keys(failures));
    for (const [type, text] of sections) {
      const { when, act } = explanations[type as FailureType];
      const { status, title } = failures[type as FailureType];
      expect(text).toContain(`${title}. Status ${status}.`);
      expect(text).toContain(when);
      expect(text).toContain(act);
    }
  });
});

/** Every method and path that Express itself knows. */
function mounted(app: Express): string[] {
  const { stack } = app.router as unknown as {
    stack: { route?: { path: string; methods: Record<string, boolean> } }[];
  };
  return stack.flatMap(({ route }) =>
    route === undefined
      ? []
      : Object.keys(route.methods).map((method) => `${method} ${route.path.replace(/:(\w+)/g, '{$1}')}`),
  );
}

describe('the OpenAPI document', () => {
  let api: ApiUnderTest;
  let document: Json;
  beforeAll(async () => {
    api = await startApi();
    document = (await api.call('GET', '/openapi.json')).body;
  });
  afterAll(() => api.stop());

  it('names every mounted route, and no other', () => {
    const described = Object.entries<Json>(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    const app = createApp({
      config: api.config,
      db: api.db,
      reading: api.db,
      temporal: undefined as never,
      codec: undefined as never,
      gateways: new Map([['stripe', { name: 'stripe' } as never]]),
      log: makeLogger('test', 'silent'),
      metrics: api.metrics,
    });
    expect(described.sort()).toEqual(mounted(app).sort());
    expect(described).toContain('post /v1/bookings/{id}/retry');
    expect(described).toContain('delete /v1/carts/{id}/items/{offeringId}');
    expect(described).toHaveLength(48);
  });

  it('is 3.1, and complete: scopes, answers, problems, examples of all shapes', () => {
    expect(document.openapi).toMatch(/^3\.1/);
    const start = document.paths['/v1/bookings'].post;
    expect(Object.keys(start.responses).sort()).toEqual(
      [
        '200',
        '201',
        '202',
        '400',
        '401',
        '402',
        '403',
        '404',
        '409',
        '410',
        '413',
        '422',
        '429',
        '500',
        '503',
      ].sort(),
    );
    expect(start.security).toEqual([{ token: ['bookings'] }]);
    expect(start.parameters).toContainEqual(
      expect.objectContaining({ in: 'header', name: 'Idempotency-Key', required: true }),
    );
    expect(start.requestBody.required).toBe(true);
    expect(document.paths['/v1/offerings'].get.security).toEqual([]);
    expect(document.paths['/v1/bookings/{id}/events'].get.security).toContainEqual({ ticket: [] });
    const { schemas } = document.components;
    expect(Object.keys(schemas)).toEqual(
      expect.arrayContaining([
        'Booking',
        'Offering',
        'Case',
        'Problem',
        'NewBooking',
        'NewOffering',
        'Money',
        'Cart',
        'Provider',
        'Wallet',
        'WalletEntry',
      ]),
    );
    // Either items or a cart; and what is free names no method.
    expect(schemas.NewBooking.required).toEqual(['customer']);
    const put = document.paths['/v1/carts/{id}/items/{offeringId}'].put;
    expect(put.parameters.map((one: Json) => `${one.in} ${one.name}`)).toEqual([
      'path id',
      'path offeringId',
    ]);
    expect(put.responses['409'].description).toMatch(/`offering-closed`.*`cart-converted`/);
    expect(schemas.NewBooking.properties.items.items.required).toEqual(['offeringId']);
    for (const operations of Object.values<Json>(document.paths)) {
      for (const operation of Object.values<Json>(operations)) {
        expect(operation.summary).toBeTruthy();
        expect(operation.responses['500']).toBeDefined();
      }
    }
  });

  it('is shown by a page that loads nothing from elsewhere', async () => {
    const page = await api.call('GET', '/docs/');
    expect(page.status).toBe(200);
    const { body } = page as { body: string };
    expect(body).not.toMatch(/(src|href)="https?:/);
    for (const [, asset] of body.matchAll(/(?:src|href)="\.\/([\w.-]+)"/g)) {
      const answer = await api.call('GET', `/docs/${asset}`);
      expect([asset, answer.status]).toEqual([asset, 200]);
    }
    expect((await api.call('GET', '/docs/swagger-ui-init.js')).body).toContain('/openapi.json');
  });

  it('leads from each problem’s type to a page', async () => {
    for (const type of Object.keys(failures)) {
      const page = await api.call('GET', `/problems/${type}`);
      expect([type, page.status]).toEqual([type, 200]);
      expect(page.headers.get('content-type')).toContain('text/html');
    }
    expect((await api.call('GET', '/problems/nonsense')).status).toBe(404);
  });
});
