/** What nobody honest sends: values that no schema asks for, and honest bodies with one thing or two changed. */
import fc from 'fast-check';
import { named } from './api-fuzz-values';
import type { Json } from './world';

/** Words that mean something to JavaScript, SQL, a shell, a browser or a terminal, and text that is hard to hold. */
export const hostileTexts: readonly string[] = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  'x\udfffy',
  '\u202egnp.exe',
  '\u200b',
  '\ufeff',
  '\r\nX-Injected: 1',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'null',
  'undefined',
  'NaN',
  'true',
  '-0',
  '1e400',
  '0x10',
  "'; DROP TABLE attempts; --",
  '" OR ""="',
  '%s%n%x',
  '${7*7}',
  '$(id)',
  '../../../../etc/passwd',
  '<script>alert(1)</script>',
  'İ'.repeat(40),
  'ﷺ'.repeat(200),
  'Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘',
  '👩‍👩‍👧‍👦'.repeat(30),
  'x'.repeat(256),
  'x'.repeat(9_000),
];

/** Numbers at the bounds of what doubles, PostgreSQL's integers and our own limits hold. `⟦raw:…⟧` goes out without quotes. */
const hostileNumbers: readonly Json[] = [
  0,
  -1,
  0.5,
  1.0000000000000002,
  100,
  101,
  10_000,
  10_001,
  99_999_999,
  100_000_000,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 53,
  1e21,
  1e308,
  5e-324,
  named('raw:1e400'),
  named('raw:-1e400'),
  named('raw:-0'),
  named('raw:1.0'),
  named('raw:12345678901234567890123456789'),
];

/** Objects whose own fields are called like what every object inherits. JSON.parse makes such fields; a literal would not. */
const hostileObjects: readonly string[] = [
  '{}',
  '[]',
  '[[[[[[[[]]]]]]]]',
  '{"__proto__":{"admin":true}}',
  '{"constructor":{"prototype":{"admin":true}}}',
  '{"toString":"x","valueOf":1}',
  '{"toJSON":"x"}',
  '{"length":-1,"0":"x"}',
  '{"$ne":null}',
  `${'{"a":'.repeat(70)}1${'}'.repeat(70)}`,
];

const hostileValues: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(null, true, false),
  fc.constantFrom(...hostileTexts),
  fc.constantFrom(...hostileNumbers),
  fc.constantFrom(...hostileObjects).map((text) => JSON.parse(text)),
  fc.jsonValue({ maxDepth: 2 }),
);

/** One change of one place. */
type Change =
  | { do: 'replace'; by: Json }
  | { do: 'remove' }
  | { do: 'add'; name: string; value: Json }
  | { do: 'repeat'; times: number };

const changes: fc.Arbitrary<Change> = fc.oneof(
  { weight: 4, arbitrary: hostileValues.map((by): Change => ({ do: 'replace', by })) },
  { weight: 2, arbitrary: fc.constant<Change>({ do: 'remove' }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ name: fc.constantFrom('unknown', ...hostileTexts), value: hostileValues })
      .map((added): Change => ({ do: 'add', ...added })),
  },
  { weight: 1, arbitrary: fc.constantFrom(2, 5, 21, 101).map((times): Change => ({ do: 'repeat', times })) },
);

type Place = readonly string[];

/** Every place of a value, the whole first. */
function placesIn(value: Json, at: Place = []): Place[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries<Json>(value).flatMap(([name, inner]) => placesIn(inner, [...at, name]))];
}

/** An object's own fields as JSON tells them; spread or assigned, `__proto__` would be none. */
function withField(fields: Json, name: string, value: Json): Json {
  const entries = Object.entries<Json>(fields).filter(([other]) => other !== name);
  return Object.fromEntries([...entries, [name, value]]);
}

function changed(value: Json, [step, ...rest]: Place, change: Change): Json {
  if (step === undefined) return changedHere(value, change);
  if (Array.isArray(value)) {
    const inner = value.map((one, index) => (`${index}` === step ? changed(one, rest, change) : one));
    return inner.filter((one) => one !== undefined);
  }
  const inner = changed(value[step], rest, change);
  if (inner !== undefined) return withField(value, step, inner);
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== step));
}

function changedHere(value: Json, change: Change): Json {
  switch (change.do) {
    case 'replace':
      return change.by;
    case 'remove':
      return undefined;
    case 'add':
      if (Array.isArray(value)) return [...value, change.value];
      return typeof value === 'object' && value !== null
        ? withField(value, change.name, change.value)
        : change.value;
    case 'repeat':
      if (typeof value === 'string') return value.repeat(change.times).slice(0, 20_000);
      return Array.isArray(value) ? Array<Json[]>(change.times).fill(value).flat() : [value];
  }
}

/** Honest bodies with one to three changes; undefined where the whole was taken away. */
export function mutationsOf(honest: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  const once = (value: Json): fc.Arbitrary<Json> =>
    fc
      .tuple(fc.constantFrom(...placesIn(value)), changes)
      .map(([place, change]) => changed(value, place, change));
  const again = (body: Json): fc.Arbitrary<Json> => (body === undefined ? fc.constant(body) : once(body));
  return fc.oneof(
    { weight: 3, arbitrary: honest.chain(once) },
    { weight: 1, arbitrary: honest.chain(once).chain(again) },
    { weight: 1, arbitrary: honest.chain(once).chain(again).chain(again) },
  );
}
