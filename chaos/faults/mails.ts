/** Faults of the mail server, by the sink's switches. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MailFault } from '../../sandbox/mail/inbox';
import { grownBy, type Fault, type Pass } from './fault';

/** How long a mail server misbehaves, in ms: at several mails a second all strikes are used up long before. */
const badMs = 5_000;
/** Mails that go wrong, each time: more than one, so that a repeat can meet it again, and few, so that mails soon flow. */
const strikes = 3;

const mailing = (kind: MailFault['kind'], pass: Pass): Fault => ({
  kind: `mail-${kind}`,
  part: 'mail',
  weight: 2,
  play: ({ mail }) =>
    grownBy(
      async () => (await mail.struck())[kind],
      'mails',
      async () => {
        try {
          await mail.fault(kind, strikes);
          await pass(badMs);
        } finally {
          await mail.clearFaults();
        }
      },
    ),
});

/** All of them. */
export const mailFaults = (pass: Pass = sleep): readonly Fault[] =>
  (['busy', 'refuse', 'lost-after-accept'] as const).map((kind) => mailing(kind, pass));
