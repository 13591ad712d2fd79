/** One run: the load and its faults, a quiet end, and what it all leaves for the judge. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { makeDataConverter } from '../src/payloads';
import { bookingWorkflowId } from '../src/workflows/messages';
import { introduce, providerEmail } from './customers/shop';
import { readBooks } from './evidence/books';
import type { Charge, Evidence, Footprint, Refund, Visit } from './evidence/evidence';
import { heldBy, type Held } from './evidence/footprints';
import { listOnceClosed, replayAll } from './evidence/histories';
import type { Plan } from './plan';
import { countPending, countSessions, readRows, type WalletEntry } from './evidence/rows';
import { Sampler } from './evidence/samples';
import { load, openFor, providerOf } from './load';
import type { ChaosStack, Ground } from './stack/stack';
import { poolMax } from './stack/surroundings';

/** Between two looks whether everything is over, in ms. */
const lookEveryMs = 500;

/**
 * From the end to the look at what processes hold, in ms: time for connections that nobody needs any more to end by themselves. A
 * server of Node keeps one for 5 s (`server.keepAliveTimeout`, its documentation of version 20), its `fetch` for 4 s.
 */
const idleConnectionMs = 8_000;

/**
 * Temporal's server keeps 4,096 workflows (`deploy/temporal/dynamic-config.yaml`), 46 KiB each, and events and shards up to numbers of
 * its own. Seen: 245 MiB after a minute of load, 431 in the midst of 12,000 attempts, 393 with 10,000 open.
 */
const temporalCaches = 256 * 1024 * 1024;

/**
 * A worker has two heaps of V8, its own and that of its workflow thread, and each keeps its garbage while there is room. Seen: 148 MiB
 * at its start, 413 MiB after a rush of 600 attempts.
 */
const workflowThread = 256 * 1024 * 1024;

type Watched = Pick<Footprint, 'name' | 'pooled' | 'cached'>;

/** Processes whose memory and files must come back, and what their pools to the database and their caches may keep. */
const watchedOf = ({ apis, workers }: Ground): Watched[] => [
  ...apis.map((name) => ({ name, pooled: 2 * poolMax, cached: 0 })),
  ...workers.map((name) => ({ name, pooled: poolMax, cached: workflowThread })),
  // Two stores of 20 connections each: deploy/temporal.
  { name: 'temporal', pooled: 40, cached: temporalCaches },
];

/**
 * Plays a plan on a stack.
 * @param startValue that the plan was drawn from
 * @param builds whose workflow code the histories are replayed with
 */
export async function run(
  stack: ChaosStack,
  plan: Plan,
  startValue: number,
  progress: (line: string) => void,
  builds: readonly { build: string; bundle: string }[],
): Promise<Evidence> {
  const adminUrl = stack.postgres.url('payfirst');
  await introduce(await providerOf(stack));
  const shop = await openFor(stack, plan);
  const watched = watchedOf(stack);
  const before = watched.map(({ name }) => heldBy(stack.supervisor.pid(name)));
  const sessionsBefore = await countSessions(adminUrl);

  const sampler = new Sampler(adminUrl);
  const loaded = await load(stack, plan, shop, progress);
  const { faults, loadFrom, lastFaultEndedAt, closesAt } = loaded;
  const quietAt = await untilQuiet(stack, loaded.visits, closesAt, progress);
  const visits = await loaded.visits;
  const samples = await sampler.end();
  await sleep(idleConnectionMs);
  const footprints = footprintsOf(stack, watched, before);
  const connections = {
    before: sessionsBefore,
    after: await countSessions(adminUrl),
    pooled: watched.reduce((sum, { name, pooled }) => sum + (name === 'temporal' ? 0 : pooled), 0),
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
    const workflows = await listOnceClosed(
      temporal,
      rows.attempts.map((one) => bookingWorkflowId(one.booking_id)),
      new Set(keepers.map((one) => one.workflow_id)),
    );
    progress(
      `replaying ${workflows.length} histories with ${builds.map(({ build }) => build).join(' and with ')}`,
    );
    const at = { address: stack.temporal.address, namespace: stack.temporal.namespace, keys };
    const replays = await Promise.all(builds.map((build) => replayAll({ ...at, ...build })));
    return {
      startValue,
      providerEmail,
      mustLand: plan.mustLand,
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
      faults,
      loadFrom,
      lastFaultEndedAt,
      ...(quietAt === undefined ? {} : { quietAt }),
      replays,
    };
  } finally {
    await connection.close();
  }
}

/**
 * Waits until nothing is pending, every customer has gone, and all money that the gateways hold is known: who pays late is gone
 * before anybody has heard of it.
 * @returns when that was; undefined when it was not in time
 */
async function untilQuiet(
  stack: ChaosStack,
  visits: Promise<Visit[]>,
  until: number,
  progress: (line: string) => void,
): Promise<number | undefined> {
  let gone = false;
  void visits.then(() => (gone = true));
  let said = 0;
  while (Date.now() < until) {
    const pending = await countPending(stack.postgres.url('payfirst')).catch(() => undefined);
    const open = pending && pending.attempts + pending.refunds + pending.messages;
    if (open === 0 && gone && (await isAllKnown(stack, pending?.payments))) return Date.now();
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

async function isAllKnown({ sandboxes }: ChaosStack, payments = 0): Promise<boolean> {
  const { charges } = await readBooks(sandboxes);
  return charges.length <= payments;
}

function footprintsOf(
  stack: ChaosStack,
  watched: readonly Watched[],
  before: readonly (Held | undefined)[],
): Footprint[] {
  return watched.map((one, n) => {
    const [was, is] = [before[n], heldBy(stack.supervisor.pid(one.name))];
    if (was === undefined) throw new Error(`${one.name} was not there before the load`);
    return { ...one, before: was, ...(is === undefined ? {} : { after: is }) };
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
