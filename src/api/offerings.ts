/** Offerings: publishing, changing and finding them. */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { makeId } from '../booking';
import type { OfferingRow } from '../database';
import type { Notices } from '../notices';
import type { Caller } from './auth';
import type { ApiDependencies } from './dependencies';
import { hashOf } from './marks';
import {
  calledOffView,
  newOffering,
  offeringChange,
  offeringId,
  offeringQuery,
  offeringView,
  type NewOffering,
  type OfferingQuery,
  type OfferingView,
} from './offering-schemas';
import { cutPage, instantOfMicros, microsOf, pageOf, readCursor } from './pages';
import { invalid, Problem } from './problem';
import { cancelOfferingWorkflowId, searchAttributes, workflowTypes } from '../workflows/messages';
import { defineRoute, type Asked, type Route } from './route';

interface ListedOffering extends OfferingRow {
  seats_available: number | null;
  sort_micros: number;
  display_name: string | null;
}

/** What lists are sorted by: the start; what has no time comes last. An index serves it. */
const sortKey = `coalesce(starts_at, timestamptz '2200-01-01 00:00:00+00')`;

const idOnly = z.strictObject({ id: offeringId });
const tag = 'Offerings';

/** The routes of offerings. */
export function offeringRoutes(deps: ApiDependencies, notices: Notices): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/offerings',
      tag,
      summary: 'Publish a slot or a consultation',
      description: 'The provider is the subject of the token. Under one Idempotency-Key, one offering.',
      scopes: ['catalog'],
      idempotencyKey: 'optional',
      body: newOffering,
      answers: {
        201: { description: 'Published', schema: offeringView, headers: { Location: 'The offering' } },
        200: {
          description: 'Published before, under the same key and with the same body',
          schema: offeringView,
        },
      },
      problems: ['invalid-request', 'payload-too-large', 'idempotency-key-reused', 'unavailable'],
      handle: (asked) => publish(deps, asked),
    }),
    defineRoute({
      method: 'get',
      path: '/v1/offerings',
      tag,
      summary: 'Find offerings, earliest start first',
      scopes: [],
      query: offeringQuery,
      answers: { 200: { description: 'A page of offerings', schema: pageOf(offeringView) } },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, response }) => {
        response.json(await list(deps, query));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/offerings/{id}',
      tag,
      summary: 'Read an offering',
      scopes: [],
      params: idOnly,
      answers: { 200: { description: 'The offering', schema: offeringView } },
      problems: ['not-found', 'unavailable'],
      handle: async ({ params, response }) => {
        response.json(await read(deps, params.id, 'reading'));
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/v1/offerings/{id}',
      tag,
      summary: 'Change an offering of your own',
      description: 'A new price counts for new attempts only; those under way keep their quote.',
      scopes: ['catalog'],
      params: idOnly,
      body: offeringChange,
      answers: { 200: { description: 'The offering as it is now', schema: offeringView } },
      problems: ['invalid-request', 'not-found', 'offering-closed', 'payload-too-large', 'unavailable'],
      handle: (asked) => change(deps, notices, asked),
    }),
    defineRoute({
      method: 'post',
      path: '/v1/offerings/{id}/cancel',
      tag,
      summary: 'Call off an offering of your own',
      description:
        'For good. Every booking is undone and given back in full, and its customer told; open attempts end. ' +
        'The refunds go out four a second.',
      scopes: ['catalog'],
      params: idOnly,
      answers: {
        202: { description: 'Called off; its bookings are being undone', schema: calledOffView },
        200: { description: 'Called off before', schema: calledOffView },
      },
      problems: ['not-found', 'unavailable'],
      handle: (asked) => callOff(deps, notices, asked),
    }),
  ];
}

/** Derived from provider and key, so that a repeat finds what it made; random without a key. */
function idFor(caller: Caller, key: string | undefined): string {
  const bytes =
    key === undefined ? randomBytes(15) : createHash('sha256').update(`${caller.sub}\0${key}`).digest();
  return makeId('offering', bytes);
}

