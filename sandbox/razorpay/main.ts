import { z } from 'zod';
import { runSandbox, sandboxEnvironment } from '../gateway/process';
import { startRazorpaySandbox } from './sandbox';

const environmentSchema = sandboxEnvironment.extend({
  RAZORPAY_KEY_ID: z.string().optional(),
  RAZORPAY_KEY_SECRET: z.string().optional(),
  RAZORPAY_WEBHOOK_SECRET: z.string().optional(),
  RAZORPAY_WEBHOOK_URL: z.string().optional(),
});

runSandbox(environmentSchema, (environment) =>
  startRazorpaySandbox({
    port: environment.PORT,
    host: environment.HOST,
    keyId: environment.RAZORPAY_KEY_ID,
    keySecret: environment.RAZORPAY_KEY_SECRET,
    webhookSecret: environment.RAZORPAY_WEBHOOK_SECRET,
    webhookUrl: environment.RAZORPAY_WEBHOOK_URL,
  }),
);
