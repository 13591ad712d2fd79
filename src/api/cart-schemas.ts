/** Shapes of carts, as requests send them and answers show them. */
import { z } from 'zod';
import { isId } from '../booking';
import { details, seats } from './item-schemas';
import { offeringId } from './offering-schemas';
import { money, total } from './validation';

/** Id of a cart. */
export const cartId = z
  .string()
  .refine((text) => isId('cart', text), 'Not the id of a cart.')
  .meta({ example: 'crt_5h0q2m4c8d6e9f1g3j7k5n2p' });

/** Body of `POST /v1/carts`: there is nothing to say about a cart before it holds something. */
export const newCart = z.strictObject({});

/** Body of `PUT /v1/carts/:id/items/:offeringId`. */
export const cartItem = z.strictObject({ seats, details }).meta({ id: 'CartItem' });
export type CartItem = z.output<typeof cartItem>;

/** A cart as its owner sees it. What was sent as `details` is not repeated: the booking shows it. */
export const cartView = z
  .object({
    id: cartId,
    status: z.enum(['active', 'converted']),
    bookingId: z
      .string()
      .optional()
      .meta({ description: 'The booking made from it, at the prices of its own quote.' }),
    items: z.array(
      z.object({
        offeringId,
        seats: z.int(),
        title: z.string(),
        price: money.meta({ description: 'Of one seat, as it is now.' }),
      }),
    ),
    total: total.nullable().meta({
      description:
        'null when the cart is empty, or cannot be booked because a provider has changed to another currency.',
    }),
  })
  .meta({ id: 'Cart' });
export type CartView = z.infer<typeof cartView>;
