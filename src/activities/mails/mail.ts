/** What a mail is made from, and which languages there are. Another language is another file beside `en.ts`. */
import type { Money, QuotedItem } from '../../booking';
import { english } from './en';

/** Facts a mail may tell. */
export interface MailFacts {
  name: string;
  reference: string | null;
  bookingId: string;
  items: readonly QuotedItem[];
  total: Money;
  /** Why the money goes back; null when it bought the booking. */
  reason: string | null;
}

/** Texts of one language, by kind of message. */
export type Texts = Readonly<Record<string, (facts: MailFacts) => { subject: string; text: string }>>;

const languages: Readonly<Record<string, Texts>> = { en: english };

/** The texts for a BCP 47 locale; English where we have no better. */
export function textsFor(locale: string | null): Texts {
  return languages[(locale ?? 'en').split('-')[0] ?? 'en'] ?? english;
}
