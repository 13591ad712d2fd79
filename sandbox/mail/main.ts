import { z } from 'zod';
import { startMailSink } from './sink';

const portSchema = z.coerce.number().int().min(0).max(65535).default(0);

const environmentSchema = z.object({
  PORT: portSchema,
  HTTP_PORT: portSchema,
  HOST: z.string().default('127.0.0.1'),
  EXIT_WITH_STDIN: z.string().optional(),
});

const main = async (): Promise<void> => {
  const environment = environmentSchema.parse(process.env);
  const sink = await startMailSink({
    port: environment.PORT,
    httpPort: environment.HTTP_PORT,
    host: environment.HOST,
  });
  const stop = (): void => {
    void sink.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // Whoever started this process holds the other end: when it dies, however it dies, stdin ends.
  if (environment.EXIT_WITH_STDIN === '1') process.stdin.on('end', stop).resume();
  process.stdout.write(`${JSON.stringify({ listening: sink.port, http: sink.httpPort })}\n`);
};

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
