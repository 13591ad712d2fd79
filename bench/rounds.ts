/** What `bench/temporal.ts` does with one of its sides: many starts, payments on a timetable, a storm of webhooks. */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { startMeter, type CpuTimes } from './footprint';
import type { OpenAttempt, Side } from './sides';

export const perSecond = 25;
export const runSeconds = 20;
/** Customers who start, or pay, at once. */
const customers = 8;
/** How long before its webhook a payment happens, in ms: the sandbox has done with it, and the payment watch hardly ever looked. */
export const leadMs = 300;
/** What came before left something to do (mails, visibility), and who rested must find back: both take less than this, in ms. */
const settleMs = 5_000;
/** How long it is watched while nothing happens, in s. */
const idleSeconds = 10;
/** After this long without a booking, a pay page or a server that is up, it will not come, in ms; a gateway's signature is good for 300 s. */
export const lostMs = 240_000;
/** Between two looks at the bookings, in ms. Their times are the server's own stamps, so looking more often would only cost. */
const lookEveryMs = 250;
/** Who is told to come again does so after this many ms; a real gateway takes minutes. */
export const againMs = 1_000;

/** What one round showed of one side; times in ms. */
export interface Seen {
  /** CPU in a second in which nothing happens, of a start, and of a payment. */
  idleCpu: CpuTimes;
  startCpu: CpuTimes;
  payCpu: CpuTimes;
  toConfirmed: number[];
  toAcknowledged: number[];
  /** Booked before its webhook was sent: the payment watch was quicker. */
  foundBefore: number;
  /** The workflow of one of the attempts. */
  sample: string;
}

/** All rounds of one side, and before them how long payers waited while no other attempt was open. */
export interface Turns {
  rounds: Seen[];
  noneOpen: number[];
}

/** Milliseconds since 1970, as the server's stamps are. */
export const now = (): number => performance.timeOrigin + performance.now();

async function byCustomers(deed: () => Promise<void>, count: number): Promise<void> {
  let left = count;
  const customer = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await deed();
    }
  };
  await Promise.all(Array.from({ length: customers }, customer));
}

/** Starts so many attempts. */
export async function openMany(side: Side, count: number): Promise<OpenAttempt[]> {
  const opened: OpenAttempt[] = [];
  await byCustomers(async () => void opened.push(await side.open()), count);
  return opened;
}

/**
 * Pays them on the timetable, open loop: every time is from the planned instant.
 * @throws when a webhook is refused, or a booking does not come
 */
export async function payOnTimetable(
  side: Side,
  attempts: readonly OpenAttempt[],
): Promise<Pick<Seen, 'toConfirmed' | 'toAcknowledged' | 'foundBefore'>> {
  const began = now() + 2 * leadMs;
  const plannedAt = new Map(attempts.map(({ id }, n) => [id, began + (n * 1000) / perSecond]));
  const toAcknowledged = await Promise.all(
    attempts.map(async (attempt) => {
      const planned = plannedAt.get(attempt.id) ?? 0;
      await pause(planned - leadMs - now());
      const paying = attempt.pay();
      await pause(planned - now());
      await attempt.tell();
      const acknowledged = now() - planned;
      await paying;
      return acknowledged;
    }),
  );
  const bookedAt = await allBooked(side, [...plannedAt.keys()]);
  const times = [...bookedAt].map(([id, at]) => at - (plannedAt.get(id) ?? 0));
  const toConfirmed = times.filter((ms) => ms > 0);
  return { toConfirmed, toAcknowledged, foundBefore: times.length - toConfirmed.length };
}

/** Waits until they are booked. @throws Error when some are not, long after */
export async function allBooked(side: Side, ids: readonly string[]): Promise<Map<string, number>> {
  const end = now() + lostMs;
  const booked = new Map<string, number>();
  for (;;) {
    const missing = ids.filter((id) => !booked.has(id));
    // A pool learns by its next query that its server was killed.
    const found = await side.bookedAt(missing).catch(() => new Map<string, number>());
    for (const [id, at] of found) booked.set(id, at);
    if (booked.size === ids.length) return booked;
    if (now() > end)
      throw new Error(`${side.name}: ${ids.length - booked.size} paid attempts have no booking`);
    await pause(lookEveryMs);
  }
}

/** One round of one side. @param shared processes that both sides use */
export async function playRound(side: Side, shared: Readonly<Record<string, number>>): Promise<Seen> {
  const count = perSecond * runSeconds;
  const pids = { ...shared, ...side.pids() };
  await pause(settleMs);
  const idle = startMeter(pids);
  await pause(idleSeconds * 1000);
  const idleCpu = idle(idleSeconds);
  const starting = startMeter(pids);
  const attempts = await openMany(side, count);
  const startCpu = starting(count);
  await pause(settleMs);
  const paying = startMeter(pids);
  const seen = await payOnTimetable(side, attempts);
  return { ...seen, idleCpu, startCpu, payCpu: paying(count), sample: attempts[0]?.workflowId ?? '' };
}

/**
 * Tells as a gateway does, again and again until the webhook is acknowledged.
 * @returns whether it was told to come again first
 * @throws Error when it is refused for good
 */
export async function tellUntilTaken(side: Side, attempt: OpenAttempt, pauseMs = againMs): Promise<boolean> {
  const end = now() + lostMs;
  for (let wasRefused = false; ; wasRefused = true) {
    try {
      await attempt.tell();
      return wasRefused;
    } catch {
      if (now() > end) throw new Error(`${side.name}: a webhook was refused for good`);
      await pause(pauseMs);
    }
  }
}

/** What a storm did. */
export interface Storm {
  /** Webhooks that were told at first to come again. */
  refused: number;
  /** ms until the last one was acknowledged. */
  acknowledged: number;
  /** ms until the last one was booked. */
  drained: number;
  /** Bookings a second meanwhile; those that the payment watch made before are not counted. */
  perSecond: number;
}

/** So many webhooks at once, as after an outage. The side rests while the payments happen, so that nothing looks before. */
export async function playStorm(side: Side, count: number): Promise<Storm> {
  const attempts = await openMany(side, count);
  const unpaid = [...attempts];
  side.rest(true);
  await byCustomers(async () => unpaid.pop()?.pay(), count);
  side.rest(false);
  await pause(settleMs);
  const began = now();
  const refused = await Promise.all(attempts.map((attempt) => tellUntilTaken(side, attempt)));
  const acknowledged = now() - began;
  const bookedAt = await allBooked(
    side,
    attempts.map(({ id }) => id),
  );
  const times = [...bookedAt.values()].map((at) => at - began).filter((ms) => ms > 0);
  const drained = Math.max(...times);
  return {
    refused: refused.filter(Boolean).length,
    acknowledged,
    drained,
    perSecond: (times.length * 1000) / drained,
  };
}
