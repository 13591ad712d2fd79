/** Lists in pages: `limit`, opaque cursors that name the last row seen, and `{items, nextCursor?}`. */
import { z } from 'zod';
import { invalid } from './problem';

/** Where a page begins: after this row. `micros`: its sort key as microseconds since 1970, exact in a double. */
export interface PageMark {
  micros: number;
  id: string;
}

const mark = z.tuple([z.int().min(0).max(8e15), z.string().regex(/^[a-z]{3}_[0-9a-z]{24}$/)]);

/** Parameters of every list. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(100).default(20),
  cursor: z.string().max(200).optional().meta({ description: '`nextCursor` of the page before; opaque.' }),
};

/** The answer of a list. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    nextCursor: z.string().optional().meta({ description: 'Missing on the last page.' }),
  });
}

/** @throws Problem `invalid-request` for a cursor that no list of ours made */
export function readCursor(cursor: string | undefined): PageMark | undefined {
  if (cursor === undefined) return undefined;
  try {
    const [micros, id] = mark.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
    return { micros, id };
  } catch {
    throw invalid('/cursor', 'The cursor is not one of ours.');
  }
}

/**
 * Cuts a page from rows that were asked for with one more than `limit`.
 * @param markOf where the next page would begin after this row
 */
export function cutPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  markOf: (row: Row) => PageMark,
  show: (row: Row) => Item,
): { items: Item[]; nextCursor?: string } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const items = shown.map(show);
  if (rows.length <= limit || last === undefined) return { items };
  const { micros, id } = markOf(last);
  return { items, nextCursor: Buffer.from(JSON.stringify([micros, id])).toString('base64url') };
}

/** A timestamp column as microseconds since 1970. */
export function microsOf(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000000)::bigint`;
}

/** The instant of a bound parameter in microseconds: an expression of constants, so indexes serve it. */
export const instantOfMicros = `(timestamptz 'epoch' + ?::double precision * interval '1 microsecond')`;
