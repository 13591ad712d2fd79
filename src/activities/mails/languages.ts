/** Which languages mails are written in. Another language is another file beside `en.ts`. */
import { english } from './en';
import type { Texts } from './mail';

const languages: ReadonlyMap<string, Texts> = new Map([['en', english]]);

/** The texts for a BCP 47 locale; English where we have no better. */
export function textsFor(locale: string | null): Texts {
  return languages.get((locale ?? 'en').split('-')[0] ?? 'en') ?? english;
}
