/** Webhooks: verify the signature on the raw body, ring, answer. Nothing is written, and no database is needed. */
import express, { type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { isId } from '../booking';
import { ring } from '../doorbell';
import type { Gateway, Heard } from '../gateways/gateway';
import type { ApiDependencies } from './dependencies';
import { Problem } from './problem';
import type { Rates } from './rates';
import { defineRoute, type Route } from './route';

/** Largest event, in bytes. Stripe's hold one object; four times our own limit is far beyond any of them. */
const eventLimit = 256 * 1024;

/**
 * How long a ring may take to be durable, in ms. Razorpay waits 5 s for an answer and PhonePe 3 to 5, Stripe longer; whoever
 * did not wait comes again, and a second ring is only a second look.
 */
const ringWithinMs = 5_000;

const heardView = z
  .object({
    verdict: z.enum(['rung', 'unheard']).meta({ description: 'unheard: authentic, and of no interest.' }),
  })
  .meta({ id: 'WebhookHeard' });

/** The routes gateways call: one for each that is offered. */
export function webhookRoutes(deps: ApiDependencies, rates: Rates): Route[] {
  return [...deps.gateways.values()].map((gateway) =>
    defineRoute({
      method: 'post',
      path: `/webhooks/${gateway.name}`,
      tag: 'Webhooks',
      summary: `Called by ${gateway.name}`,
      description: 'The signature is checked on the raw body. The event carries no truth: it only rings.',
      scopes: [],
      rawBody: true,
      limits: [express.raw({ type: () => true, limit: eventLimit })],
      answers: { 200: { description: 'Rung, or nothing to do', schema: heardView } },
      problems: ['invalid-request', 'payload-too-large', 'unavailable'],
      handle: ({ request, response }) => hear(deps, rates.forgeries, gateway, request, response),
    }),
  );
}

async function hear(
  deps: ApiDependencies,
  forgeries: RequestHandler,
  gateway: Gateway,
  request: Request,
  response: Response,
): Promise<void> {
  const heard = await authentic(deps, forgeries, gateway, request, response);
  const verdict = heard.rings ? await ringFor(deps, gateway, heard) : 'unheard';
  deps.metrics.webhooks.inc({ gateway: gateway.name, verdict });
  const { eventId, type } = heard;
  deps.log.info({ event: 'webhook.heard', gateway: gateway.name, eventId, type, verdict });
  response.json({ verdict });
}

/** @throws Problem `invalid-request` for a body that the gateway did not sign, `rate-limited` for many of them */
async function authentic(
  { metrics, log }: ApiDependencies,
  forgeries: RequestHandler,
  gateway: Gateway,
  request: Request,
  response: Response,
): Promise<Heard> {
  const body: unknown = request.body;
  try {
    return gateway.verifyWebhook(Buffer.isBuffer(body) ? body : Buffer.alloc(0), request.headers);
  } catch {
    metrics.webhooks.inc({ gateway: gateway.name, verdict: 'refused' });
    log.warn({ event: 'webhook.refused', gateway: gateway.name });
    // Only forgeries are counted, so that a gateway's own burst is never refused.
    await new Promise<void>((resolve, reject) => {
      const next = (error?: unknown) => (error instanceof Error ? reject(error) : resolve());
      Promise.resolve(forgeries(request, response, next)).catch(reject);
    });
    throw new Problem('invalid-request', 'The signature is missing, wrong or too old.');
  }
}

async function ringFor(
  { temporal, config }: ApiDependencies,
  gateway: Gateway,
  heard: Heard,
): Promise<'rung' | 'unheard'> {
  // Another shop on the same account may write anything into its metadata.
  const bookingId = heard.bookingId !== null && isId('booking', heard.bookingId) ? heard.bookingId : null;
  const by = await temporal.withDeadline(Date.now() + ringWithinMs, () =>
    ring(
      temporal,
      config.taskQueue,
      { bookingId, gateway: gateway.name, ref: heard.ref },
      {
        by: 'webhook',
        gateway: gateway.name,
        eventId: heard.eventId,
        type: heard.type,
        ref: heard.ref,
        ...(heard.reversal ? { reversal: true as const } : {}),
        at: new Date().toISOString(),
      },
    ),
  );
  return by === 'nobody' ? 'unheard' : 'rung';
}
