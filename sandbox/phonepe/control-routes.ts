import { type Router } from 'express';
import { z } from 'zod';
import { gatewayRoutes, named, outcomeSchema } from '../gateway/control-routes';
import { type PhonepeControl } from './control';
import { ledgerPage } from './page';
import { howSchema } from './payments';
import { faultSchema, gateSchema, refundModeSchema, webhookFaultSchema } from './switches';

const loginSchema = z.object({ username: z.string(), password: z.string() });

/** The switches as routes under `/_sandbox`. */
export const controlRoutes = (control: PhonepeControl): Router =>
  gatewayRoutes(
    control,
    { fault: faultSchema, webhookFault: webhookFaultSchema, gate: gateSchema, refundMode: refundModeSchema },
    ledgerPage,
    (route) => {
      route('post', '/orders/:name/pay', (request) =>
        control.pay(named(request), z.object({ how: howSchema }).parse(request.body).how),
      );
      route('post', '/orders/:name/settle', (request) =>
        control.settleProcessing(named(request), outcomeSchema.parse(request.body).outcome),
      );
      route('post', '/orders/:name/expire', (request) => control.expireOrder(named(request)));
      route('post', '/orders/:name/pay-closed', (request) => control.payClosed(named(request)));
      route('post', '/refunds/:name/confirm', (request) => control.confirmRefund(named(request)));
      route('put', '/token-life', ({ body }) =>
        control.setTokenLife(z.object({ seconds: z.number().int().positive() }).parse(body).seconds),
      );
      route('delete', '/tokens', () => control.expireTokens());
      route('put', '/readings', ({ body }) => control.setReadings(body as object));
      route('put', '/webhook-login', ({ body }) => control.setWebhookLogin(loginSchema.parse(body)));
      route('post', '/forge', async ({ body }) => ({
        status: await control.forge(z.record(z.string(), z.unknown()).parse(body)),
      }));
    },
  );
