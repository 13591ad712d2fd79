/** What an answer must be, whatever was asked: as the document says, without excuse, and without a trace where it refuses. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { scopesOf, type CallerName } from './api-fuzz-callers';
import type { ApiDocument, Operation } from './api-fuzz-document';
import type { Heard, Left, Sent } from './api-fuzz-shop';
import type { Json } from './world';

const problemTypes = new Set(
  [...readFileSync(join(__dirname, '..', 'docs', 'problems.md'), 'utf8').matchAll(/^## (\S+)$/gm)].map(
    ([, name]) => `/problems/${name}`,
  ),
);

/** One asking and its answer. */
export interface Asked {
  operation: Operation;
  caller: CallerName;
  sent: Sent;
  heard: Heard;
}

function parsed(text: string, revive?: (name: string, value: unknown) => unknown): Json {
  try {
    return JSON.parse(text, revive);
  } catch {
    return undefined;
  }
}

const typeOf = ({ headers }: Heard): string => (headers['content-type'] ?? '').replace(/;.*$/, '');

/** What is wrong with an answer; empty when nothing is. */
export function faultsOf(document: ApiDocument, asked: Asked): string[] {
  const { operation, heard, sent } = asked;
  const { status, text } = heard;
  if (status === 0) return [`no answer: ${text}`];
  // Nothing is away here, so there is nothing that an answer of this kind could mean.
  const faults = status >= 500 ? [`it is the fault of the service: ${status}`] : [];
  const told = operation.responses[status];
  if (told === undefined) return [...faults, `the document knows no ${status} here`, ...problemFaults(asked)];
  faults.push(...bodyFaults(document, asked), ...problemFaults(asked), ...tokenFaults(asked));
  for (const name of Object.keys((told.headers as object | undefined) ?? {})) {
    if (heard.headers[name.toLowerCase()] === undefined) faults.push(`there is no header ${name}`);
  }
  if (status < 300) faults.push(...acceptedFaults(document, operation, sent));
  return faults;
}

function bodyFaults(document: ApiDocument, { operation, sent, heard }: Asked): string[] {
  const { status, text } = heard;
  const types = Object.keys(operation.responses[status]?.content ?? {});
  if (types.length === 0 || sent.method === 'HEAD') return text === '' ? [] : ['there is a body'];
  const type = typeOf(heard);
  if (!types.includes(type)) return [`it is ${type || 'untyped'}, and not ${types.join(' or ')}`];
  const value = type.endsWith('json') ? parsed(text) : text;
  if (value === undefined) return ['it is not JSON'];
  const fault = document.faultOfAnswer(operation, status, type, value);
  return fault === undefined ? [] : [`its body does not fit the document: ${fault}`];
}

/** Whatever refuses is a problem document that says the same as the answer around it. Source: RFC 9457, 3.1 */
function problemFaults({ sent, heard }: Asked): string[] {
  const { status, headers, text } = heard;
  if (status < 400 || sent.method === 'HEAD') return [];
  if (typeOf(heard) !== 'application/problem+json') return [`a ${status} that is no problem document`];
  const problem = parsed(text);
  const faults: string[] = [];
  if (!problemTypes.has(problem?.type)) faults.push(`no page explains ${problem?.type}`);
  if (problem?.status !== status) faults.push(`the problem says ${problem?.status}`);
  if (problem?.instance !== sent.target.replace(/\?.*$/s, ''))
    faults.push(`it is about ${problem?.instance}`);
  if (problem?.requestId !== headers['x-request-id']) faults.push('its requestId is not the header’s');
  if (status === 401 && headers['www-authenticate'] === undefined) faults.push('a 401 without a challenge');
  if (status === 429 && headers['retry-after'] === undefined) faults.push('a 429 without Retry-After');
  return faults;
}

/** Whom no token lets in is told so before anything else is said; only a path that cannot be read comes first. */
function tokenFaults({ operation, caller, sent, heard }: Asked): string[] {
  const { scopes, byTicket } = operation;
  const unreadable = heard.status === 400 && isUnreadable(sent.target.replace(/\?.*$/s, ''));
  if (scopes.length === 0 || unreadable || (byTicket && sent.target.includes('ticket='))) return [];
  const granted = scopesOf(caller);
  const expected =
    granted === undefined ? 401 : scopes.some((one) => granted.includes(one)) ? undefined : 403;
  if (expected !== undefined && heard.status !== expected) return [`${caller} may not: that is ${expected}`];
  if (expected === undefined && heard.status === 401) return [`${caller} has a token that counts`];
  return [];
}

function isUnreadable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return false;
  } catch {
    return true;
  }
}

/** What the document refuses is not taken; white space around a text is taken off before. */
function acceptedFaults(document: ApiDocument, operation: Operation, { body }: Sent): string[] {
  // What a gateway has signed is the gateway's.
  const unread = operation.body === undefined || operation.path.startsWith('/webhooks/');
  if (unread || body === undefined || body === '') return [];
  // RFC 8259, 8.1: who reads JSON may ignore a byte order mark.
  const value = parsed(body.replace(/^\ufeff/, ''), (_name, inner: unknown) =>
    typeof inner === 'string' ? inner.trim() : inner,
  );
  if (value === undefined) return ['a body was taken that is no JSON'];
  const fault = document.faultOfBody(operation, value);
  return fault === undefined ? [] : [`a body was taken that the document refuses: ${fault}`];
}

/**
 * Refusals that are kept, and so may leave something: which tables, and whether by a workflow. A start refused by its quote
 * is kept under its key, and says so by its link; whether a policy grants a cancellation is the workflow's to decide.
 */
function leaves({ operation, heard }: Asked): { tables: readonly string[]; starts: boolean } {
  const problem = parsed(heard.text);
  if (operation.name === 'POST /v1/bookings' && problem?.links?.self !== undefined) {
    return { tables: ['attempts', 'failures'], starts: true };
  }
  const byPolicy = operation.name.endsWith('/cancel') && problem?.type === '/problems/not-cancelable';
  return { tables: [], starts: byPolicy };
}

/** What is refused leaves nothing, and what only reads. */
export function mustLeaveNothing({ sent, heard }: Asked): boolean {
  return heard.status >= 400 || ['GET', 'HEAD'].includes(sent.method);
}

/** What a request that must leave nothing has left between two looks. */
export function tracesOf(asked: Asked, before: Left, after: Left): string[] {
  const may = leaves(asked);
  const tables = Object.keys(after.rows).filter((name) => after.rows[name] !== before.rows[name]);
  const written = tables.filter((name) => !may.tables.includes(name));
  return [
    ...written.map((name) => `it wrote to ${name}`),
    ...(after.starts > before.starts && !may.starts ? ['it started a workflow'] : []),
  ];
}
