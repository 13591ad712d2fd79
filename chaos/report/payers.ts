/** Payers of a run: the figure that a design is judged by, the in-memory one too. */
import type { Charge, Evidence, Refund } from '../evidence/evidence';
import { moneyCases } from '../judge/money';

/** What became of those who paid at a gateway. */
export interface Payers {
  paid: number;
  booked: number;
  /** All they paid came back. */
  refunded: number;
  /** Their money is in an open case: a person was told. */
  inCases: number;
  /** Neither; or they paid more than their booking costs, and it did not come back. */
  lost: number;
}

/**
 * Counts payers by attempt.
 * @param booked totals of the bookings that stand, by id
 * @param inCases ids of attempts whose money a person was told of
 */
export function countPayers(
  charges: readonly Charge[],
  refunds: readonly Refund[],
  booked: ReadonlyMap<string, number>,
  inCases: ReadonlySet<string> = new Set(),
): Payers {
  const kept = new Map<string, number>();
  const add = (bookingId: string | null, amount: number): void => {
    if (bookingId !== null) kept.set(bookingId, (kept.get(bookingId) ?? 0) + amount);
  };
  for (const { bookingId, amountMinor } of charges) add(bookingId, amountMinor);
  for (const { bookingId, amountMinor, status } of refunds)
    if (status === 'succeeded') add(bookingId, -amountMinor);
  const payers: Payers = { paid: kept.size, booked: 0, refunded: 0, inCases: 0, lost: 0 };
  for (const [bookingId, amount] of kept) {
    if (inCases.has(bookingId)) payers.inCases += 1;
    else if (amount !== (booked.get(bookingId) ?? 0)) payers.lost += 1;
    else payers[booked.has(bookingId) ? 'booked' : 'refunded'] += 1;
  }
  return payers;
}

/** Those of a run of Payfirst. Wallets are left out: the design that it is compared with has none. */
export function payersOf({ charges, refunds, rows }: Evidence): Payers {
  const atGateway = ({ gateway }: { gateway: string }): boolean => gateway !== 'wallet';
  const told = rows.cases.filter(
    ({ kind, resolved_at }) => resolved_at === null && moneyCases.includes(kind),
  );
  return countPayers(
    charges.filter(atGateway),
    refunds.filter(atGateway),
    new Map(
      rows.bookings.flatMap(({ id, status, total_minor }) =>
        status === 'confirmed' ? [[id, total_minor]] : [],
      ),
    ),
    new Set(told.flatMap(({ booking_id }) => booking_id ?? [])),
  );
}
