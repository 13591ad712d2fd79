/**
 * Rooms: where clients of this process wait for something to change. A notice says what is worth a look (`notices.ts`); all
 * looks that are due at once are one query. Behind the notices stands a slow poll, one query for everybody, so a notice that
 * was lost costs its interval and nothing else. While nobody waits nothing is asked.
 */
import { describeError, type Logger } from '../telemetry';

/** Pause between two slow looks at everything, in ms: the longest anybody knows an old state when notices are lost. */
const defaultSlowMs = 5_000;
/** Pause between two quick looks, in ms: a slot that a hundred people buy in a second costs ten queries, not a hundred. */
const betweenLooksMs = 100;
/** How long one look may take, in ms: on a dead connection it would take a quarter of an hour, and nobody would look meanwhile. */
export const readWithinMs = 5_000;

/** Reads the newest states of these; what does not exist is missing. */
export type ReadStates<S> = (ids: readonly string[]) => Promise<ReadonlyMap<string, S>>;

type Told<S> = (state: S) => void;

export interface Room<S> {
  /**
   * Begins to wait for something.
   * @param told called with every state that is read, new or not: who waits knows what it has seen
   * @returns ends the waiting
   */
  enter(id: string, told: Told<S>): () => void;
  /** Tells a state that is known already. */
  tell(id: string, state: S): void;
  /** Looks at one soon, together with others; nothing when nobody waits for it. */
  look(id: string): void;
  /** Looks at all that is waited for. */
  lookAgain(): void;
  /** How many wait now. */
  readonly size: number;
}

export interface RoomOptions<S> {
  read: ReadStates<S>;
  log: Logger;
  slowMs?: number;
  /** Ms until the clock alone changes a state, where it does: then it is looked at in that moment. */
  changesInMs?: (state: S) => number | null;
}

/** Opens a room; nothing is asked until somebody enters. */
export function openRoom<S>(options: RoomOptions<S>): Room<S> {
  const { read, log, slowMs = defaultSlowMs, changesInMs } = options;
  const waited = new Map<string, Set<Told<S>>>();
  const clocks = new Map<string, NodeJS.Timeout>();
  let due = new Set<string>();
  let size = 0;
  let looking = false;
  let blind = false;
  let slow: NodeJS.Timeout | undefined;

  function tell(id: string, state: S): void {
    const waiting = waited.get(id);
    if (waiting === undefined) return;
    setClock(id, state);
    // A copy, for who is told may leave at once.
    for (const told of [...waiting]) told(state);
  }

  /** What lies behind the next slow look is left to it. */
  function setClock(id: string, state: S): void {
    const ms = changesInMs?.(state) ?? null;
    clearTimeout(clocks.get(id));
    clocks.delete(id);
    if (ms !== null && ms <= slowMs)
      clocks.set(
        id,
        setTimeout(() => look(id), ms),
      );
  }

  function look(id: string): void {
    if (!waited.has(id)) return;
    due.add(id);
    if (!looking) void lookAtDue();
  }

  function lookAgain(): void {
    for (const id of waited.keys()) look(id);
  }

  async function lookAtDue(): Promise<void> {
    looking = true;
    // What is due in the same moment goes with it.
    await Promise.resolve();
    while (due.size > 0) {
      const ids = [...due];
      due = new Set();
      try {
        for (const [id, state] of await read(ids)) tell(id, state);
        blind = false;
      } catch (error) {
        // Nobody is told anything wrong: they wait on, and the slow look comes again.
        if (!blind) log.warn({ event: 'waiting.blind', error: describeError(error) });
        blind = true;
      }
      await new Promise((resolve) => setTimeout(resolve, betweenLooksMs));
    }
    looking = false;
  }

  function enter(id: string, told: Told<S>): () => void {
    const waiting = waited.get(id) ?? new Set();
    // Wrapped, so that the same function may wait twice.
    const own: Told<S> = (state) => told(state);
    waited.set(id, waiting.add(own));
    size += 1;
    slow ??= setInterval(lookAgain, slowMs);
    return () => {
      if (!waiting.delete(own)) return;
      size -= 1;
      if (waiting.size === 0) forget(id);
      if (size > 0) return;
      clearInterval(slow);
      slow = undefined;
    };
  }

  function forget(id: string): void {
    waited.delete(id);
    due.delete(id);
    clearTimeout(clocks.get(id));
    clocks.delete(id);
  }

  return {
    enter,
    tell,
    look,
    lookAgain,
    get size() {
      return size;
    },
  };
}

/** How long to wait for what, and who may call it off. */
export interface Patience {
  ms: number;
  /** Aborted when the client is gone. */
  hungUp: AbortSignal;
  /** Aborted when the process ends. */
  stopping: AbortSignal | undefined;
}

/**
 * Waits until a booking's version exceeds `after`.
 * @returns whether it does; false after the wait, when the client is gone, and when the process ends
 */
export function untilNewer(
  room: Room<number>,
  bookingId: string,
  after: number,
  { ms, hungUp, stopping }: Patience,
): Promise<boolean> {
  if (hungUp.aborted || stopping?.aborted === true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const giveUp = () => done(false);
    const timer = setTimeout(giveUp, ms);
    const leave = room.enter(bookingId, (version) => {
      if (version > after) done(true);
    });
    function done(changed: boolean): void {
      clearTimeout(timer);
      hungUp.removeEventListener('abort', giveUp);
      stopping?.removeEventListener('abort', giveUp);
      leave();
      resolve(changed);
    }
    hungUp.addEventListener('abort', giveUp);
    stopping?.addEventListener('abort', giveUp);
    // It may have changed between the caller's read and now, with its notice gone by.
    room.look(bookingId);
  });
}
