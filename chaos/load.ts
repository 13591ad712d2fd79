/** The load of a run on its timetable, and its faults at their times. */
import { makeClient, type Client } from './customers/asking';
import { sendCrowd } from './customers/crowd';
import { openShop, type Shop } from './customers/shop';
import type { Played, Visit } from './evidence/evidence';
import { Breaker } from './faults/breaker';
import type { Plan } from './plan';
import type { Ground } from './stack/stack';
import { windowSeconds } from './stack/surroundings';

/** How long the quiet end may take before the run gives up waiting, in ms: twice what is promised, so that a miss has a figure. */
const quietWithinMs = 120_000;

/** The one who publishes. */
export const providerOf = ({ api, env }: Ground): Promise<Client> =>
  makeClient(api, env, { sub: 'dr-ada', scope: 'catalog' }, () => undefined);

/** Publishes what the customers of a plan want. */
export async function openFor(ground: Ground, { wishes }: Plan): Promise<Shop> {
  const provider = await providerOf(ground);
  return openShop(provider, wishes.length, wishes.at(-1)?.afterMs ?? 0);
}

/** All customers have come, and the last fault is over; some customers are still there. Times in milliseconds since 1970. */
export interface Loaded {
  visits: Promise<Visit[]>;
  faults: Played[];
  loadFrom: number;
  lastFaultEndedAt: number;
  /** When the last customer gives up. */
  closesAt: number;
}

/** Sends every customer at their time, whether or not anything answers, and breaks what the plan says. */
export async function load(
  ground: Ground,
  { wishes, faults }: Plan,
  shop: Shop,
  progress: (line: string) => void,
): Promise<Loaded> {
  const loadFrom = Date.now();
  const { api, env } = ground;
  const crowd = sendCrowd({ api, env, windowSeconds, wishes, shop, loadFrom }, progress);
  const breaker = new Breaker(ground, progress);
  await Promise.all([crowd.allCame, breaker.playAll(faults, loadFrom)]);
  const lastFaultEndedAt = Date.now();
  const closesAt = lastFaultEndedAt + quietWithinMs;
  crowd.closeAt(closesAt);
  progress('all customers have come, and the last fault is over');
  return { visits: crowd.visits, faults: breaker.played, loadFrom, lastFaultEndedAt, closesAt };
}
