/** What requests about webhook endpoints may hold, and how endpoints and deliveries are shown. */
import { z } from 'zod';
import { isId, webhookEvents } from '../booking';
import { pageQuery } from './pages';
import { instantShown, line } from './validation';

const endpointId = z
  .string()
  .refine((text) => isId('webhookEndpoint', text), 'Not the id of a webhook endpoint.')
  .meta({ example: 'whe_5h0q2m4c8d6e9f1g3j7k5n2p' });

const deliveryId = z
  .string()
  .refine((text) => isId('webhookDelivery', text), 'Not the id of a delivery.')
  .meta({ example: 'whd_5h0q2m4c8d6e9f1g3j7k5n2p' });

const event = z.enum(webhookEvents);

const secretShown = z.string().meta({
  description: 'Signs every webhook to this endpoint. Shown here only: keep it.',
  example: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD',
});

export const newEndpoint = z
  .strictObject({
    url: z.string().min(1).max(2_000).meta({ example: 'https://shop.example/hooks/payfirst' }),
    events: z
      .array(event)
      .min(1)
      .max(webhookEvents.length)
      .default([...webhookEvents])
      // A set: named twice is named once.
      .transform((events) => webhookEvents.filter((one) => events.includes(one)))
      .meta({ override: { type: 'array', items: { type: 'string', enum: [...webhookEvents] } } }),
    description: line(200).optional(),
  })
  .meta({ id: 'NewWebhookEndpoint' });
export type NewEndpoint = z.output<typeof newEndpoint>;

export const endpointView = z
  .object({
    id: endpointId,
    url: z.string(),
    events: z.array(event),
    description: z.string().optional(),
    status: z.enum(['enabled', 'disabled']),
    disabledBecause: z
      .enum(['gone', 'failing'])
      .optional()
      .meta({ description: 'gone: it answered 410. failing: it took nothing for days.' }),
    previousSecretUntil: instantShown.optional(),
    createdAt: instantShown,
  })
  .meta({ id: 'WebhookEndpoint' });
export type EndpointView = z.infer<typeof endpointView>;

export const endpointWithSecret = endpointView
  .extend({ secret: secretShown })
  .meta({ id: 'WebhookEndpointWithSecret' });

export const deliveryView = z
  .object({
    id: deliveryId.meta({ description: 'The webhook-id header of every post.' }),
    type: event,
    data: z.record(z.string(), z.union([z.string(), z.number()])),
    status: z.enum(['queued', 'delivered', 'failed']),
    tries: z.int().meta({ description: 'Posts begun so far.' }),
    lastStatusCode: z.int().optional().meta({ description: 'Missing where the last post had no answer.' }),
    lastError: z
      .string()
      .optional()
      .meta({ description: 'Why the last post had no answer, such as ECONNREFUSED or timeout.' }),
    nextTryAt: instantShown.optional(),
    occurredAt: instantShown,
    deliveredAt: instantShown.optional(),
  })
  .meta({ id: 'WebhookDelivery' });
export type DeliveryView = z.infer<typeof deliveryView>;

export const endpointParams = z.strictObject({ id: endpointId });
export const deliveryParams = z.strictObject({ id: endpointId, deliveryId });
export const endpointQuery = z.strictObject(pageQuery);
export const deliveryQuery = z.strictObject({
  status: z.enum(['queued', 'delivered', 'failed', 'all']).default('all'),
  ...pageQuery,
});
export type EndpointParams = z.output<typeof endpointParams>;
export type DeliveryParams = z.output<typeof deliveryParams>;
export type DeliveryQuery = z.output<typeof deliveryQuery>;
