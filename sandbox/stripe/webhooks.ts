import { createHmac } from 'node:crypto';
import { type Deliveries, type Mail } from '../gateway/deliveries';
import { type Account } from './account';
import { type Event } from './wire';

export type Webhooks = Deliveries<Event>;

/** `t=<seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">` (docs.stripe.com/webhooks#verify-manually). */
const signature = (body: string, secret: string): string => {
  const seconds = Math.floor(Date.now() / 1000);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
};

/** The webhooks of one account, signed with one secret. */
export const stripeMail = (account: Account, secret: string): Mail<Event> => ({
  // Stripe waits about this long for an answer before it counts the delivery as failed.
  answerWithinMs: 10_000,
  event: (id) => account.event(id),
  owner: (event) => account.intentBehind(event.data.object.id)?.id ?? event.id,
  subject: (event) => {
    const { object } = event.data;
    const intent = account.intentBehind(object.id);
    return {
      ids: [event.id, object.id],
      owner: intent?.id,
      metadata: [object.metadata, intent?.metadata ?? {}],
    };
  },
  letter: (event) => {
    const body = JSON.stringify(event, null, 2);
    return {
      body,
      headers: {
        'Content-Type': 'application/json; charset=utf-8',
        'Stripe-Signature': signature(body, secret),
        'User-Agent': 'Stripe/1.0 (+https://stripe.com/docs/webhooks)',
      },
    };
  },
});
