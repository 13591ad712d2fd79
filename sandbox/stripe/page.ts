import { type StripeLedger } from './ledger';

const escaped = (value: unknown): string =>
  String(value).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const money = (amount: number, currency: string): string =>
  `${amount} ${currency.toUpperCase()} (minor units)`;

const table = (title: string, columns: string[], rows: unknown[][]): string => `
<h2>${escaped(title)} (${rows.length})</h2>
<table><tr>${columns.map((column) => `<th>${escaped(column)}</th>`).join('')}</tr>
${rows.map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`).join('\n')}
</table>`;

/** What a person sees at `GET /_sandbox`: intents, charges, refunds, disputes and events, newest first, all text escaped. */
export const ledgerPage = (ledger: StripeLedger): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stripe sandbox</title>
<style>body{font:14px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px;text-align:left}</style>
</head><body><h1>Stripe sandbox</h1>
<p>A stand-in: no real money, forgotten when it stops.</p>
${table(
  'Totals',
  ['currency', 'captured', 'refunded', 'refunds pending', 'disputed', 'kept'],
  Object.entries(ledger.totals).map(([currency, sum]) => [
    currency,
    sum.captured,
    sum.refunded,
    sum.refundsPending,
    sum.disputed,
    sum.kept,
  ]),
)}
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
${table(
  'Events',
  ['at', 'id', 'type', 'object', 'deliveries'],
  ledger.events
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      one.type,
      one.objectId,
      one.deliveries.map((delivery) => delivery.status ?? 'no answer').join(', '),
    ]),
)}
</body></html>`;
