/** Requests to one operation: honest ones, nearly honest ones and hostile ones, part by part. */
import fc from 'fast-check';
import { callers, holdersOf, type CallerName } from './api-fuzz-callers';
import type { ApiDocument, Operation, Parameter } from './api-fuzz-document';
import { events } from './api-fuzz-events';
import { hostileTexts, mutationsOf } from './api-fuzz-mutations';
import { named, valuesOf } from './api-fuzz-values';
import type { Json } from './world';

export interface FuzzRequest {
  caller: CallerName;
  method: string;
  /** Path and query, percent-encoded, with things named in it. */
  target: string;
  headers: Readonly<Record<string, string>>;
  /** As it is sent, with things named in it. */
  body?: string | undefined;
}

/** Percent-encodes a text; half a surrogate pair as the three bytes that UTF-8 forbids. */
function encoded(text: string): string {
  return Array.from(text, (character) =>
    /\p{Surrogate}/u.test(character) ? '%ED%A0%80' : encodeURIComponent(character),
  ).join('');
}

/** As honest clients write it: names stay readable until they are put in. */
const written = (value: Json): string =>
  /^⟦.*⟧$/.test(String(value)) ? String(value) : encoded(String(value));

const brokenEscapes = ['%', '%ff', '%00', '%2', '%zz', '%ED%A0%80', '%C0%AE', '%2e%2e%2f'];

const rarely = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>, usually: number): fc.Arbitrary<T> =>
  fc.oneof({ weight: usually, arbitrary: usual }, { weight: 1, arbitrary: odd });

const oddTexts = fc.oneof(
  fc.constantFrom(...hostileTexts.filter((text) => text !== '' && text.length < 1_000)).map(encoded),
  fc.constantFrom(...brokenEscapes),
  fc.constantFrom('off:open', 'bkg:confirmed', 'crt:filled', 'whd:delivered').map(named),
);

type Honest = (parameter: Parameter) => fc.Arbitrary<string>;

/** @param step fills one place of the path */
function paths({ path, parameters }: Operation, step: Honest): fc.Arbitrary<string> {
  const steps = path.split('/').map((text) => {
    const name = /^\{(\w+)\}$/.exec(text)?.[1];
    const parameter = parameters.find((one) => one.in === 'path' && one.name === name);
    return parameter === undefined ? fc.constant(text) : step(parameter);
  });
  return fc.tuple(...steps).map((filled) => filled.join('/'));
}

const queried = ({ parameters }: Operation): Parameter[] => parameters.filter((one) => one.in === 'query');

/** Pairs of the query; optional ones come and go. */
function queries(operation: Operation, honest: Honest): fc.Arbitrary<string[]> {
  const pairs = queried(operation).map((one) => {
    const pair = honest(one).map((value) => [`${encoded(one.name)}=${value}`]);
    return one.required === true ? pair : fc.oneof(fc.constant<string[]>([]), pair);
  });
  return fc.tuple(...pairs).map((chosen) => chosen.flat());
}

/** Pairs that say things twice, in other notations, or that nobody asked for. */
function oddQueries(operation: Operation): fc.Arbitrary<string[]> {
  const names = queried(operation).map((one) => one.name);
  const pair = fc
    .tuple(
      fc.constantFrom(...names, 'unknown', '__proto__', 'constructor'),
      fc.constantFrom('=', '[]=', '[x]=', '[__proto__]=', '%00=', ''),
      oddTexts,
    )
    .map((parts) => parts.join(''));
  return fc.array(pair, { minLength: 1, maxLength: 3 });
}

const oddHeaders = fc.constantFrom<Record<string, string>>(
  { 'content-type': 'text/plain' },
  { 'content-type': 'application/json; charset=klingon' },
  { 'content-type': 'multipart/form-data; boundary=x' },
  { 'content-type': '' },
  { 'content-encoding': 'gzip' },
  { 'content-encoding': 'br, gzip' },
  { 'content-encoding': 'klingon' },
  { 'idempotency-key': '' },
  { 'idempotency-key': '\t' },
  { 'idempotency-key': 'x'.repeat(255) },
  { 'idempotency-key': 'x'.repeat(256) },
  { 'idempotency-key': 'k\u00e9y' },
  { 'x-request-id': '__proto__' },
  { 'x-request-id': "' or 1=1; --" },
  { 'x-http-method-override': 'DELETE' },
  { 'x-forwarded-for': 'unknown, ::1, 999.1.1.1' },
  { 'x-forwarded-host': 'evil.example' },
  { host: 'evil.example:99999' },
  { accept: 'application/xml' },
  { 'accept-language': '*;q=9' },
  { range: 'bytes=5-1' },
  { 'if-none-match': '*' },
  { 'last-event-id': '-1' },
  { origin: 'null' },
  { cookie: '__Host-payfirst-codec=x; payfirst-codec=y; __proto__=z' },
);

