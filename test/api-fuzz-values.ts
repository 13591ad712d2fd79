/**
 * Values by schema: what an honest client would send. Ids and tokens are named, not drawn: `⟦off:open⟧` stands for an
 * offering that is open, and `api-fuzz-shop.ts` puts its id there. So a request means the same whenever it is played again.
 */
import fc from 'fast-check';
import type { Json } from './world';

type Values = fc.Arbitrary<Json>;
type Resolve = (schema: Json) => Json;

/** What a text names, to be put in when the request is sent. */
export const named = (thing: string): string => `⟦${thing}⟧`;

/** Things by the prefix of their ids, the most usual first. */
export const things: Readonly<Record<string, readonly string[]>> = {
  off: ['open', 'consultation', 'free', 'closed', 'canceled', 'full', 'foreign', 'unknown'],
  bkg: ['awaiting', 'declined', 'confirmed', 'canceled', 'refused', 'foreign', 'unknown'],
  crt: ['filled', 'empty', 'converted', 'foreign', 'unknown'],
  cas: ['open', 'resolved', 'unknown'],
  whe: ['enabled', 'disabled', 'unknown'],
  whd: ['delivered', 'unknown'],
};

/** One of these, the first more often than all others. */
function mostly(first: Json, ...others: Json[]): Values {
  return fc.oneof({ weight: 2, arbitrary: fc.constant(first) }, fc.constantFrom(first, ...others));
}

function thingOf(prefix: string): Values {
  const [first = '', ...others] = (things[prefix] ?? []).map((state) => named(`${prefix}:${state}`));
  return mostly(first, ...others);
}

/** Days from today on, and some of the past; named, so that a request means the same in every year. */
const days = fc.integer({ min: -2, max: 400 });
const instants: Values = days.map((day) => named(`day:${day}`));
/** Later than any of those. */
const laterDays: Values = days.map((day) => named(`day:${day + 731}`));
/** A year on. Not later: whoever lists so long a time gets more slots than anybody reads. */
const nextYear: Values = days.map((day) => named(`day:${day + 365}`));

/** What a field of this name holds, where its schema says less than a client knows. */
const known: Readonly<Record<string, Values>> = {
  startsAt: instants,
  endsAt: laterDays,
  from: instants,
  to: nextYear,
  timeZone: mostly('Europe/Berlin', 'UTC', 'Asia/Kathmandu'),
  locale: mostly('de', 'pt-BR', 'zh-Hant-TW'),
  currency: mostly('EUR', 'USD', 'JPY', 'INR', 'BHD'),
  // Each seat of a slot is a row, and what is written is read again and again.
  capacity: mostly(3, 1, 20),
  method: mostly('stripe', 'wallet', 'razorpay', 'phonepe', 'cash'),
  email: mostly('ada@example.org', 'a.b+c@mail.example.org'),
  returnUrl: mostly('https://shop.example/back?a=1#b', 'https://elsewhere.example/'),
  url: mostly('https://hooks.example/payfirst', 'http://127.0.0.1/', 'https://nobody.example/'),
  token: mostly(named('token:operator'), named('token:customer'), named('token:expired')),
  ticket: mostly(named('ticket'), 'x'),
  cursor: mostly(named('cursor'), 'x'),
  customerId: mostly('ada', 'bob', 'nobody'),
  providerId: mostly('doctor', 'nobody'),
  gatewayRef: mostly(named('gatewayRef'), 'pi_unknown'),
  reference: mostly(named('reference'), 'BK-0000000000'),
  slug: mostly('slot-unavailable', 'internal', 'unknown'),
  // A second is waited for; a minute would be, too.
  wait: fc.constant(1),
  after: mostly(0, 2_147_483_647),
};

/**
 * Values that fit a schema.
 * @param name of the field or parameter
 */
export function valuesOf(schema: Json, resolve: Resolve, name = ''): Values {
  const found = resolve(schema);
  const hint = known[name];
  const prefix = /^([a-z]{3})_[0-9a-z]{24}$/.exec(String(found.example))?.[1];
  if (prefix !== undefined) return thingOf(prefix);
  if (hint !== undefined) return hint;
  if (found.const !== undefined) return fc.constant(found.const);
  if (found.enum !== undefined) return fc.constantFrom(...(found.enum as Json[]));
  const choices: Json[] | undefined = found.oneOf ?? found.anyOf;
  if (choices !== undefined) return fc.oneof(...choices.map((one) => valuesOf(one, resolve, name)));
  switch (found.type) {
    case 'string':
      return texts(found);
    case 'integer':
      return fc.integer({ min: found.minimum ?? 0, max: found.maximum ?? 2 ** 31 });
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.uniqueArray(valuesOf(found.items, resolve), {
        minLength: found.minItems ?? 0,
        maxLength: 3,
        // Several seats of an offering are one item.
        selector: (item) => JSON.stringify(item?.offeringId ?? item),
      });
    case 'object':
      return objects(found, resolve);
    default:
      return fc.jsonValue({ maxDepth: 3 });
  }
}

function texts({ pattern, minLength = 0, maxLength = 300 }: Json): Values {
  if (pattern !== undefined && pattern !== '^\\P{Cc}*$') {
    return fc.stringMatching(new RegExp(String(pattern), 'u'), { maxLength: 40 });
  }
  const plain = fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 40) });
  const longest = fc.constantFrom('x', 'ß', '語', '😀').map((unit) => unit.repeat(maxLength));
  return fc.oneof({ weight: 8, arbitrary: plain }, { weight: 1, arbitrary: longest });
}

/** What the document says in words: one of these two is named, and what is not free names a payment. */
const eitherOr = ['items', 'cartId'];
const usual = ['payment'];

function objects(schema: Json, resolve: Resolve): Values {
  const fields = Object.entries<Json>(schema.properties ?? {}).map(
    ([name, field]) => [name, valuesOf(field, resolve, name)] as const,
  );
  const has = (name: string): boolean => fields.some(([other]) => other === name);
  const required = [...((schema.required ?? []) as string[]), ...usual.filter(has)];
  const recordOf = (without: string | undefined): Values =>
    fc.record(Object.fromEntries(fields.filter(([name]) => name !== without)), {
      requiredKeys: [...required, ...eitherOr.filter((name) => without !== undefined && name !== without)],
    });
  const named = eitherOr.every(has) ? fc.oneof(...eitherOr.map(recordOf)) : recordOf(undefined);
  const { propertyNames, additionalProperties: others } = schema;
  if (typeof others !== 'object' && schema.properties !== undefined) return named;
  const more = fc.dictionary(
    propertyNames === undefined ? fc.string() : (valuesOf(propertyNames, resolve) as fc.Arbitrary<string>),
    valuesOf(others ?? {}, resolve),
    { maxKeys: 3 },
  );
  return fc.tuple(more, named).map(([rest, fixed]) => ({ ...rest, ...fixed }));
}
