import express, { type NextFunction, type Request, type Response, Router } from 'express';
import { z } from 'zod';
import { type StripeControl } from './control';
import { disputeOutcomeSchema, disputeSchema, openStatusSchema } from './disputes';
import { ledgerPage } from './page';
import { captureSchema, paymentToPlantSchema, refundToPlantSchema } from './planting';
import { handRefundSchema } from './refund-desk';
import { faultSchema, gateSchema, refundModeSchema, webhookFaultSchema } from './switches';

const outcomeSchema = z.object({
  outcome: z.enum(['succeeded', 'failed']),
  failureReason: z.string().optional(),
});

type Route = (
  method: 'get' | 'post' | 'put' | 'delete',
  path: string,
  run: (request: Request) => Promise<unknown>,
) => void;

const named = (request: Request): string => z.string().parse(request.params['name']);

const addHandRoutes = (route: Route, control: StripeControl): void => {
  route('post', '/payment-intents/:name/dispute', (request) =>
    control.dispute(named(request), disputeSchema.parse(request.body)),
  );
  route('post', '/disputes/:name/update', (request) => {
    const { status } = z.object({ status: openStatusSchema }).parse(request.body);
    return control.updateDispute(named(request), status);
  });
  route('post', '/disputes/:name/close', (request) => {
    const { outcome } = z.object({ outcome: disputeOutcomeSchema }).parse(request.body);
    return control.closeDispute(named(request), outcome);
  });
  route('post', '/payment-intents/:name/refund-by-hand', (request) =>
    control.refundByHand(named(request), handRefundSchema.parse(request.body)),
  );
  route('post', '/plants', ({ body }) => control.plantPayment(paymentToPlantSchema.parse(body)));
  route('post', '/payment-intents/:name/plant-refund', (request) =>
    control.plantRefund(named(request), refundToPlantSchema.parse(request.body)),
  );
  route('put', '/payment-intents/:name/capture', (request) =>
    control.recapture(named(request), captureSchema.parse(request.body)),
  );
  route('put', '/objects/:name/created', (request) => {
    const { created } = z.object({ created: z.number().int() }).parse(request.body);
    return control.backdate(named(request), created);
  });
  route('delete', '/objects/:name', (request) => control.forget(named(request)));
};

/** The switches as routes under `/_sandbox`, without any authentication: the sandbox listens on loopback. */
export const controlRoutes = (control: StripeControl): Router => {
  const router = Router();
  router.use(express.json());
  const route: Route = (method, path, run) => {
    router[method](path, async (request: Request, response: Response) => {
      response.json((await run(request)) ?? {});
    });
  };

  router.get('/', async (_request, response) => {
    response.type('html').send(ledgerPage(await control.ledger()));
  });
  route('get', '/ledger', () => control.ledger());
  route('post', '/faults', ({ body }) => control.fault(faultSchema.parse(body)));
  route('delete', '/faults', () => control.clearFaults());
  route('post', '/webhook-faults', ({ body }) => control.webhookFault(webhookFaultSchema.parse(body)));
  route('post', '/gates', ({ body }) => control.gate(gateSchema.parse(body)));
  route('get', '/gates/:name', (request) => control.gateState(named(request)));
  route('post', '/gates/:name/wait', (request) => {
    const { count, timeoutMs } = z
      .object({ count: z.number().int(), timeoutMs: z.number().optional() })
      .parse(request.body);
    return control.waitForGate(named(request), count, timeoutMs);
  });
  route('post', '/gates/:name/release', (request) => control.releaseGate(named(request)));
  route('post', '/refund-modes', ({ body }) => control.refundMode(refundModeSchema.parse(body)));
  route('post', '/refunds/:name/settle', (request) => {
    const { outcome, failureReason } = outcomeSchema.parse(request.body);
    return control.settleRefund(named(request), outcome, failureReason);
  });
  route('post', '/refunds/:name/fail', (request) => {
    const { failureReason } = outcomeSchema.pick({ failureReason: true }).parse(request.body ?? {});
    return control.failRefund(named(request), failureReason);
  });
  route('post', '/payment-intents/:name/authenticate', (request) =>
    control.authenticate(named(request), outcomeSchema.parse(request.body).outcome),
  );
  route('post', '/payment-intents/:name/settle', (request) =>
    control.settleProcessing(named(request), outcomeSchema.parse(request.body).outcome),
  );
  route('post', '/payment-intents/:name/pay-closed', (request) => control.payClosed(named(request)));
  addHandRoutes(route, control);
  route('put', '/rate-limit', ({ body }) =>
    control.rateLimit(z.object({ perSecond: z.number().int().positive().nullable() }).parse(body).perSecond),
  );
  route('post', '/events/:name/resend', (request) => {
    const { times } = z
      .object({ times: z.number().int().min(1).max(1000).default(1) })
      .parse(request.body ?? {});
    return control.resend(named(request), times);
  });
  route('put', '/webhook', ({ body }) =>
    control.setWebhookUrl(z.object({ url: z.string() }).parse(body).url),
  );
  route('put', '/down', ({ body }) =>
    control.setKeepAliveDown(z.object({ down: z.boolean() }).parse(body).down),
  );

  // Express knows an error handler by its four parameters.
  router.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    response.status(400).json({ error: { message: error instanceof Error ? error.message : String(error) } });
  });
  return router;
};
