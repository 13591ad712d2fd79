/** Rounds of a race, each with customers and a slot of its own, some of them at once. */
import { expectOneEnd, mailsArrive, mailsTo, tracesOf, type Shopper } from './book-setup';
import type { World } from './world';

/** Plays rounds, so many at once, and gives what each came to. */
export async function playRounds<T>(
  atOnce: number,
  play: (round: number) => Promise<T>,
  count: number,
): Promise<T[]> {
  const results: T[] = [];
  for (let from = 0; from < count; from += atOnce) {
    const batch = Array.from({ length: Math.min(atOnce, count - from) }, (_, n) => play(from + n));
    results.push(...(await Promise.all(batch)));
  }
  return results;
}

/** What one attempt of a round came to, after all the rules about its end were checked. */
export interface Ended {
  outcome: string;
  capturedMinor: number;
  refundedMinor: number;
}

/** Waits for the end of an attempt, holds it against the rules, and against the mails its customer got. */
export async function endOf(world: World, shopper: Shopper, bookingId: string): Promise<Ended> {
  const outcome = await expectOneEnd(world, bookingId);
  const { capturedMinor, refundedMinor, messages } = await tracesOf(world, bookingId);
  await mailsArrive(world, shopper.email, messages.length);
  expect(await mailsTo(world, shopper.email)).toHaveLength(messages.length);
  return { outcome, capturedMinor, refundedMinor };
}
