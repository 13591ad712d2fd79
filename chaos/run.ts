/** One run: the load on its timetable, the faults at their times, a quiet end, and what it all leaves for the judge. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { makeDataConverter } from '../src/payloads';
import { makeClient } from './customers/asking';
import { readBooks } from './evidence/books';
import { Breaker } from './faults/breaker';
import { play, type Town } from './customers/customer';
import type { Charge, Evidence, Footprint, Refund, Visit } from './evidence/evidence';
import { heldBy, type Held } from './evidence/footprints';
import { listOnceClosed, replayAll } from './evidence/histories';
import type { Plan } from './plan';
import { countPending, countSessions, readRows, type WalletEntry } from './evidence/rows';
import { Sampler } from './evidence/samples';
import { offeringFor, openShop } from './customers/shop';
import { apiNames, windowSeconds, workerNames, type ChaosStack } from './stack/stack';

/** How long the quiet end may take before the run gives up waiting, in ms: twice what is promised, so that a miss has a figure. */
const quietWithinMs = 120_000;

/** Between two looks whether everything is over, in ms. */
const lookEveryMs = 500;

/** The default of DATABASE_POOL_MAX: an API has such a pool for writing and one for reading. */
const poolMax = 12;

/** Processes whose memory and files must come back, and what their pools to the database may keep open. */
const watched: readonly { name: string; pooled: number }[] = [
  ...apiNames.map((name) => ({ name, pooled: 2 * poolMax })),
  ...workerNames.map((name) => ({ name, pooled: poolMax })),
  // Two stores of 20 connections each: deploy/temporal.
  { name: 'temporal', pooled: 40 },
];
const ours = watched.filter(({ name }) => name !== 'temporal');

/**
 * Plays a plan on a stack.
 * @param startValue that the plan was drawn from
 * @param bundle path of the workflow code that the histories are replayed with; the build's if missing
 */
export async function run(
  stack: ChaosStack,
  plan: Plan,
  startValue: number,
  progress: (line: string) => void,
  bundle?: string,
): Promise<Evidence> {
  const adminUrl = stack.postgres.url('payfirst');
  const lastsMs = plan.wishes.at(-1)?.afterMs ?? 0;
  const silent = (): void => undefined;
  const [provider, operator] = await Promise.all([
    makeClient(stack.api, stack.env, { sub: 'dr-ada', scope: 'catalog' }, silent),
    makeClient(stack.api, stack.env, { sub: 'operator', scope: 'ops' }, silent),
  ]);
  const shop = await openShop(provider, plan.wishes.length, lastsMs);
  const before = watched.map(({ name }) => heldBy(stack.supervisor.pid(name)));
  const sessionsBefore = await countSessions(adminUrl);

  const loadFrom = Date.now();
  let closesAt = Infinity;
  const town: Town = { api: stack.api, env: stack.env, operator, windowSeconds, closesAt: () => closesAt };
  const sampler = new Sampler(adminUrl);
  const breaker = new Breaker(stack, progress);
  const breaking = breaker.playAll(plan.faults, loadFrom);
  const stays: Promise<Visit>[] = [];
  for (const wish of plan.wishes) {
    const plannedAt = loadFrom + wish.afterMs;
    await sleep(Math.max(0, plannedAt - Date.now()));
    stays.push(play(town, wish, offeringFor(shop, wish), plannedAt));
    if (wish.n % 200 === 199) progress(`${wish.n + 1} customers have come`);
  }
  await breaking;
  const lastFaultEndedAt = Math.max(loadFrom + lastsMs, ...breaker.played.map(({ to }) => to));
  closesAt = lastFaultEndedAt + quietWithinMs;
  progress('all customers have come, and the last fault is over');

  const quietAt = await untilQuiet(stack, stays, closesAt, progress);
  const visits = await Promise.all(stays);
  const samples = await sampler.end();
  const footprints = footprintsOf(stack, before);
  const connections = {
    before: sessionsBefore,
    after: await countSessions(adminUrl),
    pooled: ours.reduce((sum, { pooled }) => sum + pooled, 0),
  };

  const { rows, wallet } = await readRows(adminUrl);
  const book = await readBooks(stack.sandboxes);
  const mails = await stack.mail.messages();
  const connection = await Connection.connect({ address: stack.temporal.address });
  try {
    const keys = (stack.env['PAYLOAD_KEYS'] ?? '').split(',');
    const dataConverter = makeDataConverter(keys);
    const temporal = new Client({ connection, namespace: stack.temporal.namespace, dataConverter });
    const keepers = rows.cases.filter(({ resolved_at }) => resolved_at === null);
    const workflows = await listOnceClosed(temporal, new Set(keepers.map((one) => one.workflow_id)));
    progress(`replaying ${workflows.length} histories`);
    const replay = await replayAll(temporal, dataConverter, bundle);
    return {
      startValue,
      calls: book.calls,
      visits,
      objects: book.objects,
      charges: [...book.charges, ...wallet.filter(({ kind }) => kind === 'payment').map(chargeOf)],
      refunds: [...book.refunds, ...wallet.filter(({ kind }) => kind === 'refund').map(refundOf)],
      events: book.events,
      mails: mails.flatMap(({ messageId, to, subject, receivedAt }) =>
        to.map((address) => ({ messageId, to: address, subject, at: Date.parse(receivedAt) })),
      ),
      rows,
      samples,
      workflows,
      footprints,
      connections,
      faults: breaker.played,
      loadFrom,
      lastFaultEndedAt,
      ...(quietAt === undefined ? {} : { quietAt }),
      replay,
    };
  } finally {
    await connection.close();
  }
}

/** Waits until nothing is pending and every customer has gone. @returns when that was; undefined when it was not in time */
async function untilQuiet(
  stack: ChaosStack,
  stays: readonly Promise<Visit>[],
  until: number,
  progress: (line: string) => void,
): Promise<number | undefined> {
  let gone = false;
  void Promise.all(stays).then(() => (gone = true));
  let said = 0;
  while (Date.now() < until) {
    const pending = await countPending(stack.postgres.url('payfirst')).catch(() => undefined);
    const open = pending && pending.attempts + pending.refunds + pending.messages;
    if (open === 0 && gone) return Date.now();
    if (Date.now() - said > 10_000) {
      said = Date.now();
      progress(
        `not over yet: ${JSON.stringify(pending ?? 'the database is away')}${gone ? '' : ', and customers wait'}`,
      );
    }
    await sleep(lookEveryMs);
  }
  return undefined;
}

function footprintsOf(stack: ChaosStack, before: readonly (Held | undefined)[]): Footprint[] {
  return watched.flatMap(({ name, pooled }, n) => {
    const [was, is] = [before[n], heldBy(stack.supervisor.pid(name))];
    return was === undefined || is === undefined ? [] : [{ name, pooled, before: was, after: is }];
  });
}

const chargeOf = ({ id, booking_id, amount_minor, currency, at }: WalletEntry): Charge => ({
  gateway: 'wallet',
  ref: id,
  chargeId: id,
  bookingId: booking_id,
  amountMinor: -amount_minor,
  currency,
  at,
});

const refundOf = ({ id, booking_id, amount_minor, at }: WalletEntry): Refund => ({
  gateway: 'wallet',
  ref: id,
  objectRef: id,
  bookingId: booking_id,
  amountMinor: amount_minor,
  status: 'succeeded',
  at,
});
