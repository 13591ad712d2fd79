import { type Deliveries } from './deliveries';

/** Runs a deed, and sends the events it made. */
export type Act = <Result>(deed: () => Result) => Result;

/**
 * Makes it for one account.
 * @param events of the account, to which its deeds add
 */
export const actOn =
  <Event extends { id: string; type: string }>(
    events: readonly Event[],
    webhooks: Pick<Deliveries<Event>, 'beforeAnswer' | 'send'>,
  ): Act =>
  (deed) => {
    const before = events.length;
    const result = deed();
    void webhooks.beforeAnswer(events.slice(before), false).then((later) => webhooks.send(later));
    return result;
  };
