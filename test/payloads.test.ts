/** The payload codec: what Temporal stores is sealed, keys rotate, and nothing that was touched is opened. */
import { randomBytes } from 'node:crypto';
import {
  ApplicationFailure,
  defaultFailureConverter,
  defaultPayloadConverter,
  type FailureConverter,
  type Payload,
  type PayloadCodec,
} from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { failureConverter } from '../src/failure-converter';
import { makeDataConverter } from '../src/payloads';

const keyNamed = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
const oldKey = keyNamed('2024');
const newKey = keyNamed('2025');
const secret = 'payer@example.org';
const clear = defaultPayloadConverter.toPayload({ email: secret });

/** The codec that every client and worker of those keys has. */
function codecOf(...keys: string[]): PayloadCodec {
  const [codec] = makeDataConverter(keys).payloadCodecs ?? [];
  if (codec === undefined) throw new Error('No codec');
  return codec;
}

async function only(payloads: Promise<Payload[]>): Promise<Payload> {
  const [payload, ...rest] = await payloads;
  if (payload === undefined || rest.length > 0) throw new Error('Not one payload');
  return payload;
}
const seal = (codec: PayloadCodec, payload = clear) => only(codec.encode([payload]));
/** Async, so that a refusal is a rejection, whether the codec throws or rejects. */
const open = async (codec: PayloadCodec, payload: Payload) => only(codec.decode([payload]));
const wireOf = (payload: Payload) => Buffer.from(temporal.api.common.v1.Payload.encode(payload).finish());
const textOf = (payload: Payload) =>
  Buffer.from(payload.data ?? []).toString('latin1') +
  Object.values(payload.metadata ?? {})
    .map((value) => Buffer.from(value).toString('latin1'))
    .join();
const keyIdOf = (payload: Payload) => Buffer.from(payload.metadata?.['encryption-key-id'] ?? []).toString();

test('what is sealed is opened again, in order', async () => {
  const codec = codecOf(newKey);
  const values = [1, 'two', { three: [3] }, null];
  const sealed = await codec.encode(values.map((value) => defaultPayloadConverter.toPayload(value)));
  const opened = await codec.decode(sealed);
  expect(opened.map((payload) => defaultPayloadConverter.fromPayload(payload))).toEqual(values);
});

test('a sealed payload shows its key’s name and nothing of its content', async () => {
  const sealed = await seal(codecOf(newKey));
  expect(textOf(clear)).toContain(secret);
  expect(textOf(sealed)).not.toContain(secret);
  expect(Object.keys(sealed.metadata ?? {}).sort()).toEqual(['encoding', 'encryption-key-id']);
  expect(keyIdOf(sealed)).toBe('2025');
});

test('the same content is sealed differently each time', async () => {
  const codec = codecOf(newKey);
  expect(textOf(await seal(codec))).not.toBe(textOf(await seal(codec)));
});

test('the first key seals, every key opens', async () => {
  const before = await seal(codecOf(oldKey));
  const rotated = codecOf(newKey, oldKey);
  expect(wireOf(await open(rotated, before))).toEqual(wireOf(clear));
  const after = await seal(rotated);
  expect(keyIdOf(after)).toBe('2025');
  expect(wireOf(await open(codecOf(newKey), after))).toEqual(wireOf(clear));
});

test('a payload of a key that is gone says which key is missing', async () => {
  const sealed = await seal(codecOf(oldKey));
  await expect(open(codecOf(newKey), sealed)).rejects.toThrow('No key named 2024 in PAYLOAD_KEYS');
});

test('no bit of a sealed payload can be changed', async () => {
  const codec = codecOf(newKey);
  const sealed = await seal(codec);
  const length = sealed.data?.length ?? 0;
  for (let place = 0; place < length; place += 1) {
    const data = Buffer.from(sealed.data ?? []);
    data[place] = (data[place] ?? 0) ^ 1;
    await expect(open(codec, { ...sealed, data })).rejects.toThrow();
  }
});

test.each([0, 11, 12, 27, 28])('a payload cut to %i bytes is refused', async (length) => {
  const codec = codecOf(newKey);
  const sealed = await seal(codec);
  await expect(open(codec, { ...sealed, data: sealed.data?.subarray(0, length) ?? null })).rejects.toThrow();
});

test('a payload cannot be relabelled, even between names of one key', async () => {
  const twin = `twin:${newKey.slice(newKey.indexOf(':') + 1)}`;
  const codec = codecOf(newKey, twin);
  const sealed = await seal(codec);
  const relabelled = {
    ...sealed,
    metadata: { ...sealed.metadata, 'encryption-key-id': Buffer.from('twin') },
  };
  await expect(open(codec, relabelled)).rejects.toThrow();
});

test('a payload that was never sealed passes as it is', async () => {
  const codec = codecOf(newKey);
  expect(await open(codec, clear)).toBe(clear);
  expect(await open(codec, { data: Buffer.from('x') })).toEqual({ data: Buffer.from('x') });
});

test('without keys there is no codec; with keys there is one, and a converter for failures', () => {
  expect(makeDataConverter([])).toEqual({});
  expect(makeDataConverter([newKey])).toEqual({
    failureConverterPath: expect.stringContaining('failure-converter') as string,
    payloadCodecs: [codecOf(newKey)],
  });
});

describe('failures', () => {
  const failure = ApplicationFailure.create({ message: `mail for ${secret}`, type: 'message-failed' });
  const written = (converter: FailureConverter) =>
    JSON.stringify(converter.errorToFailure(failure, defaultPayloadConverter), (_, value: unknown) =>
      value instanceof Uint8Array ? '(bytes)' : value,
    );

  test('their message and stack move into the payload that is sealed', () => {
    expect(written(defaultFailureConverter)).toContain(secret);
    const ours = written(failureConverter);
    expect(ours).not.toContain(secret);
    expect(ours).not.toContain(__filename);
    expect(ours).toContain('message-failed');
    expect(ours).toContain('encodedAttributes');
  });

  test('they come back whole', () => {
    const wire = failureConverter.errorToFailure(failure, defaultPayloadConverter);
    const back = failureConverter.failureToError(wire, defaultPayloadConverter);
    expect(back.message).toBe(failure.message);
    expect(back.stack).toContain('payloads.test');
  });

  test('the converter is found by its path, as workers load it', () => {
    const { failureConverterPath = '' } = makeDataConverter([newKey]);
    const loaded = jest.requireActual<{ failureConverter: unknown }>(failureConverterPath);
    expect(loaded.failureConverter).toBe(failureConverter);
  });
});
