import { type Fields, refuseUnknown } from './fields';
import { invalid } from './refusals';

/** A list as it travels. */
export interface Collection<Item> {
  entity: 'collection';
  count: number;
  items: Item[];
}

const number = (
  query: Fields,
  name: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined => {
  const value = query[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^\d{1,15}$/.test(value))
    throw invalid(`The ${name} must be an integer.`, name);
  const whole = Number(value);
  if (whole < least) throw invalid(`The ${name} must be at least ${least}.`, name);
  if (whole > most) throw invalid(`The ${name} may not be greater than ${most}.`, name);
  return whole;
};

/**
 * A page of a list, newest first: 10 items unless `count` (1 to 100) says otherwise, past `skip` of them, made from `from` to
 * `to`, both included (…/api/orders/fetch-all, …/api/payments/fetch-all-payments).
 * @param filters what else the list can be narrowed by
 */
export const collection = <Item extends { created_at: number }>(
  all: Iterable<Item>,
  query: Fields,
  filters: Record<string, (item: Item) => string | null> = {},
): Collection<Item> => {
  refuseUnknown(query, ['count', 'skip', 'from', 'to', 'expand[]', ...Object.keys(filters)]);
  const count = number(query, 'count', 1, 100) ?? 10;
  const skip = number(query, 'skip', 0) ?? 0;
  const from = number(query, 'from', 0) ?? 0;
  const to = number(query, 'to', 0) ?? Infinity;
  const items = [...all]
    // The order they were made in decides among those of one second.
    .reverse()
    .sort((one, other) => other.created_at - one.created_at)
    .filter(
      (item) =>
        item.created_at >= from &&
        item.created_at <= to &&
        Object.entries(filters).every(([name, of]) => query[name] === undefined || of(item) === query[name]),
    )
    .slice(skip, skip + count);
  return { entity: 'collection', count: items.length, items };
};
