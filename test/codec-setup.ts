/** The codec endpoint as its tests ask it. */
import { randomBytes } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { makePayloadCodec } from '../src/payloads';
import type { Answer, ApiUnderTest, CallOptions, Json } from './api-setup';

const keyNamed = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
/** The API under test has the first two, in this order. */
export const [newKey, oldKey, lostKey] = ['new', 'old', 'lost'].map(keyNamed) as [string, string, string];

/** Origins of the two Temporal UIs that the API under test knows, and its own. */
export const ui = 'https://temporal.example';
export const localUi = 'http://localhost:8080';
export const publicUrl = 'https://api.example';

/** Settings of an API with a codec endpoint. */
export const codecEnv = {
  PAYLOAD_KEYS: `${newKey},${oldKey}`,
  PUBLIC_URL: publicUrl,
  TEMPORAL_UI_ORIGIN: `${ui},${localUi}`,
};

/** A payload as protobuf writes it in JSON. */
export const jsonOf = ({ metadata, data }: Payload): Json => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
  ),
  data: Buffer.from(data ?? []).toString('base64'),
});

export const clear = jsonOf(defaultPayloadConverter.toPayload({ email: 'payer@example.org' }));

export const textOf = (payload: Json): string => Buffer.from(payload.data, 'base64').toString();

export const metadataOf = (payload: Json, name: string): string =>
  Buffer.from(payload.metadata[name] ?? '', 'base64').toString();

/** What a worker with this key makes of a value. */
export async function sealedBy(key: string, value: unknown): Promise<Json> {
  const [payload] = await makePayloadCodec([key]).encode([defaultPayloadConverter.toPayload(value)]);
  return jsonOf(payload as Payload);
}

/** Asks as the Temporal UI does: with its own query and namespace. */
export const ask = (
  api: ApiUnderTest,
  name: 'encode' | 'decode',
  payloads: unknown,
  options: CallOptions = {},
): Promise<Answer> =>
  api.call('POST', `/codec/${name}?preserveStorageRefs=true`, {
    body: { payloads },
    ...options,
    headers: { 'x-namespace': 'default', ...options.headers },
  });
