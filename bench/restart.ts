/** How long nobody can book after everything was killed at once: PostgreSQL, Temporal, the API and the worker. */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import type { Processes } from '../dev/processes';
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
  await Promise.all([payfirst.kill(), processes.kill('temporal'), processes.kill('postgres')]);
  const began = performance.now();
  const telling = (async () => {
    for (;;) {
      if (
        await attempt.tell().then(
          () => true,
          () => false,
        )
      )
        return;
      await pause(againMs);
    }
  })();
  await processes.startAgain('postgres');
  await processes.startAgain('temporal');
  await payfirst.startAgain();
  await telling;
  for (;;) {
    if ((await payfirst.bookedAt([attempt.id]).catch(() => new Map())).size > 0)
      return performance.now() - began;
    await pause(againMs);
  }
}
