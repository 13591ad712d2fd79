import { z } from 'zod';
import { startStripeSandbox } from './sandbox';

const environmentSchema = z.object({
  PORT: z.coerce.number().int().min(0).max(65535).default(0),
  HOST: z.string().default('127.0.0.1'),
  STRIPE_SECRET_KEY: z.string().optional(),
  STRIPE_WEBHOOK_SECRET: z.string().optional(),
  STRIPE_WEBHOOK_URL: z.string().optional(),
  EXIT_WITH_STDIN: z.string().optional(),
});

const main = async (): Promise<void> => {
  const environment = environmentSchema.parse(process.env);
  const sandbox = await startStripeSandbox({
    port: environment.PORT,
    host: environment.HOST,
    secretKey: environment.STRIPE_SECRET_KEY,
    webhookSecret: environment.STRIPE_WEBHOOK_SECRET,
    webhookUrl: environment.STRIPE_WEBHOOK_URL,
  });
  const stop = (): void => {
    void sandbox.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // Whoever started this process holds the other end: when it dies, however it dies, stdin ends.
  if (environment.EXIT_WITH_STDIN === '1') process.stdin.on('end', stop).resume();
  process.stdout.write(`${JSON.stringify({ listening: sandbox.port })}\n`);
};

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
