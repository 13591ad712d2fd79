/** Plays random lists of commands in one database, and says how to play a failed one again. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { Knex } from 'knex';
import type { FreshDatabase } from './database';
import { commandLists } from './property-commands';
import { comeToRest, expectSound, expectSoundAtRest } from './property-invariants';
import { Model } from './property-model';
import { openShop, type Shop } from './property-shop';

/** How many lists are played, and which: none named, and fast-check draws a new seed. */
export interface Plan {
  runs: number;
  seed?: number;
  /** Of a failure that is played again. */
  path?: string;
  replayPath?: string;
  /** false: the first failure is told as it came. */
  shrink?: boolean;
}

/** The plan that the environment asks for. */
export function planFromEnvironment(runs: number): Plan {
  const {
    PROPERTY_RUNS: asked,
    PROPERTY_SEED: seed,
    PROPERTY_PATH: path,
    PROPERTY_REPLAY: replayPath,
  } = process.env;
  return {
    runs: asked ? Number(asked) : runs,
    ...(seed && { seed: Number(seed) }),
    ...(path && { path }),
    ...(replayPath && { replayPath }),
  };
}

async function setUp(db: Knex): Promise<{ model: Model; real: Shop }> {
  // What a failed list left due would otherwise ring in this one.
  await db('payment_tries').whereNotNull('next_look_at').update({ next_look_at: null });
  await db('refunds').whereNotNull('next_look_at').update({ next_look_at: null });
  await db('messages').whereNotNull('next_send_at').update({ next_send_at: null });
  const shop = openShop(db, randomBytes(4).toString('hex'));
  await shop.furnish();
  const model = new Model();
  shop.ids.carts.forEach((id, customer) =>
    model.carts.push({ id, customer, items: new Map(), converted: false }),
  );
  return { model, real: shop };
}

/** A list that failed. */
export interface Failure {
  /** What failed, the commands that led there, and the line that plays them again. */
  report: string;
  /** Plays this list alone. */
  again: Plan;
}

/** Commits without waiting for the disk: a crash of PostgreSQL is not among the things that happen here. */
export async function commitHastily({ db, url }: FreshDatabase): Promise<void> {
  await db.raw('ALTER DATABASE ?? SET synchronous_commit = off', [new URL(url).pathname.slice(1)]);
  await db.raw('SET synchronous_commit = off');
}

/**
 * Plays lists until one fails or all are played.
 * @returns the failure, or undefined
 */
export async function play(db: Knex, plan: Plan): Promise<Failure | undefined> {
  const property = fc.asyncProperty(commandLists(plan.replayPath), async ([offerings, commands]) => {
    const { model, real } = await setUp(db);
    for (const publish of offerings) await publish.act(model, real);
    try {
      await fc.asyncModelRun(() => ({ model, real }), commands);
      await expectSound(real);
      await comeToRest(real);
      await expectSoundAtRest(real);
    } finally {
      await real.temporal.quiet();
    }
  });
  const details = await fc.check(property, {
    numRuns: plan.runs,
    includeErrorInReport: true,
    // What was shrunk before is not shrunk again.
    endOnFailure: plan.shrink === false || plan.path !== undefined,
    ...(plan.seed === undefined ? {} : { seed: plan.seed }),
    ...(plan.path === undefined ? {} : { path: plan.path }),
  });
  if (!details.failed) return undefined;
  const told = (await fc.asyncDefaultReportMessage(details)) ?? '';
  const [seed, path] = [details.seed, details.counterexamplePath ?? ''];
  const replayPath = /replayPath="([^"]*)"/.exec(told)?.[1] ?? '';
  const line = `PROPERTY_SEED=${seed} PROPERTY_PATH='${path}' PROPERTY_REPLAY='${replayPath}' npm test -- property.test`;
  return { report: `${told}\n\nPlay it again: ${line}`, again: { runs: 1, seed, path, replayPath } };
}
