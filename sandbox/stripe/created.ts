import { z } from 'zod';

/** When an object came to be, where that is not now: whole seconds since 1970, as on the wire. */
export const createdSchema = z.number().int().positive().optional();
