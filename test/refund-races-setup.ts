/** A refund under way that several read at once, at a gateway that answers nobody before all have asked. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { giveBackActivities } from '../src/activities/give-back';
import { reconcileActivities } from '../src/activities/reconcile';
import { settleActivities } from '../src/activities/settle';
import type { Gateway, RefundState } from '../src/gateways/gateway';
import { addBooked, canceling, quietDependencies } from './cancel-races-setup';
import { addSlot, describe } from './settling-setup';

/** What the gateway says of a refund that it has made. */
export type Word = 'pending' | 'succeeded' | 'failed';

/** Answers one of those who asked. */
export type AnswerWith = (word: Word) => void;

/** The gateway's desk for refunds. */
export interface Desk {
  deps: Dependencies;
  /** Keys under which refunds were sent, as the gateway sees them: the same key is the same refund. */
  sent: Set<string>;
  /** The next so many who ask about a refund wait for each other, then each for an answer of its own. */
  gather(count: number): Promise<AnswerWith[]>;
}

/** A refund that the gateway works on. */
export interface UnderWay {
  bookingId: string;
  refundId: string;
}

/**
 * Activities on a gateway that makes every refund, and says `pending` of it unless `gather` is told otherwise.
 * @param idOf the gateway's id of a refund, the same each time unless told
 */
export function openDesk(db: Knex, idOf = (refundId: string): string => `re_${refundId}`): Desk {
  const quiet = quietDependencies(db);
  const sent = new Set<string>();
  const made = new Set<string>();
  let expected = 0;
  let asked: AnswerWith[] = [];
  let complete: (answers: AnswerWith[]) => void = () => undefined;
  const gateway = {
    ...quiet.gateways.get('stub'),
    refund: async ({ refundId, go, keyNumber }) => {
      sent.add(`${refundId}/${go}/${keyNumber}`);
      made.add(refundId);
      return { status: 'pending', refundRef: idOf(refundId) };
    },
    readRefund: ({ refundId }) => {
      if (!made.has(refundId)) return Promise.resolve({ status: 'missing' });
      if (expected === 0) return Promise.resolve({ status: 'pending', refundRef: idOf(refundId) });
      return new Promise<RefundState>((resolve) => {
        asked.push((status) => resolve({ status, refundRef: idOf(refundId) }));
        if (asked.length < expected) return;
        expected = 0;
        complete(asked);
      });
    },
  } as Gateway;
  return {
    deps: { ...quiet, gateways: new Map([['stub', gateway]]) },
    sent,
    gather: (count) => {
      expected = count;
      asked = [];
      return new Promise((resolve) => (complete = resolve));
    },
  };
}

/** What tells an activity whose it is. Failures are given to the test, which needs no warnings of them. */
function activityOf(workflowId: string): MockActivityEnvironment {
  const workflowExecution = { workflowId, runId: 'run' };
  return new MockActivityEnvironment({ workflowExecution }, { logger: new DefaultLogger('ERROR') });
}

/** The activity `sendRefund`. */
export async function send(deps: Dependencies, refundId: string): Promise<unknown> {
  return activityOf('sender').run(giveBackActivities(deps).sendRefund, refundId);
}

/** A canceled booking whose refund nobody has sent yet. */
export async function addOwed(deps: Dependencies): Promise<UnderWay> {
  const { db } = deps;
  const [bookingId = ''] = await addBooked(deps, await addSlot(db, 1), 1);
  await canceling(deps)(bookingId, 'customer');
  const owed = await db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where({ booking_id: bookingId })
    .first<{ id: string }>('refunds.id');
  return { bookingId, refundId: owed.id };
}

/** Who reads a refund: where its webhook leads, where the payment watch's ring leads, or an attempt that is rung. */
export type Reader = 'webhook' | 'watch' | 'attempt';

/** Reads a refund as that reader does, each in a workflow of its own. */
export function reading(
  deps: Dependencies,
  { bookingId, refundId }: UnderWay,
  reader: Reader,
): Promise<unknown> {
  const environment = activityOf(`${reader}/${bookingId}`);
  const rung = { gateway: 'stub', ref: `pi_${bookingId}`, at: new Date().toISOString() };
  switch (reader) {
    case 'webhook': {
      const heard = [
        { ...rung, by: 'webhook', eventId: `evt_${bookingId}`, type: 'refund.updated' } as const,
      ];
      const input = { gateway: 'stub', ref: rung.ref, bookingId };
      return environment.run(reconcileActivities(deps).reconcile, input, heard);
    }
    case 'watch':
      return environment.run(giveBackActivities(deps).readRefund, refundId, [
        { ...rung, by: 'watch' } as const,
      ]);
    case 'attempt':
      return environment.run(settleActivities(deps).settle, bookingId, []);
  }
}

/** A refund that the gateway has made and still works on. */
export async function addUnderWay(desk: Desk): Promise<UnderWay> {
  const owed = await addOwed(desk.deps);
  await send(desk.deps, owed.refundId);
  return owed;
}

/**
 * Lets all readers ask, and answers each with its word, in turn: all at once, or each only when the one before has written.
 * Returns the errors.
 */
export async function readBy(
  desk: Desk,
  underWay: UnderWay,
  readers: readonly Reader[],
  words: readonly Word[],
  when: 'at once' | 'one by one',
): Promise<string[]> {
  const gathered = desk.gather(readers.length);
  const errors: string[] = [];
  const running = readers.map((reader) =>
    reading(desk.deps, underWay, reader).catch((error: unknown) => errors.push(describe(error))),
  );
  const written = new Set<unknown>();
  for (const one of running) void one.then(() => written.add(one));
  for (const [n, answer] of (await gathered).entries()) {
    answer(words[n % words.length] ?? 'pending');
    if (when === 'one by one') await Promise.race(running.filter((one) => !written.has(one)));
  }
  await Promise.all(running);
  return errors;
}

/** What reading a refund left. */
export async function leftOfRefund(db: Knex, { bookingId, refundId }: UnderWay) {
  const attempt = await db('attempts').where({ booking_id: bookingId }).first<{ status: string }>('status');
  const refund = await db('refunds').where({ id: refundId }).first<{ status: string }>('status');
  const told = await db('messages')
    .where({ booking_id: bookingId })
    .whereIn('kind', ['payment-refunded', 'refund-failed'])
    .select<{ kind: string }[]>('kind');
  const cases = await db('cases')
    .where({ refund_id: refundId })
    .whereNull('resolved_at')
    .select<{ kind: string }[]>('kind');
  return {
    attempt: attempt.status,
    refund: refund.status,
    told: told.map((one) => one.kind).sort(),
    cases: cases.map((one) => one.kind),
  };
}

/** How often each word of the gateway was counted as new. */
export async function wordsCounted(deps: Dependencies): Promise<Record<string, number>> {
  const { values } = await deps.metrics.refunds.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels['status']), value]));
}
