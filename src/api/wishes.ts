/** What the owner of an attempt may wish: another try, to be looked at now, the end. The workflow decides; the record tells. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { z } from 'zod';
import { cancelVerdict, isOpen, retryVerdict, walletMethod, type AttemptStatus } from '../booking';
import {
  bookingWorkflowId,
  cancelUpdate,
  doorbellSignal,
  retryUpdate,
  type Ring,
} from '../workflows/messages';
import { whyNotTaken, type Gateway } from '../gateways/gateway';
import { askAttempt, cancelConfirmed, type Outcome } from './attempts';
import type { cancelBody, retryBody, returnBody } from './booking-schemas';
import { alternativesPath, showBooking, showStarting, type BookingRecord } from './booking-view';
import { findBooking, readable, type Found } from './find';
import type { ApiDependencies } from './dependencies';
import { invalid, Problem, unavailable } from './problem';
import type { Asked } from './route';

type AskedAbout<B extends z.ZodType> = Asked<{ id: string }, undefined, z.output<B>>;

/** How long a ring may take to be durable, in ms. */
const ringWithinMs = 5_000;

/** Makes the handlers of `…/retry`, `…/return` and `…/cancel`. */
export function makeWishes(deps: ApiDependencies) {
  const { temporal, gateways } = deps;

  async function retry(asked: AskedAbout<typeof retryBody>): Promise<void> {
    const method = asked.body.payment?.method;
    const found = await findOwn(deps, asked);
    if (isOver(found)) throw new Problem('attempt-over');
    const offered = [...gateways.keys(), walletMethod];
    if (method !== undefined && !offered.includes(method)) {
      throw invalid('/payment/method', `Not offered here. Offered: ${offered.join(', ')}.`);
    }
    const gateway = method === undefined ? undefined : gateways.get(method);
    if (gateway !== undefined && typeof found === 'object') {
      const { total_minor: amountMinor, currency } = found.record;
      const unpayable = whyNotTaken(gateway, { amountMinor, currency });
      if (unpayable !== undefined) throw invalid('/payment/method', unpayable);
    }
    const wish = method === undefined ? {} : { method };
    const outcome = await askAttempt(temporal, asked.params.id, retryUpdate, [wish]);
    const now = await afterAsking(deps, asked, outcome);
    if (outcome.kind === 'over' && isOver(now)) {
      // It ended while the wish was under way. What was paid meanwhile, from the wallet by this very wish or at the old
      // gateway, is what the customer wanted: Temporal drops the answer when a ring comes as the workflow ends.
      if (retryVerdict(now.record.status) === 'attempt-over') throw new Problem('attempt-over');
      return show(deps, asked, now);
    }
    answer(deps, asked, outcome, now);
  }

  async function cancel(asked: AskedAbout<typeof cancelBody>): Promise<void> {
    const found = await findOwn(deps, asked);
    const { reason } = asked.body;
    const wish = reason === undefined ? {} : { reason };
    if (isOver(found)) return cancelDecided(asked, found.record.status, wish);
    const outcome = await askAttempt(temporal, asked.params.id, cancelUpdate, [wish]);
    const now = await afterAsking(deps, asked, outcome);
    // What became of it while the wish was under way: paid and booked, given back, or over.
    if (outcome.kind === 'over' && isOver(now)) {
      // Nobody could read what this was wished of: it may be a booking that stands, and whose owner is waiting to be rid of it.
      if (found === 'unreadable') return cancelDecided(asked, now.record.status, wish);
      const verdict = cancelVerdict(now.record.status);
      if (verdict === 'not-cancelable' || verdict === 'attempt-over') throw new Problem(verdict);
      return show(deps, asked, now);
    }
    answer(deps, asked, outcome, now);
  }

  /** Canceling what is decided: granted where it is so, by the offering's policy where the booking stands. */
  async function cancelDecided(
    asked: AskedAbout<typeof cancelBody>,
    status: AttemptStatus,
    wish: { reason?: string },
  ): Promise<void> {
    const verdict = cancelVerdict(status);
    if (verdict === 'not-cancelable' || verdict === 'attempt-over') throw new Problem(verdict);
    if (verdict === 'by-policy') {
      const input = { bookingId: asked.params.id, requestId: asked.requestId, ...wish };
      const outcome = await cancelConfirmed(deps, input);
      return answer(deps, asked, outcome, await afterAsking(deps, asked, outcome));
    }
    show(deps, asked, await findOwn(deps, asked));
  }

  async function comeBack(asked: AskedAbout<typeof returnBody>): Promise<void> {
    const { id } = asked.params;
    const found = await findOwn(deps, asked);
    const method = typeof found === 'object' ? found.record.method : null;
    const gateway = method === null ? {} : { gateway: method };
    checkReturn(method === null ? undefined : gateways.get(method), asked.body);
    const rung: Ring = { by: 'return', ...gateway, at: new Date().toISOString() };
    try {
      await temporal.withDeadline(Date.now() + ringWithinMs, () =>
        temporal.workflow.getHandle(bookingWorkflowId(id)).signal(doorbellSignal, rung),
      );
    } catch (error) {
      // Over already: there is nothing to look at that a webhook would not tell.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
    asked.response.status(202);
    show(deps, asked, found);
  }

  return { retry, cancel, comeBack };
}

/** @throws Problem `not-found` for anybody but the owner, operators and providers included */
async function findOwn(deps: ApiDependencies, { caller, params }: AskedAbout<z.ZodType>): Promise<Found> {
  const found = await findBooking(deps, caller, params.id);
  if (typeof found === 'object' && found.viewer.as !== 'owner') throw new Problem('not-found');
  return found;
}

/** @throws Problem `invalid-request` for what claims to come from the gateway's page and does not */
function checkReturn(gateway: Gateway | undefined, returned: Readonly<Record<string, unknown>>): void {
  try {
    gateway?.verifyReturn?.(returned);
  } catch {
    throw new Problem('invalid-request', 'The signature is wrong.');
  }
}

function isOver(found: Found): found is { record: BookingRecord; viewer: { as: 'owner' } } {
  return typeof found === 'object' && !isOpen(found.record.status);
}

/** The record after the workflow has answered. @throws the refusal as a problem; `unavailable` without an answer */
async function afterAsking(
  deps: ApiDependencies,
  asked: AskedAbout<z.ZodType>,
  outcome: Outcome,
): Promise<Found> {
  if (outcome.kind === 'silent') throw unavailable('No answer in time. The same request may be sent again.');
  const found = await findOwn(deps, asked);
  if (outcome.kind !== 'refused') return found;
  const alternatives =
    outcome.type === 'slot-unavailable' && typeof found === 'object'
      ? { links: { alternatives: alternativesOf(found.record) } }
      : {};
  throw new Problem(outcome.type, undefined, alternatives);
}

function alternativesOf(record: BookingRecord): string {
  const startsAt = record.quote.items[0]?.startsAt;
  return alternativesPath(record.alternatives_provider, startsAt === undefined ? null : new Date(startsAt));
}

function answer(deps: ApiDependencies, asked: AskedAbout<z.ZodType>, outcome: Outcome, now: Found): void {
  // Its workflow is gone although nothing was decided: an operator's termination. Nobody is told "done".
  if (outcome.kind === 'over') throw unavailable();
  if (now === 'starting') asked.response.status(202);
  show(deps, asked, now);
}

/** @throws Problem `unavailable` where the record cannot be read now: what was wished is on its way, and may be sent again */
function show(deps: ApiDependencies, asked: AskedAbout<z.ZodType>, found: Found): void {
  const seen = readable(found);
  asked.response.json(
    seen === 'starting'
      ? showStarting(deps.config, asked.params.id)
      : showBooking(seen.record, seen.viewer, true),
  );
}
