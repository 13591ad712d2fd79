import express, { type NextFunction, type Request, type Response, Router } from 'express';
import { z } from 'zod';
import { type GatewayControl } from './control';

export const outcomeSchema = z.object({
  outcome: z.enum(['succeeded', 'failed']),
  failureReason: z.string().optional(),
});

/** Adds one switch. What `run` throws is answered 400. */
export type Route = (
  method: 'get' | 'post' | 'put' | 'delete',
  path: string,
  run: (request: Request) => Promise<unknown>,
) => void;

/** The `:name` of a path. */
export const named = (request: Request): string => z.string().parse(request.params['name']);

/** Checks a spec; the shared schemas are of one sandbox, so are the specs. */
interface Schema<Spec> {
  parse: (body: unknown) => Spec;
}

/**
 * The switches as routes under `/_sandbox`, without any authentication: a sandbox listens on loopback.
 * @param view the page at `/_sandbox`
 * @param addOwn adds what only this gateway has
 */
export const gatewayRoutes = <Ledger, FaultSpec, WebhookFaultSpec, GateSpec, RefundModeSpec>(
  control: GatewayControl<Ledger, FaultSpec, WebhookFaultSpec, GateSpec, RefundModeSpec>,
  schemas: {
    fault: Schema<FaultSpec>;
    webhookFault: Schema<WebhookFaultSpec>;
    gate: Schema<GateSpec>;
    refundMode: Schema<RefundModeSpec>;
  },
  view: (ledger: Ledger) => string,
  addOwn: (route: Route) => void,
): Router => {
  const router = Router();
  router.use(express.json());
  const route: Route = (method, path, run) => {
    router[method](path, async (request: Request, response: Response) => {
      response.json((await run(request)) ?? {});
    });
  };

  router.get('/', async (_request, response) => {
    response.type('html').send(view(await control.ledger()));
  });
  route('get', '/ledger', () => control.ledger());
  route('post', '/faults', ({ body }) => control.fault(schemas.fault.parse(body)));
  route('delete', '/faults', () => control.clearFaults());
  route('post', '/webhook-faults', ({ body }) => control.webhookFault(schemas.webhookFault.parse(body)));
  route('post', '/gates', ({ body }) => control.gate(schemas.gate.parse(body)));
  route('get', '/gates/:name', (request) => control.gateState(named(request)));
  route('post', '/gates/:name/wait', (request) => {
    const { count, timeoutMs } = z
      .object({ count: z.number().int(), timeoutMs: z.number().optional() })
      .parse(request.body);
    return control.waitForGate(named(request), count, timeoutMs);
  });
  route('post', '/gates/:name/release', (request) => control.releaseGate(named(request)));
  route('post', '/refund-modes', ({ body }) => control.refundMode(schemas.refundMode.parse(body)));
  route('post', '/refunds/:name/settle', (request) => {
    const { outcome, failureReason } = outcomeSchema.parse(request.body);
    return control.settleRefund(named(request), outcome, failureReason);
  });
  route('post', '/refunds/:name/fail', (request) => {
    const { failureReason } = outcomeSchema.pick({ failureReason: true }).parse(request.body ?? {});
    return control.failRefund(named(request), failureReason);
  });
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
  addOwn(route);

  // Express knows an error handler by its four parameters.
  router.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    response.status(400).json({ error: { message: error instanceof Error ? error.message : String(error) } });
  });
  return router;
};
