/** Webhook endpoints: where API clients' own backends are told what happens. Posting to them is the courier's work. */
import { createHash, randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import type { z } from 'zod';
import { makeId } from '../booking';
import type { WebhookEndpointRow } from '../database';
import { addressesOf, codeOf, faultOfUrl, lookUp } from '../public-address';
import { makeWebhookSecret, secretSeal } from '../webhook-secrets';
import type { Caller } from './auth';
import type { ApiDependencies } from './dependencies';
import { hashOf } from './marks';
import { cutPage, instantOfMicros, microsOf, pageOf, readCursor } from './pages';
import { invalid, Problem, unavailable } from './problem';
import { defineRoute, type Asked, type Route } from './route';
import {
  endpointParams,
  endpointQuery,
  endpointView,
  endpointWithSecret,
  newEndpoint,
  type EndpointParams,
  type EndpointView,
  type NewEndpoint,
} from './webhook-endpoint-schemas';

const tag = 'Webhook endpoints';

/** Most endpoints of an installation: each is a row per event in the transaction that causes it, and a lane of the courier. */
const endpointsMax = 20;

/** Hours for which the secret before signs as well, for receivers to change over in. */
const rotationHours = 24;

interface ListedEndpoint extends WebhookEndpointRow {
  created_micros: number;
}

/** The routes of webhook endpoints; all for operators. */
export function webhookEndpointRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/webhook-endpoints',
      tag,
      summary: 'Have your backend told what happens',
      description:
        'Posts are signed as Standard Webhooks says. The secret is in this answer and in no other: a repeat under the ' +
        'same Idempotency-Key makes no second endpoint and shows no secret; where it was lost, rotate it.',
      scopes: ['ops'],
      idempotencyKey: 'optional',
      body: newEndpoint,
      answers: {
        201: {
          description: 'Registered, with its secret',
          schema: endpointWithSecret,
          headers: { Location: 'The endpoint' },
        },
        200: {
          description: 'Registered before, under the same key and with the same body',
          schema: endpointView,
        },
      },
      problems: ['invalid-request', 'payload-too-large', 'idempotency-key-reused', 'unavailable'],
      handle: (asked) => register(deps, asked),
    }),
    defineRoute({
      method: 'get',
      path: '/v1/webhook-endpoints',
      tag,
      summary: 'List webhook endpoints, newest first',
      scopes: ['ops'],
      query: endpointQuery,
      answers: { 200: { description: 'A page of endpoints', schema: pageOf(endpointView) } },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, response }) => {
        response.json(await list(deps, query));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/webhook-endpoints/{id}',
      tag,
      summary: 'Read a webhook endpoint',
      scopes: ['ops'],
      params: endpointParams,
      answers: { 200: { description: 'The endpoint', schema: endpointView } },
      problems: ['not-found', 'unavailable'],
      handle: async ({ params, response }) => {
        response.json(show(await readEndpoint(deps.reading, params.id)));
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/v1/webhook-endpoints/{id}',
      tag,
      summary: 'Delete a webhook endpoint, with all its deliveries',
      scopes: ['ops'],
      params: endpointParams,
      answers: { 204: { description: 'Deleted' } },
      problems: ['not-found', 'unavailable'],
      handle: (asked) => remove(deps, asked),
    }),
    defineRoute({
      method: 'post',
      path: '/v1/webhook-endpoints/{id}/enable',
      tag,
      summary: 'Enable a disabled webhook endpoint',
      description:
        'Events from now on are told; what it missed can be repeated. An enabled one stays as it is.',
      scopes: ['ops'],
      params: endpointParams,
      answers: { 200: { description: 'The endpoint as it is now', schema: endpointView } },
      problems: ['not-found', 'unavailable'],
      handle: async ({ params, response }) => {
        response.json(show(await change(deps, params.id, { status: 'enabled', disabled_because: null })));
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/webhook-endpoints/{id}/rotate-secret',
      tag,
      summary: 'Give a webhook endpoint a new secret',
      description: `For ${rotationHours} hours the one before signs as well: each post then carries both signatures.`,
      scopes: ['ops'],
      params: endpointParams,
      answers: { 200: { description: 'The endpoint, with its new secret', schema: endpointWithSecret } },
      problems: ['not-found', 'unavailable'],
      handle: (asked) => rotate(deps, asked),
    }),
  ];
}

/** Derived from operator and key, so that a repeat finds what it made; random without a key. */
function idFor(caller: Caller, key: string | undefined): string {
  const bytes =
    key === undefined ? randomBytes(15) : createHash('sha256').update(`${caller.sub}\0${key}`).digest();
  return makeId('webhookEndpoint', bytes);
}

async function register(
  deps: ApiDependencies,
  { body, caller, idempotencyKey, requestId, response }: Asked<undefined, undefined, NewEndpoint>,
): Promise<void> {
  const id = idFor(caller, idempotencyKey);
  const known = idempotencyKey === undefined ? undefined : await registeredBefore(deps.db, id, body);
  if (known !== undefined) {
    response.status(200).json(show(known));
    return;
  }
  const url = await acceptableUrl(deps, body.url);
  const secret = makeWebhookSecret();
  const row: Partial<WebhookEndpointRow> = {
    id,
    url,
    events: body.events,
    description: body.description ?? null,
    secret: await secretSeal(deps.config.appSecret).seal(id, secret),
    request_hash: idempotencyKey === undefined ? null : hashOf(body),
  };
  const { endpoint, newly } = await writeOnce(deps, row, body);
  if (!newly) {
    response.status(200).json(show(endpoint));
    return;
  }
  deps.log.info({ event: 'webhook.endpoint-registered', endpointId: id, requestId });
  response
    .status(201)
    .location(`/v1/webhook-endpoints/${id}`)
    .json({ ...show(endpoint), secret });
}

