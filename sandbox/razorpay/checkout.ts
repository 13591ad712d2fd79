import express, { type Request, type Response, Router } from 'express';
import { z } from 'zod';
import { escaped, htmlPage, money } from '../gateway/page';
import { type RazorpayControl } from './control';
import { howSchema } from './payments';

/** Where the browser goes afterwards, as Razorpay's checkout takes it (`callback_url`); JSON instead where it is missing. */
const callbackSchema = z.url({ protocol: /^https?$/ }).optional();

const notesIn = (text: unknown): Record<string, string> =>
  typeof text === 'string' && text !== '' ? z.record(z.string(), z.string()).parse(JSON.parse(text)) : {};

const hidden = (name: string, value: string): string =>
  `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`;

/** Razorpay hands its answer to the callback by a POST of the browser, so this page makes one. */
const posting = (callback: string, fields: Record<string, string>): string =>
  htmlPage(
    'Back to the shop',
    `<form method="post" action="${escaped(callback)}">${Object.entries(fields)
      .map(([name, value]) => hidden(name, value))
      .join('')}<button>Go on</button></form><script>document.forms[0].submit()</script>`,
  );

/**
 * The page that stands in for Razorpay's checkout, at `/_sandbox/checkout/:order?callback_url=…&notes=<JSON>`. A POST to it
 * with `how` pays: HTML that goes to the callback, or, without one, what the callback would get, as JSON.
 */
export const checkoutRoutes = (control: RazorpayControl): Router => {
  const router = Router();
  router.use(express.urlencoded({ extended: false }), express.json());
  router.get('/:order', async (request: Request, response: Response) => {
    const { orders } = await control.ledger();
    const order = orders.find(({ id }) => id === request.params['order']);
    if (order === undefined) {
      response.status(404).type('html').send(htmlPage('No such order', ''));
      return;
    }
    const fields = ['callback_url', 'notes'].map((name) => {
      const value = request.query[name];
      return typeof value === 'string' ? hidden(name, value) : '';
    });
    const button = (how: string, label: string): string =>
      `<button name="how" value="${how}">${label}</button> `;
    response
      .type('html')
      .send(
        htmlPage(
          `Pay ${money(order.amount, order.currency)}`,
          `<p>${escaped(order.id)}, ${order.status}</p><form method="post">${fields.join('')}${button('ok', 'Pay')}${button(
            'declined',
            'Be declined',
          )}${button('processing', 'Authorize only')}</form>`,
        ),
      );
  });
  router.post('/:order', async (request: Request, response: Response) => {
    try {
      const { how, callback_url, notes } = z
        .object({ how: howSchema, callback_url: callbackSchema, notes: z.string().optional() })
        .parse(request.body);
      const { handedBack } = await control.pay(z.string().parse(request.params['order']), how, {
        notes: notesIn(notes),
      });
      if (callback_url === undefined) response.json(handedBack);
      else response.type('html').send(posting(callback_url, handedBack));
    } catch (error) {
      response
        .status(400)
        .json({ error: { message: error instanceof Error ? error.message : String(error) } });
    }
  });
  return router;
};
