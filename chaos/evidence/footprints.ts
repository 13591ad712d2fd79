/** What processes hold of the machine, by the kernel's own count. */
import { readdirSync, readFileSync } from 'node:fs';

/** Proportional memory in bytes, and open files. */
export interface Held {
  memory: number;
  files: number;
}

/** Of a running process; Pss of /proc/<pid>/smaps_rollup is in kB (proc_pid_smaps(5), read 2026-11). Undefined when it is away. */
export function heldBy(pid: number | undefined): Held | undefined {
  if (pid === undefined) return undefined;
  try {
    const pss = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
    return { memory: Number(pss) * 1024, files: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}
