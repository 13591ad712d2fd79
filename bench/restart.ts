/** How long nobody can book after everything was killed at once: PostgreSQL, Temporal, the API and the worker. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Processes } from '../dev/processes';
import { allBooked, lostMs, now, tellUntilTaken } from './rounds';
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
  await startUntilUp(processes, 'postgres');
  await processes.startAgain('temporal');
  await payfirst.startAgain();
  await telling;
  const bookedAt = await allBooked(payfirst, [attempt.id]);
  return (bookedAt.get(attempt.id) ?? NaN) - began;
}

/**
 * Starts it again until it is up, as a supervisor does. When PostgreSQL's main process is killed, sessions that are at work live on for
 * a moment, and while they hold its shared memory a new one ends at once ("pre-existing shared memory block").
 * @throws Error of the last go, when it does not come up
 */
export async function startUntilUp(processes: Processes, name: string): Promise<void> {
  const end = now() + lostMs;
  for (;;) {
    try {
      await processes.startAgain(name);
      return;
    } catch (error) {
      if (now() > end) throw error;
      await pause(againMs);
    }
  }
}
