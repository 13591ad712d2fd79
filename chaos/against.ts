/** The same customers and the same faults against the design that everyone starts with: how many payers it loses. */
import { setTimeout as sleep } from 'node:timers/promises';
import { withClient } from '../dev/postgres';
import { readBooks, type Book } from './evidence/books';
import type { Played } from './evidence/evidence';
import { load, openFor } from './load';
import type { Plan } from './plan';
import { countPayers, type Payers } from './report/payers';
import type { Ground } from './stack/stack';

/** For so long nothing may change in the gateways' books, in ms: longer than a webhook is late at most (15 s). */
const stillMs = 20_000;

/** A run against the in-memory design. */
export interface Against {
  payers: Payers;
  faults: Played[];
}

/** Plays a plan against the in-memory design, and counts once every customer has gone and nothing moves any more. */
export async function runAgainst(
  ground: Ground,
  plan: Plan,
  progress: (line: string) => void,
): Promise<Against> {
  const { faults, visits, closesAt } = await load(ground, plan, await openFor(ground, plan), progress);
  progress('waiting for the last customers to go');
  await visits;
  progress(`waiting until nothing has moved at the gateways for ${stillMs / 1000} s`);
  const { charges, refunds } = await stillBooks(ground, closesAt);
  const booked = await withClient(ground.postgres.url('payfirst'), async (client) => {
    const { rows } = await client.query<{ id: string; total_minor: number }>(
      "SELECT id, total_minor FROM bookings WHERE status = 'confirmed'",
    );
    return new Map(rows.map(({ id, total_minor }) => [id, total_minor]));
  });
  return { payers: countPayers(charges, refunds, booked), faults };
}

/** What is still on its way is not lost: waits until no money moves and no webhook is sent again, or until the end. */
async function stillBooks({ sandboxes }: Ground, until: number): Promise<Book> {
  const sizeOf = ({ charges, refunds, events }: Book): string =>
    JSON.stringify([charges.length, refunds, events.map(({ answers }) => answers.length)]);
  for (let book = await readBooks(sandboxes); ;) {
    await sleep(stillMs);
    const later = await readBooks(sandboxes);
    if (sizeOf(later) === sizeOf(book) || Date.now() > until) return later;
    book = later;
  }
}
