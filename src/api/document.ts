/** `/openapi.json` and `/docs`: made from the routes themselves, so they cannot tell of others. */
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { failures, type FailureType } from '../failures';
import { problemSchema } from './problem';
import { defineRoute, type Answer, type Route } from './route';

const securityScheme = 'token';
const ticketScheme = 'ticket';

/** Problems that a route can answer with because of how it is called, whatever it does. */
function commonProblems(route: Route): FailureType[] {
  const unlimited = ['/healthz', '/readyz', '/metrics'].includes(route.path);
  return [
    ...(route.scopes.length > 0 ? (['unauthenticated', 'forbidden'] as const) : []),
    // A path whose percent-encoding cannot be read matches the route all the same.
    ...(route.params === undefined ? [] : (['invalid-request'] as const)),
    ...(unlimited ? [] : (['rate-limited'] as const)),
    'internal',
  ];
}

function describeAnswer({ description, schema, contentType, headers }: Answer) {
  return {
    description,
    ...(schema === undefined ? {} : { content: { [contentType ?? 'application/json']: { schema } } }),
    ...(headers === undefined
      ? {}
      : {
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, text]) => [
              name,
              { description: text, schema: { type: 'string' as const } },
            ]),
          ),
        }),
  };
}

function describeProblems(types: readonly FailureType[]): ZodOpenApiResponsesObject {
  const statuses = new Set(types.map((type) => failures[type].status));
  const names = (status: number) => [...new Set(types)].filter((type) => failures[type].status === status);
  const described = [...statuses].map((status) => ({
    status,
    description: names(status)
      .map((name) => `\`${name}\`: ${failures[name].title}.`)
      .join(' '),
  }));
  const responses: ZodOpenApiResponsesObject = {};
  for (const { status, description } of described) {
    const content = { 'application/problem+json': { schema: problemSchema } };
    responses[`${status}` as '400'] = { description, content };
  }
  return responses;
}

function parametersOf(route: Route) {
  const key = z.string().min(1).max(255).meta({
    description: 'Made once per wish of the customer; a repeat with the same body is the same request.',
  });
  const header =
    route.idempotencyKey === undefined
      ? undefined
      : z.object({ 'Idempotency-Key': route.idempotencyKey === 'required' ? key : key.optional() });
  return {
    ...(route.params instanceof z.ZodObject ? { path: route.params } : {}),
    ...(route.query instanceof z.ZodObject ? { query: route.query } : {}),
    ...(header === undefined ? {} : { header }),
  };
}

function bodyOf(route: Route): Pick<ZodOpenApiOperationObject, 'requestBody'> {
  if (route.rawBody === true) {
    const anything = { type: 'object' as const };
    return { requestBody: { required: true, content: { 'application/json': { schema: anything } } } };
  }
  if (route.body === undefined) return {};
  const required = !route.body.safeParse({}).success;
  return { requestBody: { required, content: { 'application/json': { schema: route.body } } } };
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const { scopes } = route;
  return {
    operationId: `${route.method} ${route.path}`.replace(/\W+/g, '_').replace(/_$/, ''),
    tags: [route.tag],
    summary: route.summary,
    description: [
      route.description,
      scopes.length > 0 ? `Scope: ${scopes.map((scope) => `\`${scope}\``).join(' or ')}.` : 'Public.',
    ]
      .filter((text) => text !== undefined)
      .join('\n\n'),
    security: [
      ...scopes.map((scope) => ({ [securityScheme]: [scope] })),
      ...(route.ticket === true ? [{ [ticketScheme]: [] }] : []),
    ],
    requestParams: parametersOf(route),
    ...bodyOf(route),
    responses: {
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, answer]) => [status, describeAnswer(answer)]),
      ),
      ...describeProblems([...route.problems, ...commonProblems(route)]),
    },
  };
}

/** Makes the OpenAPI 3.1 document of these routes. */
export function describeRoutes(routes: readonly Route[], publicUrl: string) {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route) };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Payfirst',
      version: '1',
      description:
        'Payment-first booking: a seat is taken only when the money is really there, and money that buys nothing ' +
        'goes back. Errors are `application/problem+json` (RFC 9457). Amounts are in the smallest unit of their ' +
        'currency. Instants are UTC, ISO 8601.',
      license: { name: 'MIT' },
    },
    servers: [{ url: publicUrl }],
    paths,
    components: {
      securitySchemes: {
        [securityScheme]: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'Claims: `sub`, and `scope` as one space-separated string.',
        },
        [ticketScheme]: {
          type: 'apiKey',
          in: 'query',
          name: 'ticket',
          description:
            'As `links.events` of a booking carries it: for that booking, to connect within minutes.',
        },
      },
    },
  });
}

/** The document itself, and the page that shows it. `document` is asked once all routes are known. */
export function documentRoutes(document: () => unknown): Route[] {
  const tag = 'Documents';
  return [
    defineRoute({
      method: 'get',
      path: '/openapi.json',
      tag,
      summary: 'This document',
      scopes: [],
      answers: { 200: { description: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
      problems: [],
      handle: ({ response }) => {
        response.json(document());
      },
    }),
  ];
}