/** What an operation asks for, and what signs a webhook or stands for the page that signs in. */
function headersOf(operation: Operation, hasBody: boolean): fc.Arbitrary<Record<string, string>> {
  const base = {
    ...(hasBody ? { 'content-type': 'application/json' } : {}),
    ...(operation.path.startsWith('/codec/sign-') ? { origin: named('origin') } : {}),
    ...(operation.path.startsWith('/webhooks/') ? { [named('signature')]: operation.path } : {}),
  };
  const key = operation.parameters.find((one) => one.in === 'header');
  if (key === undefined) return fc.constant(base);
  // The same two again and again, so that a key comes with another body, too.
  const keys = rarely(fc.constant(named('fresh')), fc.constantFrom('once', 'twice'), 5);
  return keys.map((value) => ({ ...base, 'idempotency-key': value }));
}

function oddBodies(honest: fc.Arbitrary<Json>): fc.Arbitrary<string> {
  const around = honest.map((value) => JSON.stringify(value));
  return fc.oneof(
    fc.constantFrom('', ' ', '{', 'null', '1', '"word"', '[]', '{}', '\ufeff{}', '{"a":1}{"b":2}', "{'a':1}"),
    fc.constantFrom(
      `${'['.repeat(5_000)}${']'.repeat(5_000)}`,
      `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
    ),
    fc.constantFrom(70_000, 300_000).map((size) => JSON.stringify({ title: 'x'.repeat(size) })),
    around.map((text) => text.slice(0, text.length >> 1)),
    around.map((text) => `${text.slice(0, -1)},"__proto__":{"admin":true}}`),
    around.map((text) => `{"title":1,"kind":2,${text.slice(1)}`),
  );
}

interface Parts {
  caller: fc.Arbitrary<CallerName>;
  method: fc.Arbitrary<string>;
  path: fc.Arbitrary<string>;
  query: fc.Arbitrary<string[]>;
  headers: fc.Arbitrary<Record<string, string>>;
  body: fc.Arbitrary<string | undefined>;
}

/** What an honest client makes a request of, and the values of its body. */
function honestParts(
  document: ApiDocument,
  operation: Operation,
): { parts: Parts; honest: Honest; values?: fc.Arbitrary<Json> } {
  const { method, path, scopes, body: schema } = operation;
  const honest: Honest = (one) => valuesOf(one.schema, document.resolve, one.name).map(written);
  const values = schema === undefined ? undefined : (events[path] ?? valuesOf(schema, document.resolve));
  const invited = scopes.length === 0 ? callers : holdersOf(scopes);
  const parts: Parts = {
    // The first holder of a scope is who owns things.
    caller: fc.oneof(fc.constantFrom(...invited.slice(0, 1)), fc.constantFrom(...invited)),
    method: fc.constant(method),
    path: paths(operation, honest),
    query: queries(operation, honest),
    headers: headersOf(operation, schema !== undefined),
    body: values?.map((value) => JSON.stringify(value)) ?? fc.constant(undefined),
  };
  return { parts, honest, ...(values === undefined ? {} : { values }) };
}

function requestsOf(parts: Parts): fc.Arbitrary<FuzzRequest> {
  return fc.record({ ...parts }).map(({ path, query, ...rest }) => ({
    ...rest,
    target: query.length === 0 ? path : `${path}?${query.join('&')}`,
  }));
}

/** Requests by who may ask, as the document says. */
export function honestRequests(document: ApiDocument, operation: Operation): fc.Arbitrary<FuzzRequest> {
  return requestsOf(honestParts(document, operation).parts);
}

/** Requests of every kind by everybody: each part is honest or not by itself. */
export function allRequests(document: ApiDocument, operation: Operation): fc.Arbitrary<FuzzRequest> {
  const { parts, honest, values } = honestParts(document, operation);
  const takesQuery = queried(operation).length > 0;
  const manyQueries = fc.tuple(parts.query, oddQueries(operation)).map((pairs) => pairs.flat());
  const otherHeaders = fc.tuple(parts.headers, oddHeaders).map(([usual, odd]) => ({ ...usual, ...odd }));
  return requestsOf({
    caller: rarely(parts.caller, fc.constantFrom(...callers), 5),
    // Express answers HEAD by the handler of GET.
    method: operation.method === 'GET' ? rarely(parts.method, fc.constant('HEAD'), 12) : parts.method,
    path: paths(operation, (parameter) => rarely(honest(parameter), oddTexts, 5)),
    query: rarely(parts.query, manyQueries, takesQuery ? 1 : 10),
    headers: rarely(parts.headers, otherHeaders, 8),
    body:
      values === undefined
        ? parts.body
        : fc.oneof(
            { weight: 5, arbitrary: parts.body },
            { weight: 6, arbitrary: mutationsOf(values).map((value) => JSON.stringify(value)) },
            { weight: 1, arbitrary: oddBodies(values) },
          ),
  });
}
