/**
 * The codec endpoint: Temporal's protocol over HTTP, against histories of bookings that really ran. What the Temporal UI
 * sends was read in its source (temporalio/ui 2.50.1) and seen in a browser.
 */
import { join } from 'node:path';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { makeDataConverter } from '../src/payloads';
import { bookingWorkflowId } from '../src/workflows/messages';
import { startApi, type Answer, type ApiUnderTest, type CallOptions, type Json } from './api-setup';
import { outcomeOf, pay, publish, Shopper } from './book-setup';
import {
  ask as askOf,
  clear,
  codecEnv,
  jsonOf,
  lostKey,
  metadataOf,
  newKey,
  oldKey,
  sealedBy,
  textOf,
} from './codec-setup';
import { startWorld, type World } from './world';

let api: ApiUnderTest;
let ops: string;
beforeAll(async () => {
  api = await startApi({ env: codecEnv });
  ops = await api.token('olga', 'ops');
});
afterAll(() => api.stop());

const ask = (name: 'encode' | 'decode', payloads: unknown, options: CallOptions = {}): Promise<Answer> =>
  askOf(api, name, payloads, { token: ops, ...options });

describe('the protocol', () => {
  it('Encodes with the first key, and decodes to what was given', async () => {
    const other = jsonOf(defaultPayloadConverter.toPayload(null));
    const encoded = await ask('encode', [clear, other]);
    expect(encoded.status).toBe(200);
    expect(encoded.headers.get('content-type')).toMatch(/^application\/json/);
    expect(encoded.headers.get('cache-control')).toBe('no-store');
    expect(encoded.body.payloads).toHaveLength(2);
    for (const payload of encoded.body.payloads) {
      expect(metadataOf(payload, 'encoding')).toBe('binary/encrypted');
      expect(metadataOf(payload, 'encryption-key-id')).toBe('new');
      expect(JSON.stringify(payload)).not.toContain(clear.data);
    }
    const decoded = await ask('decode', encoded.body.payloads);
    expect(decoded.body).toEqual({ payloads: [clear, other] });
  });

  it('Reads what an old key sealed', async () => {
    const { status, body } = await ask('decode', [await sealedBy(oldKey, 'from before')]);
    expect([status, textOf(body.payloads[0])]).toEqual([200, '"from before"']);
  });

  it('Passes what was never sealed as it is, unknown fields included', async () => {
    const strange = { ...clear, ofTheFuture: { some: 'thing' } };
    const bare = { metadata: { encoding: Buffer.from('binary/null').toString('base64') } };
    const given = [strange, bare, {}, await sealedBy(newKey, 1)];
    const { status, body } = await ask('decode', given);
    expect(status).toBe(200);
    expect(body.payloads.slice(0, 3)).toEqual([strange, bare, {}]);
    expect(textOf(body.payloads[3])).toBe('1');
  });

  it('Takes base64 of either alphabet, padded or not, and an empty list that protobuf left out', async () => {
    const value = '???>>>~~~ÿ';
    const { metadata, data } = await sealedBy(newKey, value);
    const url = String(data).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    expect(textOf((await ask('decode', [{ metadata, data: url }])).body.payloads[0])).toBe(`"${value}"`);
    expect((await ask('decode', undefined)).body).toEqual({ payloads: [] });
  });

  it('Says which key is missing, and points at the payload', async () => {
    const { status, body } = await ask('decode', [clear, await sealedBy(lostKey, 1)]);
    expect([status, body.type, body.errors]).toEqual([
      400,
      '/problems/invalid-request',
      [{ pointer: '/payloads/1', detail: 'No key named lost in PAYLOAD_KEYS opens this payload.' }],
    ]);
  });

  it('Refuses what was changed', async () => {
    const sealed = await sealedBy(newKey, 'secret');
    const data = Buffer.from(sealed.data, 'base64');
    data[data.length - 1] = (data.at(-1) ?? 0) ^ 1;
    for (const changed of [data, data.subarray(0, 20), Buffer.alloc(0)]) {
      const { status, body } = await ask('decode', [{ ...sealed, data: changed.toString('base64') }]);
      expect([status, body.errors[0].pointer]).toEqual([400, '/payloads/0']);
    }
  });

  it.each([
    ['no JSON', '{"payloads":'],
    ['a list', '[]'],
    ['a text', '"payloads"'],
    ['other fields', '{"payload":[]}'],
    ['payloads that are none', '{"payloads":{}}'],
    ['a payload that is none', '{"payloads":[1]}'],
    ['data that is no base64', '{"payloads":[{"data":"*"}]}'],
    ['metadata that is no base64', '{"payloads":[{"metadata":{"encoding":1}}]}'],
  ])('Refuses %s with 400', async (_what, raw) => {
    for (const name of ['encode', 'decode'] as const) {
      const { status, body } = await api.call('POST', `/codec/${name}`, { token: ops, raw });
      expect([status, body.type]).toEqual([400, '/problems/invalid-request']);
    }
  });

  it('Refuses a body that is not called JSON', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
      const { status } = await ask('decode', [clear], { headers: { 'content-type': type } });
      expect(status).toBe(400);
    }
  });

  it('Takes a payload as large as Temporal stores, and no more than 4 MiB', async () => {
    const large = await sealedBy(newKey, 'x'.repeat(2 * 1024 * 1024 - 100));
    const { status, body } = await ask('decode', [large]);
    expect([status, body.payloads[0].data.length]).toEqual([200, expect.any(Number)]);
    expect((await ask('decode', [large, large])).status).toBe(413);
  });

  it('Without keys encodes nothing, and refuses what was sealed', async () => {
    const keyless = await startApi();
    try {
      const call = async (name: string, payload: Json) =>
        keyless.call('POST', `/codec/${name}`, {
          token: await keyless.token('olga', 'ops'),
          body: { payloads: [payload] },
        });
      expect((await call('encode', clear)).body).toEqual({ payloads: [clear] });
      expect((await call('decode', await sealedBy(newKey, 1))).status).toBe(400);
    } finally {
      await keyless.stop();
    }
  });
});

