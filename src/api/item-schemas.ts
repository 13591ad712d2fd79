/** What one item of a booking or of a cart carries. */
import { z } from 'zod';

/** Largest `details` of an item, in bytes of JSON. */
const detailsLimit = 8 * 1024;

/** `details` of an item. */
export const details = z
  .unknown()
  .refine(
    (value) => value === undefined || Buffer.byteLength(JSON.stringify(value)) <= detailsLimit,
    'At most 8 KiB of JSON.',
  )
  .optional()
  .meta({ description: 'Any JSON for the provider, kept unchanged. Private: in no list and no log.' });

/** Seats of an item; a consultation is asked for once. */
export const seats = z.int().min(1).max(8).default(1);

/** Most items of one booking or cart. */
export const itemsMax = 20;
