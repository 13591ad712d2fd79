import { createHmac } from 'node:crypto';
import { type Mail } from '../gateway/deliveries';
import { type Account, type Event } from './account';

/** The webhooks of one account: hex HMAC-SHA256 of the body, signed with the secret of now (…/docs/webhooks/validate-test). */
export const razorpayMail = (account: Account, secret: () => string): Mail<Event> => ({
  // …/docs/webhooks/best-practices: no answer within 5 s is a failed delivery.
  answerWithinMs: 5000,
  event: (id) => account.event(id),
  owner: (event) => event.owner,
  subject: (event) => ({
    ids: [event.id, event.objectId, ...event.ids],
    owner: event.owner,
    metadata: event.metadata,
  }),
  letter: (event) => {
    const body = JSON.stringify(event.body);
    return {
      body,
      headers: {
        'Content-Type': 'application/json',
        'User-Agent': 'Razorpay-Webhook/v1',
        'X-Razorpay-Signature': createHmac('sha256', secret()).update(body).digest('hex'),
        'x-razorpay-event-id': event.id,
      },
    };
  },
});
