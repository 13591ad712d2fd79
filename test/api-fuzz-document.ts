/** The document that the API serves, as the fuzz reads it: what each operation takes, and whether a value fits. */
import addFormats from 'ajv-formats';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020';
import type { Json } from './world';

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  schema: Json;
}

/** One method of one path. */
export interface Operation {
  /** As people write it: `POST /v1/bookings`. */
  name: string;
  method: string;
  path: string;
  /** Any of them suffices; none: public. */
  scopes: readonly string[];
  /** Whether a ticket in the query may stand for the token. */
  byTicket: boolean;
  parameters: readonly Parameter[];
  /** Schema of the body; undefined where none is taken. */
  body?: Json;
  bodyRequired: boolean;
  /** By status. */
  responses: Readonly<Record<string, { content?: Record<string, unknown>; headers?: Json }>>;
}

export interface ApiDocument {
  operations: readonly Operation[];
  /** A schema, followed to where it stands. */
  resolve: (schema: Json) => Json;
  /** What is wrong with a body that is sent to an operation; undefined when it fits. */
  faultOfBody(operation: Operation, value: unknown): string | undefined;
  /** What is wrong with an answer's body; undefined when it fits. */
  faultOfAnswer(operation: Operation, status: number, type: string, value: unknown): string | undefined;
}

/** Reads an OpenAPI 3.1 document; its schemas are JSON Schema 2020-12. Source: spec.openapis.org/oas/v3.1.0#schema-object */
export function readDocument(document: Json): ApiDocument {
  // Not strict: OpenAPI's own words, such as `example`, stand among the schemas'.
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats['default'](ajv);
  ajv.addSchema(document, 'api');
  const compiled = new Map<string, ValidateFunction>();

  function faultAt(place: readonly string[], value: unknown): string | undefined {
    const pointer = place.map((step) => encodeURIComponent(step.replace(/~/g, '~0').replace(/\//g, '~1')));
    const $ref = `api#/${pointer.join('/')}`;
    const validate = compiled.get($ref) ?? ajv.compile({ $ref });
    compiled.set($ref, validate);
    return validate(value) === true ? undefined : ajv.errorsText(validate.errors, { dataVar: '' });
  }

  const placeOf = ({ path, method }: Operation) => ['paths', path, method.toLowerCase()];
  const step = (from: Json, name: string): Json => from[name];

  return {
    operations: Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, told]) => operationOf(path, method, told)),
    ),
    resolve: (schema) =>
      typeof schema?.$ref === 'string'
        ? String(schema.$ref).slice(2).split('/').reduce(step, document)
        : schema,
    faultOfBody: (operation, value) =>
      faultAt([...placeOf(operation), 'requestBody', 'content', 'application/json', 'schema'], value),
    faultOfAnswer: (operation, status, type, value) =>
      faultAt([...placeOf(operation), 'responses', `${status}`, 'content', type, 'schema'], value),
  };
}

function operationOf(path: string, method: string, told: Json): Operation {
  const security = told.security as Record<string, string[]>[];
  return {
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase(),
    path,
    scopes: security.flatMap((one) => one['token'] ?? []),
    byTicket: security.some((one) => one['ticket'] !== undefined),
    parameters: told.parameters ?? [],
    body: told.requestBody?.content['application/json'].schema,
    bodyRequired: told.requestBody?.required ?? false,
    responses: told.responses,
  };
}
