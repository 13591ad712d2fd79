/**
 * Opens and seals payloads for operators who look at workflows in the Temporal UI or by its CLI, as Temporal's codec
 * servers do. Source of the protocol: temporalio/samples-go, codec-server/protocol.md; what clients send besides was read
 * in temporalio/ui 2.50.1 (`?preserveStorageRefs=true`) and go.temporal.io/sdk 1.41.1 (`X-Namespace`). Both are ignored:
 * one Payfirst has one namespace, and stores nothing outside Temporal.
 */
import { ValueError, type Payload, type PayloadCodec } from '@temporalio/common';
import { z } from 'zod';
import type { ApiDependencies } from './dependencies';
import { invalid } from './problem';
import { defineRoute, type Route } from './route';

/** Largest body in bytes: one payload of the 2 MiB that a Temporal server takes by default, in base64, with room to spare. */
const bodyLimit = 4 * 1024 * 1024;

/** Bytes in protobuf's JSON: base64 of either alphabet, padded or not. Source: protobuf.dev, ProtoJSON. */
const bytes = z.string().regex(/^[A-Za-z0-9+/_-]*={0,2}$/, 'Base64.');

const payloadJson = z
  .looseObject({ metadata: z.record(z.string(), bytes).nullish(), data: bytes.nullish() })
  .meta({
    id: 'TemporalPayload',
    description: '`temporal.api.common.v1.Payload` as protobuf writes it in JSON: bytes are base64.',
  });
type PayloadJson = z.infer<typeof payloadJson>;

const payloadsJson = z
  // Protobuf's JSON leaves an empty list out.
  .strictObject({ payloads: z.array(payloadJson).nullish() })
  .meta({ id: 'TemporalPayloads', description: '`temporal.api.common.v1.Payloads`.' });

const tag = 'Operation';

/** What a codec does one way or the other. */
type Turn = (payloads: Payload[]) => Promise<Payload[]>;

/** The two routes of a codec server; the Temporal UI's codec endpoint is `<PUBLIC_URL>/codec`. */
export function codecRoutes({ codec }: Pick<ApiDependencies, 'codec'>): Route[] {
  return [
    codecRoute('decode', 'Open payloads that Temporal stores', codec),
    codecRoute('encode', 'Seal payloads for Temporal', codec),
  ];
}

function codecRoute(name: 'decode' | 'encode', summary: string, codec: PayloadCodec): Route {
  const turn: Turn = (payloads) => codec[name](payloads);
  return defineRoute({
    method: 'post',
    path: `/codec/${name}`,
    tag,
    summary,
    description:
      'Temporal’s codec server protocol. Payloads that were never sealed pass as they are. Beside a token, the cookie ' +
      'of `/codec/sign-in` is taken, from an origin of `TEMPORAL_UI_ORIGIN` only.',
    scopes: ['ops'],
    body: payloadsJson,
    bodyLimit,
    answers: { 200: { description: 'As many payloads, in the same order', schema: payloadsJson } },
    problems: ['invalid-request', 'payload-too-large'],
    handle: async ({ body, response }) => {
      const given = body.payloads ?? [];
      response.json({ payloads: await Promise.all(given.map((json, index) => turned(turn, json, index))) });
    },
  });
}

/** @throws Problem `invalid-request` for a payload that none of our keys opens */
async function turned(turn: Turn, json: PayloadJson, index: number): Promise<PayloadJson> {
  const payload = payloadOf(json);
  try {
    const [result] = await turn([payload]);
    // What passes unchanged goes back as it came, with fields that only newer servers know.
    return result === undefined || result === payload ? json : jsonOf(result);
  } catch (error) {
    if (error instanceof ValueError) throw invalid(`/payloads/${index}`, `${error.message}.`);
    throw error;
  }
}

function payloadOf({ metadata, data, ...rest }: PayloadJson): Payload {
  const entries = Object.entries(metadata ?? {});
  return {
    ...rest,
    metadata: Object.fromEntries(entries.map(([name, value]) => [name, Buffer.from(value, 'base64')])),
    data: Buffer.from(data ?? '', 'base64'),
  };
}

function jsonOf({ metadata, data }: Payload): PayloadJson {
  const base64 = (value: Uint8Array): string => Buffer.from(value).toString('base64');
  const entries = Object.entries(metadata ?? {});
  return {
    metadata: Object.fromEntries(entries.map(([name, value]) => [name, base64(value)])),
    data: base64(data ?? new Uint8Array()),
  };
}
