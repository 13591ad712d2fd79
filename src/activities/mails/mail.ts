/** What a mail is made from. */
import type { MessageKind, Money, QuotedItem } from '../../booking';

/** Facts a mail may tell. */
export interface MailFacts {
  /** Whom the mail greets. */
  name: string;
  /** Who booked. */
  customer: string;
  reference: string | null;
  bookingId: string;
  items: readonly QuotedItem[];
  total: Money;
  /** Why the money goes back; null when it bought the booking. */
  reason: string | null;
  /** Whether it goes back to the customer's wallet, where it is at once. */
  toWallet: boolean;
}

/** Texts of one language, by kind of message. */
export type Texts = Readonly<Record<MessageKind, (facts: MailFacts) => { subject: string; text: string }>>;
