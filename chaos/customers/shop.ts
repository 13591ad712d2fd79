/** What is to be had in a run: offerings for everybody, and a few hot seats at a time that more people want than there are. */
import type { Client } from './asking';
import { hotShare, type Wish } from '../plan';

/** The price of every seat: 500.00 rupees, above the smallest amount of each gateway, in the one currency all three take. */
export const price = { amountMinor: 50_000, currency: 'INR' } as const;

/** Seats of an ordinary offering, and how many attempts there are to each: nobody is refused for want of seats there. */
const ordinary = { capacity: 40, attempts: 20 } as const;

/** Hot seats: three slots of five; others as soon as so many have come for each seat, so that sold-out races go on during the whole run. */
const hot = { slots: 3, capacity: 5, wantedBy: 2.5 } as const;

/** Ids of what is offered. */
export interface Shop {
  ordinary: string[];
  /** By period. */
  hot: string[][];
  /** How long a period lasts. */
  hotForMs: number;
}

/** How long publishing may take: nothing is broken yet. */
const publishWithinMs = 120_000;

function withinTime(): () => number {
  const until = Date.now() + publishWithinMs;
  return () => until;
}

/** Where the provider is told of bookings. */
export const providerEmail = 'dr-ada@example.org';

/** Says who the provider is, so that each booking is told to two. */
export async function introduce(provider: Client): Promise<void> {
  const body = { displayName: 'Dr. Ada', email: providerEmail };
  const answer = await provider.ask('PUT', '/v1/provider', withinTime(), { body });
  if (answer?.status !== 200) throw new Error(`The profile was answered ${JSON.stringify(answer)}`);
}

/** Publishes everything that a plan of so many attempts wants. */
export async function openShop(provider: Client, attempts: number, lastsMs: number): Promise<Shop> {
  const publish = async (title: string, capacity: number): Promise<string> => {
    const answer = await provider.ask('POST', '/v1/offerings', withinTime(), {
      body: {
        kind: 'slot',
        title,
        capacity,
        price,
        startsAt: new Date(Date.now() + 86_400_000).toISOString(),
      },
    });
    if (answer?.status !== 201) throw new Error(`Publishing was answered ${JSON.stringify(answer)}`);
    return String((answer.body as { id: unknown }).id);
  };
  const come = attempts * (hotShare / 100);
  const hotForMs = Math.max(1, (lastsMs * hot.slots * hot.capacity * hot.wantedBy) / come);
  const shop: Shop = { ordinary: [], hot: [], hotForMs };
  for (let n = 0; n < Math.ceil(attempts / ordinary.attempts); n += 1)
    shop.ordinary.push(await publish(`Slot ${n}`, ordinary.capacity));
  for (let period = 0; period <= Math.floor(lastsMs / hotForMs); period += 1) {
    const slots = Array.from({ length: hot.slots }, (_, n) => publish(`Hot ${period}.${n}`, hot.capacity));
    shop.hot.push(await Promise.all(slots));
  }
  return shop;
}

/** The offering a customer wants. */
export function offeringFor(shop: Shop, wish: Wish): string {
  const among = wish.hot ? (shop.hot[Math.floor(wish.afterMs / shop.hotForMs)] ?? []) : shop.ordinary;
  const found = among[Math.floor(wish.pick * among.length)];
  if (found === undefined) throw new Error(`Nothing is offered to customer ${wish.n}`);
  return found;
}
