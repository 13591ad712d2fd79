import { z } from 'zod';

/** What every sandbox's process reads from its environment. */
export const sandboxEnvironment = z.object({
  PORT: z.coerce.number().int().min(0).max(65535).default(0),
  HOST: z.string().default('127.0.0.1'),
  EXIT_WITH_STDIN: z.string().optional(),
});

/**
 * Runs a sandbox as a process: says on stdout where it listens, as JSON, and ends on SIGTERM and SIGINT. What cannot start
 * ends the process with 1.
 */
export const runSandbox = <Environment extends { EXIT_WITH_STDIN?: string | undefined }>(
  schema: z.ZodType<Environment>,
  start: (environment: Environment) => Promise<{ port: number; close(): Promise<void> }>,
): void => {
  const run = async (): Promise<void> => {
    const environment = schema.parse(process.env);
    const sandbox = await start(environment);
    const stop = (): void => {
      void sandbox.close().then(() => process.exit(0));
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    // Whoever started this process holds the other end: when it dies, however it dies, stdin ends.
    if (environment.EXIT_WITH_STDIN === '1') process.stdin.on('end', stop).resume();
    process.stdout.write(`${JSON.stringify({ listening: sandbox.port })}\n`);
  };
  run().catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
};
