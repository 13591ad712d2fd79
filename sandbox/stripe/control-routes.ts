import { type Router } from 'express';
import { z } from 'zod';
import { gatewayRoutes, named, outcomeSchema, type Route } from '../gateway/control-routes';
import { type StripeControl } from './control';
import { disputeOutcomeSchema, disputeSchema, openStatusSchema } from './disputes';
import { ledgerPage } from './page';
import { captureSchema, paymentToPlantSchema, refundToPlantSchema } from './planting';
import { handRefundSchema } from './refund-desk';
import { faultSchema, gateSchema, refundModeSchema, webhookFaultSchema } from './switches';

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

/** The switches as routes under `/_sandbox`. */
export const controlRoutes = (control: StripeControl): Router =>
  gatewayRoutes(
    control,
    { fault: faultSchema, webhookFault: webhookFaultSchema, gate: gateSchema, refundMode: refundModeSchema },
    ledgerPage,
    (route) => {
      route('post', '/payment-intents/:name/authenticate', (request) =>
        control.authenticate(named(request), outcomeSchema.parse(request.body).outcome),
      );
      route('post', '/payment-intents/:name/settle', (request) =>
        control.settleProcessing(named(request), outcomeSchema.parse(request.body).outcome),
      );
      route('post', '/payment-intents/:name/pay-closed', (request) => control.payClosed(named(request)));
      addHandRoutes(route, control);
    },
  );