type History = temporal.api.history.v1.IHistory;

/** Every payload anywhere in a message, found by its shape: so that no kind of event can be forgotten. */
function payloadsIn(message: unknown): Payload[] {
  if (typeof message !== 'object' || message === null || message instanceof Uint8Array) return [];
  if ('metadata' in message && (message as Payload).metadata?.['encoding'] instanceof Uint8Array)
    return [message as Payload];
  // Search attributes are never sealed: the server reads them.
  return Object.entries(message)
    .filter(([name]) => name !== 'searchAttributes')
    .flatMap(([, value]) => payloadsIn(value));
}

describe('histories of bookings that ran', () => {
  let world: World;
  let stored: { history: History; described: unknown };
  const details = 'hiccups since Tuesday';

  beforeAll(async () => {
    const stumbled = new Set<string>();
    world = await startWorld({
      standing: false,
      env: { PAYLOAD_KEYS: oldKey },
      // Fails once, so that a failure with a message and a stack stands in the history.
      wrapActivities: (activities) => ({
        ...activities,
        settle: (bookingId, heard) => {
          if (stumbled.has(bookingId)) return activities.settle(bookingId, heard);
          stumbled.add(bookingId);
          return Promise.reject(new Error('could not reach zanzibar-5150'));
        },
      }),
    });
    const offeringId = await publish(world);
    const shopper = new Shopper(world);
    const { body } = await shopper.call(
      'POST',
      '/v1/bookings',
      {
        items: [{ offeringId, details: { complaint: details } }],
        payment: { method: 'stripe' },
        customer: { name: 'Wilhelmina Oakes', email: 'wilhelmina@private.example' },
      },
      'a-key',
    );
    await pay(world, body);
    expect(await outcomeOf(world, body.id)).toBe('confirmed');
    const handle = world.temporal.workflow.getHandle(bookingWorkflowId(body.id));
    stored = { history: await handle.fetchHistory(), described: (await handle.describe()).raw };
  });
  afterAll(() => world.stop());

  it('Everything is sealed there, and an operator reads all of it: inputs, results, memo, summaries, failures', async () => {
    const payloads = [...payloadsIn(stored.history), ...payloadsIn(stored.described)].map(jsonOf);
    expect(payloads.length).toBeGreaterThan(8);
    // Core keeps its own notes on local activities in clear: their names and times, never what they were given.
    const known = ['seq', 'attempt', 'activity_id', 'activity_type', 'complete_time', 'backoff', 'original_schedule_time']; // prettier-ignore
    for (const payload of payloads.filter((one) => metadataOf(one, 'encoding') !== 'binary/encrypted'))
      expect(known).toEqual(expect.arrayContaining(Object.keys(JSON.parse(textOf(payload)))));
    const secrets = ['Wilhelmina Oakes', 'wilhelmina@private.example', details, 'zanzibar-5150', 'at settle'];
    const bytes = Buffer.from(temporal.api.history.v1.History.encode(stored.history).finish());
    for (const secret of secrets) expect(bytes.includes(secret)).toBe(false);

    const { status, body } = await ask('decode', payloads);
    expect(status).toBe(200);
    const read = (body.payloads as Json[]).map(textOf).join('\n');
    for (const secret of [...secrets, '"confirmed"', 'The payment window', 'An attempt to book'])
      expect(read).toContain(secret);
    // The key of the API sealed none of these: they are from before the keys were rotated.
    expect(new Set(payloads.map((payload) => metadataOf(payload, 'encryption-key-id')))).toEqual(
      new Set(['old', '']),
    );
  });

  it('They replay with the key that sealed them, also when it is no longer the first, and not without it', async () => {
    const misfits = async (keys: string[]) => {
      const errors: unknown[] = [];
      const results = Worker.runReplayHistories(
        {
          workflowBundle: { codePath: join(__dirname, '..', 'dist', 'workflow-bundle.js') },
          dataConverter: makeDataConverter(keys),
        },
        [{ workflowId: 'booking', history: stored.history }],
      );
      for await (const { error } of results) if (error !== undefined) errors.push(error);
      return errors;
    };
    expect(await misfits([oldKey])).toEqual([]);
    expect(await misfits([newKey, oldKey])).toEqual([]);
    await expect(misfits([newKey]).then((errors) => errors.length)).resolves.toBe(1);
  });
});