async function publish(
  deps: ApiDependencies,
  asked: Asked<undefined, undefined, NewOffering>,
): Promise<void> {
  const { body, caller, idempotencyKey, response } = asked;
  const id = idFor(caller, idempotencyKey);
  const requestHash = hashOf(body);
  const known = idempotencyKey === undefined ? undefined : await publishedBefore(deps, id, requestHash);
  if (known !== undefined) {
    response.status(200).json(known);
    return;
  }
  if (body.kind === 'slot' && Date.parse(body.startsAt) <= Date.now()) {
    throw invalid('/startsAt', 'Must lie in the future.');
  }
  const written = await deps
    .db<OfferingRow>('offerings')
    .insert({
      id,
      provider_id: caller.sub,
      request_hash: idempotencyKey === undefined ? null : requestHash,
      kind: body.kind,
      title: body.title,
      ...(body.kind === 'slot' ? slotColumns(body) : {}),
      price_minor: body.price.amountMinor,
      currency: body.price.currency,
      attributes: body.attributes,
    })
    .onConflict('id')
    .ignore()
    .returning('id');
  // The same request at the same time was faster.
  if (written.length === 0) {
    response.status(200).json(await publishedBefore(deps, id, requestHash));
    return;
  }
  deps.log.info({ event: 'offering.published', offeringId: id, requestId: asked.requestId });
  response
    .status(201)
    .location(`/v1/offerings/${id}`)
    .json(await read(deps, id, 'db'));
}

function slotColumns(body: Extract<NewOffering, { kind: 'slot' }>): Partial<OfferingRow> {
  return {
    starts_at: new Date(body.startsAt),
    ends_at: new Date(body.endsAt),
    time_zone: body.timeZone,
    capacity: body.capacity,
    hold_seconds: body.holdSeconds ?? null,
    seats_per_customer: body.seatsPerCustomer ?? null,
    ...(body.refundUntilSeconds === undefined ? {} : { refund_until_seconds: body.refundUntilSeconds }),
    ...(body.refundPercent === undefined ? {} : { refund_percent: body.refundPercent }),
  };
}

/** @throws Problem `idempotency-key-reused` when the key was used with another body */
async function publishedBefore(
  { db }: ApiDependencies,
  id: string,
  requestHash: string,
): Promise<OfferingView | undefined> {
  const row = await selectOfferings(db).where({ id }).first<ListedOffering | undefined>();
  if (row === undefined) return undefined;
  if (row.request_hash !== requestHash) throw new Problem('idempotency-key-reused');
  return show(row);
}

/** Reads one; `db` where this process has just written it and a replica might lag. */
async function read(deps: ApiDependencies, id: string, role: 'db' | 'reading'): Promise<OfferingView> {
  const row = await selectOfferings(deps[role]).where({ id }).first<ListedOffering | undefined>();
  if (row === undefined) throw new Problem('not-found');
  return show(row);
}

async function change(
  deps: ApiDependencies,
  notices: Notices,
  { params, body, caller, response }: Asked<{ id: string }, undefined, z.output<typeof offeringChange>>,
): Promise<void> {
  const own = { id: params.id, provider_id: caller.sub };
  const changed = await deps
    .db<OfferingRow>('offerings')
    .where(own)
    .whereNot({ status: 'canceled' })
    .update({
      ...(body.title === undefined ? {} : { title: body.title }),
      ...(body.status === undefined ? {} : { status: body.status }),
      ...(body.price === undefined
        ? {}
        : { price_minor: body.price.amountMinor, currency: body.price.currency }),
    });
  if (changed === 0) {
    const canceled = await deps.db<OfferingRow>('offerings').where(own).first('id');
    if (canceled === undefined) throw new Problem('not-found');
    throw new Problem('offering-closed', 'It was called off, which cannot be undone.');
  }
  notices.tell({ offeringId: params.id });
  response.json(await read(deps, params.id, 'db'));
}

/** How long the start of the workflow that calls an offering off may take, in ms. */
const startWithinMs = 5_000;

