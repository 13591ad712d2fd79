/** Cases: what only a person can decide, and the deciding. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { actionsFor, isId, type CaseAction, type CaseKind } from '../booking';
import type { CaseRow } from '../database';
import {
  caseWorkflowId,
  resolveCaseSignal,
  searchAttributes,
  workflowTypes,
  type Resolution,
} from '../workflows/messages';
import type { ApiDependencies } from './dependencies';
import { cutPage, instantOfMicros, microsOf, pageOf, pageQuery, readCursor } from './pages';
import { invalid, Problem } from './problem';
import { defineRoute, type Asked, type Route } from './route';
import { bookingId } from './booking-schemas';
import { currency, instantShown } from './validation';

const kinds = Object.keys(actionsFor) as [CaseKind, ...CaseKind[]];
const actions = ['retry-refund', 'mark-settled', 'resend'] as const satisfies readonly CaseAction[];

const caseId = z
  .string()
  .refine((text) => isId('case', text), 'Not the id of a case.')
  .meta({ example: 'cas_5h0q2m4c8d6e9f1g3j7k5n2p' });

const caseView = z
  .object({
    id: caseId,
    kind: z.enum(kinds),
    status: z.enum(['open', 'resolved']),
    bookingId: bookingId.optional(),
    gateway: z.string().optional(),
    gatewayRef: z.string().optional(),
    amountMinor: z.int().optional(),
    currency: currency.optional(),
    detail: z.string(),
    openedAt: instantShown,
    resolvedAt: instantShown.optional(),
    resolvedBy: z.string().optional(),
    resolution: z.enum(actions).optional(),
    note: z.string().optional(),
  })
  .meta({ id: 'Case' });
type CaseView = z.infer<typeof caseView>;

const caseQuery = z.strictObject({
  status: z.enum(['open', 'resolved', 'all']).default('open'),
  ...pageQuery,
});

const resolution = z
  .strictObject({
    action: z.enum(actions),
    note: z.string().trim().min(1).max(2_000).optional(),
  })
  .refine(({ action, note }) => action !== 'mark-settled' || note !== undefined, {
    path: ['note'],
    message: 'Say how it was settled.',
  })
  .meta({ id: 'CaseResolution' });

const idOnly = z.strictObject({ id: caseId });
const tag = 'Cases';

/** How long to wait for the workflow to write the decision down, in ms, and how often to look. */
const decidedWithinMs = 8_000;
const lookEveryMs = 200;
/** How long the signal may take to be durable, in ms. */
const signalWithinMs = 5_000;

interface ListedCase extends CaseRow {
  gateway: string | null;
  gateway_ref: string | null;
  opened_micros: number;
}

/** The routes of cases; all for operators. */
export function caseRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/cases',
      tag,
      summary: 'List cases, newest first',
      scopes: ['ops'],
      query: caseQuery,
      answers: { 200: { description: 'A page of cases', schema: pageOf(caseView) } },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, response }) => {
        response.json(await list(deps, query));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/cases/{id}',
      tag,
      summary: 'Read a case',
      scopes: ['ops'],
      params: idOnly,
      answers: { 200: { description: 'The case', schema: caseView } },
      problems: ['not-found', 'unavailable'],
      handle: async ({ params, response }) => {
        response.json(show(await read(deps, params.id)));
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/cases/{id}/resolve',
      tag,
      summary: 'Decide a case',
      description:
        'refund-failed and refund-overdue: retry-refund or mark-settled. unmatched-payment: mark-settled. ' +
        'message-failed: resend or mark-settled. mark-settled needs a note.',
      scopes: ['ops'],
      params: idOnly,
      body: resolution,
      answers: {
        200: { description: 'Decided', schema: caseView },
        202: { description: 'Handed over; not written down yet', schema: caseView },
      },
      problems: ['invalid-request', 'not-found', 'case-resolved', 'payload-too-large', 'unavailable'],
      handle: (asked) => resolve(deps, asked),
    }),
  ];
}

async function resolve(
  deps: ApiDependencies,
  asked: Asked<{ id: string }, undefined, z.output<typeof resolution>>,
): Promise<void> {
  const { params, body, caller, response } = asked;
  const found = await read(deps, params.id);
  if (found.resolved_at !== null) throw new Problem('case-resolved');
  if (!actionsFor[found.kind].includes(body.action)) {
    throw invalid('/action', `A case of kind ${found.kind} takes: ${actionsFor[found.kind].join(', ')}.`);
  }
  const { action, note } = body;
  const decided: Resolution = {
    caseId: found.id,
    action,
    by: caller.sub,
    ...(note === undefined ? {} : { note }),
  };
  await tell(deps, found, decided);
  const now = await untilDecided(deps, found.id);
  const ours = now.resolved_by === decided.by && now.resolution === action;
  if (now.resolved_at !== null && !ours) throw new Problem('case-resolved');
  response.status(now.resolved_at === null ? 202 : 200).json(show(now));
}

