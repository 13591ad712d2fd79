import { z } from 'zod';
import { runSandbox, sandboxEnvironment } from '../gateway/process';
import { startPhonepeSandbox } from './sandbox';

const environmentSchema = sandboxEnvironment.extend({
  PHONEPE_CLIENT_ID: z.string().optional(),
  PHONEPE_CLIENT_VERSION: z.string().optional(),
  PHONEPE_CLIENT_SECRET: z.string().optional(),
  PHONEPE_WEBHOOK_USERNAME: z.string().optional(),
  PHONEPE_WEBHOOK_PASSWORD: z.string().optional(),
  PHONEPE_WEBHOOK_URL: z.string().optional(),
  PHONEPE_PAGE_URL: z.url().optional(),
});

runSandbox(environmentSchema, (environment) =>
  startPhonepeSandbox({
    port: environment.PORT,
    host: environment.HOST,
    clientId: environment.PHONEPE_CLIENT_ID,
    clientVersion: environment.PHONEPE_CLIENT_VERSION,
    clientSecret: environment.PHONEPE_CLIENT_SECRET,
    webhookUsername: environment.PHONEPE_WEBHOOK_USERNAME,
    webhookPassword: environment.PHONEPE_WEBHOOK_PASSWORD,
    webhookUrl: environment.PHONEPE_WEBHOOK_URL,
    publicUrl: environment.PHONEPE_PAGE_URL,
  }),
);