/** Durable first, visible at once: the workflow undoes the bookings, and would set the status as well. */
async function callOff(
  { db, temporal, config, log }: ApiDependencies,
  notices: Notices,
  { params, caller, response, requestId }: Asked<{ id: string }, undefined, unknown>,
): Promise<void> {
  const offeringId = params.id;
  const own = await db<OfferingRow>('offerings').where({ id: offeringId, provider_id: caller.sub }).first();
  if (own === undefined) throw new Problem('not-found');
  const answer = { id: offeringId, status: 'canceled' };
  if (own.status === 'canceled') {
    response.json(answer);
    return;
  }
  await temporal.withDeadline(Date.now() + startWithinMs, () =>
    temporal.workflow.start(workflowTypes.cancelOffering, {
      workflowId: cancelOfferingWorkflowId(offeringId),
      taskQueue: config.taskQueue,
      workflowIdConflictPolicy: 'USE_EXISTING',
      args: [{ offeringId }],
      typedSearchAttributes: [{ key: searchAttributes.offeringIds, value: [offeringId] }],
      staticSummary: 'An offering is called off',
    }),
  );
  await db.raw('SELECT call_off(?)', [offeringId]);
  notices.tell({ offeringId });
  log.info({ event: 'offering.canceled', offeringId, requestId });
  response.status(202).json(answer);
}

async function list(deps: ApiDependencies, query: OfferingQuery) {
  const after = readCursor(query.cursor);
  const rows = selectOfferings(deps.reading)
    .orderByRaw(`${sortKey}, id`)
    .limit(query.limit + 1);
  if (query.providerId !== undefined) void rows.where({ provider_id: query.providerId });
  if (query.kind !== undefined) void rows.where({ kind: query.kind });
  if (query.from !== undefined) void rows.where('starts_at', '>=', new Date(query.from));
  if (query.to !== undefined) void rows.where('starts_at', '<', new Date(query.to));
  if (query.available === 'true') {
    void rows.where({ status: 'open' }).whereRaw(`${sortKey} > now()`);
    void rows.whereRaw(`(kind = 'consultation' OR seats_free(id, NULL) > 0)`);
  }
  if (after !== undefined)
    void rows.whereRaw(`(${sortKey}, id) > (${instantOfMicros}, ?)`, [after.micros, after.id]);
  return cutPage(
    (await rows) as ListedOffering[],
    query.limit,
    (row) => ({ micros: row.sort_micros, id: row.id }),
    show,
  );
}

function selectOfferings(db: ApiDependencies['db']) {
  return db<OfferingRow>('offerings').select(
    'offerings.*',
    db.raw(`CASE kind WHEN 'slot' THEN seats_free(id, NULL) END AS seats_available`),
    db.raw(`${microsOf(sortKey)} AS sort_micros`),
    db.raw('(SELECT display_name FROM providers WHERE providers.id = offerings.provider_id) AS display_name'),
  );
}

function show(row: ListedOffering): OfferingView {
  return {
    id: row.id,
    kind: row.kind,
    providerId: row.provider_id,
    ...(row.display_name === null ? {} : { displayName: row.display_name }),
    title: row.title,
    ...(row.starts_at === null ? {} : { startsAt: row.starts_at.toISOString() }),
    ...(row.ends_at === null ? {} : { endsAt: row.ends_at.toISOString() }),
    ...(row.time_zone === null ? {} : { timeZone: row.time_zone }),
    ...(row.capacity === null ? {} : { capacity: row.capacity }),
    seatsAvailable: row.seats_available,
    price: { amountMinor: row.price_minor, currency: row.currency },
    ...(row.hold_seconds === null ? {} : { holdSeconds: row.hold_seconds }),
    ...(row.seats_per_customer === null ? {} : { seatsPerCustomer: row.seats_per_customer }),
    ...(row.kind === 'slot'
      ? { refundUntilSeconds: row.refund_until_seconds, refundPercent: row.refund_percent }
      : {}),
    attributes: row.attributes,
    status: row.status,
    createdAt: row.created_at.toISOString(),
  };
}
