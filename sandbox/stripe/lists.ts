import { type Account } from './account';
import { group, integer, type Parameters, refuseUnknown, text, texts } from './parameters';
import { invalidParameter, missing } from './refusals';
import { type Told } from './wire';

/** What every list takes. */
const pageParameters = ['created', 'ending_before', 'expand', 'limit', 'starting_after'];

/** A page of a list (docs.stripe.com/api/pagination), newest first. */
export interface Page<Item> {
  object: 'list';
  data: Item[];
  has_more: boolean;
  url: string;
}

const isWithin = (created: number, parameters: Parameters): boolean => {
  if (typeof parameters['created'] === 'string') return created === integer(parameters, 'created', 0);
  const range = group(parameters, 'created') ?? {};
  const bound = (name: string): number | undefined => integer(range, name, 0);
  return (
    created >= (bound('gte') ?? 0) &&
    created > (bound('gt') ?? -1) &&
    created <= (bound('lte') ?? Infinity) &&
    created < (bound('lt') ?? Infinity)
  );
};

/**
 * Newest first. The map holds them in the order they were made, which decides among those of one second; a planted one may
 * be older than those made before it.
 */
const newestFirst = <Item extends Told>(all: Map<string, Item>): Item[] =>
  [...all.values()].reverse().sort((one, other) => other.created - one.created);

/**
 * One page, 10 objects unless `limit` (1 to 100) says otherwise; `has_more` speaks of the direction that is paged in.
 * Throws 400 for a parameter that is none of this list's, 404 when `starting_after` or `ending_before` names nothing.
 */
export const page = <Item extends Told>(
  all: Map<string, Item>,
  url: string,
  noun: string,
  parameters: Parameters,
  filters: Record<string, (item: Item) => string | null>,
): Page<Item> => {
  refuseUnknown(parameters, [...pageParameters, ...Object.keys(filters)]);
  const limit = integer(parameters, 'limit', 1, 100) ?? 10;
  const place = (name: string): string | undefined => {
    const id = text(parameters, name);
    if (id !== undefined && !all.has(id)) throw missing(noun, id, name);
    return id;
  };
  const after = place('starting_after');
  const before = place('ending_before');
  if (after !== undefined && before !== undefined)
    throw invalidParameter(
      'Received both starting_after and ending_before parameters. Please pass in only one.',
      'starting_after',
    );
  const sorted = newestFirst(all);
  const from = after === undefined ? 0 : sorted.findIndex((item) => item.id === after) + 1;
  const to = before === undefined ? sorted.length : sorted.findIndex((item) => item.id === before);
  const isWanted = (item: Item): boolean =>
    Object.entries(filters).every(([name, of]) => {
      const value = text(parameters, name);
      return value === undefined || of(item) === value;
    });
  const wanted = sorted
    .slice(from, to)
    .filter((item) => isWanted(item) && isWithin(item.created, parameters));
  const data = before === undefined ? wanted.slice(0, limit) : wanted.slice(-limit);
  return { object: 'list', data, has_more: wanted.length > data.length, url };
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const whole = (account: Account, holder: Record<string, unknown>, field: string): unknown => {
  const value = holder[field];
  if (field === 'refunds' && holder['object'] === 'charge')
    return page(
      account.refunds,
      `/v1/charges/${String(holder['id'])}/refunds`,
      'refund',
      { charge: holder['id'] },
      { charge: (refund) => refund.charge },
    );
  if (typeof value !== 'string') return value;
  const found =
    account.intents.get(value) ??
    account.charges.get(value) ??
    account.refunds.get(value) ??
    account.disputes.get(value) ??
    account.methods.get(value);
  return structuredClone(found ?? value);
};

const open = (account: Account, holder: unknown, path: string[], full: string): void => {
  const [field, ...rest] = path;
  if (field === undefined || !isRecord(holder)) return;
  if (Array.isArray(holder)) return holder.forEach((one) => open(account, one, path, full));
  if (!(field in holder) && !(field === 'refunds' && holder['object'] === 'charge'))
    throw invalidParameter(`This property cannot be expanded (${full}).`, 'expand');
  holder[field] = whole(account, holder, field);
  open(account, holder[field], rest, full);
};

/** A copy in which the ids named by `expand[]` have become their objects (docs.stripe.com/api/expanding_objects). */
export const expand = (account: Account, result: object, parameters: Parameters): object => {
  const copy = structuredClone(result);
  for (const path of texts(parameters, 'expand') ?? []) open(account, copy, path.split('.'), path);
  return copy;
};
