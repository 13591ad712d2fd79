/** Shapes of wallets, as requests send them and answers show them. */
import { z } from 'zod';
import { isId, largestAmountMinor } from '../booking';
import type { WalletEntryRow } from '../database';
import { isSubject } from './auth';
import { bookingId } from './booking-schemas';
import { pageOf, pageQuery } from './pages';
import { currency, instantShown, line } from './validation';

const entryId = z
  .string()
  .refine((text) => isId('entry', text), 'Not the id of an entry.')
  .meta({ example: 'wen_5h0q2m4c8d6e9f1g3j7k5n2p' });

/** ISO 4217's codes for "no currency" and for tests: Intl knows them, and no money is in them. */
const noMoney = ['XXX', 'XTS'];

/** Currencies that this runtime knows. A slip in one letter would give a balance that buys nothing, and credits stay. */
const known = new Set(Intl.supportedValuesOf('currency').filter((code) => !noMoney.includes(code)));

/** Body of `POST /v1/wallets/:customerId/credits`. */
export const newCredit = z
  .strictObject({
    // The largest price, too: one entry fits its column, and a wrong zero is refused before it is money.
    amountMinor: z
      .int()
      .min(1)
      .max(largestAmountMinor)
      .meta({ description: 'In the smallest unit of the currency: 1999 EUR is 19.99 euros.' }),
    currency: currency.refine((code) => known.has(code), 'A currency of ISO 4217.'),
    note: line(500).optional().meta({ description: 'Why, for the books; not shown to the customer.' }),
  })
  .meta({ id: 'NewCredit' });
export type NewCredit = z.output<typeof newCredit>;

/** Parameters of `POST /v1/wallets/:customerId/credits`. */
export const walletParams = z.strictObject({
  customerId: z
    .string()
    .refine(isSubject, 'Not the subject of a token.')
    .meta({ description: 'Subject of the customer’s token, percent-encoded.' }),
});
export type WalletParams = z.output<typeof walletParams>;

/** Query of `GET /v1/wallet`. */
export const walletQuery = z.strictObject(pageQuery);
export type WalletQuery = z.output<typeof walletQuery>;

/** One movement of a wallet: above zero into it, below zero out of it. */
export const entryView = z
  .object({
    id: entryId,
    amountMinor: z.int().meta({ description: 'Below zero for what was paid.' }),
    currency,
    kind: z.enum(['credit', 'payment', 'refund'] satisfies WalletEntryRow['kind'][]),
    bookingId: bookingId.optional(),
    at: instantShown,
  })
  .meta({ id: 'WalletEntry' });
export type EntryView = z.infer<typeof entryView>;

/** A wallet as its owner sees it. */
export const walletView = z
  .object({
    balances: z
      .array(z.object({ amountMinor: z.int(), currency }))
      .meta({ description: 'One for each currency the wallet has ever held.' }),
    entries: pageOf(entryView),
  })
  .meta({ id: 'Wallet' });
export type WalletView = z.infer<typeof walletView>;
