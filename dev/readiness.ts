/** When is a process that was just started ready to be used? */
import { open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What to wait for: a whole line of the process's output that matches, a URL that answers 200, or a probe of one's
 * own, which may throw or answer false as often as it likes.
 */
export type Ready = { line: RegExp } | { url: string } | { probe: () => Promise<boolean> };

/** Often enough that nobody notices the wait, seldom enough that it costs nothing beside a process starting. */
const LOOK_EVERY_MS = 50;
/** A probe that hangs is a "not yet"; the next one asks again. */
const LOOK_TIMEOUT_MS = 2000;

async function firstMatch(file: string, from: number, pattern: RegExp): Promise<string | undefined> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(Math.max(0, size - from)),
      0,
      size - from,
      from,
    );
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
    // The last piece has no line end yet: it may be half a line.
    return lines.slice(0, -1).find((line) => pattern.test(line));
  } finally {
    await handle.close();
  }
}

async function look(ready: Ready, logFile: string, from: number): Promise<string | undefined> {
  if ('line' in ready) return firstMatch(logFile, from, ready.line);
  if ('url' in ready) {
    const answer = await fetch(ready.url, { signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) });
    await answer.arrayBuffer();
    return answer.ok ? '' : undefined;
  }
  return (await ready.probe()) ? '' : undefined;
}

/**
 * Waits until `ready` holds.
 * @param from byte of the log file at which this run of the process began
 * @param goOn answers false when there is nothing to wait for any more (the process has ended)
 * @returns the matching line, or an empty text for the other kinds; undefined when time is up or `goOn` said no
 */
export async function untilReady(
  ready: Ready,
  logFile: string,
  from: number,
  withinMs: number,
  goOn: () => boolean,
): Promise<string | undefined> {
  const end = Date.now() + withinMs;
  for (;;) {
    // Not listening yet, not answering yet: that is what this loop is for.
    const found = await look(ready, logFile, from).catch(() => undefined);
    if (found !== undefined) return found;
    if (!goOn() || Date.now() > end) return undefined;
    await sleep(LOOK_EVERY_MS);
  }
}

/**
 * The last lines of a log file, indented for an error message; a sentence when there is nothing to show.
 * @param from byte of the file at which this run of the process began
 */
export async function tailOf(logFile: string, from: number, lines = 15): Promise<string> {
  const whole = await readFile(logFile).catch(() => Buffer.alloc(0));
  const text = whole.toString('utf8', from);
  const last = text.trimEnd().split('\n').slice(-lines);
  return text.trim() === '' ? '  (it printed nothing)' : last.map((line) => `  ${line}`).join('\n');
}
