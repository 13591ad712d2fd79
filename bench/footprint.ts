/** CPU time and memory of processes, as the kernel counts them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';

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

/**
 * Memory of a process and its children, in bytes: each shared page in parts to those who share it (Pss of
 * /proc/<pid>/smaps_rollup is in kB; proc_pid_smaps(5), read 2026-11).
 */
export function memoryOf(pid: number): number {
  const pss = (of: string): number => {
    const found = /^Pss:\s+(\d+) kB$/m.exec(textOf(`/proc/${of}/smaps_rollup`));
    return Number(found?.[1] ?? 0) * 1024;
  };
  return pids()
    .filter((name) => Number(name) === pid || statOf(name)[1] === pid)
    .reduce((sum, name) => sum + pss(name), 0);
}

const pids = (): string[] => readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));

function cpuOf(pid: number): number {
  if (!existsSync('/proc/self/stat')) return NaN;
  let ticks = 0;
  for (const name of pids()) {
    const [, parent, ...rest] = statOf(name);
    // utime and stime; and of children that ended, cutime and cstime.
    const own = (rest[9] ?? 0) + (rest[10] ?? 0);
    if (Number(name) === pid) ticks += own + (rest[11] ?? 0) + (rest[12] ?? 0);
    else if (parent === pid) ticks += own;
  }
  return ticks * MS_PER_TICK;
}

/** '' when it has just ended. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The numbers after the process's name, which may hold anything; none when the process has just ended. */
function statOf(pid: string): number[] {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === '') return [];
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** Share of all processors that others are using, from 0 to 1, seen over three seconds. */
export async function busyShare(): Promise<number> {
  const look = (): { idle: number; all: number } => {
    const times = cpus().map((cpu) => cpu.times);
    const sum = (of: (one: (typeof times)[number]) => number): number =>
      times.reduce((total, one) => total + of(one), 0);
    return {
      idle: sum(({ idle }) => idle),
      all: sum((one) => one.user + one.nice + one.sys + one.idle + one.irq),
    };
  };
  const before = look();
  await pause(3_000);
  const after = look();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}
