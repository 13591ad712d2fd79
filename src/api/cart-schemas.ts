/** Shapes of carts, as requests send them and answers show them. */
import { z } from 'zod';
import { isId } from '../booking';

/** Id of a cart. */
export const cartId = z
  .string()
  .refine((text) => isId('cart', text), 'Not the id of a cart.')
  .meta({ example: 'crt_5h0q2m4c8d6e9f1g3j7k5n2p' });
