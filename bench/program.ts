/** What every measurement is as a program. */

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Runs it; one that fails says why and ends with 1. */
export function runAsProgram(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`The bench failed: ${told}\n`);
    process.exit(1);
  });
}
