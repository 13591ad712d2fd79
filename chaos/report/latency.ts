/** How long payers waited for their booking, and how long nobody got one. All figures in milliseconds. */
import type { Evidence, Played } from '../evidence/evidence';
import type { Stories } from '../judge/story';

/** A fault is felt a little longer than it lasts: connections come back, retries wait for their turn. */
const feltMs = 2_000;

/** How long people waited: the nearest rank of each share. */
export interface Waits {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

/** Waits of everybody who paid and was booked. */
export interface Latency {
  /** Nobody was breaking anything from the payment to the booking. */
  calm: Waits | undefined;
  /** A fault was under way for some of the time. */
  underFault: Waits | undefined;
}

/** One who paid and was booked. */
interface Payer {
  paidAt: number;
  /** Milliseconds since 1970; undefined where the customer was not told before the run closed. */
  doneAt: number | undefined;
}

/** The nearest rank: the smallest wait that so large a share did not exceed. Undefined when nobody waited. */
function waitsOf(waits: readonly number[]): Waits | undefined {
  const sorted = waits.toSorted((a, b) => a - b);
  const rank = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
  if (sorted.length === 0) return undefined;
  return { count: sorted.length, p50: rank(0.5), p99: rank(0.99), max: rank(1) };
}

function latencyOf(payers: readonly Payer[], faults: readonly Played[]): Latency {
  const [calm, underFault]: [number[], number[]] = [[], []];
  for (const { paidAt, doneAt } of payers) {
    if (doneAt === undefined) continue;
    const struck = faults.some(({ from, to }) => from <= doneAt && paidAt <= to + feltMs);
    // A webhook can be faster than the answer of the page that says "paid".
    (struck ? underFault : calm).push(Math.max(0, doneAt - paidAt));
  }
  return { calm: waitsOf(calm), underFault: waitsOf(underFault) };
}

/** Everybody with a payment of their own making that bought a booking; a wallet's money moves with the booking itself. */
function waitersOf({ all }: Stories): { paidAt: number; bookedAt: number; toldAt: number | undefined }[] {
  return all.flatMap(({ visit, booking }) =>
    visit?.paidAt === undefined || booking === undefined
      ? []
      : [
          {
            paidAt: visit.paidAt,
            bookedAt: booking.confirmed_at,
            toldAt: visit.told.find(({ status }) => status === 'confirmed')?.at,
          },
        ],
  );
}

/** From the page's word that the money is there until the booking stands, and until its customer first read so. */
export function confirmLatency(
  { faults }: Evidence,
  stories: Stories,
): { untilBooked: Latency; untilTold: Latency } {
  const payers = waitersOf(stories);
  return {
    untilBooked: latencyOf(
      payers.map(({ paidAt, bookedAt }) => ({ paidAt, doneAt: bookedAt })),
      faults,
    ),
    untilTold: latencyOf(
      payers.map(({ paidAt, toldAt }) => ({ paidAt, doneAt: toldAt })),
      faults,
    ),
  };
}

/**
 * The longest time without a confirmation while somebody who had paid was waiting for one: from the confirmation before, or
 * from the first payment that waits, whichever is later.
 */
export function longestPause(stories: Stories): number {
  const confirmations = stories.all
    .flatMap(({ booking }) => (booking === undefined ? [] : [booking.confirmed_at]))
    .sort((a, b) => a - b);
  const payers = waitersOf(stories).sort((a, b) => a.bookedAt - b.bookedAt);
  // From the last to the first: who is booked later may have paid earlier.
  let firstPaid = Infinity;
  let longest = 0;
  for (const { paidAt, bookedAt } of payers.reverse()) {
    firstPaid = Math.min(firstPaid, paidAt);
    const before = confirmations.findLast((at) => at < bookedAt) ?? -Infinity;
    longest = Math.max(longest, bookedAt - Math.max(before, firstPaid));
  }
  return longest;
}
