/** How long nobody can book after everything was killed at once: PostgreSQL, Temporal, the API and the worker. */
import type { Processes } from '../dev/processes';
import { allBooked, now, tellUntilTaken } from './rounds';
import type { Payfirst } from './sides';

/** How often the gateway tries to deliver, in ms: often enough not to be what is measured. */
const againMs = 50;

/**
 * Kills everything once and starts it again, in the order in which each needs the other. A payment was made just before; its
 * webhook comes again until it is taken.
 * @returns ms from the kill to the booking
 */
export async function timeRestart(payfirst: Payfirst, processes: Processes): Promise<number> {
  const attempt = await payfirst.open();
  await attempt.pay();
  const began = now();
  await Promise.all([payfirst.kill(), processes.kill('temporal'), processes.kill('postgres')]);
  const telling = tellUntilTaken(payfirst, attempt, againMs);
  await processes.startAgain('postgres');
  await processes.startAgain('temporal');
  await payfirst.startAgain();
  await telling;
  const bookedAt = await allBooked(payfirst, [attempt.id]);
  return (bookedAt.get(attempt.id) ?? NaN) - began;
}
