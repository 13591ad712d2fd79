/** CPU time of processes, as the kernel counts it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Linux shows times in hundredths of a second (USER_HZ; proc_pid_stat(5), read 2026-11). */
const MS_PER_TICK = 10;

/**
 * CPU time, user and system, in ms that these processes and their children have used so far, those that have ended
 * included; undefined where there is no /proc.
 */
export function cpuOf(pids: readonly number[]): number | undefined {
  if (!existsSync('/proc/self/stat')) return undefined;
  let ticks = 0;
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const fields = statOf(name);
    if (fields === undefined) continue;
    const [, parent = 0, ...rest] = fields;
    // utime and stime; and of those that ended, cutime and cstime.
    const own = (rest[9] ?? 0) + (rest[10] ?? 0);
    if (pids.includes(Number(name))) ticks += own + (rest[11] ?? 0) + (rest[12] ?? 0);
    else if (pids.includes(parent)) ticks += own;
  }
  return ticks * MS_PER_TICK;
}

/** The numbers after the process's name, which may hold anything; undefined when the process has just ended. */
function statOf(pid: string): number[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
  } catch {
    return undefined;
  }
}
