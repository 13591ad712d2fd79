/**
 * `npm run bench`, P5: a whole Payfirst on the production Temporal server, at an even pace for minutes. Three of four who start
 * also pay, the others let their window of a minute pass. At every full minute it counts what has piled up, and what memory the
 * processes hold. `-- --starts 20 --minutes 10` is the target's pace.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { withClient } from '../dev/postgres';
import { memoryOf } from './footprint';
import { groundPids, onGround, type Ground } from './ground';
import { runAsProgram, say } from './program';
import { allBooked, leadMs, tellUntilTaken } from './rounds';
import { startPayfirst, type Payfirst } from './sides';

const minuteMs = 60_000;
const mib = 1024 * 1024;
/** Memory may differ so much from one third of the run to the next: garbage is collected when it pays. */
const evenMemory = 1.1;

/** What a minute left behind. */
interface Minute {
  /** Customers who wait for their pay page or whose webhook was not taken, payers without a booking, mails that are due. */
  backlog: number;
  /** MiB by process, children included. */
  memory: Record<string, number>;
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

/** Mails that are queued and not sent. */
const mailsDue = (url: string): Promise<number> =>
  withClient(url, async (client) => {
    const { rows } = await client.query<{ due: number }>(
      'SELECT count(*)::int AS due FROM messages WHERE next_send_at IS NOT NULL',
    );
    return rows[0]?.due ?? NaN;
  });

/** Customers on a timetable, and what they leave. */
class Steady {
  readonly #running = new Set<Promise<void>>();
  readonly #unbooked = new Set<string>();
  readonly minutes: Minute[] = [];
  failed = 0;

  constructor(
    private readonly payfirst: Payfirst,
    private readonly ground: Ground,
  ) {}

  /** Starts customers on the timetable, whatever becomes of those before. */
  async play(perSecond: number, minutes: number): Promise<void> {
    const began = performance.now();
    for (let n = 0; this.minutes.length < minutes; n += 1) {
      await pause(Math.max(0, began + (n * 1000) / perSecond - performance.now()));
      const going = this.#customer(n)
        .catch((error: unknown) => {
          this.failed += 1;
          if (this.failed === 1) say(`The first that failed: ${String(error)}`);
        })
        .finally(() => this.#running.delete(going));
      this.#running.add(going);
      if (performance.now() - began >= (this.minutes.length + 1) * minuteMs) await this.#look();
    }
  }

  /** Waits until everybody is served. @throws Error when somebody never is */
  async drain(): Promise<void> {
    await Promise.all(this.#running);
    await allBooked(this.payfirst, [...this.#unbooked]);
  }

  async #customer(n: number): Promise<void> {
    const attempt = await this.payfirst.open();
    if (n % 4 === 3) return;
    await attempt.pay();
    await pause(leadMs);
    await tellUntilTaken(this.payfirst, attempt);
    this.#unbooked.add(attempt.id);
  }

  async #look(): Promise<void> {
    for (const id of (await this.payfirst.bookedAt([...this.#unbooked])).keys()) this.#unbooked.delete(id);
    const backlog =
      this.#running.size + this.#unbooked.size + (await mailsDue(this.ground.postgres.url('payfirst')));
    const pids = { ...groundPids(this.ground), ...this.payfirst.pids() };
    const memory = Object.fromEntries(
      Object.entries(pids).map(([name, pid]) => [name, memoryOf(pid) / mib] as const),
    );
    this.minutes.push({ backlog, memory });
    const shown = Object.entries(memory).map(([name, held]) => `${name} ${held.toFixed(0)}`);
    say(`minute ${this.minutes.length}: ${backlog} wait, ${this.failed} failed; MiB: ${shown.join(', ')}`);
  }
}

/** Compares the last third with the middle one: the first third fills caches. */
function verdictOn({ minutes, failed }: Steady, perSecond: number, drained: string): string {
  const third = Math.floor(minutes.length / 3);
  const [middle, last] = [minutes.slice(third, -third), minutes.slice(-third)];
  const backlog = (of: readonly Minute[]): number => mean(of.map((minute) => minute.backlog));
  const memory = (of: readonly Minute[]): number =>
    mean(of.map((minute) => Object.values(minute.memory).reduce((sum, held) => sum + held, 0)));
  const isEven =
    backlog(last) <= backlog(middle) + perSecond &&
    memory(last) <= evenMemory * memory(middle) &&
    failed === 0 &&
    drained === '';
  return (
    `P5 ${perSecond} starts and ${perSecond * 0.75} payments/s for ${minutes.length} minutes: ` +
    `${backlog(middle).toFixed(0)} wait in the middle, ${backlog(last).toFixed(0)} at the end; ` +
    `${memory(middle).toFixed(0)} MiB and ${memory(last).toFixed(0)} MiB; ${failed} failed${drained}; ` +
    `target: neither grows, none fails: ${isEven ? 'met' : 'missed'}`
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { starts: { type: 'string', default: '20' }, minutes: { type: 'string', default: '10' } },
  });
  const [perSecond, minutes] = [Number(values.starts), Number(values.minutes)];
  if (!(perSecond > 0 && minutes >= 3)) throw new Error('--starts is above 0, --minutes at least 3.');
  await onGround(async (ground: Ground) => {
    const payfirst = await startPayfirst(ground, { windowSeconds: 60 });
    try {
      const steady = new Steady(payfirst, ground);
      await steady.play(perSecond, minutes);
      const drained = await steady.drain().then(
        () => '',
        (error: unknown) => `, and ${error instanceof Error ? error.message : String(error)}`,
      );
      say(verdictOn(steady, perSecond, drained));
    } finally {
      await payfirst.stop();
    }
  });
}

runAsProgram(main);
