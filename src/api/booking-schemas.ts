/** Shapes of bookings, as requests send them and answers show them. */
import { z } from 'zod';
import { attemptStatuses, isId } from '../booking';
import { failures, type FailureType } from '../failures';
import { cartId } from './cart-schemas';
import { details, itemsMax, seats } from './item-schemas';
import { offeringId, offeringKind } from './offering-schemas';
import { pageQuery } from './pages';
import { instantShown, languageTag, line, total } from './validation';

/** Id of a booking, and of the attempt it comes from. */
export const bookingId = z
  .string()
  .refine((text) => isId('booking', text), 'Not the id of a booking.')
  .meta({ example: 'bkg_5h0q2m4c8d6e9f1g3j7k5n2p' });

const item = z.strictObject({
  offeringId,
  seats,
  details,
});

const customer = z.strictObject({
  name: line(200),
  email: z.email().max(254),
  phone: line(40).optional(),
  locale: languageTag.optional(),
});

const method = z.string().min(1).max(32).meta({ example: 'stripe' });

/** An address to come back to: http or https, nothing hidden in it. */
const returnUrl = z
  .url({ protocol: /^https?$/, hostname: /^[^\s]+$/ })
  .max(2_000)
  .meta({ description: 'Its origin must be one of WEB_ORIGINS.' });

/** Body of `POST /v1/bookings`. */
export const newBooking = z
  .strictObject({
    items: z
      .array(item)
      .min(1)
      .max(itemsMax)
      .refine(
        (items) => new Set(items.map((one) => one.offeringId)).size === items.length,
        'Each offering once; ask for several seats by `seats`.',
      )
      .optional(),
    cartId: cartId.optional().meta({ description: 'Instead of items: everything in this cart, or nothing.' }),
    payment: z
      .strictObject({ method })
      .optional()
      .meta({ description: 'May be missing where everything is free.' }),
    customer,
    returnUrl: returnUrl.optional(),
  })
  .refine(({ items, cartId }) => (items === undefined) !== (cartId === undefined), {
    path: ['items'],
    message: 'Name either items or a cartId.',
  })
  .meta({ id: 'NewBooking', outputId: 'NewBookingValidated' });
export type NewBooking = z.output<typeof newBooking>;

/** Body of `…/retry`. */
export const retryBody = z.strictObject({ payment: z.strictObject({ method }).optional() });
/** Body of `…/cancel`. */
export const cancelBody = z.strictObject({ reason: line(500).optional() });
/** Body of `…/return`: Stripe's own fields. They ring and are read by nobody: the gateway itself says what became of the money. */
export const returnBody = z.strictObject({
  payment_intent: z.string().max(255).optional(),
  payment_intent_client_secret: z.string().max(255).optional(),
  redirect_status: z.string().max(64).optional(),
  razorpay_order_id: z.string().max(255).optional(),
  razorpay_payment_id: z.string().max(255).optional(),
  razorpay_signature: z.string().max(255).optional(),
});

/** Longest wait of `GET /v1/bookings/:id`, in seconds. */
const longestWait = 60;

/** Query of `GET /v1/bookings/:id`. */
export const waitQuery = z.strictObject({
  wait: z.coerce.number().int().min(1).max(longestWait).optional(),
  after: z.coerce
    .number()
    .int()
    .min(0)
    .max(2_147_483_647)
    .optional()
    .meta({ description: 'Version already seen; with `wait`, the answer comes once it is exceeded.' }),
});

/** Query of `GET /v1/bookings/:id/events`. */
export const ticketQuery = z.strictObject({
  ticket: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: 'From `links.events`, instead of a token.' }),
});

/** Query of `GET /v1/bookings`. */
export const bookingQuery = z.strictObject({
  status: z.enum(['open', 'confirmed', 'all']).default('all'),
  reference: z.string().min(1).max(32).optional(),
  customerId: z.string().min(1).max(255).optional().meta({ description: 'Operators only.' }),
  ...pageQuery,
});
export type BookingQuery = z.output<typeof bookingQuery>;

const failureTypes = Object.keys(failures) as [FailureType, ...FailureType[]];
const links = z.object({
  self: z.string(),
  events: z.string().optional().meta({
    description: 'For its owner: server-sent events, with a ticket to connect by within 10 minutes.',
  }),
  alternatives: z.string().optional().meta({ description: 'Free slots of the same provider.' }),
});

/** A booking attempt, and the booking once it is confirmed; a provider sees only its own items of it. */
export const bookingView = z
  .object({
    id: bookingId,
    reference: z.string().optional().meta({ example: 'BK-7Q2M4C8D6E' }),
    status: z.enum(attemptStatuses),
    version: z.int(),
    items: z.array(
      z.object({
        offeringId,
        kind: offeringKind,
        title: z.string(),
        seats: z.int(),
        startsAt: instantShown.optional(),
        endsAt: instantShown.optional(),
        timeZone: z.string().optional(),
        details: z.unknown().optional(),
      }),
    ),
    total: total.meta({ description: 'For a provider: of the own items.' }),
    payment: z
      .object({
        method: z.string(),
        try: z.int().meta({ description: 'One plus the accepted retries.' }),
        gatewayRef: z.string().optional(),
        clientSecret: z.string().optional().meta({ description: 'For its owner, while payable.' }),
        checkoutUrl: z.string().optional(),
        parameters: z.record(z.string(), z.string()).optional(),
      })
      .optional()
      .meta({ description: 'Missing for what is free and named no method.' }),
    retryable: z.boolean(),
    failure: z
      .object({ type: z.enum(failureTypes), detail: z.string(), code: z.string().optional() })
      .optional(),
    refund: z
      .object({
        status: z.enum(['pending', 'succeeded', 'failed']),
        amountMinor: z.int(),
        reason: z.string(),
      })
      .optional(),
    customer: z
      .object({ name: z.string(), email: z.string(), phone: z.string().optional() })
      .optional()
      .meta({ description: 'Who comes: for the provider.' }),
    links,
    createdAt: instantShown,
    expiresAt: instantShown.optional().meta({ description: 'End of the payment window.' }),
    confirmedAt: instantShown.optional(),
  })
  .meta({ id: 'Booking' });
export type BookingView = z.infer<typeof bookingView>;

/** An attempt that has started and has no record yet. */
export const startingView = z
  .object({ id: bookingId, status: z.literal('awaiting_payment'), links })
  .meta({ id: 'StartingBooking' });
export type StartingView = z.infer<typeof startingView>;