/** @throws Problem `invalid-request` for an address that may not be posted to; `unavailable` when DNS cannot say */
async function acceptableUrl(deps: ApiDependencies, text: string): Promise<string> {
  const { allowPrivate } = deps.config.webhooks;
  const fault = faultOfUrl(text, allowPrivate);
  if (fault !== undefined) throw invalid('/url', fault);
  const url = new URL(text);
  try {
    await addressesOf(url.hostname.replace(/^\[|\]$/g, ''), { allowPrivate, lookUp: deps.lookUp ?? lookUp });
  } catch (error) {
    const code = codeOf(error);
    if (code === 'private-address') throw invalid('/url', 'The host must have public addresses only.');
    if (code === 'ENOTFOUND' || code === 'ENODATA') throw invalid('/url', 'The host has no address.');
    throw unavailable('The host of the address could not be looked up right now.');
  }
  return url.href;
}

/** @throws Problem `idempotency-key-reused` when the key was used with another body */
async function registeredBefore(
  db: Knex,
  id: string,
  body: NewEndpoint,
): Promise<ListedEndpoint | undefined> {
  const row = await selectEndpoints(db).where({ id }).first();
  if (row !== undefined && row.request_hash !== hashOf(body)) throw new Problem('idempotency-key-reused');
  return row;
}

/** One at a time, so that a repeat at the same moment finds the first, and the limit holds. */
async function writeOnce(
  { db }: ApiDependencies,
  row: Partial<WebhookEndpointRow>,
  body: NewEndpoint,
): Promise<{ endpoint: ListedEndpoint; newly: boolean }> {
  return db.transaction(async (trx) => {
    await trx.raw(`SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints', 0))`);
    const id = row.id ?? '';
    const before = await registeredBefore(trx, id, body);
    if (before !== undefined) return { endpoint: before, newly: false };
    const counted = await trx('webhook_endpoints').count<{ n: number }[]>('* as n');
    if ((counted[0]?.n ?? 0) >= endpointsMax) {
      throw new Problem('invalid-request', `There are ${endpointsMax} webhook endpoints; delete one first.`);
    }
    await trx<WebhookEndpointRow>('webhook_endpoints').insert(row);
    return { endpoint: await readEndpoint(trx, id), newly: true };
  });
}

async function remove(
  deps: ApiDependencies,
  { params, requestId, response }: Asked<EndpointParams, undefined, undefined>,
): Promise<void> {
  const gone = await deps.db('webhook_endpoints').where({ id: params.id }).delete();
  if (gone === 0) throw new Problem('not-found');
  deps.log.info({ event: 'webhook.endpoint-deleted', endpointId: params.id, requestId });
  response.status(204).end();
}

async function rotate(
  deps: ApiDependencies,
  { params, requestId, response }: Asked<EndpointParams, undefined, undefined>,
): Promise<void> {
  const secret = makeWebhookSecret();
  const { db } = deps;
  const endpoint = await change(deps, params.id, {
    secret: await secretSeal(deps.config.appSecret).seal(params.id, secret),
    // As the row was: PostgreSQL computes the right sides from the old one.
    old_secret: db.ref('secret'),
    old_secret_until: db.raw('now() + make_interval(hours => ?)', [rotationHours]),
  });
  deps.log.info({ event: 'webhook.secret-rotated', endpointId: params.id, requestId });
  response.json({ ...show(endpoint), secret });
}

async function change(
  { db }: ApiDependencies,
  id: string,
  to: Record<string, Knex.Raw | Knex.Ref<string, Record<string, string>> | string | null>,
): Promise<ListedEndpoint> {
  await db('webhook_endpoints').where({ id }).update(to);
  return readEndpoint(db, id);
}

function selectEndpoints(db: Knex) {
  return db<WebhookEndpointRow>('webhook_endpoints').select<ListedEndpoint[]>(
    'webhook_endpoints.*',
    db.raw(`${microsOf('created_at')} AS created_micros`),
  );
}

/** @throws Problem `not-found` */
export async function readEndpoint(db: Knex, id: string): Promise<ListedEndpoint> {
  const row = await selectEndpoints(db).where({ id }).first();
  if (row === undefined) throw new Problem('not-found');
  return row;
}

async function list({ reading }: ApiDependencies, query: z.output<typeof endpointQuery>) {
  const after = readCursor(query.cursor);
  const rows = selectEndpoints(reading)
    .orderBy([{ column: 'created_at', order: 'desc' }, { column: 'id' }])
    .limit(query.limit + 1);
  if (after !== undefined) {
    void rows
      .whereRaw(`created_at <= ${instantOfMicros}`, [after.micros])
      .whereRaw(`(created_at < ${instantOfMicros} OR id > ?)`, [after.micros, after.id]);
  }
  return cutPage(await rows, query.limit, (row) => ({ micros: row.created_micros, id: row.id }), show);
}

function show(row: WebhookEndpointRow): EndpointView {
  const rotating = row.old_secret_until !== null && row.old_secret_until.getTime() > Date.now();
  return {
    id: row.id,
    url: row.url,
    events: row.events,
    ...(row.description === null ? {} : { description: row.description }),
    status: row.status,
    ...(row.disabled_because === null ? {} : { disabledBecause: row.disabled_because }),
    ...(rotating ? { previousSecretUntil: row.old_secret_until?.toISOString() } : {}),
    createdAt: row.created_at.toISOString(),
  };
}
