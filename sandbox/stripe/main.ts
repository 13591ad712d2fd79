import { z } from 'zod';
import { runSandbox, sandboxEnvironment } from '../gateway/process';
import { startStripeSandbox } from './sandbox';

const environmentSchema = sandboxEnvironment.extend({
  STRIPE_SECRET_KEY: z.string().optional(),
  STRIPE_WEBHOOK_SECRET: z.string().optional(),
  STRIPE_WEBHOOK_URL: z.string().optional(),
});

runSandbox(environmentSchema, (environment) =>
  startStripeSandbox({
    port: environment.PORT,
    host: environment.HOST,
    secretKey: environment.STRIPE_SECRET_KEY,
    webhookSecret: environment.STRIPE_WEBHOOK_SECRET,
    webhookUrl: environment.STRIPE_WEBHOOK_URL,
  }),
);
