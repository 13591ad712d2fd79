/** What every measurement is as a program. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Processes, stopOnSignals } from '../dev/processes';

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Runs it; one that fails says why and ends with 1. */
export function runAsProgram(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`The bench failed: ${told}\n`);
    process.exit(1);
  });
}

/** Runs with a place for processes. Afterwards, and on a signal, they are ended and their logs removed. */
export async function withProcesses(use: (processes: Processes) => Promise<void>): Promise<void> {
  const logs = mkdtempSync(join(tmpdir(), 'payfirst-bench-logs-'));
  const processes = new Processes(logs);
  const leaveNothing = async (): Promise<void> => {
    await processes.stopAll();
    rmSync(logs, { recursive: true, force: true });
  };
  const forget = stopOnSignals(leaveNothing);
  try {
    await use(processes);
  } finally {
    await leaveNothing();
    forget();
  }
}
