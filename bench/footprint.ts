/** CPU time of processes, as the kernel counts it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Linux shows times in hundredths of a second (USER_HZ; proc_pid_stat(5), read 2026-11). */
const MS_PER_TICK = 10;

/** CPU time in ms by the name of the process; NaN where there is no /proc. */
export type CpuTimes = Readonly<Record<string, number>>;

/**
 * Starts to measure these processes and their children, those included that end meanwhile.
 * @returns what they have used since, user and system, divided by `per`
 */
export function startMeter(pids: Readonly<Record<string, number>>): (per: number) => CpuTimes {
  const before = Object.entries(pids).map(([name, pid]) => ({ name, pid, ms: cpuOf(pid) }));
  return (per) => Object.fromEntries(before.map(({ name, pid, ms }) => [name, (cpuOf(pid) - ms) / per]));
}

/** All of them together. */
export const totalOf = (times: CpuTimes): number => Object.values(times).reduce((sum, ms) => sum + ms, 0);

function cpuOf(pid: number): number {
  if (!existsSync('/proc/self/stat')) return NaN;
  let ticks = 0;
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const [, parent, ...rest] = statOf(name);
    // utime and stime; and of children that ended, cutime and cstime.
    const own = (rest[9] ?? 0) + (rest[10] ?? 0);
    if (Number(name) === pid) ticks += own + (rest[11] ?? 0) + (rest[12] ?? 0);
    else if (parent === pid) ticks += own;
  }
  return ticks * MS_PER_TICK;
}

/** The numbers after the process's name, which may hold anything; none when the process has just ended. */
function statOf(pid: string): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
  } catch {
    return [];
  }
}
