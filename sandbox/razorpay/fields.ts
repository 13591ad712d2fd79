import { type Notes } from './wire';
import { notesOf } from './account';
import { invalid } from './refusals';

/** A request's JSON, or its query. */
export type Fields = Record<string, unknown>;

/** Razorpay refuses a field it does not know rather than ignoring it. */
export const refuseUnknown = (fields: Fields, known: readonly string[]): void => {
  const strangers = Object.keys(fields).filter((name) => !known.includes(name));
  if (strangers.length > 0)
    throw invalid(`${strangers.join(', ')} is/are not required and should not be sent`);
};

/** A whole number of paise, at least INR 1.00 (…/api/orders/create). */
export const amountOf = (fields: Fields, name = 'amount'): number | undefined => {
  const value = fields[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw invalid(`The ${name} must be an integer.`, name);
  if (value < 100) throw invalid('The amount must be at least INR 1.00', name);
  return value;
};

export const textOf = (fields: Fields, name: string, most: number): string | undefined => {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalid(`The ${name} must be a string.`, name);
  if (value.length > most) throw invalid(`The ${name} may not be greater than ${most} characters.`, name);
  return value;
};

export const required = <Value>(value: Value | undefined, name: string): Value => {
  if (value === undefined) throw invalid(`The ${name} field is required.`, name);
  return value;
};

/** At most 15 pairs, names and values to 256 characters each (…/api/orders/create). */
export const notesIn = (fields: Fields): Notes => {
  const value = fields['notes'];
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object') throw invalid('The notes must be an array.', 'notes');
  const pairs = Object.entries(value);
  if (pairs.length > 15) throw invalid('The notes may not have more than 15 items.', 'notes');
  for (const [name, one] of pairs) {
    if (typeof one !== 'string' && typeof one !== 'number')
      throw invalid('The values of notes must be strings.', 'notes');
    if (name.length > 256 || String(one).length > 256)
      throw invalid('The notes may not be greater than 256 characters.', 'notes');
  }
  return notesOf(Object.fromEntries(pairs.map(([name, one]) => [name, String(one)])));
};
