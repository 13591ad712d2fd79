import { invalidParameter } from './refusals';
import { type Metadata } from './wire';

/** A decoded form or query: bracket notation has become nested objects and lists, every leaf is text. */
export type Parameters = Record<string, unknown>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A text, or undefined when absent or empty (Stripe reads an empty value as "unset"). */
export const text = (parameters: Parameters, name: string): string | undefined => {
  const value = parameters[name];
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw invalidParameter('Invalid string', name, 'parameter_invalid_string');
  return value;
};

/** One of the allowed words, or undefined. */
export const choice = <Word extends string>(
  parameters: Parameters,
  name: string,
  words: readonly Word[],
): Word | undefined => {
  const value = text(parameters, name);
  if (value === undefined) return undefined;
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) throw invalidParameter(`Invalid ${name}: must be one of ${words.join(', ')}`, name);
  return word;
};

/** A whole number within its bounds, or undefined. */
export const integer = (
  parameters: Parameters,
  name: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined => {
  const value = text(parameters, name);
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^-?\d+$/.test(value) || !Number.isSafeInteger(number))
    throw invalidParameter(`Invalid integer: ${value}`, name, 'parameter_invalid_integer');
  if (number < least)
    throw invalidParameter(
      `This value must be greater than or equal to ${least}.`,
      name,
      'parameter_invalid_integer',
    );
  if (number > most)
    throw invalidParameter(
      `This value must be less than or equal to ${most}.`,
      name,
      'parameter_invalid_integer',
    );
  return number;
};

/** `true` or `false`, or undefined. */
export const flag = (parameters: Parameters, name: string): boolean | undefined => {
  const word = choice(parameters, name, ['true', 'false']);
  return word === undefined ? undefined : word === 'true';
};

/** A list of texts; `name[]=a` and `name[0]=a` are the same. */
export const texts = (parameters: Parameters, name: string): string[] | undefined => {
  const value = parameters[name];
  if (value === undefined || value === '') return undefined;
  const list = isObject(value) ? Object.values(value) : value;
  if (!Array.isArray(list)) throw invalidParameter('Invalid array', name);
  return list.map((entry) => {
    if (typeof entry !== 'string') throw invalidParameter('Invalid string', name);
    return entry;
  });
};

/** A nested group such as `created[gte]`, or undefined. */
export const group = (parameters: Parameters, name: string): Parameters | undefined => {
  const value = parameters[name];
  if (value === undefined || value === '') return undefined;
  if (!isObject(value)) throw invalidParameter('Invalid object', name);
  return value;
};

/** At most 50 pairs, names to 40 characters, values to 500 (docs.stripe.com/api/metadata). */
export const metadata = (parameters: Parameters): Metadata => {
  const pairs = Object.entries(group(parameters, 'metadata') ?? {});
  if (pairs.length > 50) throw invalidParameter('Metadata can have up to 50 keys.', 'metadata');
  return Object.fromEntries(
    pairs.map(([name, value]) => {
      if (typeof value !== 'string') throw invalidParameter('Metadata values must be strings.', 'metadata');
      if (name.length > 40)
        throw invalidParameter(`Metadata keys can have up to 40 characters: ${name}`, 'metadata');
      if (value.length > 500)
        throw invalidParameter('Metadata values can have up to 500 characters.', `metadata[${name}]`);
      return [name, value];
    }),
  );
};

/** Stripe refuses a parameter it does not know rather than ignoring it. */
export const refuseUnknown = (parameters: Parameters, known: readonly string[]): void => {
  const stranger = Object.keys(parameters).find((name) => !known.includes(name));
  if (stranger !== undefined)
    throw invalidParameter(`Received unknown parameter: ${stranger}`, stranger, 'parameter_unknown');
};

/** 400 `parameter_missing` unless the value is there. */
export const required = <Value>(value: Value | undefined, name: string): Value => {
  if (value === undefined)
    throw invalidParameter(`Missing required param: ${name}.`, name, 'parameter_missing');
  return value;
};
