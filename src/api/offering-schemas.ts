/** Shapes of offerings, as requests send them and answers show them. */
import { z } from 'zod';
import { isId, type OfferingKind } from '../booking';
import { pageQuery } from './pages';
import { instant, instantShown, line, money, timeZone } from './validation';

/** Id of an offering. */
export const offeringId = z
  .string()
  .refine((text) => isId('offering', text), 'Not the id of an offering.')
  .meta({ example: 'off_5h0q2m4c8d6e9f1g3j7k5n2p' });

const attributes = z
  .record(line(64), line(200))
  .refine((map) => Object.keys(map).length <= 20, 'At most 20 attributes.')
  .meta({ description: 'Free, flat facts for your own clients, such as a speciality or a room.' });

/** Length of a slot whose end was not given. */
const defaultLengthMs = 60 * 60_000;

/** Kind of an offering. */
export const offeringKind = z.enum(['slot', 'consultation'] satisfies OfferingKind[]);

/** Longest hold, in seconds: a day; a seat held longer is sold without money. Shortest: what a payment needs. */
const holdSeconds = z.int().min(5).max(86_400);

const newSlot = z
  .strictObject({
    kind: z.literal('slot'),
    title: line(200),
    startsAt: instant,
    endsAt: instant.optional(),
    timeZone: timeZone.default('UTC'),
    capacity: z.int().min(1).max(10_000).default(1),
    price: money,
    holdSeconds: holdSeconds.optional().meta({
      description: 'Holds the seats this long for whoever is paying. Without it the first payer gets them.',
    }),
    seatsPerCustomer: z.int().min(1).max(10_000).optional(),
    refundUntilSeconds: z
      .int()
      .min(0)
      .max(31_536_000)
      .optional()
      .meta({ description: 'Default 0. A customer may cancel until this long before the start.' }),
    refundPercent: z
      .int()
      .min(0)
      .max(100)
      .optional()
      .meta({ description: 'Default 100. What comes back then, of what was paid, rounded down.' }),
    attributes: attributes.default({}),
  })
  .refine(({ startsAt, endsAt }) => endsAt === undefined || endsAt > startsAt, {
    path: ['endsAt'],
    message: 'Must be after startsAt.',
  })
  .transform((body) => ({
    ...body,
    endsAt: body.endsAt ?? new Date(Date.parse(body.startsAt) + defaultLengthMs).toISOString(),
  }))
  .meta({ id: 'NewSlot', outputId: 'NewSlotValidated' });

const newConsultation = z
  .strictObject({
    kind: z.literal('consultation'),
    title: line(200),
    price: money,
    attributes: attributes.default({}),
  })
  .meta({ id: 'NewConsultation', outputId: 'NewConsultationValidated' });

/** Body of `POST /v1/offerings`. A slot's `endsAt` defaults to an hour after `startsAt`; a consultation has no time and no seats. */
export const newOffering = z
  .discriminatedUnion('kind', [newSlot, newConsultation])
  .meta({ id: 'NewOffering', outputId: 'NewOfferingValidated' });
export type NewOffering = z.output<typeof newOffering>;

/** Body of `PATCH /v1/offerings/:id`. */
export const offeringChange = z
  .strictObject({
    title: line(200),
    price: money,
    status: z.enum(['open', 'closed']),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, 'Name at least one of title, price and status.')
  .meta({ id: 'OfferingChange' });

/** An offering as everybody sees it. */
export const offeringView = z
  .object({
    id: offeringId,
    kind: offeringKind,
    providerId: z.string(),
    displayName: z.string().optional().meta({ description: 'What the provider calls itself.' }),
    title: z.string(),
    startsAt: instantShown.optional(),
    endsAt: instantShown.optional(),
    timeZone: z.string().optional(),
    capacity: z.int().optional(),
    seatsAvailable: z
      .int()
      .nullable()
      .meta({ description: 'Seats that are neither paid for nor held; null when unlimited.' }),
    price: money,
    holdSeconds: z.int().optional(),
    seatsPerCustomer: z.int().optional(),
    refundUntilSeconds: z.int().optional(),
    refundPercent: z.int().optional(),
    attributes: z.record(z.string(), z.string()),
    status: z.enum(['open', 'closed', 'canceled']),
    createdAt: instantShown,
  })
  .meta({ id: 'Offering' });
export type OfferingView = z.infer<typeof offeringView>;

/** An offering that is called off. */
export const calledOffView = z.object({ id: offeringId, status: z.literal('canceled') });

/** Query of `GET /v1/offerings`. */
export const offeringQuery = z.strictObject({
  providerId: z.string().min(1).max(255).optional(),
  kind: offeringKind.optional(),
  from: instant.optional().meta({ description: 'Starts at or after.' }),
  to: instant.optional().meta({ description: 'Starts before.' }),
  available: z.enum(['true', 'false']).optional().meta({
    description: 'true: open, not started, and with at least one free seat where seats are counted.',
  }),
  ...pageQuery,
});
export type OfferingQuery = z.output<typeof offeringQuery>;
