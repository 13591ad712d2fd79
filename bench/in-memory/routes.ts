/** The routes: the part of Payfirst's API that customers and gateways use, with the same shapes and the same checks. */
import { randomBytes } from 'node:crypto';
import express from 'express';
import { z } from 'zod';
import {
  bookingId,
  cancelBody,
  newBooking,
  retryBody,
  returnBody,
  waitQuery,
} from '../../src/api/booking-schemas';
import { hashOf } from '../../src/api/marks';
import { newOffering, type NewOffering } from '../../src/api/offering-schemas';
import { Problem } from '../../src/api/problem';
import { defineRoute, type Asked, type Route } from '../../src/api/route';
import { newCredit, walletParams } from '../../src/api/wallet-schemas';
import { makeId } from '../../src/booking';
import type { OfferingRow } from '../../src/database';
import type { Gateway } from '../../src/gateways/gateway';
import { inTurn, type Intent, type Memory } from './intents';
import { hear, look } from './money';
import { credit } from './rows';
import { start } from './start';
import { idOf } from './tables';
import { showIntent, showOffering } from './view';
import { cancel, retry } from './wishes';

const idOnly = z.strictObject({ id: bookingId });
/** What the document of the API would tell; this program has none. */
const untold = { tag: '', summary: '', answers: {}, problems: [] };

/** All routes but the probes. */
export function routesOf(memory: Memory): Route[] {
  return [
    ...offeringRoutes(memory),
    ...walletRoutes(memory),
    ...bookingRoutes(memory),
    ...webhookRoutes(memory),
  ];
}

function offeringRoutes({ parts: { db } }: Memory): Route[] {
  return [
    defineRoute({
      ...untold,
      method: 'post',
      path: '/v1/offerings',
      scopes: ['catalog'],
      body: newOffering,
      handle: async ({ body, caller, response }) => {
        const row = await db.transaction(async (trx) => {
          const written = await trx<OfferingRow>('offerings')
            .insert(columnsOf(body, caller.sub))
            .returning('*');
          const [offering] = written;
          if (offering === undefined) throw new Error('Bug: an offering that was not written');
          const { id, capacity } = offering;
          await trx.raw('INSERT INTO seats (offering_id, seat_no) SELECT ?, generate_series(1, ?::integer)', [
            id,
            capacity ?? 0,
          ]);
          return offering;
        });
        response.status(201).json(showOffering(row));
      },
    }),
  ];
}

function columnsOf(body: NewOffering, providerId: string): Partial<OfferingRow> {
  return {
    id: makeId('offering', randomBytes(15)),
    provider_id: providerId,
    kind: body.kind,
    title: body.title,
    price_minor: body.price.amountMinor,
    currency: body.price.currency,
    attributes: body.attributes,
    ...(body.kind === 'slot'
      ? {
          starts_at: new Date(body.startsAt),
          ends_at: new Date(body.endsAt),
          time_zone: body.timeZone,
          capacity: body.capacity,
        }
      : {}),
  };
}

function walletRoutes({ parts: { db } }: Memory): Route[] {
  return [
    defineRoute({
      ...untold,
      method: 'post',
      path: '/v1/wallets/{customerId}/credits',
      scopes: ['ops'],
      idempotencyKey: 'required',
      params: walletParams,
      body: newCredit,
      handle: async ({ params: { customerId }, body, caller, idempotencyKey = '', response }) => {
        const { amountMinor, currency } = body;
        const id = idOf('entry', caller.sub, customerId, idempotencyKey);
        const { newly, at } = await credit(db, { id, customerId, currency, amountMinor });
        response
          .status(newly ? 201 : 200)
          .json({ id, amountMinor, currency, kind: 'credit', at: at.toISOString() });
      },
    }),
  ];
}

function bookingRoutes(memory: Memory): Route[] {
  const { triesMax } = memory.parts.payment;
  /** @throws Problem `not-found` for what is not theirs, and for what this process has forgotten */
  async function theirs({ params, caller }: Asked<{ id: string }, unknown, unknown>): Promise<Intent> {
    const intent = await memory.find(params.id);
    if (intent?.customerId !== caller.sub) throw new Problem('not-found');
    return intent;
  }
  return [
    defineRoute({
      ...untold,
      method: 'post',
      path: '/v1/bookings',
      scopes: ['bookings'],
      idempotencyKey: 'required',
      body: newBooking,
      handle: async ({ body, caller, idempotencyKey: key = '', response }) => {
        const wanted = { customerId: caller.sub, key, requestHash: hashOf(body), body };
        const { intent, newly } = await start(memory, wanted);
        response.status(newly ? 201 : 200).json(showIntent(intent, triesMax));
      },
    }),
    defineRoute({
      ...untold,
      method: 'get',
      path: '/v1/bookings/{id}',
      scopes: ['bookings'],
      params: idOnly,
      // Nobody waits here: the answer comes at once.
      query: waitQuery,
      handle: async (asked) => {
        asked.response.json(showIntent(await theirs(asked), triesMax));
      },
    }),
    defineRoute({
      ...untold,
      method: 'post',
      path: '/v1/bookings/{id}/retry',
      scopes: ['bookings'],
      params: idOnly,
      body: retryBody,
      handle: async (asked) => {
        const intent = await theirs(asked);
        await inTurn(intent, () => retry(memory, intent, asked.body.payment?.method));
        asked.response.json(showIntent(intent, triesMax));
      },
    }),
    defineRoute({
      ...untold,
      method: 'post',
      path: '/v1/bookings/{id}/cancel',
      scopes: ['bookings'],
      params: idOnly,
      body: cancelBody,
      handle: async (asked) => {
        const intent = await theirs(asked);
        await inTurn(intent, () => cancel(memory, intent));
        asked.response.json(showIntent(intent, triesMax));
      },
    }),
    defineRoute({
      ...untold,
      method: 'post',
      path: '/v1/bookings/{id}/return',
      scopes: ['bookings'],
      params: idOnly,
      body: returnBody,
      handle: async (asked) => {
        const intent = await theirs(asked);
        await inTurn(intent, () => look(memory, intent));
        asked.response.status(202).json(showIntent(intent, triesMax));
      },
    }),
  ];
}

/** Largest webhook, in bytes: as large as Payfirst takes. */
const eventLimit = 256 * 1024;

function webhookRoutes(memory: Memory): Route[] {
  return [...memory.parts.gateways.values()].map((gateway) =>
    defineRoute({
      ...untold,
      method: 'post',
      path: `/webhooks/${gateway.name}`,
      scopes: [],
      rawBody: true,
      limits: [express.raw({ type: () => true, limit: eventLimit })],
      handle: async ({ request, response }) => {
        const { rings, ref, bookingId: id } = authentic(gateway, request);
        if (rings && ref !== null) await hear(memory, gateway.name, { ref, bookingId: id });
        response.json({ verdict: rings ? 'heard' : 'unheard' });
      },
    }),
  );
}

function authentic(gateway: Gateway, { body, headers }: express.Request) {
  try {
    return gateway.verifyWebhook(Buffer.isBuffer(body) ? body : Buffer.alloc(0), headers);
  } catch {
    throw new Problem('invalid-request', 'The signature is missing, wrong or too old.');
  }
}
