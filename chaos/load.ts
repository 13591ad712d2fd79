/** The load of a run on its timetable, and its faults at their times. */
import { setTimeout as sleep } from 'node:timers/promises';
import { makeClient, type Client } from './customers/asking';
import { play, type Town } from './customers/customer';
import { offeringFor, openShop, type Shop } from './customers/shop';
import type { Played, Visit } from './evidence/evidence';
import { Breaker } from './faults/breaker';
import type { Plan } from './plan';
import type { Ground } from './stack/stack';
import { windowSeconds } from './stack/surroundings';

/** How long the quiet end may take before the run gives up waiting, in ms: twice what is promised, so that a miss has a figure. */
const quietWithinMs = 120_000;

/** What there is to buy, and who credits wallets. */
export interface Opened {
  shop: Shop;
  operator: Client;
}

/** Publishes what the customers of a plan want. */
export async function openFor({ api, env }: Ground, { wishes }: Plan): Promise<Opened> {
  const silent = (): void => undefined;
  const provider = await makeClient(api, env, { sub: 'dr-ada', scope: 'catalog' }, silent);
  return {
    shop: await openShop(provider, wishes.length, wishes.at(-1)?.afterMs ?? 0),
    operator: await makeClient(api, env, { sub: 'operator', scope: 'ops' }, silent),
  };
}

/** All customers have come, and the last fault is over; some customers are still there. Times in milliseconds since 1970. */
export interface Loaded {
  stays: Promise<Visit>[];
  faults: Played[];
  loadFrom: number;
  lastFaultEndedAt: number;
  /** When the last customer gives up. */
  closesAt: number;
}

/** Sends every customer at their time, whether or not anything answers, and breaks what the plan says. */
export async function load(
  ground: Ground,
  plan: Plan,
  { shop, operator }: Opened,
  progress: (line: string) => void,
): Promise<Loaded> {
  const loadFrom = Date.now();
  let closesAt = Infinity;
  const { api, env } = ground;
  const town: Town = { api, env, operator, windowSeconds, closesAt: () => closesAt };
  const breaker = new Breaker(ground, progress);
  const breaking = breaker.playAll(plan.faults, loadFrom);
  const stays: Promise<Visit>[] = [];
  for (const wish of plan.wishes) {
    const plannedAt = loadFrom + wish.afterMs;
    await sleep(Math.max(0, plannedAt - Date.now()));
    stays.push(play(town, wish, offeringFor(shop, wish), plannedAt));
    if (wish.n % 200 === 199) progress(`${wish.n + 1} customers have come`);
  }
  await breaking;
  const lastFaultEndedAt = Math.max(Date.now(), ...breaker.played.map(({ to }) => to));
  closesAt = lastFaultEndedAt + quietWithinMs;
  progress('all customers have come, and the last fault is over');
  return { stays, faults: breaker.played, loadFrom, lastFaultEndedAt, closesAt };
}
