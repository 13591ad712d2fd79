import { type Router } from 'express';
import { z } from 'zod';
import { gatewayRoutes, named, outcomeSchema, type Route } from '../gateway/control-routes';
import { type RazorpayControl } from './control';
import { disputeOutcomeSchema, disputeSchema } from './disputes';
import { ledgerPage } from './page';
import { howSchema, lateSchema, paySchema } from './payments';
import { handRefundSchema, paymentToPlantSchema, recaptureSchema, refundToPlantSchema } from './planting';
import { faultSchema, gateSchema, refundModeSchema, webhookFaultSchema } from './switches';

const addPayments = (route: Route, control: RazorpayControl): void => {
  route('post', '/payables/:name/pay', (request) => {
    const { how, ...spec } = paySchema.extend({ how: howSchema }).parse(request.body);
    return control.pay(named(request), how, spec);
  });
  route('post', '/payables/:name/settle', (request) =>
    control.settleProcessing(named(request), outcomeSchema.parse(request.body).outcome),
  );
  route('post', '/payables/:name/authorize-late', (request) => {
    const { then } = z.object({ then: lateSchema.optional() }).parse(request.body);
    return control.authorizeLate(named(request), then);
  });
  route('post', '/payables/:name/refund-by-hand', (request) =>
    control.refundByHand(named(request), handRefundSchema.parse(request.body)),
  );
  route('post', '/payables/:name/dispute', (request) =>
    control.dispute(named(request), disputeSchema.parse(request.body)),
  );
  route('post', '/disputes/:name/review', (request) => control.reviewDispute(named(request)));
  route('post', '/disputes/:name/close', (request) => {
    const { outcome } = z.object({ outcome: disputeOutcomeSchema }).parse(request.body);
    return control.closeDispute(named(request), outcome);
  });
};

const addPlanting = (route: Route, control: RazorpayControl): void => {
  route('post', '/plants', ({ body }) => control.plantPayment(paymentToPlantSchema.parse(body)));
  route('post', '/payables/:name/plant-refund', (request) =>
    control.plantRefund(named(request), refundToPlantSchema.parse(request.body)),
  );
  route('put', '/payables/:name/capture', (request) =>
    control.recapture(named(request), recaptureSchema.parse(request.body)),
  );
  route('put', '/objects/:name/created', (request) => {
    const { created } = z.object({ created: z.number().int() }).parse(request.body);
    return control.backdate(named(request), created);
  });
  route('delete', '/objects/:name', (request) => control.forget(named(request)));
};

/** The switches as routes under `/_sandbox`. */
export const controlRoutes = (control: RazorpayControl): Router =>
  gatewayRoutes(
    control,
    { fault: faultSchema, webhookFault: webhookFaultSchema, gate: gateSchema, refundMode: refundModeSchema },
    ledgerPage,
    (route) => {
      addPayments(route, control);
      addPlanting(route, control);
      route('put', '/balance', ({ body }) =>
        control.setBalance(z.object({ paise: z.number().int().nonnegative().nullable() }).parse(body).paise),
      );
      route('put', '/readings', ({ body }) => control.setReadings(body as object));
      route('put', '/webhook-secret', ({ body }) =>
        control.setWebhookSecret(z.object({ secret: z.string().min(1) }).parse(body).secret),
      );
    },
  );
