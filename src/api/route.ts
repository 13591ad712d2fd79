/**
 * Routes as data: what a route takes, who may call it and what it answers stand in one object, from which it is mounted,
 * its requests are validated, and `/openapi.json` is made. So the document cannot differ from the routes.
 */
import express, { type IRouter, type Request, type RequestHandler, type Response } from 'express';
import type { z } from 'zod';
import type { FailureType } from '../failures';
import { callerWith, type Caller, type Scope } from './auth';
import { Problem, requestIdOf, type Fault } from './problem';
import { faultsOf, refuseUnstorable } from './validation';

/** What a handler is given: everything validated. */
export interface Asked<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  /** Only on routes with scopes. */
  caller: Caller;
  requestId: string;
  /** Undefined when none was sent, where it is optional. */
  idempotencyKey: string | undefined;
  request: Request;
  response: Response;
}

export interface Answer {
  description: string;
  schema?: z.ZodType;
  /** Default `application/json`. */
  contentType?: string;
  /** Headers worth naming, with their description. */
  headers?: Record<string, string>;
}

/** What the document tells of a route. */
interface RouteFacts {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** As OpenAPI writes it: `/v1/offerings/{id}`. */
  path: string;
  tag: string;
  summary: string;
  description?: string;
  /** Any of them suffices; empty means public. */
  scopes: readonly Scope[];
  /** Whether a ticket in the query (`?ticket=`) may stand for the token; the handler checks it. */
  ticket?: true;
  idempotencyKey?: 'required' | 'optional';
  /** Body that is read raw and not by a schema, as the gateway's signature needs it. */
  rawBody?: true;
  answers: Record<number, Answer>;
  problems: readonly FailureType[];
}

interface RouteSpec<P, Q, B> extends RouteFacts {
  params?: z.ZodType<P>;
  query?: z.ZodType<Q>;
  body?: z.ZodType<B>;
  /** Largest body in bytes, where it may be larger than elsewhere. */
  bodyLimit?: number;
  /** Limits that stand before the handler. */
  limits?: readonly RequestHandler[];
  handle: (asked: Asked<P, Q, B>) => Promise<void> | void;
}

/** A route ready to be mounted and described. */
export interface Route extends RouteFacts {
  params?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  handlers: readonly RequestHandler[];
}

/** Largest body of the API, in bytes: 20 items with 8 KiB of details each do not fit, and no honest client sends them. */
const bodyLimit = 64 * 1024;

const jsonReader = (limit: number): RequestHandler => express.json({ limit, strict: true });

const readJson = jsonReader(bodyLimit);

/** express.json skips other content types; a body it skipped would look like none. */
const refuseOtherBodies: RequestHandler = (request, _response, next) => {
  const empty = request.headers['content-length'] === '0' || request.headers['content-length'] === undefined;
  const absent = empty && request.headers['transfer-encoding'] === undefined;
  if (!absent && !request.is('application/json')) {
    throw new Problem('invalid-request', 'The body must be JSON, with Content-Type: application/json.');
  }
  next();
};

/**
 * Reads `Idempotency-Key`.
 * @throws Problem `idempotency-key-missing`, `invalid-request` when it is longer than 255 or not printable
 */
function keyOf(request: Request, rule: 'required' | 'optional' | undefined): string | undefined {
  const key = rule === undefined ? undefined : request.get('Idempotency-Key')?.trim();
  if (key === undefined || key === '') {
    if (rule !== 'required') return undefined;
    throw new Problem(
      'idempotency-key-missing',
      'Send an Idempotency-Key header, made once per wish of the customer, so that a repeat cannot pay twice.',
    );
  }
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    const detail = 'The Idempotency-Key must be 1 to 255 printable ASCII characters.';
    throw new Problem('invalid-request', detail, { errors: [{ pointer: 'Idempotency-Key', detail }] });
  }
  return key;
}

function parsed<T>(schema: z.ZodType<T> | undefined, value: unknown): T {
  if (schema === undefined) return undefined as T;
  refuseUnstorable(value);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = faultsOf(result.error);
  const [only] = errors;
  const detail =
    errors.length === 1 && only !== undefined
      ? named(only)
      : `${errors.length} things are wrong; see errors.`;
  throw new Problem('invalid-request', detail, { errors });
}

/** One fault with the field that it is of, for people who see nothing but the detail. */
function named({ pointer, detail }: Fault): string {
  return pointer === '' ? detail : `${pointer.slice(1)}: ${detail}`;
}

/** A path whose parameter has not the form of an id names nothing. */
function parsedParams<P>(schema: z.ZodType<P> | undefined, value: unknown): P {
  if (schema === undefined) return undefined as P;
  const result = schema.safeParse(value);
  if (!result.success) throw new Problem('not-found');
  return result.data;
}

/** Defines a route; see `RouteSpec`. */
export function defineRoute<P = undefined, Q = undefined, B = undefined>(spec: RouteSpec<P, Q, B>): Route {
  const { handle, limits = [], bodyLimit: ownLimit, ...facts } = spec;
  const authorize: RequestHandler = (request, response, next) => {
    (response.locals as { route?: string }).route = spec.path;
    // Express would answer `If-None-Match: *` with 304, which here means that a wait has ended without a change.
    delete request.headers['if-none-match'];
    const byTicket = spec.ticket === true && request.query['ticket'] !== undefined;
    if (spec.scopes.length > 0 && !byTicket) callerWith(response, spec.scopes);
    next();
  };
  const run: RequestHandler = async (request, response) => {
    await handle({
      params: parsedParams(spec.params, request.params),
      idempotencyKey: keyOf(request, spec.idempotencyKey),
      query: parsed(spec.query, request.query),
      body: parsed(spec.body, request.body ?? {}),
      get caller() {
        return callerWith(response, spec.scopes);
      },
      requestId: requestIdOf(response),
      request,
      response,
    });
  };
  const reader = ownLimit === undefined ? readJson : jsonReader(ownLimit);
  const body = spec.body === undefined ? [] : [refuseOtherBodies, reader];
  return { ...facts, handlers: [authorize, ...limits, ...body, run] };
}

/** Mounts routes on an Express router. */
export function mount(router: IRouter, routes: readonly Route[]): void {
  for (const route of routes) {
    router[route.method](route.path.replace(/\{(\w+)\}/g, ':$1'), ...route.handlers);
  }
}
