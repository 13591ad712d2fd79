/** Deliveries: what each webhook endpoint was told, what came of it, and telling it again. */
import type { Knex } from 'knex';
import type { WebhookDeliveryRow } from '../database';
import type { ApiDependencies } from './dependencies';
import { cutPage, instantOfMicros, microsOf, pageOf, readCursor } from './pages';
import { Problem } from './problem';
import { defineRoute, type Asked, type Route } from './route';
import {
  deliveryParams,
  deliveryQuery,
  deliveryView,
  endpointParams,
  type DeliveryParams,
  type DeliveryQuery,
  type DeliveryView,
} from './webhook-endpoint-schemas';
import { readEndpoint } from './webhook-endpoints';

const tag = 'Webhook endpoints';

interface ListedDelivery extends WebhookDeliveryRow {
  occurred_micros: number;
}

/** The routes of deliveries; all for operators. */
export function webhookDeliveryRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/webhook-endpoints/{id}/deliveries',
      tag,
      summary: 'List what an endpoint was told, newest event first',
      description: 'Kept for 30 days.',
      scopes: ['ops'],
      params: endpointParams,
      query: deliveryQuery,
      answers: { 200: { description: 'A page of deliveries', schema: pageOf(deliveryView) } },
      problems: ['invalid-request', 'not-found', 'unavailable'],
      handle: async ({ params, query, response }) => {
        response.json(await list(deps, params.id, query));
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/webhook-endpoints/{id}/deliveries/{deliveryId}/repeat',
      tag,
      summary: 'Tell an endpoint again',
      description:
        'Whatever came of it before: the same event under the same webhook-id, at once, then on the usual schedule.',
      scopes: ['ops'],
      params: deliveryParams,
      answers: { 202: { description: 'Queued again', schema: deliveryView } },
      problems: ['not-found', 'endpoint-disabled', 'unavailable'],
      handle: (asked) => repeat(deps, asked),
    }),
  ];
}

function selectDeliveries(db: Knex, endpointId: string) {
  return db<WebhookDeliveryRow>('webhook_deliveries')
    .where({ endpoint_id: endpointId })
    .select<ListedDelivery[]>(
      'webhook_deliveries.*',
      db.raw(`${microsOf('occurred_at')} AS occurred_micros`),
    );
}

async function list({ reading }: ApiDependencies, endpointId: string, query: DeliveryQuery) {
  const after = readCursor(query.cursor);
  await readEndpoint(reading, endpointId);
  const rows = selectDeliveries(reading, endpointId)
    .orderBy([{ column: 'occurred_at', order: 'desc' }, { column: 'id' }])
    .limit(query.limit + 1);
  if (query.status !== 'all') void rows.where({ status: query.status });
  if (after !== undefined) {
    void rows
      .whereRaw(`occurred_at <= ${instantOfMicros}`, [after.micros])
      .whereRaw(`(occurred_at < ${instantOfMicros} OR id > ?)`, [after.micros, after.id]);
  }
  return cutPage(await rows, query.limit, (row) => ({ micros: row.occurred_micros, id: row.id }), show);
}

async function repeat(
  deps: ApiDependencies,
  { params, requestId, response }: Asked<DeliveryParams, undefined, undefined>,
): Promise<void> {
  const { db, log } = deps;
  const { id, deliveryId } = params;
  const queued = await db.transaction(async (trx) => {
    // Locked, or it could be disabled in between, and the delivery would wait for ever.
    const endpoint = await trx('webhook_endpoints')
      .where({ id })
      .forShare()
      .first<{ status: string } | undefined>('status');
    if (endpoint === undefined) throw new Problem('not-found');
    const row = selectDeliveries(trx, id).where({ id: deliveryId });
    if ((await row.clone().first()) === undefined) throw new Problem('not-found');
    if (endpoint.status === 'disabled') throw new Problem('endpoint-disabled');
    await trx('webhook_deliveries')
      .where({ id: deliveryId })
      .update({ status: 'queued', next_try_at: trx.fn.now(), step: 0, delivered_at: null });
    return row.first();
  });
  if (queued === undefined) throw new Error(`Bug: ${deliveryId} was queued and is not there`);
  log.info({ event: 'webhook.repeated', endpointId: id, deliveryId, requestId });
  response.status(202).json(show(queued));
}

function show(row: WebhookDeliveryRow): DeliveryView {
  return {
    id: row.id,
    type: row.type,
    data: row.data as DeliveryView['data'],
    status: row.status,
    tries: row.tries,
    ...(row.last_status_code === null ? {} : { lastStatusCode: row.last_status_code }),
    ...(row.last_error === null ? {} : { lastError: row.last_error }),
    ...(row.next_try_at === null ? {} : { nextTryAt: row.next_try_at.toISOString() }),
    occurredAt: row.occurred_at.toISOString(),
    ...(row.delivered_at === null ? {} : { deliveredAt: row.delivered_at.toISOString() }),
  };
}
