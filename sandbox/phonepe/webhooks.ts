import { createHash } from 'node:crypto';
import { type Letter, type Mail } from '../gateway/deliveries';
import { type Account, type Event } from './account';

/** What webhooks authenticate with. */
export interface Login {
  username: string;
  password: string;
}

/** A body under the one constant that all webhooks of a login carry: it does not depend on the body. */
export const letterOf = (body: string, { username, password }: Login): Letter => ({
  body,
  headers: {
    'Content-Type': 'application/json',
    Authorization: createHash('sha256').update(`${username}:${password}`).digest('hex'),
  },
});

/** The webhooks of one account (…/api-reference/webhook). */
export const phonepeMail = (account: Account, login: () => Login): Mail<Event> => ({
  // An answer is due within 3 to 5 s; the longer here.
  answerWithinMs: 5000,
  event: (id) => account.event(id),
  owner: (event) => event.merchantOrderId,
  subject: (event) => ({
    ids: [event.id, ...event.ids],
    owner: event.merchantOrderId,
    metadata: [event.metaInfo],
  }),
  letter: (event) => letterOf(JSON.stringify(event.body), login()),
});