/**
 * Hands the decision to the workflow that keeps the case open. Where that is gone (an operator terminated it) or not there
 * yet, the decision brings its own.
 */
async function tell(deps: ApiDependencies, found: CaseRow, decided: Resolution): Promise<void> {
  const { temporal, reading, config } = deps;
  const until = Date.now() + signalWithinMs;
  try {
    await temporal.withDeadline(until, () =>
      temporal.workflow.getHandle(found.workflow_id).signal(resolveCaseSignal, decided),
    );
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    const now = await reading<CaseRow>('cases').where({ id: found.id }).first();
    if (now !== undefined && now.resolved_at !== null) throw new Problem('case-resolved');
    const { id: keptCase, booking_id: bookingId } = found;
    await temporal.withDeadline(until, () =>
      temporal.workflow.signalWithStart(workflowTypes.attendCase, {
        workflowId: caseWorkflowId(keptCase),
        taskQueue: config.taskQueue,
        args: [{ caseId: keptCase, bookingId }],
        signal: resolveCaseSignal,
        signalArgs: [decided],
        workflowIdConflictPolicy: 'USE_EXISTING',
        typedSearchAttributes: [
          { key: searchAttributes.needsAttention, value: true },
          ...(bookingId === null ? [] : [{ key: searchAttributes.bookingId, value: bookingId }]),
        ],
      }),
    );
  }
}

async function untilDecided(deps: ApiDependencies, id: string): Promise<ListedCase> {
  const until = Date.now() + decidedWithinMs;
  for (;;) {
    const now = await read(deps, id);
    if (now.resolved_at !== null || Date.now() > until || deps.stopping?.aborted === true) return now;
    await new Promise((wake) => setTimeout(wake, lookEveryMs));
  }
}

function selectCases({ reading }: ApiDependencies) {
  return reading('cases')
    .leftJoin('payments', 'payments.id', 'cases.payment_id')
    .select(
      'cases.*',
      'payments.gateway',
      'payments.gateway_ref',
      reading.raw(`${microsOf('cases.opened_at')} AS opened_micros`),
    );
}

async function read(deps: ApiDependencies, id: string): Promise<ListedCase> {
  const row = await selectCases(deps).where('cases.id', id).first<ListedCase | undefined>();
  if (row === undefined) throw new Problem('not-found');
  return row;
}

async function list(deps: ApiDependencies, query: z.output<typeof caseQuery>) {
  const after = readCursor(query.cursor);
  const rows = selectCases(deps)
    .orderBy([{ column: 'cases.opened_at', order: 'desc' }, { column: 'cases.id' }])
    .limit(query.limit + 1);
  if (query.status === 'open') void rows.whereNull('cases.resolved_at');
  if (query.status === 'resolved') void rows.whereNotNull('cases.resolved_at');
  if (after !== undefined) {
    void rows
      .whereRaw(`cases.opened_at <= ${instantOfMicros}`, [after.micros])
      .whereRaw(`(cases.opened_at < ${instantOfMicros} OR cases.id > ?)`, [after.micros, after.id]);
  }
  return cutPage(
    (await rows) as ListedCase[],
    query.limit,
    (row) => ({ micros: row.opened_micros, id: row.id }),
    show,
  );
}

function show(row: ListedCase): CaseView {
  return {
    id: row.id,
    kind: row.kind,
    status: row.resolved_at === null ? 'open' : 'resolved',
    ...(row.booking_id === null ? {} : { bookingId: row.booking_id }),
    ...(row.gateway === null ? {} : { gateway: row.gateway }),
    ...(row.gateway_ref === null ? {} : { gatewayRef: row.gateway_ref }),
    ...(row.amount_minor === null ? {} : { amountMinor: row.amount_minor }),
    ...(row.currency === null ? {} : { currency: row.currency }),
    detail: row.detail,
    openedAt: row.opened_at.toISOString(),
    ...(row.resolved_at === null ? {} : { resolvedAt: row.resolved_at.toISOString() }),
    ...(row.resolved_by === null ? {} : { resolvedBy: row.resolved_by }),
    ...(row.resolution === null ? {} : { resolution: row.resolution }),
    ...(row.note === null ? {} : { note: row.note }),
  };
}
