/** What time a process believes it is, by its own log. */
import { open } from 'node:fs/promises';

/** So much of a log's end holds some hundred lines, in bytes. */
const tailBytes = 64 * 1024;

/**
 * By how much the newest line of a log is off from this machine's clock.
 * @param logFile lines of pino among others: Temporal's core writes its own, with the machine's time
 * @returns in ms, behind is negative; undefined where no line tells
 */
export async function logOffMs(logFile: string): Promise<number | undefined> {
  const lines = (await tailOf(logFile)).split('\n').reverse();
  for (const line of lines) {
    const at = timeOf(line);
    if (at !== undefined) return at - Date.now();
  }
  return undefined;
}

async function tailOf(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - tailBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

function timeOf(line: string): number | undefined {
  try {
    const { time } = JSON.parse(line) as { time?: unknown };
    const at = typeof time === 'string' ? Date.parse(time) : NaN;
    return Number.isNaN(at) ? undefined : at;
  } catch {
    // Not pino's, or cut in half.
    return undefined;
  }
}
