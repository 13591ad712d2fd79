/** The same customers and the same faults against the design that everyone starts with: how many payers it loses. */
import { Client } from 'pg';
import type { Charge, Played, Refund, Visit } from './evidence/evidence';
import { readBooks } from './evidence/books';
import { load, openFor } from './load';
import type { Plan } from './plan';
import type { Ground } from './stack/stack';

/** What became of those who paid at a gateway. */
export interface Payers {
  paid: number;
  booked: number;
  /** All they paid came back. */
  refunded: number;
  /** Neither a booking, nor all of their money, nor a person who was told. */
  lost: number;
}

/**
 * Counts payers by attempt.
 * @param booked ids of bookings that stand
 * @param inCases ids of attempts whose money a person was told of
 */
export function countPayers(
  charges: readonly Charge[],
  refunds: readonly Refund[],
  booked: ReadonlySet<string>,
  inCases: ReadonlySet<string> = new Set(),
): Payers {
  const balance = new Map<string, number>();
  const add = (bookingId: string | null, amount: number): void => {
    if (bookingId !== null) balance.set(bookingId, (balance.get(bookingId) ?? 0) + amount);
  };
  for (const { bookingId, amountMinor } of charges) add(bookingId, amountMinor);
  for (const { bookingId, amountMinor, status } of refunds)
    if (status === 'succeeded') add(bookingId, -amountMinor);
  const payers: Payers = { paid: balance.size, booked: 0, refunded: 0, lost: 0 };
  for (const [bookingId, kept] of balance) {
    if (booked.has(bookingId)) payers.booked += 1;
    else if (kept === 0) payers.refunded += 1;
    else if (!inCases.has(bookingId)) payers.lost += 1;
  }
  return payers;
}

/** A run against the in-memory design. */
export interface Against {
  payers: Payers;
  faults: Played[];
  visits: Visit[];
}

/** Plays a plan against the in-memory design, and counts once every customer has gone. */
export async function runAgainst(
  ground: Ground,
  plan: Plan,
  progress: (line: string) => void,
): Promise<Against> {
  const { faults, ...loaded } = await load(ground, plan, await openFor(ground, plan), progress);
  const visits = await loaded.visits;
  const { charges, refunds } = await readBooks(ground.sandboxes);
  const client = new Client({ connectionString: ground.postgres.url('payfirst') });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>("SELECT id FROM bookings WHERE status = 'confirmed'");
    return { payers: countPayers(charges, refunds, new Set(rows.map(({ id }) => id))), faults, visits };
  } finally {
    await client.end();
  }
}
