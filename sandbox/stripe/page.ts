import { eventsTable, htmlPage, money, table, totalsTable } from '../gateway/page';
import { type StripeLedger } from './ledger';

/** What a person sees at `GET /_sandbox`: intents, charges, refunds, disputes and events, newest first, all text escaped. */
export const ledgerPage = (ledger: StripeLedger): string =>
  htmlPage(
    'Stripe sandbox',
    `${totalsTable(ledger.totals)}
${table(
  'Payment intents',
  ['at', 'id', 'amount', 'status', 'metadata'],
  ledger.intents
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      money(one.amount, one.currency),
      one.status,
      JSON.stringify(one.metadata),
    ]),
)}
${table(
  'Charges',
  ['at', 'id', 'intent', 'amount', 'refunded', 'disputed', 'status', 'failure'],
  ledger.charges
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      one.paymentIntent,
      money(one.amount, one.currency),
      one.amountRefunded,
      one.disputed ? 'yes' : '',
      one.status,
      one.failureCode ?? '',
    ]),
)}
${table(
  'Refunds',
  ['at', 'id', 'intent', 'amount', 'status', 'failure', 'by hand', 'metadata'],
  ledger.refunds
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      one.paymentIntent,
      money(one.amount, one.currency),
      one.status,
      one.failureReason ?? '',
      one.byHand ? 'yes' : '',
      JSON.stringify(one.metadata),
    ]),
)}
${table(
  'Disputes',
  ['at', 'id', 'intent', 'amount', 'withdrawn', 'status', 'reason'],
  ledger.disputes
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      one.paymentIntent,
      money(one.amount, one.currency),
      one.withdrawn,
      one.status,
      one.reason,
    ]),
)}
${eventsTable(ledger.events, ({ objectId }) => objectId)}`,
  );
