import express, { type Request, type Response, Router } from 'express';
import { z } from 'zod';
import { htmlPage, money } from '../gateway/page';
import { type Account } from './account';
import { type PhonepeControl } from './control';
import { howSchema } from './payments';
import { type Order } from './wire';

const deeds = [
  ['ok', 'Pay'],
  ['attempt-failed', 'Be declined, and stay here'],
  ['declined', 'Be declined, and give up'],
  ['processing', 'Pay; the bank answers later'],
  ['leave', 'Leave'],
] as const;

const deedSchema = z.object({ how: z.union([howSchema, z.literal('leave')]) });

const pageOf = (order: Order): string => {
  const buttons = deeds.map(([how, label]) => `<button name="how" value="${how}">${label}</button>`);
  return htmlPage(
    `Pay ${money(order.amount, 'INR')}`,
    order.state === 'PENDING'
      ? `<form method="post">${buttons.join(' ')}</form>`
      : `<p>This order is ${order.state}.</p>`,
  );
};

/**
 * PhonePe's page, at the `redirectUrl` that an order is answered with. A POST to it with `how` pays, is declined or leaves,
 * and sends the browser (303) to where the merchant wanted it; JSON instead where the merchant named no place. Declined, the
 * customer may stay.
 */
export const checkoutRoutes = (account: Account, control: PhonepeControl): Router => {
  const router = Router();
  router.use(express.urlencoded({ extended: false }), express.json());
  const orderAt = (request: Request): Order | undefined =>
    [...account.orders.values()].find(({ pageToken }) => pageToken === request.params['token']);
  router.get('/:token', (request: Request, response: Response) => {
    const order = orderAt(request);
    if (order === undefined) response.status(404).type('html').send(htmlPage('No such order', ''));
    else response.type('html').send(pageOf(order));
  });
  router.post('/:token', async (request: Request, response: Response) => {
    const order = orderAt(request);
    const deed = deedSchema.safeParse(request.body);
    if (order === undefined || !deed.success) {
      response
        .status(order === undefined ? 404 : 400)
        .json({ error: { message: 'No such order, or no such deed' } });
      return;
    }
    const { merchantOrderId, redirectUrl } = order;
    const { how } = deed.data;
    // What came of it meanwhile is shown by the page.
    if (how !== 'leave' && order.state === 'PENDING')
      await control.pay(merchantOrderId, how).catch(() => undefined);
    const stays = how === 'attempt-failed' && order.state === 'PENDING';
    if (stays) response.redirect(303, request.originalUrl);
    else if (redirectUrl === null) response.json({ merchantOrderId, state: order.state });
    else response.redirect(303, redirectUrl);
  });
  return router;
};
