/** Checks that schemas share: what text may hold, and how faults are pointed at. */
import { z } from 'zod';
import { largestAmountMinor } from '../booking';
import type { Fault } from './problem';
import { Problem } from './problem';

/** Deepest nesting of a body. Honest ones have three levels and their details; more only exhausts stacks. */
const deepest = 64;

/** What PostgreSQL or JSON cannot hold: NUL in text, half a surrogate pair, numbers beyond a double. */
function unstorable(value: unknown, pointer: string, depth: number): Fault | undefined {
  if (typeof value === 'string') {
    return /[\0\p{Surrogate}]/u.test(value)
      ? { pointer, detail: 'Text may hold neither NUL nor half a surrogate pair.' }
      : undefined;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    return { pointer, detail: 'The number is too large.' };
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > deepest) return { pointer, detail: `The body is nested deeper than ${deepest} levels.` };
  for (const [key, inner] of Object.entries(value)) {
    const at = `${pointer}/${escapePointer(key)}`;
    const fault = unstorable(key, pointer, depth) ?? unstorable(inner, at, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** @throws Problem `invalid-request` when the body or query holds what cannot be stored as it is */
export function refuseUnstorable(value: unknown): void {
  const fault = unstorable(value, '', 0);
  if (fault !== undefined) throw new Problem('invalid-request', fault.detail, { errors: [fault] });
}

/** One step of a JSON Pointer. Source: RFC 6901, 3 */
function escapePointer(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** At most this many faults are listed: enough to mend a form, too few to be a burden. */
const faultsListed = 20;

/** Lists what is wrong, each with a JSON Pointer. */
export function faultsOf(error: z.ZodError): Fault[] {
  const faults = error.issues.flatMap((issue): Fault[] => {
    const pointer = issue.path.map((step) => `/${escapePointer(String(step))}`).join('');
    if (issue.code !== 'unrecognized_keys') return [{ pointer, detail: issue.message }];
    return issue.keys.map((key) => ({
      pointer: `${pointer}/${escapePointer(key)}`,
      detail: 'Unknown field.',
    }));
  });
  return faults.slice(0, faultsListed);
}

/** One line of text for people: no control characters, for a line break could forge a mail's headers. */
export function line(max: number) {
  return z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'No control characters.');
}

/** Years between which instants are believed; both lie well within what PostgreSQL and Date hold. */
const years = { from: Date.UTC(2000, 0, 1), to: Date.UTC(2200, 0, 1) };

/** An instant in ISO 8601 with its offset, normalized to UTC. */
export const instant = z.iso
  .datetime({ offset: true })
  .refine(
    (text) => Date.parse(text) >= years.from && Date.parse(text) < years.to,
    'Between the years 2000 and 2200.',
  )
  .transform((text) => new Date(text).toISOString())
  .meta({ override: { type: 'string', format: 'date-time' } });

/** An instant as answers carry it. */
export const instantShown = z.string().meta({ format: 'date-time', example: '2027-01-31T09:00:00.000Z' });

/** ISO 4217, upper case. */
export const currency = z
  .string()
  .regex(/^[A-Z]{3}$/, 'Three capital letters of ISO 4217.')
  .meta({ example: 'EUR' });

/** Money as requests and answers carry it. */
export const money = z
  .strictObject({
    amountMinor: z
      .int()
      .min(0)
      .max(largestAmountMinor)
      .meta({ description: 'In the smallest unit of the currency: 1999 EUR is 19.99 euros. 0 is free.' }),
    currency,
  })
  .meta({ id: 'Money' });

/** A sum of several prices, which may be more than one price can be. */
export const total = z.object({ amountMinor: z.int(), currency }).meta({ id: 'Total' });

/** BCP 47, as JavaScript's Intl understands it. */
export const languageTag = z
  .string()
  .max(35)
  .refine(isLanguageTag, 'A language tag such as “en” or “pt-BR”.');

function isLanguageTag(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}

/** IANA name of a time zone that this runtime knows. */
export const timeZone = z
  .string()
  .max(64)
  .refine(isTimeZone, 'An IANA time zone such as “Europe/Berlin”.')
  .meta({ example: 'Europe/Berlin' });

function isTimeZone(zone: string): boolean {
  // Offsets such as +02:00 are understood by newer runtimes and are no zones.
  if (!/^[A-Za-z]/.test(zone)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
